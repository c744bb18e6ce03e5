"""Three csv files and a note, as people know them: binance.csv, polymarket.csv, book.csv, market_info.json.

Owns their columns.  They are views made on request: nothing reads them back, and what they round or leave out is on
the tape.  Times are ns since the epoch, NaN an empty cell.  Called by polybot.tape.reader.
"""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polybot._fast.event import EventKind, Outcome, Side
from polybot.tape.export import Columns, columns

if TYPE_CHECKING:
    from polybot.tape.reader import Tape

__all__ = ["to_csv"]

GRID = 10_000
MICRO = 1_000_000
BINANCE = (
    "recv_ns", "venue_ns", "type", "price", "quantity", "side", "id", "bid", "bid_quantity", "ask", "ask_quantity"
)  # fmt: skip
POLYMARKET = ("recv_ns", "venue_ns", "type", "outcome", "side", "price", "shares", "best_bid", "best_ask")
# Book messages are in book.csv, as the book they made.
_TYPES = {
    int(EventKind.EV_BOOK_DELTA): "price_change",
    int(EventKind.EV_PUBLIC_QUOTE): "best_bid_ask",
    int(EventKind.EV_PUBLIC_TRADE): "trade",
    int(EventKind.EV_TICK_SIZE): "tick_size",
    int(EventKind.EV_STRIKE): "strike",
    int(EventKind.EV_OUTCOME): "outcome",
}


def to_csv(tape: "Tape", folder: Path) -> list[Path]:
    """Write the views into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    book = columns(tape, "book")
    made = [
        _write(folder / "binance.csv", BINANCE, _spot_rows(tape)),
        _write(folder / "polymarket.csv", POLYMARKET, _market_rows(tape)),
        _write(folder / "book.csv", tuple(book), _lines(book)),
    ]
    info = folder / "market_info.json"
    info.write_text(json.dumps(dict(tape.manifest), indent=1) + "\n")
    return [*made, info]


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    new = path.with_name(path.name + ".new")
    with new.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(header)
        out.writerows([_cell(cell) for cell in row] for row in rows)
    new.replace(path)
    return path


def _lines(view: Columns) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in view.values()), strict=True)


def _cell(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value


def _spot_rows(tape: "Tape") -> Iterator[Sequence[Any]]:
    """Trades and quotes in the order received."""
    trades, quotes = columns(tape, "trades"), columns(tape, "quotes")
    rows: list[tuple[int, Sequence[Any]]] = []
    for recv, venue, price, quantity, side, _, last in _lines(trades):
        rows.append((recv, (recv, venue, "trade", price, quantity, side, last, "", "", "", "")))
    for recv, venue, bid, ask, bids, asks, update in _lines(quotes):
        rows.append((recv, (recv, venue, "quote", "", "", "", update, bid, bids, ask, asks)))
    rows.sort(key=lambda row: row[0])
    return (row for _, row in rows)


def _market_rows(tape: "Tape") -> Iterator[Sequence[Any]]:
    events = tape.events
    for row in events[np.isin(events["kind"], list(_TYPES))]:
        kind = int(row["kind"])
        price: Any = int(row["i"]) / GRID
        shares: Any = int(row["j"]) / MICRO
        side: str = "buy" if row["side"] == Side.BUY else "sell"
        outcome: str = "up" if row["outcome"] == Outcome.UP else "down"
        best: tuple[Any, Any] = ("", "")
        if kind in (EventKind.EV_BOOK_DELTA, EventKind.EV_PUBLIC_QUOTE):
            best = _price(float(row["x"])), _price(float(row["y"]))
        if kind == EventKind.EV_PUBLIC_QUOTE:
            price = shares = side = ""
        elif kind == EventKind.EV_TICK_SIZE:
            shares = side = outcome = ""
        elif kind == EventKind.EV_STRIKE:
            price, shares, side, outcome = float(row["x"]), "", "", ""
        elif kind == EventKind.EV_OUTCOME:
            price = shares = side = ""
        yield (int(row["recv_ns"]), int(row["venue_ns"]), _TYPES[kind], outcome, side, price, shares, *best)


def _price(ticks: float) -> Any:
    return "" if ticks < 0 else ticks / GRID
