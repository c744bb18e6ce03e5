"""How good the model's probabilities were beside the market's own, at several times before the end.

Owns the reliability table (also research.score's), Brier score, log-loss and the interval of their difference.
Both forecasts are judged on the same samples: those where the model gave a probability and both sides of the book
were quoted; how many were not is told.  One sample of a market at each time left; all samples together in `all`.
Markets are the clusters everywhere.  Called by polybot.backtest.scores and research.score.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot._fast.event import Outcome
from polybot.backtest.bootstrap import clustered_mean, ratio_intervals
from polybot.backtest.counted import Counted
from polybot.backtest.score_tree import Bin, CalibrationSlice, Interval
from polybot.research.forecast import log_losses

__all__ = ["BOUNDS", "TAUS_S", "calibration", "inside_bin", "reliability"]

TAUS_S = (240, 120, 60, 30, 15, 5)
# A sample stands for a time left when it is not earlier and at most so much later, as a share of it and at least.
NEAR_FRAC, NEAR_S = 0.2, 1.5
BOUNDS = (0.0, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98, 1.0)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def calibration(counted: Counted, samples: Any, *, draws: int, seed: int) -> tuple[CalibrationSlice, ...]:
    """One slice per time left and one of all; samples: rows of SAMPLES_DTYPE, those of unknown outcomes left out."""
    row = counted.row_of(samples["market"]) if len(samples) else np.zeros(0, dtype=np.int64)
    outcome = counted.markets["outcome"][row]
    tau = np.asarray(samples["tau_s"], dtype=np.float64)
    usable = (outcome >= 0) & counted.inside(samples)
    labels: list[tuple[str, float | None]] = [
        *((f"{tau_s} s", float(tau_s)) for tau_s in TAUS_S),
        ("all", None),
    ]
    chosen = [_chosen(row, tau, usable, tau_s) for _, tau_s in labels]
    up = (outcome == Outcome.UP).astype(np.int64)
    parts = [
        _Part(row[rows], up[rows], np.asarray(samples["fair"])[rows], np.asarray(samples["mid"])[rows])
        for rows in chosen
    ]
    differences = _differences(parts, len(counted.markets), draws=draws, seed=seed)
    return tuple(
        _slice(label, tau_s, part, difference)
        for (label, tau_s), part, difference in zip(labels, parts, differences, strict=True)
    )


def reliability(
    up: Any, p_up: Any, bounds: Sequence[float] = BOUNDS, *, clusters: Any = None
) -> tuple[Bin, ...]:
    """Rows of a reliability table for forecasts p_up of up (1 Up), shapes (n,); each its own cluster by default."""
    won, p = np.asarray(up, dtype=np.float64), np.asarray(p_up, dtype=np.float64)
    groups = np.arange(len(p)) if clusters is None else np.asarray(clusters)
    rows = []
    for low, high in itertools.pairwise(bounds):
        inside = inside_bin(p, low, high)
        n = int(inside.sum())
        share, error, markets = clustered_mean(won[inside], np.ones(n), groups[inside])
        mean = float(p[inside].mean()) if n else None
        rows.append(Bin(low=low, high=high, n=n, markets=markets, mean_p=mean, share_up=share, error=error))
    return tuple(rows)


def inside_bin(p_up: Floats, low: float, high: float) -> Bools:
    """Which forecasts are in [low, high), with 1 in the last bin."""
    return np.asarray((p_up >= low) & ((p_up < high) if high < 1.0 else (p_up <= high)), dtype=np.bool_)


class _Part:
    """The samples of one slice: markets' rows, who won, and both forecasts where both are known."""

    def __init__(self, row: Ints, up: Ints, model: Floats, mid: Floats) -> None:
        both = np.isfinite(model) & np.isfinite(mid)
        self.model_unknown = int((~np.isfinite(model)).sum())
        self.mid_unknown = int((~np.isfinite(mid)).sum())
        self.row, self.up, self.model, self.mid = row[both], up[both], model[both], mid[both]
        self.loss_model, self.loss_mid = log_losses(self.up, self.model), log_losses(self.up, self.mid)


def _chosen(row: Ints, tau: Floats, usable: Bools, tau_s: float | None) -> Ints:
    """Rows of the samples of a slice: of each market the first at or after tau_s before the end, if it is near."""
    if tau_s is None:
        return np.flatnonzero(usable)
    near = usable & (tau <= tau_s) & (tau > tau_s - max(NEAR_S, NEAR_FRAC * tau_s))
    rows = np.flatnonzero(near)
    rows = rows[np.lexsort((-tau[rows], row[rows]))]
    _, first = np.unique(row[rows], return_index=True)
    return np.asarray(rows[first], dtype=np.int64)


def _differences(parts: Sequence[_Part], markets: int, *, draws: int, seed: int) -> list[Interval | None]:
    """Interval of mean(loss of the model - loss of the mid) for every slice, on the same draws of markets."""
    above, below = np.zeros((markets, len(parts))), np.zeros((markets, len(parts)))
    for column, part in enumerate(parts):
        gains = part.loss_model - part.loss_mid
        above[:, column] = np.bincount(part.row, weights=gains, minlength=markets)
        below[:, column] = np.bincount(part.row, minlength=markets)
    present = below.any(axis=1)
    return ratio_intervals(above[present], below[present], draws=draws, seed=seed)


def _slice(label: str, tau_s: float | None, part: _Part, difference: Interval | None) -> CalibrationSlice:
    known = len(part.row) > 0

    def mean(values: Floats) -> float | None:
        return float(values.mean()) if known else None

    return CalibrationSlice(
        label=label,
        tau_s=tau_s,
        n=len(part.row),
        markets=len(np.unique(part.row)),
        model_unknown=part.model_unknown,
        mid_unknown=part.mid_unknown,
        brier_model=mean((part.model - part.up) ** 2),
        brier_mid=mean((part.mid - part.up) ** 2),
        log_loss_model=mean(part.loss_model),
        log_loss_mid=mean(part.loss_mid),
        difference=difference,
        model=reliability(part.up, part.model, clusters=part.row),
        mid=reliability(part.up, part.mid, clusters=part.row),
    )
