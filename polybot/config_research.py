"""Settings of the research commands: where recorded data lies, seeds, sampling of the recorded feed.

Owns names, units, defaults and ranges of the section `research`; conf/research/default.yaml repeats the
defaults with a comment each.  Only `fit`, `score` and the venue's calibration read it: nothing here
changes how polybot trades.
"""

from dataclasses import dataclass

from polybot.config_schema import ranged

__all__ = ["ResearchConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchConfig:
    """Recorded data and how the research commands read it."""

    data_dir: str = ""  # folder with the recorded data sets; "" = the commands say that they need one
    seed: int = ranged(20_260_608, 0, 2**53)  # of the bootstrap
    bootstrap_count: int = ranged(2_000, 100, 1_000_000)  # resamples of the windows
    oracle_sample_ms: int = ranged(10_000, 1_000, 600_000)  # return interval on the smoothed oracle stream
    fit_weight_frac: float = ranged(0.1, 0.02, 0.5)  # step of the weights that are tried
    phantom_max_frac: float = ranged(0.05, 0.0, 1.0)  # share of phantom edges above which weights are refused
    fit_step_s: int = ranged(30, 1, 300)  # between the starts of the overlapping windows that are fitted
    windows: int = ranged(200, 1, 100_000)  # venue-check: virtual windows that are measured
    workers: int = ranged(2, 1, 64)  # venue-check: processes that play them
