"""A run made by hand for the tests of the report: markets, fills, samples and quotes of a seeded random walk.

Nothing of it is a result of polybot.  Its money adds up as a real run's does: payout minus cost is PnL.
"""

from pathlib import Path
from typing import Any

import numpy as np

from polybot._fast.event import COMMAND_DTYPE
from polybot.backtest.result import (
    FILLS_DTYPE,
    LATENCY_DTYPE,
    MARKETS_DTYPE,
    QUOTE_DTYPE,
    SAMPLES_DTYPE,
    Result,
    write_result,
)

NS = 1_000_000_000
START_NS = 1_795_337_100 * NS
STRATEGIES = ("latency_arb", "certainty_capture", "lp_extreme")


def make_run(
    folder: Path,
    *,
    markets: int = 40,
    fills_per_market: int = 3,
    seed: int = 7,
    slug: str = "btc-updown-5m",
    **info: Any,
) -> Result:
    """Write a run folder with `markets` windows of 300 s, two of them undecided when there are more than ten."""
    rng = np.random.default_rng(seed)
    rows = _markets(rng, markets, slug)
    samples, quotes = _samples(rng, rows)
    fills = _fills(rng, rows, fills_per_market)
    _settle(rows, fills)
    latency = np.zeros(len(fills), LATENCY_DTYPE)
    latency["order_seq"] = fills["order_seq"]
    latency["decided_ns"] = fills["decided_ns"]
    latency["arrived_ns"] = fills["decided_ns"] + rng.gamma(6.0, 7e6, len(fills)).astype(np.int64)
    latency["told_ns"] = (
        latency["arrived_ns"] + 150_000_000 + rng.gamma(2.0, 4e6, len(fills)).astype(np.int64)
    )
    tables = {
        "markets": rows, "fills": fills, "samples": samples, "quotes": quotes, "latency": latency,
        "signals": np.zeros(0, COMMAND_DTYPE), "orders": np.zeros(0, COMMAND_DTYPE),
    }  # fmt: skip
    document: dict[str, Any] = {
        "kind": "backtest",
        "label": "made by hand for a test",
        "strategies": list(STRATEGIES),
        "settings": {"risk": {"bankroll_usd": 1_000.0}, "backtest": {"seed": 3, "sample_s": 10.0}},
        "settings_digest": "0123456789abcdef",
        "messages": 123_456,
        "tapes": [
            {
                "name": "tape-a",
                "label": "recorded by a test",
                "warnings": ["spot is implied from the mids"],
                "damage": ["frames.zst at byte 4096: checksum"],
            }
        ],
        "denials": {
            "latency_arb": {"DISPATCHED": 60, "EDGE_TOO_SMALL": 420, "STALE_SPOT": 12},
            "certainty_capture": {"DISPATCHED": 40, "COOLDOWN": 910, "HALTED_DAILY": 33},
            "lp_extreme": {"DISPATCHED": 20, "EXPOSURE": 44},
        },
        **info,
    }
    return write_result(folder, document, tables)


