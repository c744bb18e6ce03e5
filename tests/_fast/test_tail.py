"""Tails written in C against polybot.tape.records: the same bytes, the same refusals, the same counts."""

import zlib
from random import Random

import pytest

from polybot._fast.event import (
    COMMAND_DTYPE,
    EVENT_DTYPE,
    CommandBuffer,
    EventBuffer,
    EventKind,
    OperatorCode,
)
from polybot._fast.tail import InputsTap, MappedTail, Numbering, TapeCounts
from polybot.assembly import build_engine
from polybot.config import default_config
from polybot.replay.calls import AUX_COMMANDS
from polybot.tape.records import HEAD_BYTES, TAIL_HEADER_BYTES, EntryKind, TapeFeed, build_entry

SIZE = 1 << 16


def random_entry(rng: Random) -> tuple[tuple[int, int], dict]:
    fields = {
        "feed": rng.randrange(7),
        "kind": rng.randrange(1, 12),
        "aux": rng.randrange(1 << 16),
        "payload": rng.randbytes(rng.choice((0, 1, 4, 63, 64, 65, 128, 700))),
    }
    return (rng.randrange(1 << 63), rng.randrange(-5, 1 << 62)), fields


@pytest.mark.parametrize("seed", range(4))
def test_a_tail_holds_the_same_bytes_as_entries_built_in_python_and_refuses_what_does_not_fit(seed: int) -> None:
    rng, number = Random(seed), seed * 77
    space, expected = bytearray(SIZE), bytearray(TAIL_HEADER_BYTES)
    tail, refused, kept = MappedTail(space, number, TAIL_HEADER_BYTES), 0, 0
    while refused < 20:
        at, fields = random_entry(rng)
        entry = build_entry(number, *at, **fields)
        is_in = tail.add(*at, **fields)
        assert is_in == (len(expected) + len(entry) <= SIZE)
        expected += entry if is_in else b""
        refused, kept = refused + (not is_in), kept + is_in
        assert (tail.end, tail.entries) == (len(expected), kept)
    assert bytes(space[: tail.end]) == expected
    assert not any(space[tail.end :])


def test_an_entry_cut_short_by_a_kill_fails_its_checksum() -> None:
    """The checksum is written last: with it still missing nobody takes the entry for whole."""
    space = bytearray(SIZE)
    tail = MappedTail(space, 1, 0)
    tail.add(1, 2, feed=6, kind=5, aux=0, payload=b"x" * 64)
    assert zlib.crc32(bytes(space[8 : tail.end]), tail.end ^ 1) == int.from_bytes(space[4:8], "little") != 0


def test_a_released_tail_takes_nothing_more_and_lets_go_of_its_space() -> None:
    space = bytearray(SIZE)
    tail = MappedTail(space, 1, 0)
    with pytest.raises(BufferError):
        space.append(0)
    assert tail.add(1, 1, feed=0, kind=1, aux=0, payload=b"")
    tail.release()
    tail.release()
    space.append(0)
    assert not tail.add(2, 1, feed=0, kind=1, aux=0, payload=b"")
    assert (tail.entries, tail.size) == (1, 0)
    with pytest.raises((TypeError, BufferError)):
        MappedTail(b"read only", 1, 0)  # type: ignore[arg-type]


def test_counts_equal_a_plain_tally_and_nothing_is_counted_that_did_not_go_in() -> None:
    rng, counts = Random(9), TapeCounts(Numbering())
    at, fields = random_entry(rng)
    assert not counts.add(*at, **fields)  # no tail yet
    assert (counts.entries, counts.raw_bytes, counts.first_ns, counts.last_ns) == (0, 0, 0, 0)
    counts.follow(MappedTail(bytearray(SIZE), 3, TAIL_HEADER_BYTES))
    kept: list[tuple[tuple[int, int], dict]] = []
    for _ in range(2_000):
        at, fields = random_entry(rng)
        if counts.add(*at, **fields):
            kept.append((at, fields))
    assert 0 < len(kept) < 2_000
    assert counts.entries == len(kept)
    assert counts.raw_bytes == sum(len(fields["payload"]) for _, fields in kept)
    assert (counts.first_ns, counts.last_ns) == (kept[0][0][1], kept[-1][0][1])
    for feed in TapeFeed:
        of_feed = [fields["kind"] for _, fields in kept if fields["feed"] == feed]
        assert counts.by_feed()[feed] == len(of_feed)
        assert counts.frames_by_feed()[feed] == of_feed.count(EntryKind.FRAME)
    counts.count_gap()
    counts.count(5, feed=6, kind=1, n_bytes=3)
    assert (counts.entries, counts.last_ns) == (len(kept) + 2, 5)


def answered() -> tuple[EventBuffer, CommandBuffer]:
    """Two events and what an engine said to them."""
    events = EventBuffer()
    events.add(EventKind.EV_TIMER, recv_ns=7_000)
    events.add(EventKind.EV_OPERATOR, recv_ns=8_000, i=OperatorCode.OP_FLATTEN)
    commands = build_engine(default_config()).process(events)
    assert len(commands)
    return events, commands


def tapped(size: int, piece: int = 1 << 20) -> tuple[InputsTap, TapeCounts, bytearray, Numbering]:
    numbers, space, tap = Numbering(), bytearray(size), InputsTap(piece)
    counts = TapeCounts(numbers)
    counts.follow(MappedTail(space, 4, 0))
    tap.follow(counts)
    return tap, counts, space, numbers


def test_a_batch_and_its_answer_are_two_entries_as_the_long_way_writes_them() -> None:
    events, commands = answered()
    own = int(TapeFeed.OWN)
    first = build_entry(4, 1, 7_000, feed=own, kind=EntryKind.EVENTS, aux=AUX_COMMANDS, payload=events.to_bytes())
    second = build_entry(4, 2, 7_000, feed=own, kind=EntryKind.COMMANDS, aux=0, payload=commands.to_bytes())
    third = build_entry(4, 3, 7_000, feed=own, kind=EntryKind.EVENTS, aux=0, payload=events.to_bytes())
    tap, counts, space, numbers = tapped(SIZE)
    assert tap.try_note(events, commands)
    assert tap.try_note(events, CommandBuffer(1))
    expected = first + second + third
    assert bytes(space[: len(expected)]) == expected
    assert (numbers.last, counts.entries) == (3, 3)
    assert counts.raw_bytes == len(expected) - 3 * HEAD_BYTES


def test_a_batch_that_does_not_go_in_whole_leaves_no_trace() -> None:
    events, commands = answered()
    needed = 2 * HEAD_BYTES + len(events) * EVENT_DTYPE.itemsize + len(commands) * COMMAND_DTYPE.itemsize
    for size, piece in ((needed - 1, 1 << 20), (needed, EVENT_DTYPE.itemsize), (needed, 2 * EVENT_DTYPE.itemsize - 1)):
        tap, counts, space, numbers = tapped(size, piece)
        assert not tap.try_note(events, commands)
        assert (numbers.last, counts.entries, any(space)) == (0, 0, False)
    tap, counts, _, _ = tapped(needed)
    assert not tap.try_note(EventBuffer(), commands)
    assert tap.try_note(events, commands)
    assert not tap.try_note(events, commands)  # it is full now
    counts.follow(None)
    assert not tap.try_note(events, commands)
    tap.follow(None)
    assert not tap.try_note(events, commands)


def test_numbers_count_up_from_one_whoever_takes_them() -> None:
    tap, _, _, numbers = tapped(SIZE)
    events, commands = answered()
    assert numbers.take() == 1
    assert tap.try_note(events, commands)
    assert numbers.take() == 4
