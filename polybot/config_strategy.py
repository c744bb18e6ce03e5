"""Parameters of the built-in strategies, one dataclass each, and the list of what is loaded by default.

Owns names, units, defaults and ranges; conf/strategy/<name>.yaml repeats them with a comment each, and
the strategies' own keyword arguments have the same names (tests compare all three).  `polybot.config`
checks a configuration against these; a user's own strategy has no entry here.  Knows no strategy class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from polybot.config_cross import CrossTimeframeParams
from polybot.config_schema import ranged

__all__ = [
    "BUILTIN_PARAMS",
    "DEFAULT_STRATEGIES",
    "CertaintyCaptureParams",
    "ConvexityFadeParams",
    "LatencyArbParams",
    "LpExtremeParams",
    "StrikeMisalignParams",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyArbParams:
    """S1; edges are USD per share after costs."""

    min_edge: float = ranged(0.03, 0.0, 1.0)
    require_move: bool = True
    require_move_edge: float = ranged(0.01, -1.0, 1.0)  # edge before the move must have been below
    order_type: Literal["FAK", "FOK"] = "FAK"
    size_cap_frac: float = ranged(0.15, 0.0, 1.0)
    confidence_scale_edge: float = ranged(0.10, 0.001, 1.0)
    confidence_min: float = ranged(0.3, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertaintyCaptureParams:
    """S2; size caps are fractions of bankroll by |z|."""

    min_abs_z: float = ranged(1.5, 0.0, 10.0)
    min_edge: float = ranged(0.02, 0.0, 1.0)
    order_type: Literal["FAK", "FOK"] = "FAK"
    size_cap_frac: float = ranged(0.02, 0.0, 1.0)
    size_cap_mid_frac: float = ranged(0.03, 0.0, 1.0)
    size_cap_mid_abs_z: float = ranged(2.5, 0.0, 10.0)
    size_cap_high_frac: float = ranged(0.05, 0.0, 1.0)
    size_cap_high_abs_z: float = ranged(3.0, 0.0, 10.0)
    confidence_scale_z: float = ranged(4.0, 0.1, 100.0)
    confidence_min: float = ranged(0.5, 0.0, 1.0)
    confidence_max: float = ranged(0.99, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvexityFadeParams:
    """S3; an overreaction is the market's move beyond the model's, in its own standard deviations."""

    max_distance_frac: float = ranged(0.003, 0.0, 1.0)
    min_left_s: float = ranged(30.0, 0.0, 86_400.0)
    lookback_s: float = ranged(5.0, 0.1, 25.0)
    overreaction_z: float = ranged(2.0, 0.0, 100.0)
    overreaction_min_sd: float = ranged(0.005, 0.0, 1.0)  # USD per share
    overreaction_half_life_s: float = ranged(120.0, 1.0, 86_400.0)
    overreaction_min_samples: int = ranged(300, 1, 1_000_000)  # one per timer
    min_edge: float = ranged(0.02, 0.0, 1.0)
    life_s: float = ranged(10.0, 0.1, 86_400.0)
    cancel_buffer_edge: float = ranged(0.01, 0.0, 1.0)
    swing_s: float = ranged(10.0, 0.1, 3_600.0)
    size_cap_frac: float = ranged(0.005, 0.0, 1.0)
    confidence_min: float = ranged(0.3, 0.0, 1.0)
    confidence_max: float = ranged(0.65, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrikeMisalignParams:
    """S4; life_s and cancel_edge are for POST_ONLY."""

    opening_s: float = ranged(15.0, 0.0, 3_600.0)
    opening_frac: float = ranged(0.05, 0.0, 1.0)
    opening_max_s: float = ranged(300.0, 0.0, 3_600.0)
    min_shift_edge: float = ranged(0.02, 0.0, 1.0)
    min_edge: float = ranged(0.02, 0.0, 1.0)
    order_type: Literal["FAK", "FOK", "POST_ONLY"] = "FAK"
    life_s: float = ranged(10.0, 0.0, 86_400.0)
    cancel_edge: float = ranged(0.0, -1.0, 1.0)
    size_cap_frac: float = ranged(0.02, 0.0, 1.0)
    confidence_scale_edge: float = ranged(0.10, 0.001, 1.0)
    confidence_min: float = ranged(0.4, 0.0, 1.0)
    confidence_max: float = ranged(0.9, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LpExtremeParams:
    """S5; improve_ticks counts tick sizes of the market."""

    min_abs_z: float = ranged(1.5, 0.0, 10.0)
    min_left_s: float = ranged(60.0, 0.0, 86_400.0)
    min_left_frac: float = ranged(0.10, 0.0, 1.0)
    max_ask_usd: float = ranged(0.25, 0.0, 1.0)
    min_edge: float = ranged(0.02, 0.0, 1.0)
    improve_ticks: int = ranged(0, 0, 100)
    life_s: float = ranged(30.0, 0.0, 86_400.0)
    cancel_edge: float = ranged(0.0, -1.0, 1.0)
    size_cap_frac: float = ranged(0.02, 0.0, 1.0)
    confidence_scale_edge: float = ranged(0.10, 0.001, 1.0)
    confidence_min: float = ranged(0.3, 0.0, 1.0)
    confidence_max: float = ranged(0.65, 0.0, 1.0)


# By `_target_`; any other target is a user's own class.
BUILTIN_PARAMS: Mapping[str, type] = {
    "polybot.strategies.LatencyArb": LatencyArbParams,
    "polybot.strategies.CertaintyCapture": CertaintyCaptureParams,
    "polybot.strategies.ConvexityFade": ConvexityFadeParams,
    "polybot.strategies.StrikeMisalign": StrikeMisalignParams,
    "polybot.strategies.LpExtreme": LpExtremeParams,
    "polybot.strategies.CrossTimeframe": CrossTimeframeParams,
}

# What conf/config.yaml loads, by name: (`_target_`, whether it trades).
DEFAULT_STRATEGIES: Mapping[str, tuple[str, bool]] = {
    "latency_arb": ("polybot.strategies.LatencyArb", True),
    "certainty_capture": ("polybot.strategies.CertaintyCapture", True),
    "convexity_fade": ("polybot.strategies.ConvexityFade", True),
    "strike_misalign": ("polybot.strategies.StrikeMisalign", True),
    "lp_extreme": ("polybot.strategies.LpExtreme", True),
    "cross_timeframe": ("polybot.strategies.CrossTimeframe", False),
}
