"""`python -m polybot fit`: the numbers of conf/model/vol/multi.yaml, from recorded data.

Owns the choice: hour-of-day profile from the five-minute returns (research.hours); weights of the horizons by the
log-loss of the first half of the oracle's day under rule twap, overlapping windows, each forecast made before its
window ended; the mean of all sets within one standard error of the best is taken (they cannot be told apart, and
their mean does not hang on the grid).  The forecast error is that of the next five minutes.  The second half of
that day is never read here: `score` judges on it.  Weights that see phantom edges (research.phantom) are left out,
whatever their log-loss.  Thresholds, half-lives and the prior are settings, not fitted.
Writes to stdout, ready to copy.  Called by polybot.cli.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polybot._fast.pricing import Rule
from polybot.config import Config
from polybot.config_research import ResearchConfig
from polybot.config_vol import VolConfig
from polybot.errors import ConfigError
from polybot.research.data import OracleDay, read_five_minutes, read_oracle_day
from polybot.research.forecast import (
    TAUS_S,
    WINDOW_S,
    Forecaster,
    Windows,
    halves,
    log_losses,
    sigma_path,
    windows_between,
)
from polybot.research.hours import HourFit, fit_hours
from polybot.research.phantom import PhantomWorld, phantom_edges
from polybot.research.progress import Progress
from polybot.volatility import build_vol

__all__ = ["Fitted", "Tried", "fit", "run"]

EDGE_USD = 0.03  # an edge of this size is what latency_arb would trade on
PHANTOM = PhantomWorld(seed=1, every_s=10)  # the world that refuses weights; tests use other seeds
SHOWN = 5  # best weights that are printed
NEXT_S = 300  # what the forecast error is measured over
HOURS_A_LINE = 12

Weights = tuple[float, ...]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tried:
    """One weight set: mean log-loss over all tau, and the loss of every window."""

    loss: float
    weights: Weights
    by_window: Floats


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was fitted, and what it was chosen from."""

    weights: Weights
    tried: tuple[Tried, ...]  # best first
    alike: tuple[Weights, ...]  # sets behind the mean: allowed, within one standard error of the best allowed
    refused: tuple[tuple[Weights, float], ...]  # sets met on the way that saw phantom edges, with the share
    phantom_frac: float  # share of the chosen weights
    hours: HourFit
    forecast_ln_sd: float
    sampling_ln_sd: float  # of the oracle-sampled estimate, which the forecast error does not contain


def run(config: Config) -> int:
    """Fit and print; raises ConfigError when the data or the estimator is not there."""
    sys.stdout.write(_report(config, fit(config)) + "\n")
    return 0


def fit(config: Config) -> Fitted:
    """Fit on the first half of the oracle's day; deterministic."""
    research, base = config.research, config.model.vol
    if base.name != "multi":
        raise ConfigError(f"model/vol={base.name} has nothing to fit: use model/vol=multi")
    hours = fit_hours(read_five_minutes(research.data_dir))
    live = replace(base, hour_variance_frac=hours.variance_frac)
    sampled = replace(live, sample_ms=research.oracle_sample_ms)
    whole = read_oracle_day(research.data_dir)
    (first, last), _ = halves(whole)
    day = replace(whole, prices=whole.prices[: last + 1])
    tried = tuple(sorted(_try_all(day, first, sampled, research), key=lambda item: (item.loss, item.weights)))
    alike, refused = _choose(tried, live, research)
    weights = tuple(round(float(value), 2) for value in np.mean(alike, axis=0))
    error, noise = _forecast_error(day, first, research.fit_step_s, replace(sampled, weights_frac=weights))
    return Fitted(
        weights=weights,
        tried=tried,
        alike=alike,
        refused=refused,
        phantom_frac=_phantom_share(replace(live, weights_frac=weights)),
        hours=hours,
        forecast_ln_sd=error,
        sampling_ln_sd=noise,
    )


def _try_all(day: OracleDay, first: int, vol: VolConfig, research: ResearchConfig) -> Iterator[Tried]:
    """Log-loss of every weight set of the grid; windows start at index `first` or later."""
    forecaster = Forecaster(day)
    windows = forecaster.windows(windows_between(first, len(day.prices) - 1, research.fit_step_s))
    grid = list(_simplex(len(vol.half_lives_s), round(1.0 / research.fit_weight_frac)))
    progress = Progress("weights tried", len(grid))
    for weights in grid:
        sigma = sigma_path(build_vol(replace(vol, weights_frac=weights)), day)
        losses = _losses(forecaster, windows, sigma)
        yield Tried(float(losses.mean()), weights, losses)
        progress.step()


def _losses(forecaster: Forecaster, windows: Windows, sigma: Floats) -> Floats:
    """Log-loss of each window, mean over all tau."""
    losses = [
        log_losses(windows.up, forecaster.probabilities(windows, rule=Rule.RULE_TWAP, tau_s=tau, sigma=sigma))
        for tau in TAUS_S
    ]
    return np.asarray(np.mean(losses, axis=0))


