"""Volatility updates: one per spot trade."""

from collections.abc import Callable

import pytest

from polybot._fast.vol import SampledEwmaVol, TickEwmaVol, Volatility

Budget = Callable[..., float]
CALLS = 1000
GAP_NS = 10_000_000  # 100 trades a second


@pytest.mark.parametrize("kind", [SampledEwmaVol, TickEwmaVol])
def test_volatility_update(budget: Budget, kind: type[Volatility]) -> None:
    vol = kind()
    prices = [69_000.0 + (k * 37 % 11) for k in range(CALLS)]
    now_ns = 0

    def run() -> None:
        nonlocal now_ns
        for price in prices:
            now_ns += GAP_NS
            vol.add(price, now_ns)

    budget(run, name=f"vol.{kind.__name__} update", median_ns=300, inner=CALLS)
