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

__all__ = ["MARKET_INDEX", "TapeDecoder", "decode", "decoder_version"]

MARKET_INDEX = 0
CHUNK_RECORDS = 65_536
FRAME, OPEN, EVENTS, RESET = EntryKind.FRAME, EntryKind.OPEN, EntryKind.EVENTS, EntryKind.RESET

Events = npt.NDArray[np.void]


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


def decode(entries: Iterable[Entry], decoder: TapeDecoder) -> Iterator[Events]:
    """Yield all events in pieces (EVENT_DTYPE), in the order in which the engine got them."""
    out = EventBuffer(CHUNK_RECORDS + 4_096)
    held: Entry | None = None  # a frame, until it is known that no event was told before its own
    for entry in entries:
        if held is not None and not (entry.kind == EVENTS and entry.aux == AUX_BEFORE):
            decoder.frame(held, out)
            held = None
        if entry.kind == FRAME:
            held = entry
        else:
            decoder.other(entry, out)
        if out.n >= CHUNK_RECORDS:
            yield out.to_numpy().copy()
            out.reset()
    if held is not None:
        decoder.frame(held, out)
    yield out.to_numpy().copy()


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
