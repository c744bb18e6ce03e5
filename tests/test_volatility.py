"""The settings of model.vol become the estimator they name, with its numbers; those of another one are refused."""

import math
from dataclasses import replace

import pytest

from polybot._fast.multi_vol import MultiVol
from polybot._fast.vol import SampledEwmaVol, TickEwmaVol
from polybot.assembly import build_engine
from polybot.config import VolConfig, config_to_mapping, default_config
from polybot.errors import ConfigError
from polybot.volatility import build_vol

NS = 1_000_000_000
EWMA = VolConfig(name="ewma", sample_ms=1_000, warmup_samples=3, floor_annual=0.30)


def test_default_engine_prices_with_the_multi_horizon_estimator() -> None:
    assert isinstance(build_engine(default_config()).spot.vol, MultiVol)


def test_every_name_makes_its_own_class() -> None:
    made = {name: type(build_vol(replace(EWMA, name=name))) for name in ("multi", "ewma", "ewma_tick")}
    assert made == {"multi": MultiVol, "ewma": SampledEwmaVol, "ewma_tick": TickEwmaVol}


def test_numbers_of_the_settings_reach_the_estimator() -> None:
    vols = [build_vol(replace(EWMA, lambda_=lambda_, bias_correct=False)) for lambda_ in (0.5, 0.0)]
    for vol in vols:
        for k, price in enumerate((1e5, 101_000.0, 101_000.0, 101_100.0)):
            vol.add(price, k * NS)
    first, last = math.log(1.01) ** 2, math.log(101_100 / 101_000) ** 2
    assert vols[0].value() == pytest.approx(math.sqrt(0.125 * first + 0.5 * last), rel=1e-9)
    assert vols[1].value() == pytest.approx(math.sqrt(last), rel=1e-9)


def test_a_number_of_another_estimator_is_refused_with_the_names_of_its_own() -> None:
    with pytest.raises(
        ConfigError, match=r"model\.vol\.lambda_ is only for model\.vol=ewma or ewma_tick, not"
    ):
        default_config(**{"model.vol.lambda_": 0.9})
    mapping = config_to_mapping(default_config(**{"model.vol": EWMA}))["model"]["vol"]
    assert "weights_frac" not in mapping
    assert mapping["lambda_"] == 0.94
