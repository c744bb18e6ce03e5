"""The shipped numbers are what `fit` says, it reads the first half of the day only, and refuses nervous weights."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from polybot.config import Config, default_config
from polybot.config_vol import VolConfig
from polybot.errors import ConfigError
from polybot.research import fit
from polybot.research.data import FiveMinutes, read_oracle_day
from polybot.research.hours import fit_hours

COARSE = {"research.fit_weight_frac": 0.5, "research.fit_step_s": 300}


def coarse(shared_dir: Path, **changes: object) -> Config:
    return default_config(**{"research.data_dir": str(shared_dir / "data"), **COARSE, **changes})


@pytest.fixture(scope="module")
def whole(shared_dir: Path) -> fit.Fitted:
    """The fit as shipped."""
    return fit.fit(default_config(**{"research.data_dir": str(shared_dir / "data")}))


def test_shipped_numbers_are_the_fitted_ones(whole: fit.Fitted) -> None:
    shipped = default_config().model.vol
    assert whole.weights == shipped.weights_frac
    assert round(whole.forecast_ln_sd, 2) == shipped.forecast_ln_sd
    assert whole.hours.variance_frac == shipped.hour_variance_frac
    assert math.fsum(whole.weights) == pytest.approx(1.0)


def test_every_set_behind_the_shipped_weights_sees_few_phantom_edges(whole: fit.Fitted) -> None:
    assert len(whole.tried) == 286
    assert len(whole.alike) > 20
    assert len(whole.refused) > 0
    assert whole.phantom_frac <= 0.05
    assert not {weights for weights, _ in whole.refused} & set(whole.alike)
    assert [item.loss for item in whole.tried] == sorted(item.loss for item in whole.tried)


def test_second_half_of_the_day_is_not_read(shared_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fit.fit(coarse(shared_dir))
    day = read_oracle_day(str(shared_dir / "data"))
    prices = day.prices.copy()
    prices[len(prices) // 2 + 1 :] = np.nan
    monkeypatch.setattr(fit, "read_oracle_day", lambda _: replace(day, prices=prices))
    after = fit.fit(coarse(shared_dir))
    assert (after.weights, after.forecast_ln_sd) == (before.weights, before.forecast_ln_sd)
    assert [item.loss for item in after.tried] == [item.loss for item in before.tried]


def test_report_can_be_copied_into_the_settings(shared_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = coarse(shared_dir)
    assert fit.run(config) == 0
    said = capsys.readouterr()
    values = yaml.safe_load(said.out)
    assert set(values) == {"weights_frac", "forecast_ln_sd", "hour_variance_frac"}
    assert len(values["hour_variance_frac"]) == 24
    assert "weights tried: 10 of 10" in said.err


def test_weights_that_all_see_phantom_edges_are_refused(shared_dir: Path) -> None:
    with pytest.raises(ConfigError, match="phantom_max_frac"):
        fit.fit(coarse(shared_dir, **{"model.vol.half_lives_s": [1.0, 2.0, 4.0, 8.0]}))


def test_other_estimators_have_nothing_to_fit(shared_dir: Path) -> None:
    config = coarse(shared_dir, **{"model.vol": VolConfig(name="ewma")})
    with pytest.raises(ConfigError, match="model/vol=multi"):
        fit.fit(config)


def test_profile_of_hours_that_are_alike_is_flat_and_of_busy_hours_is_not() -> None:
    rng = np.random.default_rng(5)
    starts = np.arange(0, 40 * 86_400, 300, dtype=np.int64)
    busy = np.where((starts // 3_600 % 24 >= 14) & (starts // 3_600 % 24 < 18), 3.0, 1.0)
    noise = rng.normal(0, 1e-3, len(starts))
    flat = fit_hours(FiveMinutes("flat", starts, noise))
    shaped = fit_hours(FiveMinutes("busy", starts, noise * np.sqrt(busy)))
    assert max(flat.variance_frac) / min(flat.variance_frac) < 1.3
    assert shaped.power >= 0.5
    assert shaped.variance_frac[15] / shaped.variance_frac[5] > 1.7
    assert shaped.gains[shaped.power][0] > flat.gains[flat.power][0]