def _choose(
    tried: Sequence[Tried], live: VolConfig, research: ResearchConfig
) -> tuple[tuple[Weights, ...], tuple[tuple[Weights, float], ...]]:
    """(sets within one standard error of the best allowed one, sets refused before or among them)."""
    alike: list[Weights] = []
    refused: list[tuple[Weights, float]] = []
    best: Tried | None = None
    block = max(1, WINDOW_S // research.fit_step_s)
    for item in tried:
        if best is not None and item.loss - best.loss > _standard_error(
            item.by_window - best.by_window, block
        ):
            continue
        share = _phantom_share(replace(live, weights_frac=item.weights))
        if share > research.phantom_max_frac:
            refused.append((item.weights, share))
            continue
        best = best or item
        alike.append(item.weights)
    if best is None:
        raise ConfigError(f"research.phantom_max_frac={research.phantom_max_frac:g} refuses every weight set")
    return tuple(alike), tuple(refused)


def _standard_error(differences: Floats, block: int) -> float:
    """Standard error of a mean over overlapping windows: by means of blocks as long as a window."""
    whole = len(differences) // block * block
    means = differences[:whole].reshape(-1, block).mean(axis=1)
    return float(means.std() / math.sqrt(len(means)))


def _simplex(count: int, steps: int) -> Iterator[Weights]:
    """All weights that are whole multiples of 1/steps and sum to 1."""

    def parts(left: int, places: int) -> Iterator[tuple[int, ...]]:
        if places == 1:
            yield (left,)
            return
        for here in range(left + 1):
            for rest in parts(left - here, places - 1):
                yield (here, *rest)

    for whole in parts(steps, count):
        yield tuple(part / steps for part in whole)


def _phantom_share(vol: VolConfig) -> float:
    edges = phantom_edges(build_vol(vol), PHANTOM)
    return float(np.mean(np.abs(edges) >= EDGE_USD))


def _forecast_error(day: OracleDay, first: int, every_s: int, vol: VolConfig) -> tuple[float, float]:
    """(sd of ln sigma's forecast error beyond sampling noise, that noise), over the next five minutes.

    Realised variance is taken twice, from every other return each: the covariance of the two ln(realised / forecast)
    has no noise of realised variance in it, whatever the tails.  What is left is the forecast's error, and the
    estimate's own sampling noise, which is taken out (live, returns are shorter and it is smaller).
    """
    step = vol.sample_ms // 1_000
    estimator = build_vol(replace(vol, forecast_ln_sd=0.0, prior_ln_sd=0.0))
    sigma, noise = sigma_path(estimator, day), estimator.standard_error()
    log_prices = np.log(day.prices)
    even, odd = [], []
    for start in range(first, len(day.prices) - NEXT_S, every_s):
        squares = np.diff(log_prices[start : start + NEXT_S + 1 : step]) ** 2 / step
        even.append(math.log(float(squares[::2].mean()) / sigma[start] ** 2))
        odd.append(math.log(float(squares[1::2].mean()) / sigma[start] ** 2))
    beyond = 0.25 * float(np.cov(even, odd)[0, 1]) - noise**2
    return math.sqrt(max(0.0, beyond)), noise


def _report(config: Config, found: Fitted) -> str:
    research, base = config.research, config.model.vol
    gains = ", ".join(f"{power:g}: {a:+.4f} / {b:+.4f}" for power, (a, b) in found.hours.gains.items())
    best = [f"  {item.loss:.5f}  {list(item.weights)}" for item in found.tried[:SHOWN]]
    refused = [f"  {list(weights)}: {share:.1%} of seconds" for weights, share in found.refused[:SHOWN]]
    hours = found.hours.variance_frac
    lines = [
        ", ".join(f"{value:g}" for value in hours[i : i + HOURS_A_LINE])
        for i in range(0, len(hours), HOURS_A_LINE)
    ]
    return "\n".join(
        [
            "# fit: no random number but the phantom world's, seed "
            f"{PHANTOM.seed}; the second half of the oracle's day was not read",
            "# hour of day: power of the profile -> gain in log-likelihood per return on weeks it was not made from,",
            f"#   as recorded / an hour earlier: {gains}; chosen {found.hours.power:g}",
            f"# weights of half-lives {list(base.half_lives_s)} s by log-loss (mean over tau {list(TAUS_S)} s), "
            f"windows every {research.fit_step_s} s, returns over {research.oracle_sample_ms} ms; "
            f"best of {len(found.tried)}:",
            *(f"# {line}" for line in best),
            f"# chosen: the mean of the {len(found.alike)} sets within one standard error of the best allowed one",
            f"# refused for phantom edges of {EDGE_USD:g} (more than {research.phantom_max_frac:.0%}): "
            f"{len(found.refused)}; the chosen ones see {found.phantom_frac:.2%}",
            *(f"# {line}" for line in refused),
            f"# forecast error over the next {NEXT_S} s; sampling noise of the estimate ({found.sampling_ln_sd:.3f}) "
            "taken out",
            f"weights_frac: {list(found.weights)}",
            f"forecast_ln_sd: {found.forecast_ln_sd:.2f}",
            "hour_variance_frac: [",
            f"  {lines[0]},",
            *(f"  {line}]" for line in lines[1:]),
        ]
    )
