"""Settings of the volatility estimators (`model.vol`): which one, and its numbers.

Owns names, units, defaults and ranges; conf/model/vol/ has one file per estimator and repeats them with
a comment each.  A field that belongs to some estimators only says so (`only`).  The numbers of `multi`
were fitted by `python -m polybot fit` (docs/STRATEGIES.md says how); `polybot.config` hangs this in.
"""

from dataclasses import dataclass, field
from typing import Literal

from polybot.config_schema import ranged

__all__ = ["VolConfig"]

_EWMAS = ("ewma", "ewma_tick")
_HOUR_VARIANCE_FRAC = (
    1.031, 0.995, 0.962, 0.843, 0.746, 0.751, 0.789, 0.909, 0.92, 0.78, 0.72, 0.734,
    0.881, 1.297, 1.55, 1.506, 1.354, 1.135, 1.016, 0.992, 0.913, 0.993, 1.099, 1.082,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class VolConfig:
    """Which volatility estimator and its numbers."""

    name: Literal["multi", "ewma", "ewma_tick"] = "multi"
    sample_ms: int = ranged(1_000, 0, 600_000)  # 0: every trade (ewma_tick)
    warmup_samples: int = ranged(60, 1, 100_000)
    floor_annual: float = ranged(0.10, 0.0, 10.0)
    lambda_: float = ranged(0.94, 0.0, 1.0, only=_EWMAS)
    bias_correct: bool = field(default=True, metadata={"only": _EWMAS})
    half_lives_s: tuple[float, ...] = ranged((10.0, 60.0, 300.0, 1_800.0), 1.0, 86_400.0, only="multi")
    weights_frac: tuple[float, ...] = ranged((0.1, 0.23, 0.35, 0.32), 0.0, 1.0, only="multi")
    jump_threshold_sd: float = ranged(4.0, 1.0, 100.0, only="multi")
    jump_half_life_s: float = ranged(3_600.0, 1.0, 86_400.0, only="multi")
    prior_annual: float = ranged(0.45, 0.01, 10.0, only="multi")
    prior_weight_s: float = ranged(20.0, 0.0, 3_600.0, only="multi")
    prior_ln_sd: float = ranged(0.5, 0.0, 3.0, only="multi")
    prior_jump_frac: float = ranged(0.1, 0.0, 0.9, only="multi")
    prior_kurtosis: float = ranged(4.0, 1.0, 1_000.0, only="multi")
    forecast_ln_sd: float = ranged(0.21, 0.0, 3.0, only="multi")
    hour_variance_frac: tuple[float, ...] = ranged(_HOUR_VARIANCE_FRAC, 0.05, 20.0, only="multi")
