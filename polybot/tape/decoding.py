"""Entries of a tape to the events the engine got: the feeds' own decoders, frame by frame, in the order received.

Owns how each kind of entry becomes events, and the decoder version that a cache of events is bound to: a digest of
the compiled decoders, so that a new build never meets old events.  Market events have index 0.  Heartbeats (EV_TIMER)
are not on a tape: they follow from time, and whoever replays makes them.
Must not read files.  Called by cache.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

import polybot.feeds.fallback
from polybot._fast import decode_clob, decode_oracle, decode_spot, event, scan
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.decode_oracle import OracleDecoder
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import EVENT_DTYPE, EventBuffer
from polybot._fast.scan import FrameDecoder
from polybot.errors import TapeError
from polybot.feeds.fallback import SlowPath
from polybot.market.spec import MarketSpec
from polybot.tape.records import AUX_BEFORE, Entry, EntryKind, TapeFeed

__all__ = ["MARKET_INDEX", "UNITS_DTYPE", "TapeDecoder", "UnitLog", "decode", "decoder_version"]

MARKET_INDEX = 0
CHUNK_RECORDS = 65_536
FRAME, OPEN, EVENTS, RESET = EntryKind.FRAME, EntryKind.OPEN, EntryKind.EVENTS, EntryKind.RESET

Events = npt.NDArray[np.void]
# What one entry became, for whoever puts tapes of one recording together: its number, and how many events were there
# with its own (a running count); entries without events are left out.
UNITS_DTYPE = np.dtype([("seq", "<u8"), ("end", "<i8"), ("recv_ns", "<i8"), ("feed", "u1"), ("kind", "u1")])


@lru_cache(maxsize=1)
def decoder_version() -> str:
    """A digest of everything that decides what a frame means."""
    digest = hashlib.sha256()
    modules = (decode_clob, decode_oracle, decode_spot, event, scan, polybot.feeds.fallback, sys.modules[__name__])
    for module in modules:
        assert module.__file__ is not None
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]


class TapeDecoder:
    """Decoders of all feeds of one tape."""

    def __init__(self, symbols: Mapping[str, str], spec: MarketSpec | None) -> None:
        """`symbols`: the asset's names at the feeds `spot`, `oracle` and `polybolt`; an absent one is not decoded."""
        self._spot = SpotDecoder(symbols["spot"]) if symbols.get("spot") else None
        oracle = {TapeFeed.RTDS: "oracle", TapeFeed.POLYBOLT: "polybolt"}
        self._oracles = {int(feed): OracleDecoder(symbols[name]) for feed, name in oracle.items() if symbols.get(name)}
        self._fast: dict[int, FrameDecoder] = dict(self._oracles)
        if self._spot is not None:
            self._fast[TapeFeed.SPOT] = self._spot
        if spec is not None:
            clob = ClobDecoder()
            ids = (spec.token_up.encode(), spec.token_down.encode(), spec.condition_id.encode())
            clob.add_market(MARKET_INDEX, *ids)
            self._fast[TapeFeed.MARKET] = clob
        self._decoders = {feed: SlowPath(one) for feed, one in self._fast.items()}

    def frame(self, entry: Entry, out: EventBuffer) -> None:
        """Append the events of one websocket message."""
        decoder = self._decoders.get(entry.feed)
        if decoder is not None and _is_data(entry.feed, entry.payload):
            decoder.feed(entry.payload, entry.recv_ns, out)

    def other(self, entry: Entry, out: EventBuffer) -> None:
        """Take an entry that is no frame."""
        if entry.kind == EVENTS:
            if len(entry.payload) % EVENT_DTYPE.itemsize:
                raise TapeError(f"entry {entry.seq}: {len(entry.payload)} bytes are no events")
            out.extend(np.frombuffer(entry.payload, EVENT_DTYPE))
        elif entry.kind == OPEN and entry.feed in self._oracles:
            self._oracles[entry.feed].new_connection()
        elif entry.kind == RESET and self._spot is not None:
            self._spot.reset_ids()

    def counters(self) -> dict[str, dict[str, int]]:
        """What the decoders made of it, by feed."""
        return {
            TapeFeed(feed).name.lower(): {**self._fast[feed].counters(), **one.counters()}
            for feed, one in self._decoders.items()
        }


class UnitLog:
    """What entries became, in order, while a tape is decoded."""

    def __init__(self) -> None:
        self.count = 0  # events so far
        self._parts: list[Events] = []
        self._rows: list[tuple[int, ...]] = []

    def note(self, entry: Entry, count: int, recv_ns: npt.NDArray[np.int64] | None = None) -> None:
        """An entry became events, `count` in all so far; `recv_ns` are theirs when it held several receipts.

        Of an entry that holds messages of different times (an import) each time is a unit of its own.
        """
        if count == self.count:
            return
        if recv_ns is not None and recv_ns[0] != recv_ns[-1]:
            last = np.flatnonzero(np.concatenate([recv_ns[1:] != recv_ns[:-1], [True]]))
            units = np.zeros(len(last), UNITS_DTYPE)
            units["seq"], units["feed"], units["kind"] = entry.seq, entry.feed, entry.kind
            units["end"], units["recv_ns"] = self.count + 1 + last, recv_ns[last]
            self._flush()
            self._parts.append(units)
        else:
            self._rows.append((entry.seq, count, entry.recv_ns, entry.feed, entry.kind))
            if len(self._rows) >= CHUNK_RECORDS:
                self._flush()
        self.count = count

    def to_numpy(self) -> Events:
        """All units (UNITS_DTYPE)."""
        self._flush()
        return np.concatenate([np.empty(0, UNITS_DTYPE), *self._parts])

    def _flush(self) -> None:
        self._parts.append(np.array(self._rows, UNITS_DTYPE))
        self._rows.clear()


def decode(entries: Iterable[Entry], decoder: TapeDecoder, units: UnitLog | None = None) -> Iterator[Events]:
    """Yield all events in pieces (EVENT_DTYPE), in the order in which the engine got them; note in `units` what each
    entry became."""
    out = EventBuffer(CHUNK_RECORDS + 4_096)
    units = UnitLog() if units is None else units
    held: Entry | None = None  # a frame, until it is known that no event was told before its own
    yielded = 0
    for entry in _with_end(entries):
        if held is not None and (entry is None or not (entry.kind == EVENTS and entry.aux == AUX_BEFORE)):
            decoder.frame(held, out)
            units.note(held, yielded + out.n)
            held = None
        if entry is None:
            break
        if entry.kind == FRAME:
            held = entry
        else:
            before = out.n
            decoder.other(entry, out)
            units.note(entry, yielded + out.n, out.to_numpy()["recv_ns"][before:])
        if out.n >= CHUNK_RECORDS:
            yielded += out.n
            yield out.to_numpy().copy()
            out.reset()
    yield out.to_numpy().copy()


def _with_end(entries: Iterable[Entry]) -> Iterator[Entry | None]:
    yield from entries
    yield None


def _is_data(feed: int, payload: bytes) -> bool:
    """Would the feed have asked its decoder?"""
    if feed == TapeFeed.MARKET:
        return payload != b"PONG"
    if feed == TapeFeed.RTDS:
        return payload.startswith((b"{", b"["))
    if feed == TapeFeed.POLYBOLT:
        return _is_price(payload)
    return True


def _is_price(payload: bytes) -> bool:
    """PolyBolt: an object that is no answer to an operation."""
    try:
        message: Any = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return isinstance(message, dict) and "op" not in message
