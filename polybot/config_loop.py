"""Settings of the loop: how a daemon uses its machine.

Owns names, units, defaults and ranges of the section `loop`; conf/loop/default.yaml repeats the defaults with a comment
each, docs/PERFORMANCE.md says what each brings and costs.  Whether a core exists is a matter of the machine and checked
where it is used (polybot.loop_cores): a log of another machine must stay readable.
"""

from dataclasses import dataclass, field
from typing import Literal

from polybot.config_schema import ranged

__all__ = ["LoopConfig"]

_CORE = {"lo": 0, "hi": 1_023}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """Spinning, cores, the interpreter's switch interval, and when Python's collector may run."""

    busy_spin: bool = False
    cores: tuple[int, ...] = field(default=(), metadata=_CORE)  # of the loop's thread; (): the kernel's choice
    other_cores: tuple[int, ...] = field(default=(), metadata=_CORE)  # of everything else; (): what `cores` leaves
    switch_interval_us: int = ranged(100, 1, 1_000_000)  # wall
    gc_policy: Literal["window_end", "python"] = "window_end"
    gc_watch_s: float = ranged(5.0, 0.1, 3_600.0)  # wall
    gc_young_count: int = ranged(200_000, 1_000, 100_000_000)
    gc_growth_mb: int = ranged(512, 16, 1_048_576)
    gc_thaw_h: float = ranged(24.0, 0.01, 168.0)  # wall
