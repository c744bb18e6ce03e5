"""The thread that runs the writer in a live process: a drain every few tens of milliseconds.

Owns starting, stopping and the guard around a drain.  A drain that raises is counted and told to on_error;
the next one goes on.  Must not touch the event loop; it shares only the inbox with it.  Used by the daemon.
"""

import threading
from collections.abc import Callable

from polybot.telemetry.writer import TelemetryWriter

__all__ = ["TelemetryThread"]

DRAIN_EVERY_S = 0.05
STOP_WAIT_S = 5.0


class TelemetryThread:
    """Runs writer.drain() until stopped, then writer.close()."""

    def __init__(
        self,
        writer: TelemetryWriter,
        *,
        on_error: Callable[[Exception], None],
        every_s: float = DRAIN_EVERY_S,
    ) -> None:
        self._writer = writer
        self._on_error = on_error
        self._every_s = every_s
        self._stop = threading.Event()
        self._wake = threading.Event()
        # Daemonic: a disk that hangs for ever must not keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self.drains = 0
        self.errors = 0

    def start(self) -> None:
        """Begin draining."""
        self._thread.start()

    def poke(self) -> None:
        """Drain at once instead of at the next beat."""
        self._wake.set()

    def stop(self, wait_s: float = STOP_WAIT_S) -> bool:
        """Drain what is left, write the end summary, end the thread; False when that took longer (wall s)."""
        self._stop.set()
        self._wake.set()
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._every_s)
            self._wake.clear()
            self._guarded(self._writer.drain)
            self.drains += 1
        self._guarded(self._writer.close)

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self.errors += 1
            self._on_error(error)
