"""Settings of the recorder: which windows, how long, where tapes go and how they are packed.

Owns names, units, defaults and ranges of the section `record`; conf/record/default.yaml repeats the defaults with a
comment each.  Read by the commands `record` and `import`: nothing here changes how polybot trades.
"""

from dataclasses import dataclass
from typing import Literal

from polybot.config_schema import ranged

__all__ = ["RecordConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConfig:
    """What is recorded, and the files it goes to."""

    out_dir: str = "tapes"
    intervals: tuple[Literal["5m", "15m", "1h", "4h"], ...] = ()  # recorded side by side; (): the run's own
    cycles: int = ranged(0, 0, 1_000_000)  # windows of each interval; 0 = endless
    join_early_s: float = ranged(60.0, 1.0, 900.0)
    linger_s: float = ranged(10.0, 0.0, 300.0)  # after the end books and prices are still taken
    report_s: float = ranged(5.0, 0.1, 3_600.0)  # wall
    tail_mb: int = ranged(1, 1, 64)  # entries are packed in blocks of so much
    tails_count: int = ranged(16, 3, 1_024)  # of one tape; then the disk is too slow and entries are dropped
    zstd_level: int = ranged(3, 1, 19)
    sync_ms: int = ranged(1_000, 50, 60_000)  # wall; a power cut loses at most what came since
    keep_free_mb: int = ranged(1_024, 0, 1_048_576)  # with less free space nothing more is written
    source: str = ""  # command import: file or folder with recordings made elsewhere
    source_format: Literal["auto", "binance", "table", "ladder", "frames"] = "auto"
    markets_file: str = ""  # command import: list of markets with strike and outcome; "" = none
