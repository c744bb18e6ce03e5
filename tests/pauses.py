"""A witness of the machine's own pauses, for tests whose figures hang on wall time.

A thread that only waits and looks at the clock: whatever makes it late by LATE_S or more was no doing of the
process under test, which is another process.  A figure measured beside such a pause says nothing about us.
"""

import threading
import time
from types import TracebackType

__all__ = ["PauseWitness"]

TICK_S = 0.005
LATE_S = 0.050


class PauseWitness:
    """Use as a context; `paused_s` is what the machine withheld meanwhile, wall seconds."""

    def __init__(self) -> None:
        self.paused_s = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PauseWitness":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._done.wait(TICK_S):
            now = time.monotonic()
            late_s = now - before - TICK_S
            if late_s >= LATE_S:
                self.paused_s += late_s
            before = now
