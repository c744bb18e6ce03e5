"""Settings of `analyze`: which run folders, which of their rows, how they are grouped, sorted and written.

Owns names, units, defaults and ranges of the section `analyze`; conf/analyze/default.yaml repeats the defaults with a
comment each.  Read by polybot.analyze: nothing here changes anything but a table.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from polybot.config_schema import matching, ranged

__all__ = ["AnalyzeConfig", "Dimension"]

Dimension = Literal["run", "kind", "strategy", "market", "day", "asset", "interval", "outcome", "label"]
_NO_LIMIT_USD = 1e9


def _one_or_more(*names: str) -> Any:
    """A list that may be written as a single word."""
    return field(default=names, metadata={"or_one": True})


def _day() -> Any:
    return matching("", r"|\d{4}-\d{2}-\d{2}", "a day as YYYY-MM-DD")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeConfig:
    """One table; an empty filter lets everything through."""

    paths: tuple[str, ...] = _one_or_more("runs", "logs")
    by: tuple[Dimension, ...] = _one_or_more("run")
    kind: tuple[Literal["backtest", "sweep", "session"], ...] = _one_or_more()
    run: str = ""  # pattern with * and ?
    label: str = ""  # a part of it
    strategy: tuple[str, ...] = _one_or_more()
    asset: tuple[str, ...] = _one_or_more()
    interval: tuple[Literal["5m", "15m", "1h", "4h"], ...] = _one_or_more()
    market: str = ""  # pattern with * and ?
    outcome: tuple[Literal["up", "down", "unknown"], ...] = _one_or_more()
    from_day: str = _day()  # UTC, of the windows' starts
    to_day: str = _day()  # the day itself included
    min_fills: int = ranged(0, 0, 1_000_000_000)  # of a row of the table
    min_pnl_usd: float = ranged(-_NO_LIMIT_USD, -_NO_LIMIT_USD, _NO_LIMIT_USD)
    max_pnl_usd: float = ranged(_NO_LIMIT_USD, -_NO_LIMIT_USD, _NO_LIMIT_USD)
    sort: str = matching("", r"-?\w*", "a column of the table, with - before it for the largest first")
    limit_count: int = ranged(0, 0, 1_000_000_000)  # rows; 0 = all
    output: Literal["table", "csv", "json", "parquet"] = "table"
    out_file: str = ""  # "": on the screen
