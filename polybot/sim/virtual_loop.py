"""An asyncio event loop whose time jumps: nothing waits, the clock goes to the next timer.

Owns virtual time for tests and the harness.  When no callback is ready the loop sets its clock to the
earliest timer instead of sleeping, so hours pass in seconds and every run with the same inputs makes
the same callbacks in the same order.  There are no sockets, no threads and no signals in it: waiting
with nothing scheduled is a deadlock and raises RuntimeError.
Use: `asyncio.Runner(loop_factory=VirtualLoop)`; the clock beside it is clock.VirtualClock.
"""

import asyncio
from typing import Any

__all__ = ["VirtualLoop"]

RESOLUTION_S = 1e-9  # timers due within this of now run together


class _Jump:
    """Stands where the loop expects its selector: instead of waiting, it moves the loop's time."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Wait for the next timer, which takes no time."""
        if timeout is None:
            raise RuntimeError("virtual time stands still: something waits, but nothing is scheduled")
        if timeout > 0.0:
            self._loop.jump()
        return []

    def close(self) -> None:
        """Nothing to close."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Event loop in virtual time, starting at 0."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = RESOLUTION_S
        self._selector = _Jump(self)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def jump(self) -> None:
        """Go to the earliest timer."""
        scheduled: list[asyncio.TimerHandle] = getattr(self, "_scheduled")  # noqa: B009 (private of asyncio)
        if scheduled:
            self._now = max(self._now, scheduled[0].when())

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""

    def _make_self_pipe(self) -> None:
        """No pipe is needed."""
