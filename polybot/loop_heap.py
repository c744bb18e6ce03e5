"""When Python's cyclic collector may run: never while a window is traded, always in time.

Theory of operation (gc_policy=window_end):
    STARTING --settle()--> OFF   what exists after the warm-up is collected once and frozen: not looked at again
    OFF --collect()--> OFF       in an end guard: what was made since; every gc_thaw_h what is frozen too
    OFF --watch()--> ON          too many young objects, or memory has grown too much, while a window is traded
    ON --collect()--> OFF        in an end guard, when the limits hold again; else ON, said once
Reference counts free nearly everything; the collector is for cycles alone, and a full pass over a large heap stops the
loop for tens of milliseconds.  `close` gives the collector back as it was found.  gc_policy=python: nothing is touched.
Must not know windows: polybot.loop_care says when.
"""

import gc
import os
from collections.abc import Callable
from pathlib import Path

from polybot.config_loop import LoopConfig

__all__ = ["HeapKeeper", "private_mb"]

NS, NS_PER_MS, MB = 1_000_000_000, 1_000_000, 1 << 20
STATM = Path("/proc/self/statm")
Tell = Callable[[str, str], None]  # level and text for the operator


def private_mb() -> float:
    """Memory of this process that no file backs, in MB: resident less shared of proc_pid_statm(5)."""
    words = STATM.read_bytes().split()
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGESIZE") / MB


class HeapKeeper:
    """The collector of this process, for one daemon."""

    def __init__(
        self,
        settings: LoopConfig,
        *,
        tell: Tell,
        mono_ns: Callable[[], int],
        memory_mb: Callable[[], float] = private_mb,
    ) -> None:
        """`tell` hears of the limits; memory and clock are the process's own unless a test brings others."""
        self.is_settled = False
        self.collections = 0
        self.longest_ms = 0.0  # of those in end guards
        self.alarms = 0
        self._settings = settings
        self._tell = tell
        self._mono_ns = mono_ns
        self._memory_mb = memory_mb
        self._was_enabled = gc.isenabled()
        self._base_mb = 0.0
        self._thawed_ns = 0
        self._is_beyond = False  # the limits did not hold, and that was told

    def settle(self) -> float:
        """The warm-up is over: collect, freeze what is left, turn the collector off; how long it took, ms."""
        self.is_settled = True
        took_ms = self._timed(self._freeze)
        self._base_mb = self._memory_mb()
        self._thawed_ns = self._mono_ns()
        gc.disable()
        return took_ms

    def collect(self) -> float:
        """A moment in which a pause harms nobody: collect; off again when the limits hold.  How long it took, ms."""
        is_due = self._mono_ns() - self._thawed_ns >= self._settings.gc_thaw_h * 3_600 * NS
        if is_due:
            self._thawed_ns = self._mono_ns()
        took_ms = self._timed(self._thaw if is_due else gc.collect)
        self.collections += 1
        self.longest_ms = max(self.longest_ms, took_ms)
        beyond = self._beyond()
        if not beyond:
            self._is_beyond = False
            gc.disable()
        elif not gc.isenabled():
            self._alarm(f"{beyond} and collecting did not help")
        return took_ms

    def watch(self, *, may_collect: bool = False) -> bool:
        """Look at the limits; beyond one: collect when that harms nobody now, else let Python collect as it likes.

        False when the collector runs on its own because of a limit.
        """
        if gc.isenabled():
            return False
        beyond = self._beyond()
        if not beyond:
            return True
        if may_collect:
            self.collect()
        else:
            self._alarm(beyond)
        return not gc.isenabled()

    def close(self) -> None:
        """The collector as it was found; nothing stays frozen."""
        if self.is_settled:
            gc.unfreeze()
            if self._was_enabled:
                gc.enable()

    def _beyond(self) -> str:
        """Which limit does not hold, in words; "" when both do."""
        young = gc.get_count()[0]
        if young > self._settings.gc_young_count:
            return f"{young} objects were made since the last collection (loop.gc_young_count)"
        grown_mb = self._memory_mb() - self._base_mb
        if grown_mb > self._settings.gc_growth_mb:
            return f"memory grew by {grown_mb:.0f} MB since the warm-up (loop.gc_growth_mb)"
        return ""

    def _alarm(self, why: str) -> None:
        gc.enable()
        self.alarms += 1
        if not self._is_beyond:
            self._is_beyond = True
            self._tell("WARNING", f"the collector is on again, the loop may stand still for it: {why}")

    def _timed(self, act: Callable[[], object]) -> float:
        begun_ns = self._mono_ns()
        act()
        return (self._mono_ns() - begun_ns) / NS_PER_MS

    def _thaw(self) -> None:
        gc.unfreeze()
        self._freeze()

    def _freeze(self) -> None:
        gc.collect()
        gc.freeze()
