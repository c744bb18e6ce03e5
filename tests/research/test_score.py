"""The shipped forecasts against the usual ones on half a recorded day nothing was fitted on."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polybot._fast.pricing import Rule
from polybot.cli import load_config
from polybot.config import Config, default_config
from polybot.errors import ConfigError
from polybot.research import score
from polybot.research.data import OracleDay, read_oracle_day
from polybot.research.forecast import (
    TAUS_S,
    Forecaster,
    halves,
    log_losses,
    sigma_path,
    windows_between,
)
from polybot.volatility import build_vol

NOON_S = 1_780_920_000  # 2026-06-08 12:00 UTC


@pytest.fixture(scope="module")
def config(shared_dir: Path) -> Config:
    return default_config(**{"research.data_dir": str(shared_dir / "data")})


@pytest.fixture(scope="module")
def found(config: Config) -> score.Score:
    return score.score(config)


def test_shipped_forecast_is_better_beyond_doubt_in_the_last_half_minute(found: score.Score) -> None:
    late = {item.tau_s: item for item in found.by_tau if item.tau_s in (30, 15)}
    assert set(late) == {30, 15}
    for item in late.values():
        assert item.windows >= 140
        assert item.gain_low > 0.0
        assert item.shipped < item.baseline


def test_shipped_forecast_is_not_worse_by_more_than_two_hundredths_earlier(found: score.Score) -> None:
    early = {item.tau_s: item.gain for item in found.by_tau if item.tau_s in (240, 120, 60)}
    assert set(early) == {240, 120, 60}
    assert min(early.values()) >= -0.02


def test_only_the_second_half_of_the_day_is_judged(found: score.Score) -> None:
    assert (found.first_s, found.last_s) == (NOON_S, NOON_S + 43_199)
    assert [item.tau_s for item in found.by_tau] == list(TAUS_S)
    assert {item.windows for item in found.by_tau} == {
        143
    }  # the last of 144 ends with a second of the next day


def test_forecasts_are_reliable_at_both_ends(found: score.Score) -> None:
    p, up = found.shipped
    assert len(p) == 143 * len(TAUS_S)
    assert up[p < 0.02].mean() < 0.02
    assert up[p > 0.98].mean() > 0.98


def test_report_says_settings_and_verdict(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert score.run(config) == 0
    said = capsys.readouterr().out
    for words in (
        "seed 20260608",
        "returns over 10000 ms",
        "lambda 0.94",
        "reliability",
        "every promise holds",
    ):
        assert words in said


def test_same_seed_gives_the_same_interval_another_one_a_similar(config: Config, found: score.Score) -> None:
    again = score.score(config)
    other = score.score(replace(config, research=replace(config.research, seed=7)))
    assert again.by_tau == found.by_tau
    for mine, theirs in zip(found.by_tau, other.by_tau, strict=True):
        assert theirs.gain == mine.gain
        assert theirs.gain_low != mine.gain_low
        assert theirs.gain_low == pytest.approx(mine.gain_low, abs=0.01)


def test_baseline_is_the_selectable_ewma() -> None:
    assert load_config(["model/vol=ewma"]).model.vol == score.BASELINE


def test_broken_promise_is_said(found: score.Score) -> None:
    late, early = found.by_tau[-1], found.by_tau[0]
    assert not replace(late, gain_low=0.0).holds
    assert not replace(early, gain=-0.0201).holds
    assert replace(early, gain=-0.0199).holds


def test_no_forecast_depends_on_what_comes_after_it(config: Config) -> None:
    day = read_oracle_day(config.research.data_dir)
    _, (first, _) = halves(day)
    end = int(windows_between(first, len(day.prices) - 1, 300)[40])
    for tau in TAUS_S:
        changed = day.prices.copy()
        changed[end - tau + 1 :] *= 1.01
        both = [_forecast(config, replace(day, prices=prices), end, tau) for prices in (day.prices, changed)]
        assert both[0] == both[1]


def test_labels_and_locked_sums_are_means_of_sixty_ticks() -> None:
    prices = np.exp(np.cumsum(np.random.default_rng(3).normal(0, 1e-4, 2_000))) * 6e4
    day = OracleDay("made", 0, prices, len(prices))
    forecaster = Forecaster(day)
    ends = windows_between(100, 1_999, 150)
    windows = forecaster.windows(ends)
    for end, strike, up in zip(ends.tolist(), windows.strikes, windows.up, strict=True):
        assert strike == pytest.approx(math.fsum(prices[end - 359 : end - 299]) / 60, rel=1e-12)
        assert up == (math.fsum(prices[end - 59 : end + 1]) / 60 >= strike)
    last_second = forecaster.probabilities(windows, rule=Rule.RULE_TWAP, tau_s=1, sigma=np.full(2_000, 1e-9))
    assert np.round(last_second).tolist() == windows.up.tolist()


def test_log_loss_is_that_of_the_outcome_and_never_infinite() -> None:
    losses = log_losses(np.array([1, 0, 1, 0]), np.array([0.8, 0.8, 0.0, 0.5]))
    assert losses == pytest.approx([-math.log(0.8), -math.log(0.2), -math.log(1e-6), math.log(2)])


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_missing_data_is_refused_in_one_line(folder: str) -> None:
    with pytest.raises(ConfigError, match=r"research\.data_dir") as caught:
        score.score(default_config(**{"research.data_dir": folder}))
    assert "\n" not in str(caught.value)


def _forecast(config: Config, day: OracleDay, end: int, tau: int) -> float:
    """Probability of one window, from prices and strike as they were known tau before its end."""
    vol = build_vol(replace(config.model.vol, sample_ms=config.research.oracle_sample_ms))
    sigma = sigma_path(vol, replace(day, prices=day.prices[: end + 1]))
    forecaster = Forecaster(day)
    windows = forecaster.windows(np.array([end]))
    return float(forecaster.probabilities(windows, rule=Rule.RULE_TWAP, tau_s=tau, sigma=sigma)[0])
