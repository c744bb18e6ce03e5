"""VWAP update: one per spot trade."""

from collections.abc import Callable

from polybot._fast.vwap import RollingVwap

Budget = Callable[..., float]
CALLS = 1000
GAP_NS = 10_000_000  # 100 trades a second


def test_vwap_update_and_read(budget: Budget) -> None:
    vwap = RollingVwap()
    now_ns = 0

    def run() -> None:
        nonlocal now_ns
        for k in range(CALLS):
            now_ns += GAP_NS
            vwap.add(69_000.0 + k % 11, 0.01, now_ns)
        assert vwap.mean > 0

    budget(run, name="vwap update", median_ns=400, inner=CALLS)
