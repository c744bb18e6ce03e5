"""Readers of recorded data for research: the oracle's 1 Hz day and past five-minute returns.

Owns file names and columns; hands out plain arrays.  The data lie outside the project, in the folder
`research.data_dir` names; a folder or file that is not there is a ConfigError of one line.  Must not fit or
judge anything.  Called by research.fit and research.score.
"""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polybot.errors import ConfigError

__all__ = ["FiveMinutes", "OracleDay", "read_five_minutes", "read_oracle_day"]

ORACLE_DAY = "Ligengxin96+polymarket-data-samples/BTCUSD-prices-2026-06-08.csv.gz"
FIVE_MINUTES = "felixdoteth+polymarket-btc-5m-dataset-/polymarket_btc_5m_enriched.csv.gz"
E18 = 10**18


@dataclass(frozen=True, slots=True)
class OracleDay:
    """One price per second in USD from start_s on; seconds never received repeat the one before."""

    name: str
    start_s: int
    prices: NDArray[np.float64]
    received: int


@dataclass(frozen=True, slots=True)
class FiveMinutes:
    """Spot log returns of five-minute windows with their starts (unix seconds), ascending."""

    name: str
    start_s: NDArray[np.int64]
    returns: NDArray[np.float64]


def read_oracle_day(data_dir: str) -> OracleDay:
    """Read Chainlink BTC/USD of 2026-06-08."""
    prices = {
        int(row["feed_ts_ms"]) // 1_000: int(row["full_accuracy_value"]) / E18
        for row in _rows(data_dir, ORACLE_DAY)
    }
    first, last = min(prices), max(prices)
    filled, price = [], prices[first]
    for second in range(first, last + 1):
        price = prices.get(second, price)
        filled.append(price)
    return OracleDay(Path(ORACLE_DAY).name, first, np.array(filled), len(prices))


def read_five_minutes(data_dir: str) -> FiveMinutes:
    """Read Binance BTCUSDT open and close of the windows of 2025-12-18 to 2026-02-14."""
    rows = sorted(
        (int(row["timestamp"]), float(row["btc_open"]), float(row["btc_close"]))
        for row in _rows(data_dir, FIVE_MINUTES)
    )
    starts, opens, closes = (np.array(column) for column in zip(*rows, strict=True))
    return FiveMinutes(Path(FIVE_MINUTES).name, starts.astype(np.int64), np.log(closes / opens))


def _rows(data_dir: str, name: str) -> Iterator[dict[str, str]]:
    if not data_dir:
        raise ConfigError("research.data_dir is empty: give the folder with the recorded data sets")
    path = Path(data_dir) / name
    if not path.is_file():
        raise ConfigError(f"research.data_dir={data_dir} is not allowed: it has no {name}")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)
