"""Draws in C against Python's own random.Random, number for number."""

import hashlib
import random

import pytest

from polybot._fast.draws import Draws
from polybot.sim.seeds import stream

SEEDS = (0, 1, 2**32 - 1, 2**32, 2**255 + 12_345, 3**150, 7**700)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_of_draw_equals_pythons_over_several_refills(seed):
    slow, fast = random.Random(seed), Draws(seed)
    for turn in range(2_000):
        assert fast.random() == slow.random()
        assert fast.gauss(0.1, 1.5) == slow.gauss(0.1, 1.5)
        assert fast.expovariate(0.3) == slow.expovariate(0.3)
        assert fast.randrange(5, 60) == slow.randrange(5, 60)
        assert fast.randrange(1 + turn) == slow.randrange(1 + turn)
        for bits in (1, 31, 32, 33, 256):
            assert fast.getrandbits(bits) == slow.getrandbits(bits)


def test_widest_range_and_no_bits_at_all_are_as_pythons():
    slow, fast = random.Random(9), Draws(9)
    assert [fast.randrange(2**32 - 1) for _ in range(100)] == [slow.randrange(2**32 - 1) for _ in range(100)]
    assert (fast.getrandbits(0), fast.randrange(7, 8)) == (slow.getrandbits(0), slow.randrange(7, 8))


@pytest.mark.parametrize(
    "call",
    [
        lambda: Draws(-1),
        lambda: Draws(1 << 2_048),
        lambda: Draws(1).randrange(5, 5),
        lambda: Draws(1).randrange(1 << 32),
        lambda: Draws(1).getrandbits(-1),
    ],
)
def test_what_cannot_be_drawn_is_refused(call):
    with pytest.raises(ValueError, match=r"seed|range|bits"):
        call()
    with pytest.raises(ZeroDivisionError):
        Draws(1).expovariate(0.0)


def test_a_stream_of_the_venue_is_a_random_random_in_all_its_distributions():
    fast = stream(7, "test")
    seed = int.from_bytes(hashlib.sha256(b"polybot-sim/7/stream/test").digest(), "big")
    slow = random.Random(seed)
    assert isinstance(fast, random.Random)
    for _ in range(500):
        assert fast.gammavariate(2.0, 2.0) == slow.gammavariate(2.0, 2.0)
        assert fast.uniform(1.0, 2.0) == slow.uniform(1.0, 2.0)
        assert fast.choice("abcde") == slow.choice("abcde")
        assert fast.gauss(0.0, 1.0) == slow.gauss(0.0, 1.0)
