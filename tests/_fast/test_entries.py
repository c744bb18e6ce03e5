"""Taking entries apart, against a loop over slices, on random tails and on damaged ones."""

import random
import struct

import pytest

from polybot._fast.entries import split_entries

SIZE = struct.Struct("<I")
HEAD = 28


def slow_split(data, start, head):
    heads, payloads, at = [], [], start
    while at < len(data):
        (size,) = SIZE.unpack_from(data, at)
        heads.append(data[at : at + head])
        payloads.append(data[at + head : at + size])
        at += size
    return b"".join(heads), b"".join(payloads)


def tail(rng, count, start):
    data = rng.randbytes(start)
    for _ in range(count):
        payload = rng.randbytes(rng.choice((0, 1, 64, 128, 5_000)))
        data += SIZE.pack(HEAD + len(payload)) + rng.randbytes(HEAD - SIZE.size) + payload
    return data


@pytest.mark.parametrize("seed", range(20))
def test_random_tails_come_apart_as_by_slices(seed):
    rng = random.Random(seed)
    start = rng.choice((0, 3, 64))
    data = tail(rng, rng.choice((0, 1, 2, 300)), start)
    assert split_entries(data, start, HEAD) == slow_split(data, start, HEAD)


@pytest.mark.parametrize("cut", [1, 20, HEAD - 1, HEAD, HEAD + 10])
def test_entries_that_do_not_fill_the_data_are_refused(cut):
    data = tail(random.Random(1), 5, 64) + SIZE.pack(HEAD + 40) + bytes(HEAD - 4 + 40)
    with pytest.raises(ValueError, match="not whole"):
        split_entries(data[:-cut], 64, HEAD)


@pytest.mark.parametrize("size", [0, 1, HEAD - 1, 2**32 - 1])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(ValueError, match="not whole"):
        split_entries(SIZE.pack(size) + bytes(100), 0, HEAD)


@pytest.mark.parametrize(("start", "head"), [(-1, HEAD), (11, HEAD), (0, 3)])
def test_a_start_outside_or_a_head_without_a_size_is_refused(start, head):
    with pytest.raises(ValueError, match="entries begin"):
        split_entries(bytes(10), start, head)
