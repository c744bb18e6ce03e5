"""Errors and intervals of results that come in clusters: what happens in one market is one piece of luck.

Owns the two ways every figure gets its error: the clustered standard error in closed form, and the bootstrap that
draws whole clusters with replacement.  One seed means one set of draws, so that columns resampled together, and runs
over the same markets, are compared on the same draws.  Must not know what the numbers mean.
Called by the other score modules and by research.score.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polybot.backtest.score_tree import Interval

__all__ = [
    "BOOTSTRAP_SEED",
    "DRAWS",
    "clustered_mean",
    "mean_interval",
    "ratio_intervals",
    "resampled_sums",
    "sum_intervals",
]

DRAWS = 2_000  # the ends of a 95 % interval then move by a few percent of its width from seed to seed
BOOTSTRAP_SEED = 20_260_608  # where a run's settings give none
TAILS = (0.025, 0.975)
CHUNK = 4_000_000  # indices held at once

Floats = NDArray[np.float64]


def resampled_sums(values: ArrayLike, *, draws: int, seed: int) -> Floats:
    """Column sums of `draws` resamples of the rows of values (G clusters x K columns), shape (draws, K)."""
    table = np.asarray(values, dtype=np.float64)
    groups = len(table)
    rng = np.random.Generator(np.random.PCG64(seed))
    sums = np.empty((draws, table.shape[1]))
    step = max(1, CHUNK // max(1, groups))
    for first in range(0, draws, step):
        rows = min(step, draws - first)
        drawn = rng.integers(0, groups, size=(rows, groups)) + np.arange(rows)[:, None] * groups
        times = np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)
        sums[first : first + rows] = times @ table
    return sums


def ratio_intervals(above: ArrayLike, below: ArrayLike, *, draws: int, seed: int) -> list[Interval | None]:
    """Interval of sum(above) / sum(below) for every column (G x K each); clusters without weight are not drawn less.

    None where the weights sum to 0.  `clusters` counts those with a weight; fewer than two have no ends.
    """
    over, under = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    columns = over.shape[1]
    drawn = resampled_sums(np.hstack([over, under]), draws=draws, seed=seed) if len(over) > 1 else None
    found: list[Interval | None] = []
    for column in range(columns):
        weight = float(under[:, column].sum())
        clusters = int((under[:, column] > 0).sum())
        if weight <= 0:
            found.append(None)
            continue
        ends = None
        if drawn is not None and clusters > 1:
            weights = drawn[:, columns + column]
            usable = weights > 0
            ends = np.quantile(drawn[usable, column] / weights[usable], TAILS)
        found.append(_interval(float(over[:, column].sum()) / weight, ends, clusters, draws))
    return found


def sum_intervals(values: ArrayLike, *, draws: int, seed: int) -> list[Interval]:
    """Interval of every column's sum over all clusters (G x K)."""
    table = np.asarray(values, dtype=np.float64)
    groups = len(table)
    ends: list[Floats] | list[None] = [None] * table.shape[1]
    if groups > 1:
        ends = list(np.quantile(resampled_sums(table, draws=draws, seed=seed), TAILS, axis=0).T)
    sums = table.sum(axis=0)
    return [_interval(float(total), pair, groups, draws) for total, pair in zip(sums, ends, strict=True)]


def mean_interval(values: ArrayLike, *, draws: int, seed: int) -> Interval:
    """Interval of the mean of values, each a cluster of its own, shape (n,), n > 0."""
    table = np.asarray(values, dtype=np.float64)[:, None]
    found = ratio_intervals(table, np.ones_like(table), draws=draws, seed=seed)[0]
    assert found is not None
    return found


def clustered_mean(
    values: ArrayLike, weights: ArrayLike, clusters: ArrayLike
) -> tuple[float | None, float | None, int]:
    """(weighted mean, its standard error clustered by `clusters`, number of clusters), shapes (n,).

    m = sum w x / sum w; error = sqrt(G / (G - 1) sum_g (sum_{i in g} w_i (x_i - m))^2) / sum w, the linearised ratio
    estimator (Cameron and Miller 2015, section II).  None: no weight, or an error of fewer than two clusters.
    """
    x, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    total = float(w.sum())
    if len(x) == 0 or total <= 0:
        return None, None, 0
    mean = float((w * x).sum()) / total
    _, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    per_cluster = np.bincount(inverse, weights=w * (x - mean))
    groups = len(per_cluster)
    if groups < 2:
        return mean, None, groups
    return mean, float(np.sqrt(groups / (groups - 1) * (per_cluster**2).sum()) / total), groups


def _interval(value: float, ends: Floats | None, clusters: int, draws: int) -> Interval:
    low, high = (None, None) if ends is None else (float(ends[0]), float(ends[1]))
    return Interval(value=value, low=low, high=high, clusters=clusters, draws=draws)
