"""Recordings of one market's books alone, made into tapes that can be backtested; what is assumed is said.

Theory of operation.  Lines are read as in a raw dump, ordered by the venue's stamp; the recorder's clock is moved so
that the fastest frame arrives `delay_ms` after its stamp, which keeps the delays and makes no frame early.  The books
are kept by the core's own decoder and book; its mids give the spot path (spot_path) and, at the end, the outcome.

    told by the recording     frames, window (slug), condition and token ids
    told by a list of markets, or else assumed      rule of that date, grid, fees, strike, outcome, which token is Up
A market whose final mid decides nothing has outcome null.  Called by recordings.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from polybot._fast.book import Book
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.event import EventBuffer, EventKind, FeedId, FeedState, Special
from polybot.config_record import AssumeConfig
from polybot.errors import DecodeError, TapeError
from polybot.market.spec import MarketSpec
from polybot.market.window import parse_slug
from polybot.tape.importers.assumed import Assumed
from polybot.tape.importers.files import Faults, read_lines, stem_of
from polybot.tape.importers.frames import feed_of, parse_line
from polybot.tape.importers.markets import KnownMarket
from polybot.tape.importers.spot_path import NoPath, SpotPath, SpotTrades
from polybot.tape.importers.writing import Imported, Item
from polybot.tape.records import EntryKind, TapeFeed

__all__ = ["import_books", "is_book_dump"]

NS, MS = 1_000_000_000, 1_000_000
GRID = 10_000
UP, DOWN = 0, 1
LOOKED_AT = 20  # lines that decide what a file is
# The layout of most lines; everything else takes the slow way.
_USUAL = re.compile(rb'\{"recv": ?(\d{10}\.\d{1,9}), ?"raw": ?(\{.*\})\}', re.DOTALL)
_STAMP = re.compile(rb'"timestamp": ?"(\d{13})"')
_TOKEN = re.compile(rb'"asset_id": ?"(\d+)"')
_CONDITION = re.compile(rb'"market": ?"(0x[0-9a-fA-F]+)"')


class _Frame(NamedTuple):
    venue_ns: int
    recv_ns: int  # as the recorder wrote it
    number: int  # line
    raw: bytes


@dataclass(slots=True)
class _Recording:
    """One file, read: frames in the venue's order, ids, and by how much the recorder's clock is moved."""

    frames: list[_Frame]
    tokens: list[str]  # most frames first
    condition: str
    faults: Faults
    shift_ns: int


def is_book_dump(path: Path) -> bool:
    """Is it named after one window, and are its first lines frames of the market channel?"""
    try:
        if len(parse_slug(stem_of(path)).windows) != 1:
            return False
    except DecodeError:
        return False
    feeds = []
    for number, text in read_lines(path, Faults(path)):
        feeds.append(feed_of(parse_line(path, number, text).frame))
        if len(feeds) == LOOKED_AT:
            break
    return bool(feeds) and set(feeds) == {TapeFeed.MARKET}


def import_books(
    path: Path,
    *,
    symbols: dict[str, str],
    markets: dict[str, KnownMarket],
    assume: AssumeConfig,
    trades: SpotTrades | None = None,
) -> Imported:
    """One dump as one tape; `trades` are needed when `assume.spot` names a recording.

    Raises TapeError when nothing in the file is a frame of one market.
    """
    read = _read(path, delay_ns=assume.delay_ms * MS)
    known = markets.get(stem_of(path)) or markets.get(read.condition)
    assumed = Assumed(assume, known, slug=stem_of(path), condition_id=read.condition, tokens=read.tokens)
    assumed.choose_spot(trades)
    imported = Imported(
        name=assumed.spec.slug,
        label=assumed.label,
        items=(),
        clock=f"the venue's order; the recorder's clock moved by {read.shift_ns / MS:+.1f} ms",
        raw=True,
        symbols=symbols,
        spec=assumed.spec,
        missing=["trades and book changes between snapshots", "feed states", *assumed.missing],
        warnings=list(assumed.warnings),
        told=assumed.told,
        assumptions=assumed.said,
    )
    imported.items = _Walk(read, assumed.spec, assumed.spot, assume, imported).items()
    return imported


# -- reading ----------------------------------------------------------------------------------------


def _read(path: Path, *, delay_ns: int) -> _Recording:
    faults = Faults(path)
    frames: list[_Frame] = []
    tokens: Counter[str] = Counter()
    conditions: Counter[str] = Counter()
    for number, text in read_lines(path, faults):
        usual = _USUAL.fullmatch(text)
        try:
            recv_ns, raw = (_exact_ns(usual[1]), usual[2]) if usual else parse_line(path, number, text)
        except TapeError as error:
            faults.note(number, error)
            continue
        stamp, token, condition = (pattern.search(raw) for pattern in (_STAMP, _TOKEN, _CONDITION))
        if stamp is None or token is None or condition is None:
            faults.note(number, "no frame of a book: stamp, token or condition id is missing")
            continue
        venue_ns = int(stamp[1]) * MS
        frames.append(_Frame(venue_ns, recv_ns or venue_ns, number, raw))
        tokens[token[1].decode()] += 1
        conditions[condition[1].decode()] += 1
    if not frames:
        raise faults.refuse()
    if len(conditions) > 1 or len(tokens) > 2:
        raise TapeError(f"{path}: {len(conditions)} markets with {len(tokens)} tokens in one file")
    shift_ns = delay_ns - min(frame.recv_ns - frame.venue_ns for frame in frames)
    frames.sort(key=lambda frame: (frame.venue_ns, frame.number))
    ordered = [token for token, _ in tokens.most_common()]
    return _Recording(frames, ordered, next(iter(conditions)), faults, shift_ns)


def _exact_ns(text: bytes) -> int:
    """Seconds with a fraction as ns, without a float."""
    seconds, _, fraction = text.partition(b".")
    return int(seconds) * NS + int(fraction.ljust(9, b"0"))


# -- entries ----------------------------------------------------------------------------------------


class _Walk:
    """One pass over the frames: entries in the order an engine is to get them."""

    def __init__(
        self, read: _Recording, spec: MarketSpec, spot: SpotPath, assume: AssumeConfig, imported: Imported
    ) -> None:
        self._read = read
        self._spec = spec
        self._spot = spot
        self._assume = assume
        self._imported = imported
        self._decoder = ClobDecoder()
        self._decoder.add_market(0, spec.token_up.encode(), spec.token_down.encode(), spec.condition_id.encode())
        self._book = Book(spec.tick_size_ticks)
        self._tick_ticks = spec.tick_size_ticks
        self._decoded = EventBuffer(1_024)
        self._mid, self._mid_ns = float("nan"), 0

    def items(self) -> Iterator[Item]:
        """Yield all entries; at the end outcome and warnings are told to the import."""
        spec, own = self._spec, EventBuffer(64)
        recv_ns = self._recv_ns(self._read.frames[0], 0)
        self._tell_states(own, recv_ns)
        is_struck = is_closed = False
        # Nobody knows the strike before the oracle's price of the start is here.
        struck_ns = spec.start_ns + self._assume.oracle_delay_ms * MS
        for frame in self._read.frames:
            recv_ns = self._recv_ns(frame, recv_ns)
            if recv_ns >= struck_ns and not is_struck:
                is_struck = True
                self._tell_strike(own, recv_ns)
            if recv_ns >= spec.end_ns and not is_closed:
                is_closed = True
                self._spot.before(spec.end_ns, own)
                own.add(EventKind.EV_MARKET_CLOSE, recv_ns=spec.end_ns, market=0)
            self._spot.before(recv_ns, own)
            yield from self._frame(frame, recv_ns, own)
        if not is_closed:
            recv_ns = max(recv_ns, spec.end_ns)
            own.add(EventKind.EV_MARKET_CLOSE, recv_ns=recv_ns, market=0)
        self._tell_outcome(own, recv_ns)
        yield from _flush(own)
        self._imported.warnings += self._read.faults.texts()

    def _recv_ns(self, frame: _Frame, last_ns: int) -> int:
        """When it counts as received: never before one that the venue sent earlier."""
        return max(last_ns, frame.recv_ns + self._read.shift_ns)

    def _frame(self, frame: _Frame, recv_ns: int, own: EventBuffer) -> Iterator[Item]:
        decoded = self._decoded
        decoded.reset()
        self._decoder.feed(frame.raw, recv_ns, decoded)
        if not len(decoded):
            self._read.faults.note(frame.number, "no frame of this market's books")
            return
        rows = decoded.to_numpy()
        levels = rows["i"][rows["kind"] == EventKind.EV_BOOK_LEVEL]
        if np.any(levels % self._tick_ticks):
            self._tell_finer_grid(own, levels, recv_ns)
        yield from _flush(own)
        yield Item(recv_ns, TapeFeed.MARKET, EntryKind.FRAME, frame.raw)
        self._book.apply_events(decoded)
        mid = self._up_mid()
        if frame.venue_ns < self._spec.end_ns:
            self._mid, self._mid_ns = mid, frame.venue_ns
        self._spot.after(mid, frame.venue_ns, recv_ns, own)
        yield from _flush(own)

    def _up_mid(self) -> float:
        """Mid of Up as a probability; of a one-sided book between its best price and the end of the scale."""
        bid, ask = self._book.best_bid(UP), self._book.best_ask(UP)
        if bid < 0 and ask < 0:
            return float("nan")
        mid: float = (max(bid, 0) + (ask if ask >= 0 else GRID)) * 0.5 / GRID
        return mid

    def _tell_states(self, own: EventBuffer, recv_ns: int) -> None:
        prices = () if isinstance(self._spot, NoPath) else (FeedId.FEED_SPOT, FeedId.FEED_ORACLE)
        for feed in (*prices, FeedId.FEED_MARKET):  # a feed that is not here has no state
            market = 0 if feed == FeedId.FEED_MARKET else Special.NO_MARKET
            own.add(
                EventKind.EV_FEED_STATE, recv_ns=recv_ns, market=market, i=int(feed), j=int(FeedState.FS_CONNECTED)
            )

    def _tell_strike(self, own: EventBuffer, recv_ns: int) -> None:
        strike = self._imported.told.get("strike")
        if strike is not None:
            own.add(
                EventKind.EV_STRIKE,
                recv_ns=recv_ns,
                venue_ns=strike["stamp_ns"],
                market=0,
                x=strike["value"],
                y=strike["variance"],
                i=strike["source"],
            )

    def _tell_finer_grid(self, own: EventBuffer, levels: "np.ndarray[Any, Any]", recv_ns: int) -> None:
        """A price off the grid: the venue changed the tick size, and the recording does not have that message."""
        finer = next(ticks for ticks in (10, 1) if ticks < self._tick_ticks and not np.any(levels % ticks))
        own.add(EventKind.EV_TICK_SIZE, recv_ns=recv_ns, market=0, i=finer)
        self._tick_ticks = finer
        self._book.set_tick_size(finer)
        after_s = (recv_ns - self._spec.start_ns) / NS
        text = f"tick size {finer / GRID:g} from {after_s:.1f} s on, when a price first shows it"
        self._imported.warnings.append(f"{text}: no change was recorded")

    def _tell_outcome(self, own: EventBuffer, last_ns: int) -> None:
        """The outcome a list told, or what the final mid says; what decides nothing is left null."""
        told, spec, assume = self._imported.told, self._spec, self._assume
        told["final_mid"] = None if np.isnan(self._mid) else round(self._mid, 6)
        is_last = self._mid_ns >= spec.end_ns - int(assume.outcome_last_s * NS)
        if "outcome" not in told and is_last:
            if self._mid > assume.outcome_frac:
                told["outcome"] = UP
            elif self._mid < 1.0 - assume.outcome_frac:
                told["outcome"] = DOWN
            if "outcome" in told:
                self._imported.assumptions = (
                    *self._imported.assumptions,
                    f"outcome from the final mid {self._mid:.3f}",
                )
        outcome = told.get("outcome")
        if outcome is None:
            self._imported.missing = [*self._imported.missing, "outcome"]
            text = f"undecided: the final mid is {self._mid:.3f}; no outcome, left out of PnL"
            self._imported.warnings.append(text)
            return
        at_ns = max(last_ns, spec.end_ns + int(assume.outcome_delay_s * NS))
        own.add(EventKind.EV_OUTCOME, recv_ns=at_ns, market=0, outcome=outcome)


def _flush(own: EventBuffer) -> Iterator[Item]:
    if len(own):
        yield Item(own.recv_ns_at(len(own) - 1), TapeFeed.OWN, EntryKind.EVENTS, own.to_bytes())
        own.reset()
