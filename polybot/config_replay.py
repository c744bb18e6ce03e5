"""Settings of the inputs log and its replay: whether it is written, how much is kept, what is replayed.

Owns names, units, defaults and ranges of the section `replay`; conf/replay/default.yaml repeats the defaults with a
comment each.  Read by the daemon (what is written) and the command `replay` (`source`): nothing here changes trading.
"""

from dataclasses import dataclass

from polybot.config_schema import ranged

__all__ = ["ReplayConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayConfig:
    """What is logged of the engine's inputs, and for how long it is kept."""

    record: bool = True
    source: str = ""  # command replay: a log, or a folder with logs below it
    step: bool = False  # command replay: step through the markets of `source` (logs or tapes) on the terminal
    tail_mb: int = ranged(1, 1, 64)  # what a crash leaves unpacked; entries are packed in blocks of so much
    tails_count: int = ranged(16, 3, 1_024)  # the most the disk may lag behind; then entries are dropped
    zstd_level: int = ranged(1, 1, 19)
    sync_ms: int = ranged(1_000, 50, 60_000)  # wall; a power cut loses at most what came since
    part_mb: int = ranged(128, 1, 4_096)  # a log goes on in a new part after so much unpacked, and each UTC day
    keep_days: float = ranged(7.0, 0.0, 3_650.0)  # logs nobody wrote to for so long are removed; 0 = never
    keep_mb: int = ranged(8_192, 64, 16_777_216)  # all logs of one folder together; the oldest go first
    keep_free_mb: int = ranged(1_024, 0, 1_048_576)  # with less free space nothing more is written
