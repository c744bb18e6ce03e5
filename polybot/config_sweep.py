"""Settings of sweeps: many backtests of one command line, where they run, how the best is chosen and judged.

Owns names, units, defaults and ranges of the section `sweep`; conf/sweep/default.yaml repeats the defaults with a
comment each.  Read by polybot.multirun and polybot.backtest's sweep and search: nothing here changes a backtest.
"""

from dataclasses import dataclass
from typing import Literal

from polybot.config_schema import matching, ranged

__all__ = ["Metric", "SweepConfig"]

Metric = Literal["pnl_usd", "pnl_low_usd", "drawdown_usd", "brier_model", "log_loss_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepConfig:
    """One sweep: `python -m polybot backtest -m key=a,b,c`."""

    name: str = matching("", r"[\w.+-]*", "letters, digits and . _ + -")  # "": follows from the command line
    executor: Literal["local", "ray"] = "local"
    address: str = ""  # of a Ray cluster that runs
    search: Literal["grid", "optuna"] = "grid"
    trials: int = ranged(50, 1, 1_000_000)  # optuna: points in all
    batch_count: int = ranged(4, 1, 1_024)  # optuna: points chosen together, before any of them is known
    startup_count: int = ranged(10, 1, 1_000_000)  # optuna: points drawn at random before it learns
    seed: int = ranged(1, 0, 2**32 - 1)  # of the search and of the joint bootstrap
    metric: Metric = "pnl_usd"  # what is searched for, and what the table is sorted by
    hold_out_days: int = ranged(0, 0, 10_000)  # last UTC days of the tapes, not used for choosing
    draws_count: int = ranged(2_000, 100, 1_000_000)  # resamples of the joint bootstrap
    shown_count: int = ranged(20, 1, 10_000)  # rows of the table on the screen
    limit_count: int = ranged(10_000, 1, 1_000_000)  # more points than this are refused
    keep_runs: bool = False  # keep every point's run folder
    fresh: bool = False  # compute points again that are done
