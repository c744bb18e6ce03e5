"""Readers of the recorded real data in the shared folder; each returns plain lists or dicts."""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WEI = 10**18
NS = 1_000_000_000


def chainlink_day(shared_dir: Path) -> dict[int, int]:
    """Chainlink BTC/USD of 2026-06-08: unix second -> price in 1e-18 USD (some seconds are missing)."""
    name = "data/Ligengxin96+polymarket-data-samples/BTCUSD-prices-2026-06-08.csv.gz"
    with gzip.open(shared_dir / name, "rt") as lines:
        return {
            int(row["feed_ts_ms"]) // 1000: int(row["full_accuracy_value"]) for row in csv.DictReader(lines)
        }


def chainlink_markets(shared_dir: Path) -> list[dict[str, Any]]:
    """The 5-minute markets of that day with strike_value (1e-18 USD or None) and outcome_prices."""
    name = "data/Ligengxin96+polymarket-data-samples/BTC-5m-markets-2026-06-08.jsonl.gz"
    with gzip.open(shared_dir / name, "rt") as lines:
        return [json.loads(line) for line in lines]


def spot_trades(shared_dir: Path) -> list[tuple[float, float, int]]:
    """Binance BTCUSDT trades of the last minutes of 2024-08-08: (price, quantity, trade time ns)."""
    return list(_spot_trades(shared_dir))


def _spot_trades(shared_dir: Path) -> Iterator[tuple[float, float, int]]:
    name = "data/nkaz001+hftbacktest/spot_btcusdt_20240808.gz"
    with gzip.open(shared_dir / name, "rt") as lines:
        for line in lines:
            if '"btcusdt@trade"' in line:
                trade = json.loads(line.split(" ", 1)[1])["data"]
                yield float(trade["p"]), float(trade["q"]), trade["T"] * 1_000_000


def spot_and_chainlink(shared_dir: Path) -> list[tuple[float, float, int]]:
    """Binance and Chainlink polled every 1-2 s on 2026-02-17: (spot, oracle, local time ns)."""
    name = "data/herbalclaw+polymarket-data-collector/binance_vs_chainlink_2026-02-17.csv"
    with open(shared_dir / name, encoding="utf-8") as lines:
        return [
            (
                float(row["binance_btc_price"]),
                float(row["chainlink_btc_price"]),
                int(row["timestamp_ms"]) * 1_000_000,
            )
            for row in csv.DictReader(lines)
        ]
