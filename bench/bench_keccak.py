"""The hash under everything signed: an order is 384 bytes, a digest 66."""

from collections.abc import Callable

import pytest

from polybot._fast.keccak import keccak_256

CALLS = 20


@pytest.mark.parametrize(("length", "median_ns"), [(66, 900), (384, 2_500)])
def test_keccak(budget: Callable[..., float], length: int, median_ns: float) -> None:
    data = bytes(length)

    def run() -> None:
        for _ in range(CALLS):
            keccak_256(data)

    budget(run, name=f"keccak-256 of {length} bytes", median_ns=median_ns, inner=CALLS)
