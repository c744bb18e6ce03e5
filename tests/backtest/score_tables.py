"""Tables of a run made by hand or by a seeded draw, for tests of scores: no tape, no engine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polybot.backtest.result import FILLS_DTYPE, MARKETS_DTYPE, TABLES, Result, write_result

NS = 1_000_000_000
DAY_S = 86_400
START_S = 1_790_000_000 - 1_790_000_000 % DAY_S  # midnight UTC
WINDOW_S = 300
STRATEGIES = ("latency_arb", "certainty_capture", "lp_extreme")


def a_market(number: int, /, *, outcome: int = 0, counted: bool = True, **given: Any) -> Any:
    """A row of the table of markets: windows of 5 minutes, one after the other."""
    row = np.zeros(1, MARKETS_DTYPE)
    start_s = START_S + number * WINDOW_S
    row["index"], row["slug"], row["asset"], row["interval"] = number, f"btc-updown-5m-{start_s}", "btc", "5m"
    row["start_ns"], row["end_ns"] = start_s * NS, (start_s + WINDOW_S) * NS
    row["day"], row["strike"], row["outcome"], row["counted"] = start_s // DAY_S, 1e5, outcome, counted
    for name, value in given.items():
        row[name] = value
    return row


def a_fill(market: int, at_s: float, *, price_ticks: int, shares: float, **given: Any) -> Any:
    """A row of the table of fills, at_s after its window's start; its cost follows from price, shares and fee."""
    row = np.zeros(1, FILLS_DTYPE)
    recv_ns = (START_S + market * WINDOW_S) * NS + round(at_s * NS)
    row["recv_ns"], row["decided_ns"], row["market"] = recv_ns, recv_ns - 200_000_000, market
    row["price_ticks"], row["expected_ticks"], row["shares"] = price_ticks, price_ticks, round(shares * 1e6)
    row["fair"], row["edge"], row["tau_s"] = price_ticks / 1e4 + 0.03, 0.02, WINDOW_S - at_s
    row["order_seq"], row["status"] = 1 + round(at_s * 1e3) + market * 1_000_000, 4
    for name, value in given.items():
        row[name] = value
    if "cost" not in given:
        sign = 1 - 2 * row["side"].astype(np.int64)
        row["cost"] = sign * (row["shares"] * row["price_ticks"].astype(np.int64) // 10_000) + row["fee"]
    return row


def rows(name: str, *values: tuple[Any, ...]) -> Any:
    """Rows of a table from tuples of all its columns."""
    return np.array(list(values), dtype=TABLES[name])


def a_result(folder: Path, *, info: Mapping[str, Any] | None = None, **tables: Any) -> Result:
    """A run of these tables; pnl and money columns of its markets are made to fit its fills where they count."""
    given = {
        name: np.concatenate(part) if isinstance(part, list) else part
        for name, part in tables.items()
        if len(part)
    }
    if "markets" in given:
        _book(given["markets"], given.get("fills", np.zeros(0, FILLS_DTYPE)))
    settings = {"backtest": {"seed": 7, "sample_s": 1.0}, "risk": {"bankroll_usd": 1000.0}}
    return write_result(
        folder, {"strategies": list(STRATEGIES), "settings": settings, "label": "made", **(info or {})}, given
    )


def random_result(folder: Path, seed: int, *, markets: int = 40, fills: int = 300, step_s: int = 5) -> Result:
    """A run drawn at random: every odd case in it (sells, failures, unknown fair, one-sided books, no outcome)."""
    rng = np.random.default_rng(seed)
    table = np.concatenate(
        [
            a_market(
                k,
                outcome=int(rng.integers(-1, 2)),
                counted=bool(rng.random() < 0.9),
                gap_ns=int(rng.integers(0, 2)),
            )
            for k in range(markets)
        ]
    )
    table["day"] += np.arange(markets, dtype=np.int32) % 3
    filled = _random_fills(rng, markets, fills)
    quotes = _random_quotes(rng, markets)
    samples = _random_samples(rng, markets, step_s)
    return a_result(folder, markets=table, fills=filled, quotes=quotes, samples=samples)


def _random_fills(rng: np.random.Generator, markets: int, fills: int) -> Any:
    table = np.zeros(fills, FILLS_DTYPE)
    table["market"] = rng.integers(0, markets, fills)
    at_ns = np.round(rng.uniform(1, 310, fills), rng.integers(0, 4)) * NS
    table["recv_ns"] = (START_S + table["market"].astype(np.int64) * WINDOW_S) * NS + at_ns.astype(np.int64)
    table["decided_ns"] = table["recv_ns"] - rng.integers(1, 400_000_000, fills)
    table["strategy"] = rng.choice([0, 1, 2, 255], fills)
    table["outcome"], table["side"] = rng.integers(0, 2, fills), rng.random(fills) < 0.2
    table["maker"] = rng.random(fills) < 0.3
    table["order_seq"] = rng.integers(1, fills, fills)
    table["price_ticks"] = rng.integers(1, 100, fills) * 100
    table["expected_ticks"] = np.where(
        rng.random(fills) < 0.1, 0, table["price_ticks"] - rng.integers(-3, 3, fills)
    )
    table["shares"] = rng.integers(1, 5_000, fills) * 10_007
    table["fee"] = np.where(table["maker"], 0, rng.integers(0, 500_000, fills))
    sign = 1 - 2 * table["side"].astype(np.int64)
    table["cost"] = sign * (table["shares"] * table["price_ticks"].astype(np.int64) // 10_000) + table["fee"]
    table["status"] = rng.choice([1, 4, 4, 5], fills)
    table["fair"] = np.where(rng.random(fills) < 0.1, np.nan, rng.random(fills))
    table["edge"] = np.where(rng.random(fills) < 0.05, np.nan, rng.normal(0.04, 0.05, fills))
    return table[np.argsort(table["recv_ns"], kind="stable")]


def _random_quotes(rng: np.random.Generator, markets: int) -> Any:
    table = np.zeros(markets * 200, TABLES["quotes"])
    table["market"] = rng.integers(0, markets, len(table))
    at_ns = rng.integers(0, WINDOW_S * NS, len(table))
    table["recv_ns"] = (START_S + table["market"].astype(np.int64) * WINDOW_S) * NS + at_ns
    bid = rng.integers(1, 98, len(table)) * 100
    table["bid_ticks"] = np.where(rng.random(len(table)) < 0.1, 0, bid)
    table["ask_ticks"] = np.where(rng.random(len(table)) < 0.1, 0, bid + 100)
    return table[np.argsort(table["recv_ns"], kind="stable")]


def _random_samples(rng: np.random.Generator, markets: int, step_s: int) -> Any:
    each = WINDOW_S // step_s + 2  # some after the end
    table = np.zeros(markets * each, TABLES["samples"])
    table["market"] = np.repeat(np.arange(markets), each)
    elapsed = np.tile(np.arange(each) * step_s, markets)
    table["recv_ns"] = (START_S + table["market"].astype(np.int64) * WINDOW_S + elapsed) * NS + 1
    table["tau_s"] = WINDOW_S - elapsed
    table["fair"] = np.where(rng.random(len(table)) < 0.1, np.nan, rng.random(len(table)))
    table["mid"] = np.where(rng.random(len(table)) < 0.1, np.nan, rng.random(len(table)))
    table["spot"] = 1e5
    return table[np.argsort(table["recv_ns"], kind="stable")]


def _book(markets: Any, fills: Any) -> None:
    """Totals of every market from its fills that stand, fill by fill."""
    of_market: dict[int, list[Any]] = {}
    for fill in fills:
        if fill["status"] != 5:
            of_market.setdefault(int(fill["market"]), []).append(fill)
    for market in markets:
        mine = of_market.get(int(market["index"]), [])
        won = [fill for fill in mine if fill["outcome"] == market["outcome"]]
        market["cost"] = sum(int(fill["cost"]) for fill in mine)
        market["fees"] = sum(int(fill["fee"]) for fill in mine)
        market["payout"] = sum((-1 if fill["side"] else 1) * int(fill["shares"]) for fill in won)
        market["fills"], market["pnl"] = len(mine), market["payout"] - market["cost"]
