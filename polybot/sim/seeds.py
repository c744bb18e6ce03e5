"""Everything the embedded venue makes up: random streams, ids and the test account's key.

Owns the one way from `venue.seed` to anything that looks random, by SHA-256, so that it depends on
nothing but the seed and a name (not on hash randomisation, not on the order of calls).
"""

import hashlib
import random

from polybot._fast.draws import Draws

__all__ = ["condition_id", "digest", "draws", "numeric_id", "private_key", "stream", "token_id"]

_FAST = ("random", "getrandbits", "gauss", "expovariate", "randrange")
_V3_MASK = ((1 << 64) - 1) << 40  # bits that are all zero in token ids of the venue's next exchange


def digest(seed: int, name: str) -> bytes:
    """32 bytes for this seed and name."""
    return hashlib.sha256(f"polybot-sim/{seed}/{name}".encode()).digest()


class _Stream(random.Random):
    """A random.Random whose own draws are made in C: the same numbers, sooner."""

    def __init__(self, draws: Draws) -> None:
        super().__init__(0)
        for name in _FAST:  # on the instance: what random.Random builds on these follows
            setattr(self, name, getattr(draws, name))


def draws(seed: int, name: str) -> Draws:
    """The stream of this seed and name, for callers in C."""
    return Draws(int.from_bytes(digest(seed, f"stream/{name}"), "big"))


def stream(seed: int, name: str) -> random.Random:
    """An independent random stream for this seed and name."""
    return _Stream(draws(seed, name))


def condition_id(seed: int, slug: str) -> str:
    """0x and 64 hex digits."""
    return "0x" + digest(seed, f"condition/{slug}").hex()


def token_id(seed: int, slug: str, outcome: str) -> str:
    """77 decimal digits, as most real ones have, not of the next exchange's kind."""
    for attempt in range(256):
        number = int.from_bytes(digest(seed, f"token/{slug}/{outcome}/{attempt}"), "big")
        if 10**76 <= number < 10**77 and number & _V3_MASK:
            return str(number)
    raise AssertionError("256 digests without a usable token id")


def numeric_id(seed: int, name: str, digits: int) -> str:
    """A decimal id of that many digits, not starting with 0."""
    low = 10 ** (digits - 1)
    return str(low + int.from_bytes(digest(seed, f"id/{name}")[:16], "big") % (9 * low))


def private_key(seed: int, name: str) -> str:
    """Key of a test account: 0x and 64 hex digits, below the curve's order. Holds test money only."""
    return "0x00" + digest(seed, f"account/{name}").hex()[2:]
