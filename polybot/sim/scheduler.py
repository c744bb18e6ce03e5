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

    __slots__ = ("_owner", "callback", "due_ns", "order")

    def __init__(self, due_ns: int, order: int, callback: Callable[[], None], owner: "Scheduler") -> None:
        self.due_ns = due_ns
        self.order = order
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

    def __lt__(self, other: "Timer") -> bool:
        return (self.due_ns, self.order) < (other.due_ns, other.order)


class Scheduler:
    """A deterministic timer queue in integer nanoseconds of venue time."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns
        self._heap: list[Timer] = []
        self._scheduled = 0
        self._cancelled = 0

    def at(self, due_ns: int, callback: Callable[[], None]) -> Timer:
        """Run `callback` when venue time reaches due_ns; a past time runs at the next advance()."""
        self._scheduled += 1
        timer = Timer(max(due_ns, self.now_ns), self._scheduled, callback, self)
        heappush(self._heap, timer)
        return timer

    def next_ns(self) -> int | None:
        """Time of the earliest pending callback, None when nothing is scheduled."""
        heap = self._heap
        while heap and heap[0].callback is None:
            heappop(heap)
            self._cancelled -= 1
        return heap[0].due_ns if heap else None

    def advance(self, to_ns: int) -> None:
        """Run everything due up to and including to_ns, now_ns being each callback's own time."""
        heap = self._heap
        while heap and heap[0].due_ns <= to_ns:
            timer = heappop(heap)
            callback = timer.callback
            if callback is None:
                self._cancelled -= 1
                continue
            timer.callback = None
            self.now_ns = max(self.now_ns, timer.due_ns)
            callback()
        self.now_ns = max(self.now_ns, to_ns)

    def _forget(self) -> None:
        self._cancelled += 1
        if self._cancelled > COMPACT_AT and self._cancelled * 2 > len(self._heap):
            self._heap[:] = [timer for timer in self._heap if timer.callback is not None]
            heapify(self._heap)
            self._cancelled = 0
