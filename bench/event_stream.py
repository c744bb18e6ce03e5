"""Decoded events of one window in the proportions measured on the real market, for benches of the pump.

Rates per second and sizes: spot 30 trades and 115 quotes; the market's channel 12.1 books of 98 levels, 8 prints
(median 11.6 shares) and 50 price changes of two records (measured: at least 2.8 after throttling, "95 % of messages"
by another recorder); the oracle once.  The books follow the fair price of a random walk a second late, one cent wide,
so that now and then a strategy finds an edge and orders are placed.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from polybot._fast import event as ev
from polybot._fast.event import EVENT_DTYPE

__all__ = ["START_NS", "STRIKE", "WARM_S", "window_events", "write_mapped"]

NS = 1_000_000_000
SHARE = 1_000_000
START_NS = 1_790_000_100 * NS
STRIKE = 100_000.0
WARM_S = 120  # spot and oracle before the window
SIGMA = 1e-4  # per sqrt(s)
LEVELS = 49  # a side
LAG_S = 1.0  # a repricing takes 1.2 s in the median
RATES = {"trade": 30.0, "quote": 115.0, "book": 12.1, "print": 8.0, "change": 50.0}

Events = np.ndarray[Any, np.dtype[Any]]


def window_events(seconds: float, *, seed: int = 1) -> Events:
    """Events from WARM_S before START_NS to `seconds` after it, in the order of receipt; market index 0."""
    rng = np.random.default_rng(seed)
    grid = np.arange(-WARM_S, seconds, 0.01)
    steps = rng.standard_normal(len(grid)) * SIGMA * STRIKE * math.sqrt(0.01)
    path = STRIKE + np.cumsum(steps) - np.cumsum(steps)[WARM_S * 100 - 1]
    parts = [
        _spot(rng, grid, path, "trade"),
        _spot(rng, grid, path, "quote"),
        _oracle(grid, path),
        _books(rng, grid, path, seconds),
        _changes(rng, grid, path, seconds),
        _prints(rng, grid, path, seconds),
    ]
    rows = np.concatenate(parts)
    return np.ascontiguousarray(rows[np.argsort(rows["recv_ns"], kind="stable")])


def write_mapped(path: Path, events: Events) -> Events:
    """The events in a file, mapped as a tape's decoded cache is."""
    events.tofile(path)
    return np.memmap(path, EVENT_DTYPE, mode="r")


def _times(rng: np.random.Generator, kind: str, first: float, last: float) -> np.ndarray[Any, Any]:
    return np.sort(rng.uniform(first, last, rng.poisson(RATES[kind] * (last - first))))


def _rows(times: np.ndarray[Any, Any], kind: int, each: int = 1) -> Events:
    """`each` records per message, all with its time, the last one with F_END."""
    rows = np.zeros(len(times) * each, EVENT_DTYPE)
    rows["recv_ns"] = START_NS + np.repeat((times * NS).astype(np.int64), each)
    rows["venue_ns"] = rows["recv_ns"] - 5_000_000
    rows["kind"] = kind
    rows["flags"][each - 1 :: each] = ev.F_END
    return rows


def _spot(rng: np.random.Generator, grid: Any, path: Any, kind: str) -> Events:
    times = _times(rng, kind, -WARM_S, float(grid[-1]))
    price = np.round(np.interp(times, grid, path), 2)
    rows = _rows(times, ev.EV_SPOT_TRADE if kind == "trade" else ev.EV_SPOT_QUOTE)
    rows["market"] = ev.NO_MARKET
    rows["x"], rows["y"] = price, 0.01 if kind == "trade" else price + 0.01
    return rows


def _oracle(grid: Any, path: Any) -> Events:
    seconds = np.arange(-WARM_S, int(grid[-1]))
    rows = _rows(seconds + 1.3, ev.EV_ORACLE_SPOT)
    rows["market"], rows["venue_ns"] = ev.NO_MARKET, START_NS + seconds * NS
    rows["x"] = np.interp(seconds, grid, path)
    return rows


def _middle(times: Any, grid: Any, path: Any) -> np.ndarray[Any, Any]:
    """Ticks of the fair price LAG_S ago, on the cent, by the normal distribution of what is left of the window."""
    spot = np.interp(times - LAG_S, grid, path)
    left = np.maximum(300.0 - times - 40.0, 5.0)
    z = (spot - STRIKE) / (SIGMA * STRIKE * np.sqrt(left))
    fair = 0.5 + 0.5 * np.sign(z) * np.sqrt(1.0 - np.exp(-2.0 * z * z / math.pi))
    return np.clip((fair * 100).astype(np.int64) * 100, 200, 9_700)


def _books(rng: np.random.Generator, grid: Any, path: Any, seconds: float) -> Events:
    times = _times(rng, "book", 0.0, seconds)
    each = 1 + 2 * LEVELS
    rows = _rows(times, ev.EV_BOOK_LEVEL, each)
    rows["kind"][::each] = ev.EV_BOOK_SNAPSHOT
    away = np.tile(np.arange(LEVELS) * 100, 2 * len(times))
    side = np.tile(np.repeat([0, 1], LEVELS), len(times))
    middle = np.repeat(_middle(times, grid, path), 2 * LEVELS)
    level = np.ones(len(rows), bool)
    level[::each] = False
    ticks = np.where(side == 0, middle - away, middle + 100 + away)
    inside = (ticks > 0) & (ticks < 10_000)
    rows["side"][level], rows["i"][level] = side, np.where(inside, ticks, np.where(side == 0, 100, 9_900))
    rows["j"][level] = (rng.lognormal(5.4, 1.2, len(ticks)) * SHARE).astype(np.int64) // 10_000 * 10_000
    return rows


def _changes(rng: np.random.Generator, grid: Any, path: Any, seconds: float) -> Events:
    """A new size at one price, told for Up and mirrored for Down."""
    times = _times(rng, "change", 0.0, seconds)
    rows = _rows(times, ev.EV_BOOK_DELTA, 2)
    side = rng.integers(0, 2, len(times))
    away = rng.geometric(0.25, len(times)) * 100 - 100
    middle = _middle(times, grid, path)
    ticks = np.clip(np.where(side == 0, middle - away, middle + 100 + away), 100, 9_900)
    size = (rng.lognormal(5.4, 1.2, len(times)) * SHARE).astype(np.int64) // 10_000 * 10_000
    rows["x"] = rows["y"] = -1.0
    rows["side"][::2], rows["i"][::2], rows["j"][::2] = side, ticks, size
    rows["outcome"][1::2], rows["side"][1::2] = 1, 1 - side
    rows["i"][1::2], rows["j"][1::2] = 10_000 - ticks, size
    return rows


def _prints(rng: np.random.Generator, grid: Any, path: Any, seconds: float) -> Events:
    times = _times(rng, "print", 0.0, seconds)
    rows = _rows(times, ev.EV_PUBLIC_TRADE)
    rows["side"] = rng.integers(0, 2, len(times))
    rows["i"] = _middle(times, grid, path) + 100 * (rows["side"] == 0)
    rows["j"] = (rng.lognormal(math.log(11.6), 0.9, len(times)) * SHARE).astype(np.int64) // 10_000 * 10_000
    return rows
