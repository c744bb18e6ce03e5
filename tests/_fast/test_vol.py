"""Volatility estimators against explicit weights, the published vectors and recorded trades."""

import math
import random
from pathlib import Path

import pytest
from reference import math_reference, recorded

from polybot._fast.vol import SampledEwmaVol, TickEwmaVol, Volatility

NS = 1_000_000_000
MS = 1_000_000
FLOOR = 5.3403e-5  # 30 % a year per sqrt(s)


def alternating(count: int) -> SampledEwmaVol:
    """1e5 and 100100 in turn, one a second, `count` samples."""
    vol = SampledEwmaVol(bias_correct=False)
    for k in range(count + 1):
        vol.add(100_100.0 if k % 2 else 1e5, k * NS)
    return vol


def random_walk(seed: int, count: int) -> list[tuple[float, int]]:
    rnd = random.Random(seed)
    price, ns, out = 60_000.0, 1_780_000_000 * NS, []
    for _ in range(count):
        price *= math.exp(rnd.gauss(0, 1e-5))
        ns += rnd.randrange(1, 400) * MS
        out.append((price, ns))
    return out


def test_base_class_is_never_warm() -> None:
    base = Volatility()
    base.add(1e5, 0)
    assert not base.warm
    assert math.isnan(base.value())
    assert math.isnan(base.standard_error())


def test_one_sample_of_a_thousandth_after_five_seconds_has_the_published_variance() -> None:
    vol = SampledEwmaVol(bias_correct=False)
    vol.add(1e5, 0)
    vol.add(100_100.0, 5000 * MS)
    assert vol.samples == 1
    assert vol.var == pytest.approx(1.198801e-8, rel=1e-6)


def test_prices_within_the_sample_interval_give_no_sample() -> None:
    vol = SampledEwmaVol()
    for k in range(100):
        vol.add(1e5 + k, k * 10 * MS)
    assert vol.samples == 0
    vol.add(1e5, 1000 * MS)
    assert vol.samples == 1


@pytest.mark.parametrize(("count", "sigma"), [(10, 0.0006789138), (19, 0.0008310750), (2000, 0.0009995003)])
def test_alternating_prices_reach_the_published_sigma(count: int, sigma: float) -> None:
    assert alternating(count).value() == pytest.approx(sigma, rel=1e-6)


def test_sigma_is_unknown_before_the_tenth_sample() -> None:
    nine, ten = alternating(9), alternating(10)
    assert not nine.warm
    assert math.isnan(nine.value())
    assert math.isnan(nine.standard_error())
    assert ten.warm
    assert ten.value() > 0


def test_bias_correction_gives_the_limit_from_the_first_warm_sample() -> None:
    vol = SampledEwmaVol()
    for k in range(11):
        vol.add(100_100.0 if k % 2 else 1e5, k * NS)
    assert vol.value() == pytest.approx(0.0009995003, rel=1e-6)


def test_flat_prices_give_the_floor() -> None:
    vol = SampledEwmaVol()
    for k in range(20):
        vol.add(1e5, k * NS)
    assert vol.value() == pytest.approx(FLOOR, rel=1e-4)


