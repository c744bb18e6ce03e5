"""Settings of S6 cross_timeframe, and which other intervals' windows are followed for it.

Owns the strategy's parameters (conf/strategy/cross_timeframe.yaml repeats the defaults with a comment each) and the
choice of observed intervals: those that are named, else the nearest in length while the strategy is on.
Knows no Config: `polybot.config` hands in what it needs.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from polybot.config_schema import ranged
from polybot.errors import ConfigError

__all__ = ["CrossTimeframeParams", "choose_observed"]

# How many intervals are observed when none is named: each costs a socket and a task per window, and all are few.
NEAREST_COUNT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossTimeframeParams:
    """S6; edges are USD per share after costs, `_sd` a multiple of a standard deviation or one itself."""

    others_count: int = ranged(2, 1, 15)  # usable windows beside the traded one
    max_fair_sd: float = ranged(0.06, 0.0, 1.0)  # predictive sd of the probability
    min_edge: float = ranged(0.01, 0.0, 1.0)
    min_edge_sd: float = ranged(1.5, 0.0, 100.0)  # edge in predictive sd
    size_cap_frac: float = ranged(0.005, 0.0, 1.0)
    confidence_scale_sd: float = ranged(4.0, 0.1, 100.0)
    confidence_min: float = ranged(0.3, 0.0, 1.0)
    confidence_max: float = ranged(0.9, 0.0, 1.0)
    min_left_s: float = ranged(10.0, 0.0, 3_600.0)  # of another window
    book_max_age_s: float = ranged(5.0, 0.1, 600.0)
    level_sd: float = ranged(0.5, 0.01, 10.0)  # relative, of a variance
    forward_sd: float = ranged(0.25, 0.01, 10.0)  # relative, of one forward variance
    quote_lag_s: float = ranged(1.0, 0.0, 60.0)
    quote_error_usd: float = ranged(0.002, 0.0001, 0.5)
    min_mid_usd: float = ranged(0.03, 0.0, 0.49)
    min_abs_z: float = ranged(0.3, 0.01, 10.0)
    max_abs_z: float = ranged(2.2, 0.01, 10.0)
    pair_report_s: float = ranged(60.0, 0.0, 86_400.0)


def choose_observed(
    named: Sequence[str], *, own: str, offered: Collection[str], durations_s: Mapping[str, int], wanted: bool
) -> tuple[str, ...]:
    """Return the intervals to observe beside `own`, shortest first; () when none is named or `wanted`.

    Raises ConfigError for an interval the asset does not have, for the traded one and for one named twice.
    """
    for name in named:
        if name == own:
            raise ConfigError(
                f"engine.observe_intervals=[{','.join(named)}] is not allowed: {own} is traded, not observed"
            )
        if name not in offered:
            raise ConfigError(
                f"engine.observe_intervals=[{','.join(named)}] is not allowed: "
                f"must be of what the asset offers: {', '.join(offered)}"
            )
    if len(set(named)) != len(named):
        raise ConfigError(f"engine.observe_intervals=[{','.join(named)}] is not allowed: must differ")
    chosen = list(named)
    if not chosen and wanted:
        others = [name for name in offered if name != own]
        others.sort(key=lambda name: (abs(math.log(durations_s[name] / durations_s[own])), durations_s[name]))
        chosen = others[:NEAREST_COUNT]
    return tuple(sorted(chosen, key=lambda name: durations_s[name]))
