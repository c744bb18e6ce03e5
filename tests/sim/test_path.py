"""The generated spot path: deterministic, on its grid, with the rates and volatility it promises."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from polybot.config_sim import SpotConfig
from polybot.sim.path import E8, HOURS, NS, SpotPath, history_closes, hour_factor, price_step_e8

START_NS = 1_790_616_560 * NS
PLAIN = SpotConfig(vol_sd=0.0, quotes_per_s=10.0)


def make_path(config=PLAIN, seed=1, price=78_800.0):
    return SpotPath(config, price=price, vol_annual=0.45, seed=seed, start_ns=START_NS)


def bursts(path, seconds):
    made = [path.next_burst()]
    while made[-1].at_ns < START_NS + seconds * NS:
        made.append(path.next_burst())
    return made


def test_same_seed_gives_the_same_bursts_and_another_seed_others():
    first, second, other = (bursts(make_path(SpotConfig(), seed), 60) for seed in (1, 1, 2))
    assert first == second
    assert [burst.price for burst in first] != [burst.price for burst in other]


def test_detail_does_not_change_the_price():
    plain = bursts(make_path(PLAIN), 120)
    busy = bursts(make_path(replace(PLAIN, quotes_per_s=200.0, trades_per_s=90.0)), 120)
    assert [(burst.at_ns, burst.price) for burst in plain] == [(burst.at_ns, burst.price) for burst in busy]


def test_bursts_and_ids_only_go_forward():
    made = bursts(make_path(SpotConfig()), 120)
    trades = [trade for burst in made for trade in burst.trades]
    assert all(a.at_ns < b.at_ns for a, b in pairwise(made))
    assert [trade.trade_id for trade in trades] == list(
        range(trades[0].trade_id, trades[0].trade_id + len(trades))
    )
    assert all(0 <= b.agg_id - a.agg_id <= 1 for a, b in pairwise(trades))
    assert all(a.at_us <= b.at_us for a, b in pairwise(trades))
    quotes = [quote for burst in made for quote in (*burst.quiet, burst.quote)]
    assert all(a.update_id < b.update_id and a.at_ns <= b.at_ns for a, b in pairwise(quotes))


def test_trades_are_inside_their_burst_and_at_the_true_price_on_the_grid():
    for burst in bursts(make_path(SpotConfig()), 60):
        assert burst.trades[-1].price_e8 == pytest.approx(burst.price * E8, abs=1_000_000)
        for trade in burst.trades:
            assert trade.price_e8 % 1_000_000 == 0
            assert trade.qty_e8 > 0
            assert burst.at_ns // 1_000 <= trade.at_us < burst.at_ns // 1_000 + 1_200
        assert burst.quote.bid_e8 < burst.quote.ask_e8
        assert burst.quote.bid_e8 % 1_000_000 == 0


def test_rates_are_those_of_the_settings():
    config = SpotConfig(vol_sd=0.0, activity_sd=0.2)
    seconds = 900
    made = bursts(make_path(config), seconds)
    trades = sum(len(burst.trades) for burst in made)
    quotes = sum(1 + len(burst.quiet) for burst in made)
    assert len(made) / seconds == pytest.approx(config.bursts_per_s, rel=0.15)
    assert trades / seconds == pytest.approx(config.trades_per_s, rel=0.2)
    assert quotes / seconds == pytest.approx(config.quotes_per_s, rel=0.1)


def test_realised_variance_is_the_true_one():
    path = make_path(replace(PLAIN, jumps_per_h=0.0, trades_per_s=9.3))
    expected = realised = 0.0
    before = START_NS, 78_800.0
    for burst in bursts(path, 1_800):
        expected += path.sigma(burst.at_ns) ** 2 * (burst.at_ns - before[0]) / NS
        realised += math.log(burst.price / before[1]) ** 2
        before = burst.at_ns, burst.price
    assert realised == pytest.approx(expected, rel=0.06)


def test_jumps_bring_their_share_of_the_variance():
    config = replace(PLAIN, jumps_per_h=3_600.0, jump_dof=100.0, trades_per_s=9.3)
    path = make_path(config)
    expected = realised = 0.0
    before = START_NS, 78_800.0
    for burst in bursts(path, 1_800):
        expected += path.sigma(burst.at_ns) ** 2 * (burst.at_ns - before[0]) / NS
        realised += math.log(burst.price / before[1]) ** 2
        before = burst.at_ns, burst.price
    assert realised == pytest.approx(expected, rel=0.1)


def test_expected_variance_returns_to_its_mean_with_the_horizon():
    path = make_path(SpotConfig(vol_sd=0.5))
    flat = 0.45**2 / (365.25 * 86_400)
    now = path.variance_rate(START_NS, 0.0)
    assert now == pytest.approx(path.sigma(START_NS) ** 2)
    far_s = 40 * 86_400
    assert path.variance_rate(START_NS, far_s) == pytest.approx(flat * hour_factor(START_NS) ** 2, rel=1e-3)


def test_hours_have_unit_mean_square_and_join_smoothly():
    assert np.mean(np.square(HOURS)) == pytest.approx(1.0, abs=0.01)
    assert hour_factor(14 * 3_600 * NS + 1_800 * NS) == pytest.approx(1.66)
    around_midnight = [hour_factor((86_400 + s) * NS) for s in (-2, -1, 0, 1, 2)]
    assert max(abs(a - b) for a, b in pairwise(around_midnight)) < 1e-3


def test_history_ends_at_the_start_price_with_the_right_volatility():
    closes = history_closes(SpotConfig(history_h=18.0), price=100.0, vol_annual=0.45, seed=3, end_ns=START_NS)
    assert len(closes) == 18 * 3_600
    assert closes[-1] == 100.0
    factors = np.mean([hour_factor(START_NS - s * NS) ** 2 for s in range(0, 18 * 3_600, 60)])
    expected = 0.45 / math.sqrt(365.25 * 86_400) * math.sqrt(factors)
    assert np.std(np.diff(np.log(closes))) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("price", "step"), [(78_800.0, 1_000_000), (150.0, 1_000_000), (2.1, 10_000), (0.1, 1_000)]
)
def test_cheap_assets_have_a_finer_grid(price, step):
    assert price_step_e8(price) == step
    for burst in bursts(make_path(PLAIN, price=price), 5):
        assert all(trade.price_e8 % step == 0 for trade in burst.trades)


def test_the_past_has_the_volatility_of_the_present() -> None:
    errors, levels = [], []
    for seed in range(12):
        path = SpotPath(SpotConfig(), price=100.0, vol_annual=0.45, seed=seed, start_ns=START_NS)
        closes = history_closes(
            SpotConfig(history_h=2.0),
            price=100.0,
            vol_annual=0.45,
            seed=seed,
            end_ns=START_NS,
            ln_vol=path.ln_vol,
        )
        realised = float(np.std(np.diff(np.log(closes[-600:]))))
        errors.append(math.log(realised / path.sigma(START_NS)))
        levels.append(path.ln_vol)
    assert max(map(abs, errors)) < 0.35
    assert float(np.std(errors)) < 0.5 * float(np.std(levels))
