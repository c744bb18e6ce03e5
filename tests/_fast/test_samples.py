"""SampleRing against a plain list: what is kept, what is dropped when it is full, and exact counts."""

from random import Random

import pytest

from polybot._fast.samples import CAPACITY, SampleRing

Sample = tuple[int, int, int | None, int, int, int]


def push(ring: SampleRing, sample: Sample) -> bool:
    source, ts_ns, wire_ns, decode_ns, decide_ns, market = sample
    return ring.add(
        source=source, ts_ns=ts_ns, wire_ns=wire_ns, decode_ns=decode_ns, decide_ns=decide_ns, market=market
    )


@pytest.mark.parametrize("seed", range(4))
def test_random_pushes_and_takes_equal_the_reference(seed: int) -> None:
    rng, capacity = Random(seed), 7
    ring, kept, dropped, pushed, taken = SampleRing(capacity), [], 0, 0, 0
    for _ in range(3_000):
        if rng.random() < 0.1:
            assert ring.take() == kept
            taken += len(kept)
            kept = []
            continue
        wire_ns = rng.choice((None, -5, 0, 1 << 40))
        sample = (rng.randrange(3), rng.randrange(1 << 60), wire_ns, rng.randrange(1 << 30), rng.randrange(999), 65_535)
        is_in = push(ring, sample)
        pushed += 1
        assert is_in == (len(kept) < capacity)
        kept += [sample] if is_in else []
        dropped += not is_in
        assert (len(ring), ring.dropped) == (len(kept), dropped)
    assert ring.pushed == pushed == taken + dropped + len(ring)
    assert dropped > 0


def test_a_ring_of_no_size_is_refused_and_the_usual_one_holds_what_it_says() -> None:
    with pytest.raises(ValueError, match="a ring of 0 samples"):
        SampleRing(0)
    ring = SampleRing()
    assert sum(push(ring, (1, k, None, 0, 0, 0)) for k in range(CAPACITY + 5)) == CAPACITY
    assert ring.dropped == 5