def test_lambda_zero_keeps_the_last_square_and_lambda_one_keeps_nothing() -> None:
    last, never = SampledEwmaVol(0.0, warmup=1), SampledEwmaVol(1.0, warmup=1)
    for vol in (last, never):
        for k, price in enumerate((1e5, 101_000.0, 101_100.0)):
            vol.add(price, k * NS)
    assert last.value() == pytest.approx(math.log(101_100 / 101_000), rel=1e-12)
    assert never.var == 0.0
    assert never.value() == pytest.approx(FLOOR, rel=1e-4)
    assert math.isnan(never.standard_error())


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_price_changes_nothing(bad: float) -> None:
    vol = SampledEwmaVol(warmup=1)
    ticks = TickEwmaVol(warmup=1)
    for estimator in (vol, ticks):
        estimator.add(bad, 0)
        estimator.add(1e5, 0)
        estimator.add(bad, 2 * NS)
        estimator.add(100_100.0, 5 * NS)
    assert vol.samples == ticks.samples == 1
    assert vol.var == pytest.approx(1.198801e-8, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_sampled_estimator_matches_explicit_weights_on_random_prices(seed: int) -> None:
    prices = random_walk(seed, 500)
    vol = SampledEwmaVol(0.9, sample_ms=700, warmup=5)
    for price, ns in prices:
        vol.add(price, ns)
    var, samples = math_reference.sampled_ewma(prices, 0.9, 700 * MS)
    assert vol.samples == samples
    assert vol.var == pytest.approx(var, rel=1e-9)
    assert vol.value() == pytest.approx(max(math.sqrt(var / (1 - 0.9**samples)), FLOOR), rel=1e-5)


def test_estimators_match_explicit_weights_on_recorded_trades(shared_dir: Path) -> None:
    trades = recorded.spot_trades(shared_dir)[:4000]
    sampled, ticks = SampledEwmaVol(), TickEwmaVol()
    for price, _, ns in trades:
        sampled.add(price, ns)
        ticks.add(price, ns)
    var, samples = math_reference.sampled_ewma([(price, ns) for price, _, ns in trades], 0.94, NS)
    assert sampled.samples == samples > 50
    assert sampled.var == pytest.approx(var, rel=1e-9)
    assert ticks.var == pytest.approx(
        math_reference.tick_ewma([price for price, _, _ in trades], 0.94), rel=1e-9
    )


def test_a_walk_is_one_price_after_the_other() -> None:
    prices = [price for price, _ in random_walk(3, 300)]
    one, all_at_once = SampledEwmaVol(), SampledEwmaVol()
    values = []
    for k, price in enumerate(prices):
        one.add(price, 7 * NS + k * 500 * MS)
        values.append(one.value())
    found = all_at_once.walk(prices, 7 * NS, 500 * MS)
    assert found == pytest.approx(values, rel=1e-15, nan_ok=True)
    assert all_at_once.samples == one.samples


def test_per_tick_form_matches_the_published_vector() -> None:
    vol = TickEwmaVol()
    vol.add(100.0, 0)
    vol.add(101.0, 1)
    assert vol.var == pytest.approx(0.06 * math.log(1.01) ** 2, rel=1e-12)


def test_per_tick_form_at_the_ends_of_lambda() -> None:
    last, never = TickEwmaVol(0.0), TickEwmaVol(1.0)
    for vol in (last, never):
        for k, price in enumerate((100.0, 101.0, 103.0)):
            vol.add(price, k * NS)
    assert last.var == pytest.approx(math.log(103 / 101) ** 2, rel=1e-12)
    assert never.var == 0.0


def test_per_tick_sigma_is_per_second_whatever_the_tick_rate() -> None:
    for gap_ms in (10, 250):
        vol = TickEwmaVol()
        step = 1e-4 * math.sqrt(gap_ms / 1000)
        for k in range(50):
            vol.add(1e5 * math.exp(step * (k % 2)), k * gap_ms * MS)
        assert vol.value() == pytest.approx(1e-4, rel=1e-6)


def test_per_tick_sigma_of_one_instant_is_unknown() -> None:
    vol = TickEwmaVol()
    for k in range(50):
        vol.add(1e5 + k, 5)
    assert not vol.warm
    assert math.isnan(vol.value())


def test_standard_error_matches_the_scatter_of_gaussian_returns() -> None:
    rnd = random.Random(5)
    logs = []
    vol = SampledEwmaVol(floor_annual=0.0)
    price = 1e5
    for k in range(60_000):
        price *= math.exp(rnd.gauss(0, 1e-4))
        vol.add(price, k * NS)
        if k > 200 and k % 20 == 0:
            logs.append(math.log(vol.value()))
    mean = math.fsum(logs) / len(logs)
    scatter = math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / len(logs))
    assert vol.standard_error() == pytest.approx(0.5 * math.sqrt(2 * 0.06 / 1.94), rel=1e-9)
    assert vol.standard_error() == pytest.approx(scatter, rel=0.08)


def test_standard_error_is_larger_while_few_samples_are_in() -> None:
    assert alternating(10).standard_error() > 1.4 * alternating(2000).standard_error()


@pytest.mark.parametrize(
    "kwargs",
    [{"lambda_": -0.1}, {"lambda_": 1.1}, {"lambda_": math.nan}, {"warmup": 0}, {"floor_annual": -1.0},
     {"floor_annual": math.inf}],
)  # fmt: skip
def test_bad_settings_are_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        SampledEwmaVol(**kwargs)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must"):
        TickEwmaVol(**kwargs)  # type: ignore[arg-type]


def test_sample_interval_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="sample_ms"):
        SampledEwmaVol(sample_ms=0)
