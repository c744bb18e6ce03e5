"""Settings of `python -m polybot campaign`: how many windows, from which seeds, and what a verdict needs.

Owns the shape only; conf/campaign/ holds the same values with comments (a test compares the two).
The venue, the strategies and the limits of a campaign are those of the other sections.
Read by polybot.campaign and polybot.campaign_report; part of polybot.config.Config.
"""

from dataclasses import dataclass

from polybot.config_schema import matching, ranged

__all__ = ["CampaignConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignConfig:
    """Many seeded windows in virtual time; a run is `windows_per_run` consecutive windows of one seed."""

    windows: int = ranged(1_000, 1, 1_000_000)
    windows_per_run: int = ranged(20, 1, 10_000)
    first_seed: int = ranged(1, 0, 2**52)  # run k has seed first_seed + k
    first_day: str = matching("2026-09-07", r"\d{4}-\d{2}-\d{2}", "a day as YYYY-MM-DD")  # UTC
    start_spread_h: int = ranged(1_344, 1, 87_600)  # runs start within so many hours after first_day
    workers: int = ranged(0, 0, 1_024)  # processes; 0 = all cores
    solo: bool = False  # every strategy alone in a daemon of its own
    keep_halts: bool = False  # false: daily and weekly loss halts only at the whole bankroll
    fresh: bool = False  # true: compute finished runs again
    min_fills: int = ranged(200, 1, 1_000_000)  # fewer: no verdict
    min_runs: int = ranged(10, 2, 1_000_000)  # fewer: the error by run is not known well enough
    t_min: float = ranged(2.0, 0.0, 100.0)  # mean over standard error from which it is no chance
    out_dir: str = "logs/campaign"
