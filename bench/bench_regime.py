"""Regime update and classification: one per spot trade."""

from collections.abc import Callable

from polybot._fast.regime import RegimeClassifier

Budget = Callable[..., float]
CALLS = 1000
GAP_NS = 10_000_000  # 100 trades a second


def test_regime_update(budget: Budget) -> None:
    classifier = RegimeClassifier()
    prices = [69_000.0 + (k * 37 % 11) for k in range(CALLS)]
    now_ns = 0

    def run() -> None:
        nonlocal now_ns
        for price in prices:
            now_ns += GAP_NS
            classifier.add(price, now_ns)

    budget(run, name="regime update", median_ns=300, inner=CALLS)