def _markets(rng: np.random.Generator, count: int, slug: str) -> np.ndarray[Any, Any]:
    rows = np.zeros(count, MARKETS_DTYPE)
    for k in range(count):
        start = START_NS + k * 300 * NS + (k // 20) * 80_000 * NS
        rows[k]["index"], rows[k]["asset"], rows[k]["interval"] = k, "btc", "5m"
        rows[k]["slug"] = f"{slug}-{start // NS}"
        rows[k]["start_ns"], rows[k]["end_ns"] = start, start + 300 * NS
        rows[k]["day"] = start // (86_400 * NS)
        rows[k]["label"] = "recorded by a test"
    rows["strike"] = 78_000.0 + rng.normal(0.0, 50.0, count).round(2)
    rows["strike_source"] = 1
    rows["outcome"] = rng.integers(0, 2, count)
    rows["counted"] = True
    if count > 10:
        rows["outcome"][[4, 9]] = -1
        rows["counted"][[4, 9]] = False
        rows["gap_ns"][5] = 7 * NS
        rows["strike"][9] = np.nan
        rows["strike_source"][9] = 0
    rows["events"] = 40_000
    return rows


def _samples(
    rng: np.random.Generator, rows: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A sample and a quote every 10 s; the mid drifts to the outcome, the model is near it."""
    samples = np.zeros(30 * len(rows), SAMPLES_DTYPE)
    for k, row in enumerate(rows):
        part = samples[30 * k : 30 * (k + 1)]
        t = np.arange(30)
        part["recv_ns"] = row["start_ns"] + t * 10 * NS + 1
        part["market"] = row["index"]
        part["tau_s"] = 300.0 - t * 10.0
        drift = (1.0 if row["outcome"] == 0 else -1.0) * t / 12.0
        z = drift + np.cumsum(rng.normal(0.0, 0.3, 30))
        part["mid"] = (1.0 / (1.0 + np.exp(-z))).round(3)
        part["fair"] = np.clip(part["mid"] + rng.normal(0.0, 0.03, 30), 0.001, 0.999)
        part["spot"] = 78_000.0 + z * 20.0
        part["mid"][27:] = np.nan
    quotes = np.zeros(len(samples), QUOTE_DTYPE)
    quotes["recv_ns"], quotes["market"] = samples["recv_ns"], samples["market"]
    mids = np.where(np.isnan(samples["mid"]), 0.5, samples["mid"])
    quotes["bid_ticks"] = np.clip((mids * 100).astype(np.int64) * 100 - 100, 100, 9_800)
    quotes["ask_ticks"] = quotes["bid_ticks"] + 200
    return samples, quotes


def _fills(rng: np.random.Generator, rows: np.ndarray[Any, Any], per_market: int) -> np.ndarray[Any, Any]:
    count = len(rows) * per_market
    fills = np.zeros(count, FILLS_DTYPE)
    if not count:
        return fills
    fills["market"] = np.repeat(rows["index"], per_market)
    fills["decided_ns"] = np.sort(
        np.repeat(rows["start_ns"], per_market)
        + rng.integers(30, 260, count) * NS
        + rng.integers(0, NS, count)
    )
    fills["recv_ns"] = fills["decided_ns"] + 200_000_000
    fills["strategy"] = rng.integers(0, len(STRATEGIES), count)
    fills["outcome"] = rng.integers(0, 2, count)
    fills["maker"] = fills["strategy"] == 2
    fills["order_seq"] = np.arange(1, count + 1)
    fills["price_ticks"] = rng.integers(20, 80, count) * 100
    fills["expected_ticks"] = fills["price_ticks"] - rng.integers(0, 2, count) * 100
    fills["shares"] = rng.integers(5, 40, count) * 1_000_000
    fills["fee"] = np.where(fills["maker"], 0, fills["shares"] * 7 // 400)
    fills["cost"] = fills["shares"] * fills["price_ticks"] // 10_000 + fills["fee"]
    fills["status"] = 4
    fills["fair"] = fills["price_ticks"] / 10_000 + rng.normal(0.05, 0.02, count)
    fills["edge"] = fills["fair"] - fills["price_ticks"] / 10_000 - fills["fee"] / fills["shares"]
    fills["confidence"] = 0.7
    fills["tau_s"] = 100.0
    fills["spot"] = 78_000.0
    return fills


def _settle(rows: np.ndarray[Any, Any], fills: np.ndarray[Any, Any]) -> None:
    for k, row in enumerate(rows):
        mine = fills[fills["market"] == row["index"]]
        rows["fills"][k] = len(mine)
        rows["cost"][k], rows["fees"][k] = mine["cost"].sum(), mine["fee"].sum()
        rows["signals"][k], rows["orders"][k] = 9 * len(mine), len(mine)
        if row["counted"]:
            rows["payout"][k] = mine["shares"][mine["outcome"] == row["outcome"]].sum()
            rows["pnl"][k] = rows["payout"][k] - rows["cost"][k]
