"""Cumulated PnL over time, booked and marked, and how deep and how long it fell.

Owns the two curves.  Booked moves when a market settles (at its end, or at its last fill when that came later) by its
whole PnL.  Marked moves with every fill and settlement: a position is worth its outcome's mid as last quoted by then
(never a later quote), and what it cost before any quote.  Both end at the run's PnL.  The marked drawdown is looked
for at every sample in between too.  Called by polybot.backtest.scores.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot._fast.event import Outcome
from polybot.backtest.counted import Counted
from polybot.backtest.lookup import Timeline, quote_mids
from polybot.backtest.score_tree import Drawdown, Equity

__all__ = ["MAX_POINTS", "drawdown", "equity"]

MAX_POINTS = 20_000  # kept in scores.json; beyond, the extremes of equal pieces
FILL, SETTLEMENT, SAMPLE = 0, 1, 2

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Steps:
    """Changes of one market's booked and marked PnL, in time order."""

    at_ns: Ints
    booked: Ints
    marked: Ints
    kind: Ints
    row: int


def equity(counted: Counted, quotes: Any, samples: Any, *, bankroll_micro: int | None) -> Equity:
    """Both curves over the fills that count; quotes and samples: rows of QUOTE_DTYPE and SAMPLES_DTYPE."""
    marks, sampled = _Marks(quotes), Timeline(samples["market"], samples["recv_ns"])
    sampled_ns = np.asarray(samples["recv_ns"])
    steps = []
    for row in np.unique(counted.row).tolist():
        mine = sampled.rows_of(int(counted.markets["index"][row]))
        steps.append(_steps(counted, row, marks, sampled_ns[mine]))
    if not steps:
        nothing = drawdown(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), 0, bankroll_micro)
        return Equity(
            at_ns=(), booked_micro=(), marked_micro=(), kind=(), market=(), thinned=False,
            drawdown_booked=nothing, drawdown_marked=nothing,
        )  # fmt: skip
    at_ns = np.concatenate([item.at_ns for item in steps])
    order = np.argsort(at_ns, kind="stable")
    at_ns = at_ns[order]
    booked = np.cumsum(np.concatenate([item.booked for item in steps])[order])
    marked = np.cumsum(np.concatenate([item.marked for item in steps])[order])
    kind = np.concatenate([item.kind for item in steps])[order]
    rows = np.concatenate([np.full(len(item.at_ns), item.row) for item in steps])[order]
    start_ns = int(counted.markets["start_ns"][counted.settled].min())
    points = np.flatnonzero(kind != SAMPLE)
    kept = points[_kept(marked[points], MAX_POINTS)]
    return Equity(
        at_ns=tuple(at_ns[kept].tolist()),
        booked_micro=tuple(booked[kept].tolist()),
        marked_micro=tuple(marked[kept].tolist()),
        kind=tuple(kind[kept].tolist()),
        market=tuple(counted.markets["index"][rows[kept]].tolist()),
        thinned=len(kept) < len(points),
        drawdown_booked=drawdown(at_ns[points], booked[points], start_ns, bankroll_micro),
        drawdown_marked=drawdown(at_ns, marked, start_ns, bankroll_micro),
    )


def drawdown(at_ns: Ints, value: Ints, start_ns: int, bankroll_micro: int | None) -> Drawdown:
    """Find the deepest fall and the longest time below a peak; the curve starts at 0 at start_ns (its first peak)."""
    if not len(value):
        frac = 0.0 if bankroll_micro else None
        return Drawdown(
            depth_micro=0, depth_frac=frac, peak_ns=None, trough_ns=None, longest_ns=None, recovered=True, points=0
        )  # fmt: skip
    times = np.concatenate([[min(start_ns, int(at_ns[0]))], at_ns])
    curve = np.concatenate([[0], value])
    peaks = np.maximum.accumulate(curve)
    last_peak = np.maximum.accumulate(np.where(curve == peaks, np.arange(len(curve)), 0))
    fall = peaks - curve
    deepest = int(np.argmax(fall))
    depth = int(fall[deepest])
    # Below a peak from its last instant until the first that reaches it again, or until the end of the data.
    below = np.flatnonzero(fall > 0)
    longest, recovered = None, True
    if len(below):
        starts = np.unique(last_peak[below])
        back = _next_at_peak(fall, starts)
        ends = np.minimum(back, len(curve) - 1)
        spans = times[ends] - times[starts]
        worst = int(np.argmax(spans))
        longest, recovered = int(spans[worst]), bool(back[worst] < len(curve))
    return Drawdown(
        depth_micro=depth,
        depth_frac=depth / bankroll_micro if bankroll_micro else None,
        peak_ns=int(times[last_peak[deepest]]) if depth else None,
        trough_ns=int(times[deepest]) if depth else None,
        longest_ns=longest,
        recovered=recovered,
        points=len(value),
    )


