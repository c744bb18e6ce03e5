"""What a frame on tape costs the loop, how fast tapes are packed, unpacked, decoded, and read from the cache."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from scenario import make_spec
from tape.world import START_NS, SYMBOLS, manifest

import polybot.tape
from polybot._fast.event import EventBuffer, EventKind
from polybot.tape.blocks import build_block, find_blocks, unpack_heads, unpack_payloads
from polybot.tape.decoding import TapeDecoder, decode
from polybot.tape.packer import Packer
from polybot.tape.reader import Tape
from polybot.tape.records import Entry, EntryKind, TapeFeed
from polybot.tape.writer import TapeSettings

Budget = Callable[..., float]
FRAME, SPOT, OWN = int(EntryKind.FRAME), int(TapeFeed.SPOT), int(TapeFeed.OWN)
COUNT = 2_000
EVENTS = 400_000
TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1795337000123456,"s":"BTCUSDT","t":%d,"p":"78812.37000000",'
    '"q":"0.00215000","T":1795337000123000,"m":true,"M":true}}'
)


def entries() -> list[Entry]:
    """Trades as they come, 20 ms apart."""
    return [
        Entry(number, START_NS + number * 20_000_000, SPOT, FRAME, 0, (TRADE % (number + 1_000)).encode())
        for number in range(1, COUNT + 1)
    ]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """A tape of EVENTS events, its cache made."""
    packer = Packer(tmp_path_factory.mktemp("big"), TapeSettings(tail_bytes=1 << 22))
    tape = packer.open("tape", manifest())
    buffer = EventBuffer(1_000)
    for start in range(0, EVENTS, 1_000):
        buffer.reset()
        for number in range(start, start + 1_000):
            kind = EventKind.EV_SPOT_TRADE if number % 3 else EventKind.EV_SPOT_QUOTE
            buffer.add(kind, recv_ns=START_NS + number, x=78_800.0 + number % 7, y=0.5, seq=number)
        assert tape.own(START_NS + start, EntryKind.EVENTS, buffer.to_bytes())
    tape.close(START_NS, state="complete")
    read = polybot.tape.open(tape.folder)
    assert len(read.events) == EVENTS
    return read


def test_a_frame_onto_a_tape(budget: Budget, tmp_path: Path) -> None:
    """What the loop pays for a frame of 180 bytes: packing is the thread's, here it is left out by a large tail."""
    packer = Packer(tmp_path, TapeSettings(tail_bytes=1 << 29))
    tape = packer.open("tape", manifest())
    payloads = [entry.payload for entry in entries()]

    def run() -> None:
        for number, payload in enumerate(payloads):
            tape.add(number, START_NS, feed=SPOT, kind=FRAME, payload=payload)

    budget(run, name="tape.add 180 bytes", median_ns=6_000, inner=COUNT)
    assert tape.dropped == 0


def test_pack_a_block(budget: Budget) -> None:
    """On the thread: columns, zstd, checksums; per frame."""
    items = entries()
    budget(lambda: build_block(1, items, level=3), name="tape pack, per frame", median_ns=4_000, inner=COUNT)


def test_unpack_a_block(budget: Budget) -> None:
    data = build_block(1, entries(), level=3)

    def run() -> None:
        (block,) = find_blocks(data, file="", damages=[])
        unpack_heads(data, block, 0)
        unpack_payloads(data, block)

    budget(run, name="tape unpack, per frame", median_ns=300, inner=COUNT)


def test_decode_frames_to_events(budget: Budget) -> None:
    """What the first opening of a tape costs, per frame of one trade."""
    items = entries()
    spec = make_spec()

    def run() -> None:
        (events,) = decode(items, TapeDecoder(SYMBOLS, spec))
        assert len(events) == COUNT

    budget(run, name="tape decode, per frame", median_ns=2_500, inner=COUNT)


def test_open_a_tape_with_its_cache(budget: Budget, big: Tape) -> None:
    """Manifest, heads, hash of the raw file and checksum of the cache; per event."""

    def run() -> None:
        tape = polybot.tape.open(big.path)
        assert len(tape.events) == EVENTS
        assert tape.decoding["made"] is False

    budget(run, name="tape open, per event", median_ns=250, inner=EVENTS)


def test_scan_the_cache_into_buffers(budget: Budget, big: Tape) -> None:
    """As an engine is fed: from the mapped file into an EventBuffer, 512 events a time."""
    events, buffer = big.events, EventBuffer(512)

    def run() -> None:
        for start in range(0, EVENTS, 512):
            buffer.reset()
            buffer.extend(events[start : start + 512])

    budget(run, name="tape scan, per event", median_ns=60, inner=EVENTS)


def test_scan_a_column_of_the_cache(budget: Budget, big: Tape) -> None:
    """As a notebook reads it."""
    budget(lambda: np.sum(big.events["x"]), name="tape column, per event", median_ns=20, inner=EVENTS)
