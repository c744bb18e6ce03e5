"""SIGINT and SIGTERM of one run: the first asks for an orderly end, the second ends the process at once.

Theory of operation: before there is a trader (`attach`) the first signal cancels the start, and nothing was sent;
from then on it calls the trader's stop; while the run is closing its books it changes nothing.  Handlers are the
interpreter's own, not the loop's: a loop that hangs still hears the second one.
Must not wait, write files, or decide about orders.  Called by polybot.daemon.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

__all__ = ["EXIT_INTERRUPTED", "StopSignals", "Stoppable"]

EXIT_INTERRUPTED = 130
NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stoppable(Protocol):
    """What a first signal reaches: the trader."""

    def stop(self) -> None: ...
    def notice(self, level: str, text: str) -> None: ...


class StopSignals:
    """Wired while the block runs; belongs to the task that enters it."""

    def __init__(self, *, exit_now: Callable[[int], Any] = os._exit) -> None:
        self.was_early = False  # the first signal came before there was a trader
        self._exit_now = exit_now
        self._signals = 0
        self._trader: Stoppable | None = None
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._before = {number: signal.signal(number, self._on_signal) for number in NUMBERS}
        return self

    def __exit__(self, *caught: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attach(self, trader: Stoppable) -> None:
        """From here on a first signal stops this trader in order."""
        self._trader = trader

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Between two bytecodes of the main thread: only count and hand over."""
        self._signals += 1
        if self._signals > 1:
            sys.stderr.write("polybot: a second signal, out at once: ORDERS MAY BE OPEN\n")
            sys.stderr.flush()
            self._exit_now(EXIT_INTERRUPTED)
            return
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._trader is not None:
            self._trader.notice("WARNING", "stopping: no new orders, cancelling what rests (again: exit at once)")
            self._trader.stop()
        elif self._task is not None:
            self.was_early = True
            self._task.cancel()
