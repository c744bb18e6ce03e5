"""An asyncio event loop whose time jumps: nothing waits, the clock goes to the next timer.

Owns virtual time for tests and the harness.  When no callback is ready the loop sets its clock to the
earliest timer instead of sleeping, so hours pass in seconds and every run with the same inputs makes
the same callbacks in the same order: equal timers run in the order they were made.  `queue.plan` is
call_at without asyncio's handle and context, for callbacks by the million.  There are no sockets, no
threads and no signals in it: waiting with nothing scheduled is a deadlock and raises RuntimeError.
Use: `asyncio.Runner(loop_factory=VirtualLoop)`; the clock beside it is clock.VirtualClock.
"""

import asyncio
from asyncio import Handle, TimerHandle
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple

from polybot._fast.timers import RESOLUTION_S, LoopQueue

__all__ = ["VirtualLoop", "running_loop"]

_Ts = TypeVarTuple("_Ts")


class VirtualLoop(asyncio.BaseEventLoop):
    """Event loop in virtual time, starting at 0."""

    _ready: deque[Handle]  # asyncio's own

    def __init__(self) -> None:
        super().__init__()
        self._clock_resolution = RESOLUTION_S
        self.queue = LoopQueue()
        self.time = self.queue.time  # type: ignore[method-assign]  # asked a million times in a run

    def stop(self) -> None:
        """End run_forever() after this turn."""
        super().stop()
        self.queue.stop()

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> TimerHandle:
        """Call at this loop time."""
        handle = TimerHandle(when, callback, args, self, context)
        self.queue.push(when, handle)
        return handle

    @property
    def ready(self) -> deque[Handle]:
        """What runs before time may pass."""
        return self._ready

    def _run_once(self) -> None:
        """Turns until stop(): what is ready by now, after a jump when nothing is."""
        try:
            has_more = self.queue.run(self._ready)
        except Exception as error:  # the guard asyncio has around every callback
            self.call_exception_handler({"message": "a planned call failed", "exception": error})
            return
        if not has_more:
            raise RuntimeError("virtual time stands still: something waits, but nothing is scheduled")

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Cancelled timers stay in the queue until they are due."""

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""

    def _make_self_pipe(self) -> None:
        """No pipe is needed."""


def running_loop() -> VirtualLoop:
    """The loop this runs in; raises RuntimeError when it is another kind."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError("the venue in memory needs a VirtualLoop")
    return loop
