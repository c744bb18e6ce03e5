"""Settings of the command `doctor`: how long a check may take, and from where on what it measures is a warning.

Owns names, units, defaults and ranges of the section `doctor`; conf/doctor/default.yaml repeats the defaults with a
comment each.  Nothing here lifts a refusal: what fails a check is the gateway's own rule or a bound of its range.
Read by polybot.doctor, also before real orders.
"""

from dataclasses import dataclass

from polybot.config_schema import ranged

__all__ = ["DoctorConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorConfig:
    """Limits of the pre-flight checks; seconds are wall time."""

    check_s: float = ranged(6.0, 0.5, 60.0)  # one check, but for those of a feed and of the embedded venue's start
    feed_s: float = ranged(5.0, 0.5, 60.0)  # a feed must have brought data by then
    listen_s: float = ranged(1.0, 0.0, 10.0)  # to the spot feed at least, for the stamps of several trades
    stay_s: float = ranged(1.5, 0.0, 10.0)  # a login at the user channel that is refused is closed sooner
    venue_s: float = ranged(45.0, 1.0, 300.0)  # the embedded venue must serve by then
    clock_warn_ms: int = ranged(250, 1, 1_000)  # wall; a larger difference is a warning (failed: gateway.skew_stop_ms)
    min_balance_usd: float = ranged(5.0, 1.0, 1e6)  # less collateral cannot pay for the venue's smallest order
    json: bool = False  # one line of JSON instead of a table
