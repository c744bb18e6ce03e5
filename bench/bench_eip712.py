"""Order id and digest from the prefilled buffers."""

from collections.abc import Callable

import pytest

from polybot._fast.eip712 import OrderHasher

CALLS = 20


@pytest.mark.parametrize(
    ("signature_type", "median_ns"), [(0, 4_000), (3, 6_000)], ids=["plain", "deposit wallet"]
)
def test_order_digest(budget: Callable[..., float], signature_type: int, median_ns: float) -> None:
    hasher = OrderHasher(bytes(32), bytes(20), signer=bytes(20), signature_type=signature_type, chain_id=137)
    token = b"\x5a" * 32

    def run() -> None:
        for _ in range(CALLS):
            hasher.hash_order(
                token,
                5,
                maker_amount=5_200_000,
                taker_amount=10_000_000,
                side=0,
                timestamp_ms=1_790_616_612_345,
            )

    budget(run, name=f"order id and digest, type {signature_type}", median_ns=median_ns, inner=CALLS)
