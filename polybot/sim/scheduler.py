"""Timers of the embedded venue: callbacks in venue time, run in a fixed order.

Owns the venue's notion of now.  Callbacks due at the same nanosecond run in the order they were
scheduled, so the same seed gives the same bytes.  It never sleeps and never reads a clock: the
shell asks `next_ns()` and calls `advance()`.  Used by the exchange and by the venue's world half.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

__all__ = ["Scheduler", "Timer"]

COMPACT_AT = 1_024  # cancelled timers kept in the heap before it is rebuilt


class Timer:
    """Handle of one scheduled callback."""

    __slots__ = ("_owner", "callback", "due_ns")

    def __init__(self, due_ns: int, callback: Callable[[], None], owner: "Scheduler") -> None:
        self.due_ns = due_ns
        self.callback: Callable[[], None] | None = callback
        self._owner = owner

    @property
    def active(self) -> bool:
        """Still going to run."""
        return self.callback is not None

    def cancel(self) -> None:
        """Do not run it; harmless when it already ran or was cancelled."""
        if self.callback is not None:
            self.callback = None
            self._owner._forget()


class Scheduler:
    """A deterministic timer queue in integer nanoseconds of venue time."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns
        self._heap: list[tuple[int, int, Timer]] = []  # (due_ns, order of scheduling, timer)
        self._scheduled = 0
        self._cancelled = 0

    def at(self, due_ns: int, callback: Callable[[], None]) -> Timer:
        """Run `callback` when venue time reaches due_ns; a past time runs at the next advance()."""
        self._scheduled += 1
        timer = Timer(max(due_ns, self.now_ns), callback, self)
        heappush(self._heap, (timer.due_ns, self._scheduled, timer))
        return timer

    def next_ns(self) -> int | None:
        """Time of the earliest pending callback, None when nothing is scheduled."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def advance(self, to_ns: int) -> None:
        """Run everything due up to and including to_ns, now_ns being each callback's own time."""
        heap = self._heap
        while heap and heap[0][0] <= to_ns:
            due_ns, _, timer = heappop(heap)
            callback = timer.callback
            if callback is None:
                self._cancelled -= 1
                continue
            timer.callback = None
            self.now_ns = max(self.now_ns, due_ns)
            callback()
        self.now_ns = max(self.now_ns, to_ns)

    def _forget(self) -> None:
        self._cancelled += 1
        if self._cancelled > COMPACT_AT and self._cancelled * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[2].callback is not None]
            heapify(self._heap)
            self._cancelled = 0
