"""Spot volatility per sqrt(second) from several horizons."""

from collections.abc import Sequence

from polybot._fast.vol import Volatility

class MultiVol(Volatility):
    """Realised variance at several half-lives, jumps kept apart, hour of day taken out and put back."""

    def __init__(
        self,
        *,
        half_lives_s: Sequence[float],
        weights_frac: Sequence[float],
        sample_ms: int,
        warmup: int,
        floor_annual: float,
        jump_threshold_sd: float,
        jump_half_life_s: float,
        prior_annual: float,
        prior_weight_s: float,
        prior_ln_sd: float,
        prior_jump_frac: float,
        prior_kurtosis: float,
        forecast_ln_sd: float,
        hour_variance_frac: Sequence[float],
    ) -> None: ...
    @property
    def samples(self) -> int: ...
    @property
    def continuous(self) -> float:
        """Combined variance per s without jumps, hour of day taken out."""

    @property
    def jump(self) -> float:
        """Variance per s that came in jumps, hour of day taken out."""

    @property
    def kurtosis(self) -> float:
        """Kurtosis of truncated standardised returns."""

    def horizons(self) -> list[float]:
        """Variance per s at each half-life, hour of day and jumps taken out."""

    def season(self, now_ns: int) -> float:
        """Variance at this time of day relative to the day's mean."""
