"""Settings of the backtester: which tapes, how late and how unlucky our simulated orders are, what a run keeps.

Owns names, units, defaults and ranges of the section `backtest`; conf/backtest/default.yaml repeats the defaults with
a comment each.  Read by polybot.backtest and what is built on it (sweeps, report): nothing here changes trading.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from polybot.config_schema import matching, ranged
from polybot.errors import ConfigError

__all__ = ["BacktestSettings"]


def _quantiles(*milliseconds: float) -> Any:
    """A table of quantiles at even steps of probability from 0 to 1; ms."""
    return field(default=milliseconds, metadata={"lo": 0.0, "hi": 60_000.0})


def _one_or_more(*names: str) -> Any:
    """A list that may be written as a single word."""
    return field(default=names, metadata={"or_one": True})


def _days() -> Any:
    """Make a list of days."""
    return field(default=(), metadata={"pattern": r"\d{4}-\d{2}-\d{2}", "allowed": "a day as YYYY-MM-DD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestSettings:
    """One run over tapes; milliseconds and seconds are time as received."""

    tapes: tuple[str, ...] = _one_or_more("tapes")  # folders: a tape, or all tapes below it
    out_dir: str = "runs"
    name: str = matching("", r"[\w.+-]*", "letters, digits and . _ + -")  # "": its start
    cores: int = ranged(0, 0, 1_024)  # processes of sweeps and flattery rows; 0 = all
    seed: int = ranged(1, 0, 2**53)  # of everything drawn: latencies, bootstrap
    order_latency_ms: tuple[float, ...] = _quantiles(22, 27, 30, 33, 36, 40, 44, 50, 60, 85, 250)
    cancel_latency_ms: tuple[float, ...] = _quantiles(22, 27, 30, 33, 36, 40, 44, 50, 60, 85, 250)
    latency_factor: float = ranged(1.0, 0.0, 100.0)
    confirm_s: float = ranged(5.0, 0.0, 600.0)
    queue: Literal["pessimistic", "proportional"] = "pessimistic"
    extra_ticks: int = ranged(0, 0, 100)
    spot_delay_s: float = ranged(0.0, 0.0, 3_600.0)  # every spot event is received so much later
    balance_usd: float = ranged(1_000.0, 0.0, 1e9)
    sample_s: float = ranged(1.0, 0.1, 3_600.0)  # between two rows of the table of samples
    flattery: bool = True
    report: bool = True
    keep_signals: bool = True
    days: tuple[str, ...] = _days()  # UTC, of the windows' starts; (): all
    intervals: tuple[Literal["5m", "15m", "1h", "4h"], ...] = ()  # traded side by side; (): the run's own
    report_s: float = ranged(5.0, 0.1, 3_600.0)  # wall

    def __post_init__(self) -> None:
        """Refuse a table of quantiles that is none; raises ConfigError."""
        for name in ("order_latency_ms", "cancel_latency_ms"):
            table = getattr(self, name)
            if len(table) < 2 or list(table) != sorted(table):
                allowed = "must be two or more numbers, none below the one before"
                raise ConfigError(f"backtest.{name} is not allowed: {allowed}")
