"""Figures that describe order books: spread, depth, one-sided time, moves, touch, prints.

Owns how each figure of docs/VENUE.md's calibration table is computed from window books, the same way for
simulated and recorded ones: by time left (time-weighted), per change of the book, on whole seconds, and
per repricing move.  Names of figures are those of research.venue_facts.
Must not know where the books come from.  Called by research.venue_check.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polybot.research.window_book import WindowBook

__all__ = ["BUCKETS", "book_figures"]

# Seconds left: (from, to).
BUCKETS = ((240, 300), (180, 240), (120, 180), (60, 120), (30, 60), (20, 30), (10, 20), (5, 10), (0, 5))
TOUCH_QUANTILES = (5, 25, 50, 75, 95)
ONE_TICK_C = 1.001  # a spread of one tick of 0.01, or less on a finer grid
MOVE_C, MOVE_S = 5.0, 2.0  # a repricing move: so many cents within so many seconds
DONE = 0.9  # share of it at which it counts as done
GRID_S = 0.05  # time grid on which moves are found

_Floats = NDArray[np.floating]


def book_figures(books: Sequence[WindowBook]) -> dict[str, float]:
    """All figures of these windows, by name."""
    figures: dict[str, float] = {}
    for low, high in BUCKETS:
        figures |= {f"{name} {low}-{high}": value for name, value in _bucket(books, low, high).items()}
    return figures | _touch(books) | _seconds(books) | _moves(books) | _rates(books)


def _bucket(books: Sequence[WindowBook], low: int, high: int) -> dict[str, float]:
    """Time-weighted figures while `low` to `high` seconds are left."""
    parts = [_within(book, low, high) for book in books]
    weight, spread, mid, one_sided = (np.concatenate(column) for column in zip(*parts, strict=True))
    sizes = np.concatenate([_held(book, low, high) for book in books], axis=1)
    two = ~one_sided
    middle = (mid >= 10.0) & (mid <= 90.0)
    figures = {
        "spread": _mean(spread[two], weight[two]),
        "one tick": 100.0 * _mean(spread[two] <= ONE_TICK_C, weight[two]),
        "spread in the middle": _mean(spread[two & middle], weight[two & middle]),
        "mid in the middle": 100.0 * _mean(middle, weight),
        "one side empty": 100.0 * _mean(one_sided, weight),
        "depth": float(np.mean([_median(sizes[1], sizes[0]), _median(sizes[2], sizes[0])])),
    }
    return figures


def _within(book: WindowBook, low: int, high: int) -> tuple[_Floats, _Floats, _Floats, NDArray[np.bool_]]:
    weight = _weight(book, low, high)
    part = weight > 0.0
    return weight[part], (book.ask - book.bid)[part], book.mid[part], book.is_one_sided[part]


def _held(book: WindowBook, low: int, high: int) -> _Floats:
    """Rows (weight, depth of bids, depth of asks) of the bucket."""
    weight = _weight(book, low, high)
    part = weight > 0.0
    return np.vstack([weight[part], book.depths[:, part]])


def _weight(book: WindowBook, low: int, high: int) -> _Floats:
    """Seconds that each row stood within the bucket."""
    first, last = book.length_s - high, book.length_s - low
    ends = np.append(book.at_s[1:], np.float32(book.length_s))
    return np.clip(ends, first, last) - np.clip(book.at_s, first, last)


def _touch(books: Sequence[WindowBook]) -> dict[str, float]:
    """Size at the touch per change of the book, both sides, mid within 0.2 to 0.8."""
    sizes = []
    for book in books:
        even = (book.mid >= 20.0) & (book.mid <= 80.0)
        sizes += [book.sizes[0][even & ~np.isnan(book.bid)], book.sizes[1][even & ~np.isnan(book.ask)]]
    values = np.percentile(np.concatenate(sizes), TOUCH_QUANTILES)
    return {f"touch {part}": float(value) for part, value in zip(TOUCH_QUANTILES, values, strict=True)}


def _seconds(books: Sequence[WindowBook]) -> dict[str, float]:
    """Changes of the mid from one whole second to the next."""
    grid = np.arange(0.0, books[0].length_s + 0.5)
    changes = np.diff(np.array([_at(book, grid) for book in books]))
    minutes = [changes[:, 60 * minute : 60 * minute + 60] for minute in range(changes.shape[1] // 60)]
    figures = {f"sd of 1 s minute {i}": float(np.sqrt(np.mean(part**2))) for i, part in enumerate(minutes, 1)}
    square = float(np.sum(changes**2)) or math.nan  # a still book has no autocorrelation
    return figures | {
        "share of 5 c in 1 s": 100.0 * float(np.mean(np.abs(changes) >= MOVE_C)),
        "autocorrelation 1 s": float(np.sum(changes[:, 1:] * changes[:, :-1]) / square),
        "autocorrelation 2 s": float(np.sum(changes[:, 2:] * changes[:, :-2]) / square),
    }


def _moves(books: Sequence[WindowBook]) -> dict[str, float]:
    """Repricing moves: how many a window, and seconds from the first tick to 90 % of the move."""
    lasted: list[float] = []
    for book in books:
        lasted += _durations(_at(book, np.arange(0.0, book.length_s, GRID_S)))
    low, median, high = np.percentile(lasted, (10, 50, 90)) if lasted else (np.nan,) * 3
    return {
        "moves": len(lasted) / len(books),
        "repricing 10": float(low),
        "repricing": float(median),
        "repricing 90": float(high),
    }


def _durations(mid: _Floats) -> list[float]:
    """Of each move on the grid: seconds from its first tick until 90 % of it are done.

    A move begins at a change that is followed within 2 s by a price 5 c or more from the one before it; it
    ends there, and the next one is looked for 2 s after its beginning.
    """
    span = round(MOVE_S / GRID_S)
    changed = np.flatnonzero(np.diff(mid)) + 1
    lasted: list[float] = []
    next_at = 0
    for at in map(int, changed):
        if at < next_at or at + span > len(mid):
            continue
        way = mid[at : at + span] - mid[at - 1]
        far = np.abs(way) >= MOVE_C - 1e-3
        if far.any():
            end = int(np.argmax(far))
            done = np.abs(way[: end + 1]) >= DONE * abs(way[end])
            lasted.append(GRID_S * int(np.argmax(done & (np.sign(way[: end + 1]) == np.sign(way[end])))))
            next_at = at + span
    return lasted


def _rates(books: Sequence[WindowBook]) -> dict[str, float]:
    seconds = sum(book.length_s for book in books)
    changed = 0
    for book in books:
        prices = np.nan_to_num(np.stack([book.bid, book.ask]), nan=-1.0)
        changed += int(np.count_nonzero(np.any(np.diff(prices) != 0.0, axis=0)))
    return {
        "best price changes": changed / seconds,
        "book changes": sum(len(book.at_s) for book in books) / seconds,
        "prints": sum(book.prints for book in books) / seconds,
    }


def _at(book: WindowBook, grid: _Floats) -> _Floats:
    """Mid at these times: the one that stood then."""
    rows = np.searchsorted(book.at_s, grid.astype(np.float32), side="right") - 1
    return book.mid[np.clip(rows, 0, None)].astype(np.float64)


def _mean(values: _Floats | NDArray[np.bool_], weight: _Floats) -> float:
    total = float(weight.sum())
    return float(np.sum(values * weight)) / total if total > 0.0 else float("nan")


def _median(values: _Floats, weight: _Floats) -> float:
    order = np.argsort(values)
    summed = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(summed, 0.5 * summed[-1])])
