"""Rolling VWAP against a list of trades."""

import math
import random
from pathlib import Path

import pytest
from reference import math_reference, recorded

from polybot._fast.vwap import RollingVwap

NS = 1_000_000_000


def test_two_trades_are_weighted_by_quantity() -> None:
    vwap = RollingVwap()
    vwap.add(100.0, 3.0, 0)
    vwap.add(106.0, 1.0, 0)
    assert vwap.mean == 101.5


def test_empty_window_has_no_price() -> None:
    vwap = RollingVwap()
    assert math.isnan(vwap.mean)
    vwap.add(100.0, 3.0, 0)
    vwap.expire(61 * NS)
    assert math.isnan(vwap.mean)
    assert len(vwap) == 0


def test_trade_exactly_sixty_seconds_old_stays_and_a_nanosecond_later_goes() -> None:
    vwap = RollingVwap()
    vwap.add(100.0, 1.0, 5)
    vwap.add(200.0, 1.0, 10)
    vwap.expire(60 * NS + 5)
    assert vwap.mean == 150.0
    vwap.expire(60 * NS + 6)
    assert vwap.mean == 200.0


def test_new_trade_evicts_old_ones() -> None:
    vwap = RollingVwap()
    vwap.add(100.0, 1.0, 0)
    vwap.add(200.0, 1.0, 60 * NS + 1)
    assert vwap.mean == 200.0
    assert len(vwap) == 1


@pytest.mark.parametrize(
    ("price", "qty"),
    [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, math.nan)],
)
def test_what_is_no_trade_is_counted_and_left_out(price: float, qty: float) -> None:
    vwap = RollingVwap()
    vwap.add(100.0, 1.0, 0)
    vwap.add(price, qty, 1)
    assert vwap.mean == 100.0
    assert vwap.rejected == 1


@pytest.mark.parametrize("capacity", [2, 64, 4096])
def test_random_trades_match_the_reference_while_the_ring_grows_and_wraps(capacity: int) -> None:
    rnd = random.Random(capacity)
    vwap = RollingVwap(window_s=2.0, capacity=capacity)
    trades: list[tuple[float, float, int]] = []
    ns = 0
    for k in range(3000):
        ns += rnd.choice((0, rnd.randrange(20_000_000), rnd.randrange(3 * NS) if k % 500 == 0 else 0))
        trades.append((60_000 + rnd.gauss(0, 50), 10 ** rnd.uniform(-5, 1), ns))
        vwap.add(*trades[-1])
        if k % 37 == 0:
            later = ns + rnd.randrange(NS)
            vwap.expire(later)
            ns = later
            expected = math_reference.vwap(trades[-2000:], later, 2 * NS)
            assert vwap.mean == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert vwap.overflowed == 0


def test_recorded_trades_match_the_reference(shared_dir: Path) -> None:
    trades = recorded.spot_trades(shared_dir)
    vwap = RollingVwap(window_s=10.0, capacity=256)
    for k, (price, qty, ns) in enumerate(trades):
        vwap.add(price, qty, ns)
        if k % 500 == 0:
            assert vwap.mean == pytest.approx(math_reference.vwap(trades[: k + 1], ns, 10 * NS), rel=1e-12)
    assert len(trades) == 9757


def test_sums_do_not_drift_over_a_million_trades_of_wild_sizes() -> None:
    vwap = RollingVwap(window_s=1.0, capacity=128)
    for k in range(300_000):
        vwap.add(1e5, 1e9 if k % 1000 == 0 else 1e-6, k * 10_000_000)
    vwap.expire(300_000 * 10_000_000)
    assert vwap.mean == pytest.approx(1e5, rel=1e-12)


@pytest.mark.parametrize(
    "kwargs", [{"window_s": 0.0}, {"window_s": math.nan}, {"capacity": 3}, {"capacity": 1}]
)
def test_bad_settings_are_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        RollingVwap(**kwargs)  # type: ignore[arg-type]
