"""A witness of what the machine withheld, for tests whose figures hang on wall time.

A thread that only waits and looks at the clock: whatever makes it late by LATE_S or more was no doing of the
process under test, which is another process.  What of it can be told in seconds is: pauses of the whole machine,
time the host took from it, time that processes under test stood in the queue for a core, and what their work
took longer than on a core of the usual speed.  A figure measured beside such a moment says nothing about us.
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

__all__ = ["LOOPS", "LOOP_S", "PauseWitness", "loop_s", "stolen_s", "used_s"]

TICK_S = 0.005
LATE_S = 0.050
LOOK_S = 0.1  # between two looks at the processes under test
LOOPS = 500_000
LOOP_S = 0.0135  # of LOOPS turns on an idle core of the machine where the bounds were set
CLOCK_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")  # of /proc/stat


class PauseWitness:
    """Use as a context; the figures are wall seconds, complete when it ends."""

    def __init__(self) -> None:
        self.paused_s = 0.0
        self.stolen_s = 0.0
        self._slowness = 1.0
        self._since: dict[int, tuple[float, float]] = {}  # pid -> (CPU seconds, seconds in the queue) before
        self._used: dict[int, tuple[float, float]] = {}  # the same, when last looked at
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def follow(self, pid: int) -> None:
        """Look at this process from now on, and at the children it has or gets."""
        self._since[pid] = self._used[pid] = used_s(pid)

    @property
    def queued_s(self) -> float:
        """How long the main threads of the processes under test were ready and had no core, all together."""
        return sum(queued_s - self._since[pid][1] for pid, (_, queued_s) in self._used.items())

    @property
    def slower_s(self) -> float:
        """How much longer their work took than on a core of the usual speed."""
        cpu_s = sum(cpu_s - self._since[pid][0] for pid, (cpu_s, _) in self._used.items())
        return cpu_s * (1.0 - 1.0 / self._slowness)

    @property
    def withheld_s(self) -> float:
        """All of it."""
        return self.paused_s + self.stolen_s + self.queued_s + self.slower_s

    def text(self) -> str:
        """For people."""
        return (
            f"the machine paused {self.paused_s:.2f} s and lost {self.stolen_s:.2f} s to its host; "
            f"the processes queued {self.queued_s:.2f} s and lost {self.slower_s:.2f} s to slow cores"
        )

    def __enter__(self) -> "PauseWitness":
        self._slowness = max(1.0, loop_s() / LOOP_S)
        self.stolen_s = -stolen_s()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self.stolen_s += stolen_s()
        self._slowness = max(self._slowness, loop_s() / LOOP_S)

    def _watch(self) -> None:
        before = looked = time.monotonic()
        while not self._done.wait(TICK_S):
            now = time.monotonic()
            late_s = now - before - TICK_S
            if late_s >= LATE_S:
                self.paused_s += late_s
            if now - looked >= LOOK_S:
                looked = now
                self._look()
            before = time.monotonic()

    def _look(self) -> None:
        for pid in tuple(self._since):
            with suppress(OSError, ValueError):  # it has ended: what was seen last stays
                self._used[pid] = used_s(pid)
                for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                    self._since.setdefault(int(child), (0.0, 0.0))


def loop_s() -> float:
    """CPU seconds of a loop that does nothing, the least of three: how fast a core is right now."""
    least = float("inf")
    for _ in range(3):
        begun = time.process_time()
        for _ in range(LOOPS):
            pass
        least = min(least, time.process_time() - begun)
    return least


def used_s(pid: int) -> tuple[float, float]:
    """CPU seconds of a process's main thread so far, and seconds it stood in the queue for a core."""
    cpu_ns, queued_ns, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(cpu_ns) / 1e9, int(queued_ns) / 1e9


def stolen_s() -> float:
    """Seconds since this machine began in which the host gave its cores to others, per core."""
    with Path("/proc/stat").open() as file:
        words = file.readline().split()
    return int(words[8]) * CLOCK_TICK_S / (os.cpu_count() or 1)
