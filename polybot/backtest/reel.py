"""Tapes in the order of receipt: what an engine is given, and when markets open, end and are dropped.

Theory of operation.  Tapes are opened one after the other as their time comes and closed when all of them was given;
events go out in pieces, between them what the agenda says (strike, close, outcome, drop) when its time has come:

    at a time T: the agenda first, then what was received at T

Events of several tapes are merged by receive time; of one recording, by the numbers on the tapes, and what is on two of
them is given once.  Spot and oracle prices of another recording at the same time are left out.  What a window resolved
to never leaves the agenda before its end.  Memory is bounded by the open tapes and one piece.
Must not decide.  Called by run; what opens and why not is said by world.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from polybot._fast.event import Special
from polybot.backtest.source import MARKET, ORACLE, SPOT, WARM, Source, Strand
from polybot.market.spec import MarketSpec

__all__ = ["Act", "Chunk", "Drop", "Item", "Open", "Reel", "Settle", "Strike", "Tell", "Window", "World"]

NS = 1_000_000_000
NO_MARKET = int(Special.NO_MARKET)
# Units (messages, as a rule) of all open tapes in one piece: some MB.
PIECE_UNITS = 32_768
# A spot price older than this is no past: the estimators get the past that the next tape begins with.
COLD_NS = 60 * NS
NUMBER_BITS = 40  # numbers of a recording are below 2^40
CHANNELS = (SPOT, ORACLE)

Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Strike:
    """The price a window resolves against, and when it was known here."""

    value: float
    source: int  # StrikeSource
    stamp_ns: int
    variance: float
    known_ns: int


@dataclass(frozen=True, slots=True)
class Window:
    """What is told of one window, and when; world makes it of a tape."""

    index: int
    spec: MarketSpec
    order_seq_base: int
    observed: bool
    strike: Strike
    outcome: int | None  # None: not known, never told
    outcome_ns: int  # when it was known here, never before the end
    drop_ns: int


@dataclass(frozen=True, slots=True)
class Open:
    """A window is joined."""

    window: Window
    at_ns: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events in order; market >= 0: those that name a market are of this one."""

    events: Rows
    market: int = -1


@dataclass(frozen=True, slots=True)
class Tell:
    """Something that is told at a time: a strike, or (None) that the window ended."""

    window: Window
    at_ns: int
    strike: Strike | None


