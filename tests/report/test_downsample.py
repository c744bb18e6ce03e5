"""Thinned series: every extreme of every column and every marked point survives; the rest may go."""

import numpy as np
import pytest

from polybot.report.downsample import thin

COLUMNS = 50


def columns_of(x: np.ndarray, columns: int) -> np.ndarray:
    """Column of each point, the slow way."""
    width = (x[-1] - x[0]) / columns
    return np.array([min(int((value - x[0]) / width), columns - 1) for value in x])


@pytest.mark.parametrize("seed", range(8))
def test_every_extreme_and_every_fill_survives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1_000, 5_000))
    x = np.sort(rng.choice([rng.uniform(0.0, 1e4, n), np.floor(rng.uniform(0.0, 700.0, n))], axis=0))
    y = np.cumsum(rng.normal(0.0, 1.0, n)).round(1)
    y[rng.integers(0, n, 5)] += rng.choice([-90.0, 90.0], 5)  # spikes of one point
    fills = np.unique(rng.integers(0, n, 70))
    chosen = thin(x, y, columns=COLUMNS, keep=fills)
    kept = set(chosen.tolist())
    assert set(fills.tolist()) <= kept
    assert {0, n - 1} <= kept
    column = columns_of(x, COLUMNS)
    for k in np.unique(column):
        mine = np.flatnonzero(column == k)
        left = [i for i in mine if i in kept]
        assert y[left].min() == y[mine].min()
        assert y[left].max() == y[mine].max()
        assert {mine[0], mine[-1]} <= kept
    assert len(chosen) <= 4 * COLUMNS + len(fills)
    assert (np.diff(chosen) > 0).all()


def test_short_series_stays_whole() -> None:
    x = np.arange(40.0)
    assert thin(x, np.sin(x), columns=10).tolist() == list(range(40))


def test_what_is_not_known_stays_a_hole() -> None:
    x = np.arange(1_000.0)
    y = np.sin(x / 50.0)
    y[400:440] = np.nan
    chosen = thin(x, y, columns=20)
    assert {399, 400, 439, 440} <= set(chosen.tolist())


def test_all_points_at_one_time_keep_their_extremes() -> None:
    y = np.r_[np.zeros(500), 7.0, np.zeros(500), -3.0, np.zeros(500)]
    chosen = thin(np.full(len(y), 5.0), y, columns=3)
    assert {500, 1_001} <= set(chosen.tolist())


@pytest.mark.parametrize(("n", "columns"), [(9, 10), (10, 0)])
def test_series_that_do_not_fit_are_refused(n: int, columns: int) -> None:
    with pytest.raises(ValueError, match="x"):
        thin(np.arange(10.0), np.zeros(n), columns=columns)