def _next_at_peak(fall: Ints, starts: Ints) -> Ints:
    """First index after each start where the curve is at its peak again; len(fall) for never."""
    at_peak = np.append(np.flatnonzero(fall == 0), len(fall))
    return np.asarray(at_peak[np.searchsorted(at_peak, starts, side="right")], dtype=np.int64)


class _Marks:
    """The last mid of a market that was known at an instant."""

    def __init__(self, quotes: Any) -> None:
        self._quotes = quotes
        self._known = np.flatnonzero((quotes["bid_ticks"] > 0) & (quotes["ask_ticks"] > 0))
        self._timeline = Timeline(quotes["market"][self._known], quotes["recv_ns"][self._known])

    def mids(self, market: int, at_ns: Ints) -> Floats:
        """USD for Up; NaN before the first."""
        row = self._timeline.last_at(np.full(len(at_ns), market), at_ns)
        rows = np.full(len(row), -1, dtype=np.int64)
        rows[row >= 0] = self._known[row[row >= 0]]
        return quote_mids(self._quotes, rows)


def _steps(counted: Counted, row: int, marks: _Marks, sampled_ns: Ints) -> _Steps:
    """Changes of one market: at its fills, at samples while it is open, at its settlement."""
    mine = np.flatnonzero(counted.row == row)
    fills, sign = counted.fills[mine], counted.sign[mine]
    filled_ns = np.asarray(fills["recv_ns"], dtype=np.int64)
    settled_ns = max(int(counted.markets["end_ns"][row]), int(filled_ns[-1]))
    between = sampled_ns[(sampled_ns > filled_ns[0]) & (sampled_ns < settled_ns)]
    at_ns = np.concatenate([filled_ns, between])
    kind = np.concatenate([np.full(len(fills), FILL), np.full(len(between), SAMPLE)])
    order = np.argsort(at_ns, kind="stable")
    at_ns, kind = at_ns[order], kind[order]
    # Fill k leaves the position of fills 0..k, also when two have one time; a sample sees all of its time.
    held = np.searchsorted(filled_ns, at_ns, side="right") - 1
    held[kind == FILL] = np.arange(len(fills))
    up = np.cumsum(np.where(fills["outcome"] == Outcome.UP, sign * fills["shares"], 0))[held]
    down = np.cumsum(np.where(fills["outcome"] == Outcome.DOWN, sign * fills["shares"], 0))[held]
    cost = np.cumsum(fills["cost"])[held]
    mid = marks.mids(int(counted.markets["index"][row]), at_ns)
    worth = np.where(np.isfinite(mid), up * mid + down * (1.0 - mid), cost)
    marked = np.append(np.rint(worth).astype(np.int64) - cost, counted.pnl[mine].sum())
    booked = np.append(np.zeros(len(at_ns), dtype=np.int64), counted.pnl[mine].sum())
    return _Steps(
        at_ns=np.append(at_ns, settled_ns),
        booked=booked,
        marked=np.diff(marked, prepend=0),
        kind=np.append(kind, SETTLEMENT),
        row=row,
    )


def _kept(values: Ints, most: int) -> Ints:
    """Indices of at most `most` values: all, or the extremes of equal pieces with the first and the last."""
    if len(values) <= most:
        return np.arange(len(values))
    pieces = np.array_split(np.arange(len(values)), most // 2 - 1)
    chosen = [piece[[int(np.argmin(values[piece])), int(np.argmax(values[piece]))]] for piece in pieces]
    return np.unique(np.concatenate([*chosen, [0, len(values) - 1]]))
