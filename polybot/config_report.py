"""Settings of the report: of which run, compared with which session, where it goes, how much it lists.

Owns names, units, defaults and ranges of the section `report`; conf/report/default.yaml repeats the defaults with a
comment each.  Read by the commands `report` and `backtest`: nothing here changes a run's result.
"""

from dataclasses import dataclass

from polybot.config_schema import ranged

__all__ = ["ReportConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """What goes on the page."""

    source: str = ""  # folder of a run (command report)
    live: str = ""  # folder of the session that was traded, to compare fills with; "" = none
    out_dir: str = ""  # "" = the run's own folder
    png: bool = True
    few_count: int = ranged(20, 1, 100_000)
    markets_count: int = ranged(300, 0, 100_000)
