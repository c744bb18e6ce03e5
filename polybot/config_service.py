"""Settings of the daemon as a service: when it is healthy, what its watchdog waits for, the processes beside it.

Owns names, units, defaults and ranges of the section `service`; conf/service/default.yaml repeats the defaults with
a comment each.  Read by control.health, polybot.notify and polybot.companions: nothing here changes how polybot
trades.  All times are wall time.
"""

from dataclasses import dataclass

from polybot.config_schema import ranged

__all__ = ["ServiceConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """Limits of health, the watchdog's patience, and how companions are kept alive."""

    data_age_s: float = ranged(15.0, 0.1, 3_600.0)  # healthy while every needed feed brought something so lately
    loop_lag_ms: float = ranged(1_000.0, 1.0, 60_000.0)  # healthy while no beat of the last 10 s came later
    restart_age_s: float = ranged(300.0, 0.1, 86_400.0)  # a feed silent for so long: the watchdog is not fed
    ready_s: float = ranged(30.0, 0.0, 3_600.0)  # "ready" is told at the latest so long after the first beat
    refused_s: float = ranged(60.0, 0.0, 3_600.0)  # under a service manager a refused start ends so much later
    respawn_min_s: float = ranged(1.0, 0.01, 3_600.0)  # doubled each time
    respawn_max_s: float = ranged(300.0, 0.01, 86_400.0)
    respawn_reset_s: float = ranged(600.0, 0.1, 86_400.0)  # a companion that lived so long starts at the minimum again
    stop_s: float = ranged(2.0, 0.1, 60.0)  # how long companions may take to end with the daemon
    stderr_mb: int = ranged(1, 1, 1_024)  # of each companion, twice
    nice: int = ranged(5, 0, 19)
