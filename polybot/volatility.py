"""From the settings of `model.vol` to the estimator they name.

Owns the one mapping of names to classes, so that trading and the research commands run the same estimator
with the same numbers.  Must not know where prices come from.  Called by polybot.assembly and polybot.research.
"""

from polybot._fast.multi_vol import MultiVol
from polybot._fast.vol import SampledEwmaVol, TickEwmaVol, Volatility
from polybot.config_vol import VolConfig
from polybot.errors import ConfigError

__all__ = ["build_vol"]


def build_vol(config: VolConfig) -> Volatility:
    """Make the estimator; raises ConfigError for numbers that contradict each other."""
    try:
        if config.name == "multi":
            return _multi(config)
        if config.name == "ewma":
            return SampledEwmaVol(
                lambda_=config.lambda_,
                sample_ms=config.sample_ms,
                warmup=config.warmup_samples,
                floor_annual=config.floor_annual,
                bias_correct=config.bias_correct,
            )
        return TickEwmaVol(
            lambda_=config.lambda_, warmup=config.warmup_samples, floor_annual=config.floor_annual
        )
    except ValueError as error:
        raise ConfigError(f"model.vol={config.name}: {error}") from error


def _multi(config: VolConfig) -> MultiVol:
    return MultiVol(
        half_lives_s=config.half_lives_s,
        weights_frac=config.weights_frac,
        sample_ms=config.sample_ms,
        warmup=config.warmup_samples,
        floor_annual=config.floor_annual,
        jump_threshold_sd=config.jump_threshold_sd,
        jump_half_life_s=config.jump_half_life_s,
        prior_annual=config.prior_annual,
        prior_weight_s=config.prior_weight_s,
        prior_ln_sd=config.prior_ln_sd,
        prior_jump_frac=config.prior_jump_frac,
        prior_kurtosis=config.prior_kurtosis,
        forecast_ln_sd=config.forecast_ln_sd,
        hour_variance_frac=config.hour_variance_frac,
    )
