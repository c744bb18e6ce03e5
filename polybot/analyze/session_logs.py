"""The logs of a session as facts: markets.csv of each interval, market.json of each market.

Owns the look of telemetry's files from outside (docs/OPERATIONS.md has their columns).  A market told several times (a
restart within its window) counts once, as it was last told.  A session's logs do not say whether its money was real,
so its label is only that of the embedded venue where its books lie beside.
Must not write.  Called by polybot.analyze.sources.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polybot.analyze.facts import Fact
from polybot.errors import TapeError

__all__ = ["is_session", "session_facts"]

INTERVALS = ("5m", "15m", "1h", "4h")
# A set of strategies of its own has a file of its own: markets.csv, markets.2.csv ...
MARKETS_GLOB = "markets*.csv"
SIMULATED = "embedded venue, simulated"
UNKNOWN = "session"
_DAY_CHARS = len("2026-11-22")
_NEEDED = (
    "slug",
    "start",
    "outcome",
    "signals",
    "orders",
    "fills",
    "cost_micro_usd",
    "fees_micro_usd",
    "pnl_micro_usd",
)


def is_session(folder: Path) -> bool:
    """Does it hold telemetry's files of an interval?"""
    return any((folder / interval / "markets.csv").exists() for interval in INTERVALS)


def session_facts(folder: Path, name: str, *, by_strategy: bool) -> list[Fact]:
    """One fact per market, or per strategy and market; raises TapeError for files that are not telemetry's."""
    label = SIMULATED if (folder / "sim").is_dir() else UNKNOWN
    facts: list[Fact] = []
    for interval in INTERVALS:
        for slug, row in _markets(folder / interval).items():
            place = folder / interval / slug
            keys = {
                "run": name,
                "kind": "session",
                "label": label,
                "asset": _asset(slug, place),
                "interval": interval,
                "market": slug,
                "day": row["start"][:_DAY_CHARS],
                "outcome": row["outcome"].lower() or "unknown",
            }
            facts += _strategy_facts(keys, place) if by_strategy else [_market_fact(keys, row)]
    return facts


def _markets(folder: Path) -> dict[str, dict[str, str]]:
    """The last row of every market, by slug."""
    rows: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob(MARKETS_GLOB)):
        for row in _rows(path):
            rows[row["slug"]] = row
    return rows


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise TapeError(f"{path}: not telemetry's: no column {missing[0]}")
        for row in reader:
            if None not in row.values():  # a torn last line
                yield row


def _market_fact(keys: dict[str, str], row: dict[str, str]) -> Fact:
    return Fact(
        **keys,
        pnl_micro=_micro(row["pnl_micro_usd"]),
        cost_micro=_micro(row["cost_micro_usd"]) or 0,
        fees_micro=_micro(row["fees_micro_usd"]) or 0,
        fills=int(row["fills"]),
        signals=int(row["signals"]),
        orders=int(row["orders"]),
    )


def _strategy_facts(keys: dict[str, str], place: Path) -> list[Fact]:
    """Of every strategy that had a signal or a fill in this market."""
    found = json.loads((place / "market.json").read_bytes())
    return [
        Fact(
            **keys,
            strategy=strategy,
            pnl_micro=item["pnl_micro_usd"],
            cost_micro=item["cost_micro_usd"],
            fees_micro=item["fees_micro_usd"],
            fills=item["fills"],
            signals=item["signals"],
            orders=item["orders"],
        )
        for strategy, item in found["strategies"].items()
        if item["signals"] or item["fills"]
    ]


def _asset(slug: str, place: Path) -> str:
    """From the slug where it has the short name (btc-updown-5m-...), else from the market's own file."""
    if "-updown-" in slug:
        return slug.partition("-")[0]
    try:
        found: Any = json.loads((place / "market.json").read_bytes())
    except (OSError, ValueError):
        return slug.partition("-")[0]
    return str(found["spec"]["asset"])


def _micro(text: str) -> int | None:
    return int(text) if text else None
