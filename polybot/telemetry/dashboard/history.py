"""What the page draws from the time before it was opened: curves of each window, the money, the last events.

Owns bounds and thinning: a curve has at most `points` stretches of equal length, and of each the last look is kept;
windows, events and whole answers are dropped oldest first.  Knows nothing of sockets or time: everything comes from
watch answers (polybot.control.watcher).  Money micro-USD, prices ticks of 0.0001, times ms of the venue's clock.
Called by follower.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["COLUMNS", "MONEY_COLUMNS", "Curve", "Events", "History", "Money", "point"]

NS_PER_MS = 1_000_000
LEAD_MS = 60_000  # a window is followed from so long before its start
COLUMNS = ("t_ms", "spot", "strike", "fair_up", "up_bid", "up_ask", "down_bid", "down_ask")
MONEY_COLUMNS = ("t_ms", "day_usd", "session_usd", "marked_usd")
Facts = Mapping[str, Any]
Row = tuple[Any, ...]


def point(market: Facts, now_ns: int) -> Row:
    """One row of a window's curve, in the order of COLUMNS."""
    up, down = market.get("up") or {}, market.get("down") or {}
    quotes = (_tick(side.get(key)) for side in (up, down) for key in ("bid_ticks", "ask_ticks"))
    return (
        now_ns // NS_PER_MS,
        market.get("spot"),
        market.get("strike") or None,
        market.get("fair_up"),
        *quotes,
    )


def _tick(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


class Curve:
    """Rows over a stretch of time, thinned: of every `step_ms` the last."""

    def __init__(self, start_ms: int, end_ms: int, points: int) -> None:
        self.step_ms = max(1, -(-(end_ms - start_ms) // points))
        self.rows: deque[Row] = deque(maxlen=points + 1)

    def add(self, row: Row) -> None:
        """Take a row not older than the last one."""
        if self.rows and row[0] < self.rows[-1][0]:
            return
        if self.rows and row[0] // self.step_ms == self.rows[-1][0] // self.step_ms:
            self.rows[-1] = row
        else:
            self.rows.append(row)

    def columns(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """The rows as one list per name."""
        found = zip(*self.rows, strict=True) if self.rows else ((),) * len(names)
        return {name: list(column) for name, column in zip(names, found, strict=True)}


class Money:
    """Results over the session: as many rows as allowed, twice as far apart whenever they are too many."""

    def __init__(self, points: int) -> None:
        self.rows: list[Row] = []
        self._points = points
        self._step_ms = 1

    def add(self, row: Row) -> None:
        """Take a row not older than the last one."""
        if self.rows and row[0] < self.rows[-1][0]:
            return
        if len(self.rows) > 1 and row[0] - self.rows[-2][0] < self._step_ms:
            self.rows[-1] = row
            return
        self.rows.append(row)
        if len(self.rows) > self._points:
            self.rows = [*self.rows[:-1:2], self.rows[-1]]
            self._step_ms = max(1, 2 * (self.rows[-1][0] - self.rows[0][0]) // self._points)

    def columns(self) -> dict[str, list[Any]]:
        """The rows as one list per name."""
        found = zip(*self.rows, strict=True) if self.rows else ((),) * len(MONEY_COLUMNS)
        return {name: list(column) for name, column in zip(MONEY_COLUMNS, found, strict=True)}


class Events:
    """The last events, numbered anew so that a page can ask for those it has not seen."""

    def __init__(self, kept: int) -> None:
        self.newest = 0
        self._rows: deque[tuple[int, Facts]] = deque(maxlen=kept)

    def add(self, events: Sequence[Facts]) -> None:
        """Append events, oldest first."""
        for event in events:
            self.newest += 1
            self._rows.append((self.newest, event))

    def after(self, number: int) -> list[Facts]:
        """Those beyond a number, oldest first; what was dropped is missing."""
        return [event for at, event in self._rows if at > number]


class History:
    """Everything of one daemon that a page wants when it comes."""

    def __init__(self, *, windows: int, points: int, events: int) -> None:
        self.events = Events(events)
        self.money = Money(points)
        self._windows = windows
        self._points = points
        self._curves: dict[str, Curve] = {}
        self._process: tuple[Any, Any] = (None, None)

    def add(self, answer: Facts) -> None:
        """Take one watch answer; another session begins anew, with the events kept."""
        process = (answer.get("session"), answer.get("started_ns"))
        if process != self._process:  # its money begins anew; curves of the same venue go on
            if process[0] != self._process[0]:
                self._curves.clear()
            self._process = process
            self.money = Money(self._points)
        now_ns = int(answer["now_ns"])
        for market in answer.get("markets", ()):
            start_ms, end_ms = int(market["start_ns"]) // NS_PER_MS, int(market["end_ns"]) // NS_PER_MS
            if start_ms - LEAD_MS <= now_ns // NS_PER_MS <= end_ms:
                self._curve(market["slug"], start_ms - LEAD_MS, end_ms).add(point(market, now_ns))
        pnl, totals = answer.get("pnl") or {}, answer.get("totals") or {}
        money = (pnl.get("day_usd"), totals.get("pnl_usd"), pnl.get("marked_usd"))
        self.money.add((now_ns // NS_PER_MS, *money))
        self.events.add(answer.get("events", ()))

    def curves(self) -> dict[str, dict[str, Any]]:
        """Every kept curve by slug."""
        return {
            slug: {"step_ms": curve.step_ms, **curve.columns(COLUMNS)} for slug, curve in self._curves.items()
        }

    def _curve(self, slug: str, start_ms: int, end_ms: int) -> Curve:
        curve = self._curves.get(slug)
        if curve is None:
            while len(self._curves) >= self._windows:
                del self._curves[next(iter(self._curves))]
            curve = self._curves[slug] = Curve(start_ms, end_ms, self._points)
        return curve
