"""Fewer points, the same picture: thins a long series without losing an extreme or a marked point.

Owns the choice of points that are drawn.  A series is cut into as many buckets as the picture has columns; of each
the first, last, lowest and highest point stay, so the drawn envelope is that of the whole series, and every point
named in `keep` (fills) stays too.  Must not average or move a point.  Called by polybot.report.drawings.
"""

from typing import Any

import numpy as np

__all__ = ["thin"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Indexes = np.ndarray[Any, np.dtype[np.int64]]


def thin(x: Floats, y: Floats, *, columns: int, keep: Indexes | None = None) -> Indexes:
    """Return the indexes (ascending, each once) of the points to draw; at most 4 a column, and `keep`.

    x must ascend.  Columns are equal spans of x; NaN in y stays where it separates what is known from what is not.
    Raises ValueError when the lengths differ or columns is below 1.
    """
    if len(x) != len(y) or columns < 1:
        raise ValueError(f"{len(x)} x, {len(y)} y, {columns} columns")
    n = len(x)
    kept = np.asarray(keep if keep is not None else (), dtype=np.int64)
    if n <= 4 * columns:
        return np.arange(n, dtype=np.int64)
    span = float(x[-1] - x[0])
    column = (
        np.minimum((x - x[0]) / span * columns, columns - 1).astype(np.int64)
        if span > 0.0
        else np.zeros(n, np.int64)
    )
    starts = np.flatnonzero(np.r_[True, np.diff(column) != 0])
    ends = np.r_[starts[1:], n] - 1
    known = ~np.isnan(y)
    lowest = _first_at(y, starts, np.fmin, np.inf)
    highest = _first_at(y, starts, np.fmax, -np.inf)
    edges = np.flatnonzero(np.diff(known.astype(np.int8)) != 0)
    chosen = np.concatenate((starts, ends, lowest, highest, edges, edges + 1, kept))
    return np.unique(chosen)


def _first_at(y: Floats, starts: Indexes, extreme: np.ufunc, worst: float) -> Indexes:
    """Index of the first extreme point of each bucket."""
    filled = np.where(np.isnan(y), worst, y)
    best = extreme.reduceat(filled, starts)
    spread = np.repeat(best, np.diff(np.r_[starts, len(y)]))
    hits = np.flatnonzero(filled == spread)
    bucket = np.searchsorted(starts, hits, side="right") - 1
    return hits[np.r_[True, np.diff(bucket) != 0]]
