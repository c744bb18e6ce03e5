"""Taking entries apart, against a loop over slices and columns of numpy, on random tails and on damaged ones."""

import random
import struct

import numpy as np
import pytest

from polybot._fast.entries import Entries
from polybot.tape.blocks import COLUMNS

SIZE = struct.Struct("<I")
HEADS = struct.Struct("<IIQqBBH")  # size, checksum, seq, recv_ns, feed, kind, aux
HEAD = HEADS.size


def slow_split(data, start):
    """(columns, payloads, (count, first and last seq, first and last ns))."""
    heads, payloads, at = [], [], start
    while at < len(data):
        size, _, *fields = HEADS.unpack_from(data, at)
        heads.append((size - HEAD, *fields))
        payloads.append(data[at + HEAD : at + size])
        at += size
    columns = []
    for k, (_, dtype) in enumerate(COLUMNS):
        column = np.array([head[k] for head in heads], "u8" if dtype == "<i8" and k == 1 else dtype)
        columns.append(np.diff(column.astype(dtype), prepend=np.int64(0)) if dtype == "<i8" else column)
    first, last = (heads[0], heads[-1]) if heads else ((0, 0, 0), (0, 0, 0))
    return (
        b"".join(column.tobytes() for column in columns),
        b"".join(payloads),
        (len(heads), first[1], last[1], first[2], last[2]),
    )


def tail(rng, count, start):
    data = rng.randbytes(start)
    for _ in range(count):
        payload = rng.randbytes(rng.choice((0, 1, 64, 128, 5_000)))
        data += SIZE.pack(HEAD + len(payload)) + rng.randbytes(HEAD - SIZE.size) + payload
    return data


def taken(entries, data, start):
    count = entries.take(data, start)
    facts = (entries.count, entries.first_seq, entries.last_seq, entries.first_ns, entries.last_ns)
    assert count == entries.count
    return bytes(entries.columns), bytes(entries.payloads), facts


@pytest.mark.parametrize("seed", range(20))
def test_random_tails_come_apart_as_by_slices(seed):
    rng = random.Random(seed)
    entries = Entries()
    for _ in range(4):  # larger and smaller ones after each other, in the same room
        start = rng.choice((0, 3, 64))
        data = tail(rng, rng.choice((0, 1, 2, 300)), start)
        assert taken(entries, rng.choice((bytes, bytearray, memoryview))(data), start) == slow_split(data, start)


def test_a_view_that_is_still_held_keeps_its_length_and_the_next_tail_can_be_taken():
    entries, rng = Entries(), random.Random(3)
    entries.take(tail(rng, 5, 0), 0)
    held = entries.payloads
    size = len(held)
    larger = tail(rng, 300, 0)
    assert taken(entries, larger, 0) == slow_split(larger, 0)
    assert len(held) == size


@pytest.mark.parametrize("cut", [1, 20, HEAD - 1, HEAD, HEAD + 10])
def test_entries_that_do_not_fill_the_data_are_refused(cut):
    data = tail(random.Random(1), 5, 64) + SIZE.pack(HEAD + 40) + bytes(HEAD - 4 + 40)
    with pytest.raises(ValueError, match="not whole"):
        Entries().take(data[:-cut], 64)


@pytest.mark.parametrize("size", [0, 1, HEAD - 1, 2**32 - 1])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(ValueError, match="not whole"):
        Entries().take(SIZE.pack(size) + bytes(100), 0)


@pytest.mark.parametrize("start", [-1, 11])
def test_a_start_outside_the_data_is_refused(start):
    with pytest.raises(ValueError, match="entries begin"):
        Entries().take(bytes(10), start)
