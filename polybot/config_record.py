"""Settings of the recorder: which windows, how long, where tapes go and how they are packed.

Owns names, units, defaults and ranges of the section `record`; conf/record/default.yaml repeats the defaults with a
comment each.  Read by the commands `record` and `import`: nothing here changes how polybot trades.
"""

from dataclasses import dataclass, field
from typing import Literal

from polybot.config_schema import ranged

__all__ = ["AssumeConfig", "RecordConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumeConfig:
    """What stands in, at an import, for what a recording of books alone does not tell; every manifest names it."""

    spot: str = "implied"  # "implied" from the mids (circular), "none", or a tape or a Binance file that overlaps
    sigma_annual: float = ranged(0.455, 0.01, 10.0)  # the implied path's; 0.455 is 8.1e-5 per sqrt(s)
    strike_usd: float = ranged(70_000.0, 1e-6, 1e9)  # nominal, where no list of markets tells the strike
    warm_s: float = ranged(600.0, 0.0, 86_400.0)  # of a spot tape's past that a market's tape begins with
    delay_ms: int = ranged(30, 0, 10_000)  # from the venue's stamp to its fastest frame's receipt
    oracle_delay_ms: int = ranged(1_300, 0, 10_000)  # from an oracle price's second to its receipt
    outcome_frac: float = ranged(0.9, 0.5, 1.0)  # a final mid above it is Up, below 1 minus it Down, else undecided
    outcome_last_s: float = ranged(10.0, 0.1, 300.0)  # the final mid may be so old at the end
    outcome_delay_s: float = ranged(20.0, 0.0, 3_600.0)  # after the end the outcome is told
    fee_frac: float = ranged(0.07, 0.0, 1.0)  # taker fee: this x (price x (1 - price)) per share
    taker_delay_ms: int = ranged(250, 0, 10_000)  # the venue's hold of a taker order
    min_size_shares: float = ranged(5.0, 0.0, 1_000.0)
    tick_size_ticks: int = ranged(100, 1, 1_000)  # of the 1e-4 grid, until a frame shows a finer price


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
    source_format: Literal["auto", "binance", "table", "ladder", "books", "frames"] = "auto"
    markets_file: str = ""  # command import: list of markets with strike and outcome; "" = none
    assume: AssumeConfig = field(default_factory=AssumeConfig)
