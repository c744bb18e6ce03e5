"""Basis update with a full window: one oracle price a second."""

from collections.abc import Callable

from polybot._fast.basis import OracleBasis

Budget = Callable[..., float]
CALLS = 1000


def test_basis_update_with_a_full_window(budget: Budget) -> None:
    basis = OracleBasis()
    now_ns = 0

    def run() -> None:
        nonlocal now_ns
        for k in range(CALLS):
            now_ns += 1_000_000_000
            basis.add_spot(69_000.0 + k * 31 % 17, now_ns)
            basis.add_oracle(69_030.0 + k * 37 % 23, now_ns)

    budget(run, name="basis spot + oracle price", median_ns=3000, inner=CALLS)