@dataclass(frozen=True, slots=True)
class Settle:
    """The venue's outcome is known."""

    window: Window
    at_ns: int
    outcome: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing more comes of this window; so many rows of its own tape were given."""

    window: Window
    at_ns: int
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Act:
    """Something a session did to its engine that is no event (polybot.replay.calls)."""

    name: str
    args: Mapping[str, Any]


Item = Open | Chunk | Tell | Settle | Drop | Act


class World(Protocol):
    """Who knows the tapes; `titles` in the order of their first entry."""

    @property
    def starts_ns(self) -> Sequence[int]:
        """Receive time of the first entry of every tape, in order."""
        ...

    def open(self, rank: int) -> tuple[Source | None, Window | None]:
        """Open a tape: what it gives, and the window it is of (None: none, or not used)."""
        ...

    def close(self, source: Source, rows: int) -> None:
        """A tape was given in full; of its own window so many rows were."""
        ...

    def rival(self, code: int, taken: Source, left: Source) -> None:
        """Two recordings have the same prices at the same time; those of one are left out."""
        ...


@dataclass(slots=True)
class _Live:
    """A tape that is being given."""

    source: Source
    window: Window | None
    is_open: bool = False  # is its window's market open?
    rows: int = 0
    allowed: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(WARM + 1, np.bool_))


class Reel:
    """One pass over tapes; iterate once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._live: list[_Live] = []
        self._agenda: list[tuple[int, int, Callable[[int], Iterator[Item]]]] = []
        self._order = itertools.count()
        self._spot_ns: int | None = None  # the last spot price given
        for rank, start_ns in enumerate(world.starts_ns):
            self._at(start_ns, partial(self._begin, rank))

    def __iter__(self) -> Iterator[Item]:
        while self._agenda or self._live:
            limit_ns = self._agenda[0][0] if self._agenda else 1 << 62
            yield from self._until(limit_ns)
            while self._agenda and self._agenda[0][0] <= limit_ns:
                at_ns, _, act = heapq.heappop(self._agenda)
                yield from act(at_ns)
            self._clear()

    def _at(self, at_ns: int, act: Callable[[int], Iterator[Item]]) -> None:
        heapq.heappush(self._agenda, (at_ns, next(self._order), act))

    # -- the agenda -------------------------------------------------------------------------------------------

    def _begin(self, rank: int, at_ns: int) -> Iterator[Item]:
        source, window = self._world.open(rank)
        if source is None:
            return
        for other in self._live:
            if other.source.is_same_recording(source):
                source.group = other.source.group
                source.drop_head()
                break
        if self._spot_ns is not None:  # the past is given once; after a break, the part that is new
            source.drop_warm(self._spot_ns if at_ns - self._spot_ns > COLD_NS else None)
        live = _Live(source, window)
        self._live.append(live)
        if window is not None:
            live.is_open = True
            source.index = window.index
            yield Open(window, at_ns)
            self._plan(live, window, at_ns)
        self._choose(at_ns)

    def _plan(self, live: _Live, window: Window, at_ns: int) -> None:
        """What will be told of a window: never before it was known, nor before this tape began."""
        spec, strike = window.spec, window.strike
        self._at(spec.start_ns, self._rechoose)
        self._at(max(at_ns, strike.known_ns), lambda now_ns: iter([Tell(window, now_ns, strike)]))
        self._at(spec.end_ns, lambda now_ns: iter([Tell(window, now_ns, None)]))
        self._at(spec.end_ns, self._rechoose)
        if window.outcome is not None:
            outcome = window.outcome
            self._at(
                max(spec.end_ns, window.outcome_ns), lambda now_ns: iter([Settle(window, now_ns, outcome)])
            )
        self._at(max(spec.end_ns, window.outcome_ns, window.drop_ns), partial(self._drop, live))

    def _drop(self, live: _Live, at_ns: int) -> Iterator[Item]:
        assert live.window is not None
        live.is_open = False
        self._choose(at_ns)
        yield Drop(live.window, at_ns, live.rows)

    def _rechoose(self, at_ns: int) -> Iterator[Item]:
        self._choose(at_ns)
        return iter(())

    def _clear(self) -> None:
        """Let go of tapes that were given in full and whose window is over."""
        done = [live for live in self._live if live.source.is_done and not live.is_open]
        for live in done:
            self._live.remove(live)
            self._world.close(live.source, live.rows)
            live.source.strands.clear()  # they know their source: let go of the mapped files now
        if done:
            self._choose(self._spot_ns or 0)

    def _choose(self, at_ns: int) -> None:
        """Say of every open tape which classes of rows it gives: of two recordings' prices one."""
        for live in self._live:
            live.allowed[:] = False
            live.allowed[MARKET] = live.is_open
        for code in CHANNELS:
            rivals = [live for live in self._live if live.source.has[code] and not live.source.is_done]
            if not rivals:
                continue
            taken = min(rivals, key=lambda live: (not _is_running(live, at_ns), live.source.rank))
            for live in rivals:
                live.allowed[code] = live.source.group == taken.source.group
                if not live.allowed[code]:
                    self._world.rival(code, taken.source, live.source)
        for live in self._live:
            live.allowed[WARM] = live.allowed[SPOT] or not any(other.allowed[SPOT] for other in self._live)

    # -- events -----------------------------------------------------------------------------------------------

    def _until(self, limit_ns: int) -> Iterator[Item]:
        """Everything received before limit_ns, in pieces."""
        while True:
            strands = [
                (live, strand)
                for live in self._live
                for strand in live.source.strands
                if strand.at < len(strand.key_ns) and strand.key_ns[strand.at] < limit_ns
            ]
            if not strands:
                return
            units_max = max(256, PIECE_UNITS // len(strands))
            cut_ns = min(strand.cut_ns(limit_ns, units_max) for _, strand in strands)
            parts = [(live, strand, strand.stop_at(cut_ns)) for live, strand in strands]
            parts = [part for part in parts if part[2] > part[1].at]
            chunk = self._only(*parts[0]) if len(parts) == 1 else self._merged(parts)
            for _, strand, stop in parts:
                strand.at = stop
            if len(chunk.events):
                yield chunk

    def _only(self, live: _Live, strand: Strand, stop: int) -> Chunk:
        """A piece of one tape: where nothing of it is left out, the mapped file itself."""
        source = live.source
        if strand.shift_ns or len(source.strands) > 1:
            return self._merged([(live, strand, stop)])
        first, last = int(strand.begin[strand.at]), int(strand.end[stop - 1])
        classes, rows = source.classes[first:last], source.events[first:last]
        keep = live.allowed[classes]
        if not keep.all():
            classes, rows = classes[keep], np.ascontiguousarray(rows[keep])
        self._count(live, classes, rows)
        return Chunk(rows, source.index)

    def _merged(self, parts: list[tuple[_Live, Strand, int]]) -> Chunk:
        """A piece of several tapes, merged by receive time and number; each event once."""
        key_ns, seq, number = (
            np.concatenate([getattr(strand, name)[strand.at : stop] for _, strand, stop in parts])
            for name in ("key_ns", "seq", "number")
        )
        sizes = [stop - strand.at for _, strand, stop in parts]
        rank = np.repeat([live.source.rank for live, _, _ in parts], sizes)
        group = np.repeat([live.source.group for live, _, _ in parts], sizes)
        order = np.lexsort((rank, seq, group, key_ns))
        # What several tapes of a recording have is taken from the one that comes first.
        names = (group << NUMBER_BITS) + number
        _, first, which = np.unique(names[order], return_index=True, return_inverse=True)
        place, is_given = np.empty(len(order), np.int64), np.empty(len(order), np.bool_)
        place[order] = np.arange(len(order))
        is_given[order] = rank[order][first][which] == rank[order]
        pieces, places, start = [], [], 0
        for (live, strand, stop), size in zip(parts, sizes, strict=True):
            of = slice(start, start + size)
            rows, where = self._rows_of(live, strand, stop, place=place[of], is_given=is_given[of])
            pieces.append(rows)
            places.append(where)
            start += size
        merged = np.concatenate(pieces)
        return Chunk(np.ascontiguousarray(merged[np.argsort(np.concatenate(places), kind="stable")]))

    def _rows_of(
        self,
        live: _Live,
        strand: Strand,
        stop: int,
        *,
        place: npt.NDArray[np.int64],
        is_given: npt.NDArray[np.bool_],
    ) -> tuple[Rows, npt.NDArray[np.int64]]:
        """Copy the rows of one part that are given, with the place of their unit in the merged order."""
        source = live.source
        begin, end = strand.begin[strand.at : stop], strand.end[strand.at : stop]
        sizes = end - begin
        unit = np.repeat(np.arange(len(begin)), sizes)
        rows = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes) + begin[unit]
        classes = source.classes[rows]
        keep = live.allowed[classes] & (is_given[unit] | (classes == MARKET))
        copied: Any = source.events[rows[keep]]
        copied["market"][copied["market"] != NO_MARKET] = max(0, source.index)
        copied["recv_ns"] += strand.shift_ns
        copied["venue_ns"] += np.where(copied["venue_ns"] > 0, strand.shift_ns, 0)
        self._count(live, classes[keep], copied)
        return copied, place[unit][keep]

    def _count(self, live: _Live, classes: npt.NDArray[np.uint8], given: Rows) -> None:
        live.rows += int((classes == MARKET).sum())
        spot = np.flatnonzero(classes == SPOT)
        if len(spot):
            self._spot_ns = max(self._spot_ns or 0, int(given["recv_ns"][spot[-1]]))


def _is_running(live: _Live, at_ns: int) -> bool:
    window = live.window
    return window is not None and window.spec.start_ns <= at_ns < window.spec.end_ns
