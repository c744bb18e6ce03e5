"""Multi-horizon volatility against explicit weights, and its promises: unbiased, calm, honest, quick when needed."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reference import recorded, vol_reference

from polybot._fast.multi_vol import MultiVol
from polybot.config import default_config
from polybot.config_vol import VolConfig
from polybot.errors import ConfigError
from polybot.volatility import build_vol

NS = 1_000_000_000
MS = 1_000_000
MIDNIGHT_NS = 1_780_012_800 * NS
SIGMA = 8e-5
SHIPPED = default_config().model.vol
FLAT = replace(SHIPPED, hour_variance_frac=(1.0,) * 24)
SETTINGS: dict[str, Any] = {
    "half_lives_s": (10.0, 60.0, 300.0, 1800.0),
    "weights_frac": (0.2, 0.3, 0.3, 0.2),
    "sample_ms": 700,
    "warmup": 5,
    "floor_annual": 0.1,
    "jump_threshold_sd": 2.5,
    "jump_half_life_s": 900.0,
    "prior_annual": 0.6,
    "prior_weight_s": 20.0,
    "prior_ln_sd": 0.5,
    "prior_jump_frac": 0.1,
    "prior_kurtosis": 4.0,
    "forecast_ln_sd": 0.1,
    "hour_variance_frac": tuple(0.5 + 0.05 * hour for hour in range(24)),
}


def made(config: VolConfig) -> MultiVol:
    vol = build_vol(config)
    assert isinstance(vol, MultiVol)
    return vol


def feed(vol: MultiVol, returns: list[float], *, gap_ms: int = 1_000, start_ns: int = MIDNIGHT_NS) -> int:
    """Feed one price per gap; returns the last stamp."""
    price, ns = 1e5, start_ns
    vol.add(price, ns)
    for r in returns:
        price *= math.exp(r)
        ns += gap_ms * MS
        vol.add(price, ns)
    return ns


def gaussian(seed: int, count: int, sigma: float = SIGMA) -> list[float]:
    rnd = random.Random(seed)
    return [rnd.gauss(0.0, sigma) for _ in range(count)]


def student(seed: int, count: int, sigma: float = SIGMA) -> list[float]:
    """Student t returns with 4 degrees of freedom, sd sigma."""
    rnd = random.Random(seed)
    scale = sigma / math.sqrt(2.0)
    return [scale * rnd.gauss(0, 1) / math.sqrt(rnd.gammavariate(2.0, 2.0) / 4.0) for _ in range(count)]


def same(vol: MultiVol, want: vol_reference.Estimate) -> None:
    assert vol.samples == want.samples
    assert vol.value() == pytest.approx(want.sigma, rel=1e-9)
    assert vol.standard_error() == pytest.approx(want.se, rel=1e-9)
    assert vol.continuous == pytest.approx(want.continuous, rel=1e-9)
    assert vol.jump == pytest.approx(want.jump, rel=1e-9)
    assert vol.kurtosis == pytest.approx(want.kurtosis, rel=1e-9)
    assert vol.horizons() == pytest.approx(want.horizons, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_estimate_matches_explicit_weights_on_irregular_random_prices(seed: int) -> None:
    rnd = random.Random(seed)
    price, ns, prices = 60_000.0, MIDNIGHT_NS, []
    for _ in range(450):
        price *= math.exp(rnd.gauss(0, 4e-5) * (25.0 if rnd.random() < 0.01 else 1.0))
        ns += (
            rnd.choice((3, 40, 400, 2_500, 70_000)) * MS if rnd.random() < 0.3 else rnd.randrange(1, 400) * MS
        )
        prices.append((price, ns))
    settings = {**SETTINGS, "prior_weight_s": 0.0} if seed == 3 else SETTINGS
    vol = MultiVol(**settings)
    for value, at in prices:
        vol.add(value, at)
    assert vol.jump > 0.0
    same(vol, vol_reference.multi_vol(prices, settings))


def test_estimate_matches_explicit_weights_on_recorded_trades(shared_dir: Path) -> None:
    prices = [(price, ns) for price, _, ns in recorded.spot_trades(shared_dir)[:6_000]]
    vol = MultiVol(**SETTINGS)
    for price, ns in prices:
        vol.add(price, ns)
    assert vol.samples > 100
    same(vol, vol_reference.multi_vol(prices, SETTINGS))


def test_constant_volatility_is_found_without_bias_whatever_the_tails() -> None:
    for returns in (gaussian(1, 40_000), student(2, 40_000)):
        vol = made(replace(FLAT, warmup_samples=1))
        price, found = 1e5, []
        for k, r in enumerate(returns):
            price *= math.exp(r)
            vol.add(price, k * NS)
            if k > 5_000:
                found.append(vol.value() ** 2)
        assert math.fsum(found) / len(found) == pytest.approx(SIGMA**2, rel=0.06)


def test_standard_error_matches_the_scatter_under_fat_tails() -> None:
    logs, errors = [], []
    for seed in range(3):
        vol = made(replace(FLAT, forecast_ln_sd=0.0))
        price = 1e5
        for k, r in enumerate(student(seed, 30_000)):
            price *= math.exp(r)
            vol.add(price, k * NS)
            if k > 12_000 and k % 10 == 0:
                logs.append(math.log(vol.value() / SIGMA))
                errors.append(vol.standard_error())
    scatter = math.sqrt(math.fsum(x * x for x in logs) / len(logs))
    assert math.fsum(errors) / len(errors) == pytest.approx(scatter, rel=0.25)
    assert scatter < 0.06


def test_forecast_error_is_always_in_the_standard_error() -> None:
    vol = made(FLAT)
    feed(vol, gaussian(1, 20_000))
    calm = made(replace(FLAT, forecast_ln_sd=0.0))
    feed(calm, gaussian(1, 20_000))
    together = math.hypot(calm.standard_error(), FLAT.forecast_ln_sd)
    assert vol.standard_error() == pytest.approx(together, rel=1e-9)


def test_one_sample_in_a_minute_and_sixty_say_the_same_on_average() -> None:
    quick, slow = made(FLAT), made(FLAT)
    returns = gaussian(3, 200_000)
    feed(quick, returns)
    feed(slow, [math.fsum(returns[i : i + 60]) for i in range(0, len(returns), 60)], gap_ms=60_000)
    assert slow.horizons()[3] == pytest.approx(quick.horizons()[3], rel=0.3)
    assert slow.standard_error() > quick.standard_error()


def test_young_estimate_leans_on_the_prior_and_says_so() -> None:
    vol = made(replace(FLAT, warmup_samples=2, prior_annual=0.45))
    feed(vol, [0.0, 0.0])
    prior = 0.45 / math.sqrt(365.25 * 86_400)
    assert 0.9 * prior < vol.value() < prior
    assert vol.standard_error() > 0.4
    last = vol.standard_error()
    for count in (30, 300, 3_000):
        vol = made(FLAT)
        feed(vol, gaussian(5, max(count, FLAT.warmup_samples)))
        assert vol.standard_error() < last
        last = vol.standard_error()


def test_prior_is_forgotten_within_minutes() -> None:
    low, high = made(replace(FLAT, prior_annual=0.1)), made(replace(FLAT, prior_annual=2.0))
    for vol in (low, high):
        feed(vol, gaussian(7, 1_200))
    assert math.log(high.value() / low.value()) < 0.25
    assert high.standard_error() > math.log(high.value() / low.value()) / 4.0


def test_sigma_is_unknown_before_the_configured_sample() -> None:
    vol = made(replace(FLAT, warmup_samples=10))
    feed(vol, gaussian(1, 9))
    assert (vol.samples, vol.warm) == (9, False)
    assert math.isnan(vol.value())
    assert math.isnan(vol.standard_error())
    vol.add(1e5, MIDNIGHT_NS + 10 * NS)
    assert vol.warm
    assert vol.value() > 0.0


def test_a_single_jump_moves_sigma_little_and_a_burst_much() -> None:
    def after(extra: list[float]) -> float:
        vol = made(FLAT)
        feed(vol, gaussian(11, 7_200) + extra)
        return vol.value() / SIGMA

    calm = after(gaussian(12, 60))
    jump = after([30 * SIGMA, *gaussian(12, 59)])
    burst = after(gaussian(12, 60, 5 * SIGMA))
    assert jump < 1.35 * calm
    assert burst > 2.0 * calm


def test_nothing_is_lost_when_a_jump_is_cut() -> None:
    vol = made(replace(FLAT, half_lives_s=(3_600.0,), weights_frac=(1.0,), prior_weight_s=0.0))
    returns = gaussian(13, 7_200)
    returns[7_000] = 40 * SIGMA
    feed(vol, returns)
    ages = range(len(returns) - 1, -1, -1)
    weights = [2.0 ** (-age / 3_600.0) for age in ages]
    whole = math.fsum(w * r * r for w, r in zip(weights, returns, strict=True)) / math.fsum(weights)
    assert vol.jump > 0.05 * whole
    assert vol.continuous + vol.jump == pytest.approx(whole, rel=1e-6)


def test_recovers_quickly_from_a_flat_past() -> None:
    vol = made(FLAT)
    feed(vol, [0.0] * 20_000 + gaussian(17, 120))
    assert vol.value() > 0.3 * SIGMA


def test_hour_of_day_is_taken_out_and_put_back() -> None:
    hours = tuple(4.0 if 12 <= hour < 18 else 1.0 for hour in range(24))
    vol = made(replace(FLAT, hour_variance_frac=hours))
    mean = math.fsum(hours) / 24.0
    assert vol.season(MIDNIGHT_NS + 14 * 3_600 * NS) == pytest.approx(4.0 / mean, rel=1e-3)
    assert vol.season(MIDNIGHT_NS + 4 * 3_600 * NS) == pytest.approx(1.0 / mean, rel=1e-3)
    assert vol.season(MIDNIGHT_NS + 12 * 3_600 * NS) == pytest.approx(2.5 / mean, rel=0.02)
    returns = []
    rnd = random.Random(19)
    start_ns = MIDNIGHT_NS + 9 * 3_600 * NS
    for k in range(6 * 3_600):
        returns.append(rnd.gauss(0.0, SIGMA * math.sqrt(vol.season(start_ns + k * NS))))
    seen = {}
    price, ns = 1e5, start_ns
    for k, r in enumerate(returns):
        price *= math.exp(r)
        ns += NS
        vol.add(price, ns)
        if k in (2 * 3_600, 6 * 3_600 - 1):
            seen[k] = vol.value()
    early, late = seen.values()
    assert early == pytest.approx(SIGMA / math.sqrt(mean), rel=0.12)
    assert late == pytest.approx(SIGMA * math.sqrt(4.0 / mean), rel=0.12)


def test_flat_prices_give_the_floor() -> None:
    vol = made(FLAT)
    feed(vol, [0.0] * 60_000)
    assert vol.value() == pytest.approx(0.10 / math.sqrt(365.25 * 86_400), rel=1e-9)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_price_changes_nothing(bad: float) -> None:
    clean, dirty = made(FLAT), made(FLAT)
    dirty.add(bad, 0)
    for k, r in enumerate(gaussian(23, 100)):
        clean.add(1e5 * math.exp(r), k * NS)
        dirty.add(bad, k * NS)
        dirty.add(1e5 * math.exp(r), k * NS)
    assert (dirty.samples, dirty.value()) == (clean.samples, clean.value())


def test_prices_within_the_sample_interval_and_older_ones_give_no_sample() -> None:
    vol = made(FLAT)
    for k in range(100):
        vol.add(1e5 + k, MIDNIGHT_NS + k * 10 * MS)
    vol.add(1e5, MIDNIGHT_NS - 5 * NS)
    assert vol.samples == 0
    vol.add(1e5, MIDNIGHT_NS + NS)
    assert vol.samples == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"half_lives_s": (10.0, 5.0, 300.0, 1_800.0)}, "ascend"),
        ({"half_lives_s": ()}, "1 to 6 horizons"),
        ({"weights_frac": (1.0,)}, "one weight"),
        ({"weights_frac": (0.0,) * 4}, "one weight"),
        ({"hour_variance_frac": (1.0,) * 23}, "24 positive"),
        ({"sample_ms": 0}, "at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_vol(replace(SHIPPED, **change))


def test_shipped_estimator_is_the_default() -> None:
    assert SHIPPED.name == "multi"
    assert math.fsum(SHIPPED.weights_frac) == pytest.approx(1.0, abs=1e-9)
