"""Which core the loop's thread runs on, and that nothing else of ours does.

Owns the affinity of this process's threads.  The loop's thread first keeps off its own cores, so that the threads and
processes it makes while starting inherit the others; `take` moves it onto them, `tend` moves threads off that were made
later (name look-ups), `release` puts back what was.  A core this process may not use is refused before anything
connects.  Must not decide what runs.  Made by polybot.daemon, called by polybot.loop_care; doctor asks `choose_cores`.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from polybot.config_loop import LoopConfig
from polybot.errors import ConfigError

__all__ = ["CoreBinding", "Cores", "choose_cores"]

TASKS = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of the loop's thread and of all others; empty: nothing is bound."""

    loop: frozenset[int] = frozenset()
    others: frozenset[int] = frozenset()


def choose_cores(settings: LoopConfig, allowed: frozenset[int]) -> Cores:
    """The cores to use, out of those this process may; raises ConfigError for one that is not there.

    Spinning on the only core there is would leave nothing for any other thread: refused too.
    """
    for name, wanted in (("cores", settings.cores), ("other_cores", settings.other_cores)):
        missing = sorted(set(wanted) - allowed)
        if missing:
            words = ", ".join(map(str, sorted(allowed)))
            raise ConfigError(
                f"loop.{name}={list(wanted)} is not allowed: must be of the cores this process may use ({words})"
            )
    if settings.busy_spin and len(allowed) < 2:
        raise ConfigError("loop.busy_spin=true is not allowed: must be false where there is one core only")
    if not settings.cores and not settings.other_cores:
        return Cores()
    loop = frozenset(settings.cores) or allowed
    others = frozenset(settings.other_cores) or (allowed - loop) or allowed
    if settings.busy_spin and others <= loop and len(loop) < 2:
        raise ConfigError(
            f"loop.other_cores={list(settings.other_cores)} is not allowed: must not be the core that spins alone"
        )
    return Cores(loop, others)


class CoreBinding:
    """The affinity of one daemon's threads; made and used on the loop's thread."""

    def __init__(self, settings: LoopConfig) -> None:
        """Raises ConfigError for cores this process may not use."""
        self._before = frozenset(os.sched_getaffinity(0))
        self.cores = choose_cores(settings, self._before)

    def begin(self) -> None:
        """Keep off the loop's cores for now: what is made from here on inherits the others."""
        if self.cores.others:
            os.sched_setaffinity(0, self.cores.others)

    def take(self) -> None:
        """The start is over: this thread goes onto its own cores."""
        if self.cores.loop:
            os.sched_setaffinity(0, self.cores.loop)

    def tend(self) -> int:
        """Move threads off that inherited the loop's cores; how many they were."""
        moved = 0
        if not self.cores.loop or self.cores.loop == self.cores.others:
            return 0
        for entry in TASKS.iterdir():
            thread = int(entry.name)
            with suppress(ProcessLookupError):  # it has just ended
                if thread != _own_thread() and os.sched_getaffinity(thread) == self.cores.loop:
                    os.sched_setaffinity(thread, self.cores.others)
                    moved += 1
        return moved

    def release(self) -> None:
        """This thread may run anywhere again."""
        if self.cores.loop:
            os.sched_setaffinity(0, self._before)


def _own_thread() -> int:
    """The kernel's number of the calling thread."""
    return int(Path("/proc/thread-self").readlink().name)
