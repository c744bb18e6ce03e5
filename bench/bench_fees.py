"""Exact taker fee as Python calls it."""

from collections.abc import Callable

import pytest

from polybot._fast.fees import taker_fee_micro_usd

Budget = Callable[..., float]
CALLS = 100


@pytest.mark.parametrize("exponent", [1, 4])
def test_taker_fee(budget: Budget, exponent: int) -> None:
    def run() -> None:
        for _ in range(CALLS):
            taker_fee_micro_usd(20_000_000, 5200, 70_000, exponent)

    budget(run, name=f"fees.taker_fee_micro_usd exponent {exponent}", median_ns=500, inner=CALLS)
