"""The nonce of a signature and the code of a request on the processor's SHA instructions."""

from typing import Any

import pytest

from polybot._fast.hmac256 import KeyedHmac, has_sha, nonce_of

CALLS = 50
pytestmark = pytest.mark.skipif(not has_sha(), reason="this processor has no SHA instructions")


def test_nonce(budget: Any) -> None:
    digest, key = b"\x5a" * 32, b"\x17" * 32

    def run() -> None:
        for _ in range(CALLS):
            nonce_of(digest, key)

    budget(run, name="nonce of a signature", median_ns=8_000, inner=CALLS)


def test_code_of_a_request(budget: Any) -> None:
    keyed, text = KeyedHmac(b"\x17" * 32), bytes(750)

    def run() -> None:
        for _ in range(CALLS):
            keyed.code(text)

    budget(run, name="code of a request of 750 bytes", median_ns=5_000, inner=CALLS)
