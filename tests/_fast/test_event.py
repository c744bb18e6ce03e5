"""Records and buffers: layout, round trips, growth, refusals."""

import numpy as np
import pytest

from polybot._fast.event import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    NO_MARKET,
    CommandBuffer,
    EventBuffer,
    EventKind,
)


def random_events(count, seed=1):
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, size=count * 64, dtype=np.uint8).tobytes()
    return np.frombuffer(raw, dtype=EVENT_DTYPE)


def test_records_have_the_sizes_of_the_file_format():
    assert EVENT_DTYPE.itemsize == 64
    assert COMMAND_DTYPE.itemsize == 128


def test_what_is_added_reads_back_field_by_field():
    events = EventBuffer(1)
    fields = {"recv_ns": 5, "venue_ns": -3, "market": 7, "outcome": 1, "side": 1, "flags": 33}
    numbers = {"seq": 2**60, "x": 0.1, "y": -1.5, "i": -9, "j": 2**62}
    events.add(EventKind.EV_FILL, **fields, **numbers)
    (row,) = events.to_numpy()
    assert {name: row[name] for name in (*fields, *numbers)} == {**fields, **numbers}
    assert (events.kind_at(0), events.recv_ns_at(0), events.venue_ns_at(0), events.market_at(0)) == (
        13,
        5,
        -3,
        7,
    )


def test_an_event_without_a_market_says_so():
    events = EventBuffer()
    events.add(EventKind.EV_TIMER)
    assert events.market_at(0) == NO_MARKET


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 5_000])
def test_buffers_grow_and_copy_without_loss(count):
    records = random_events(count)
    first, second = EventBuffer(1), EventBuffer(1)
    first.extend(records)
    second.extend_from(first)
    assert len(second) == count
    assert second.to_bytes() == records.tobytes()
    second.reset()
    assert len(second) == 0
    assert len(first) == count


def test_the_kinds_in_a_buffer_are_known_without_a_copy():
    events = EventBuffer()
    assert events.kind_mask() == 0
    for kind in (EventKind.EV_TIMER, EventKind.EV_SPOT_TRADE, EventKind.EV_TIMER):
        events.add(kind)
    assert events.kind_mask() == 1 << int(EventKind.EV_TIMER) | 1 << int(EventKind.EV_SPOT_TRADE)


@pytest.mark.parametrize("place", [-1, 0, 3])
def test_a_place_that_is_not_there_raises(place):
    with pytest.raises(IndexError):
        EventBuffer().kind_at(place)
    with pytest.raises(IndexError):
        CommandBuffer().kind_at(place)


def test_an_absurd_capacity_is_refused():
    with pytest.raises(MemoryError):
        EventBuffer(1 << 30)
