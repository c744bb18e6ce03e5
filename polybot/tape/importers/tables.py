"""Tables that are no frames: oracle prices, polled price pairs, ladders of best prices.

Owns their columns, told by the header (csv) or the first line's keys (jsonl):
    feed_ts_ms, value, full_accuracy_value, server_ts_ms, recv_ms                oracle, three clocks
    timestamp_ms, market_ts, binance_btc_price, chainlink_btc_price              both prices, polled on one clock
    {"window_ts", "slug", "samples": [{"t", "spot", "up": {...}, "down": {...}}], "winner"}      best prices of windows
Each becomes events; what a table cannot tell is listed as missing.  Called by polybot.tape.importers.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from polybot._fast.event import EventBuffer, EventFlag, EventKind, StrikeSource
from polybot.errors import TapeError
from polybot.market.window import parse_slug
from polybot.tape.importers.files import Faults, read_lines, stem_of
from polybot.tape.importers.markets import KnownMarket, guessed_spec
from polybot.tape.importers.writing import Imported, Item, add_events
from polybot.tape.records import EntryKind, TapeFeed

__all__ = ["import_ladder", "import_table", "is_ladder", "is_table"]

NS = 1_000_000_000
MS = 1_000_000
GRID = 10_000
ORACLE_COLUMNS = ("feed_ts_ms", "value", "full_accuracy_value", "server_ts_ms", "recv_ms")
PAIR_COLUMNS = ("timestamp_ms", "market_ts", "binance_btc_price", "chainlink_btc_price")
E18 = 10**18
BAD_LINE = (KeyError, TypeError, ValueError, ArithmeticError)
Row = Mapping[str, str]


def is_table(path: Path) -> bool:
    """Is the first line one of the headers known here?"""
    return _header(path) in (ORACLE_COLUMNS, PAIR_COLUMNS)


def is_ladder(path: Path) -> bool:
    """Is the first line a window with samples?"""
    for _, text in read_lines(path):
        return text.startswith(b"{") and b'"samples"' in text and b'"window_ts"' in text
    return False


def import_table(path: Path, *, symbols: dict[str, str], markets: list[KnownMarket]) -> Imported:
    """A table of prices as one tape; `markets` whose windows it covers are listed in its manifest."""
    header = _header(path)
    absent = ["spot", "books", "feed states"]
    if header == ORACLE_COLUMNS:
        add, label, clock = _add_oracle, "oracle price table", "the recorder's (recv_ms)"
    elif header == PAIR_COLUMNS:
        add, label, clock = _add_pair, "polled price pairs", "the poller's: no delays can be read from it"
        absent.remove("spot")
        absent.append("quantities of spot trades")
    else:
        raise TapeError(f"{path}: line 1: no known columns: {', '.join(header)}")
    warnings: list[str] = []
    told = {"markets": [_listed(one) for one in markets]} if markets else {}
    missing = (*absent, *(() if markets else ("strikes", "outcomes")))
    items = _rows(path, add, warnings)
    return Imported(
        name=stem_of(path),
        label=label,
        items=items,
        clock=clock,
        raw=False,
        symbols=symbols,
        missing=missing,
        warnings=warnings,
        told=told,
    )


def import_ladder(path: Path, *, symbols: dict[str, str]) -> Iterator[Imported]:
    """Every window of a ladder file as a tape of its own; raises TapeError naming file and line."""
    for number, text in read_lines(path):
        try:
            row = orjson.loads(text)
            window = parse_slug(row["slug"]).windows[0]
            winner = {"up": 0, "down": 1}.get(str(row.get("winner")).lower())
            items = list(_samples(row, window.end_ns))
        except BAD_LINE as error:
            raise TapeError(f"{path}: line {number} is no window: {type(error).__name__}: {error}") from error
        yield Imported(
            name=row["slug"],
            label="ladder: best prices at a few seconds before the end",
            items=items,
            clock="the poller's",
            raw=False,
            symbols=symbols,
            spec=guessed_spec(row["slug"], window, "", ("1", "2")),
            missing=(
                "token and condition ids",
                "books",
                "oracle",
                "strike",
                "feed states",
                "fee schedule, resolution rule, minimum size",
                *(() if winner is not None else ("outcome",)),
            ),
            told={} if winner is None else {"outcome": winner},
        )


def _header(path: Path) -> tuple[str, ...]:
    for _, text in read_lines(path):
        return tuple(text.decode("utf-8", "replace").split(","))
    return ()


def _rows(path: Path, add: Callable[[EventBuffer, Row], None], warnings: list[str]) -> Iterator[Item]:
    events, out = EventBuffer(1_024), list[Item]()
    header = _header(path)
    faults, last_ns, late = Faults(path), 0, 0
    for number, text in read_lines(path, faults):
        if number == 1:
            continue
        cells = next(csv.reader([text.decode("utf-8", "replace")]))
        try:
            add(events, dict(zip(header, cells, strict=True)))
        except BAD_LINE as error:
            faults.note(number, f"{type(error).__name__}: {error}")
            continue
        recv_ns = events.recv_ns_at(len(events) - 1)
        late += recv_ns < last_ns
        last_ns = recv_ns
        add_events(out, events, feed=TapeFeed.OWN)
        yield from out
        out.clear()
    add_events(out, events, feed=TapeFeed.OWN, force=True)
    yield from out
    if not last_ns:
        raise faults.refuse()
    warnings += faults.texts()
    if late:
        warnings.append(f"{late} rows were received earlier than the one before: times are kept as told")


def _add_oracle(events: EventBuffer, row: Row) -> None:
    events.add(
        EventKind.EV_ORACLE_SPOT,
        recv_ns=int(row["recv_ms"]) * MS,
        venue_ns=int(row["feed_ts_ms"]) * MS,
        flags=EventFlag.F_END,
        x=int(row["full_accuracy_value"]) / E18,
        j=int(row["server_ts_ms"]) * MS,
    )


def _add_pair(events: EventBuffer, row: Row) -> None:
    at_ns = int(row["timestamp_ms"]) * MS
    if row["binance_btc_price"]:
        price = float(row["binance_btc_price"])
        events.add(EventKind.EV_SPOT_TRADE, recv_ns=at_ns, venue_ns=at_ns, flags=EventFlag.F_END, x=price)
    if row["chainlink_btc_price"]:
        price = float(row["chainlink_btc_price"])
        events.add(EventKind.EV_ORACLE_SPOT, recv_ns=at_ns, venue_ns=at_ns, flags=EventFlag.F_END, x=price)


def _samples(row: Mapping[str, Any], end_ns: int) -> Iterator[Item]:
    """One item per sample: spot, and the best prices of Up."""
    for sample in row["samples"]:
        at_ns = end_ns + round(float(sample["t"]) * NS)
        events = EventBuffer(2)
        if sample.get("spot"):
            price = float(sample["spot"])
            events.add(EventKind.EV_SPOT_TRADE, recv_ns=at_ns, venue_ns=at_ns, flags=EventFlag.F_END, x=price)
        up = sample.get("up") or {}
        bid, ask = (_ticks(up.get(side)) for side in ("bid", "ask"))
        events.add(EventKind.EV_PUBLIC_QUOTE, recv_ns=at_ns, market=0, flags=EventFlag.F_END, x=bid, y=ask)
        yield Item(at_ns, TapeFeed.OWN, EntryKind.EVENTS, events.to_bytes())


def _ticks(price: float | None) -> float:
    return -1.0 if not price else float(round(price * GRID))


def _listed(market: KnownMarket) -> dict[str, Any]:
    spec = market.spec
    return {
        "slug": spec.slug,
        "start_ns": spec.start_ns,
        "end_ns": spec.end_ns,
        "strike": market.strike,
        "strike_source": int(StrikeSource.STRIKE_GAMMA),
        "outcome": market.outcome,
    }
