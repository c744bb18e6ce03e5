"""Trades and aggTrades files of data.binance.vision: zips of one csv, with or without a header, ms or us.

Owns their columns: trades `id, price, qty, quoteQty, time, isBuyerMaker, isBestMatch`, aggTrades `id, price, qty,
firstId, lastId, time, isBuyerMaker, isBestMatch`.  Times are ms until the end of 2024 and us since; the size of the
number decides.  There are no receive times and no quotes: the exchange's time stands for both, and the tape says so.
A line that cannot be a trade is left out, named, and marked as a gap.
Called by polybot.tape.importers.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from polybot._fast.event import EventBuffer, EventFlag, EventKind, Side
from polybot.errors import TapeError
from polybot.tape.importers.files import Faults, read_lines, stem_of
from polybot.tape.importers.writing import Imported, Item, add_events
from polybot.tape.records import EntryKind, TapeFeed

__all__ = ["import_binance", "is_binance_file"]

_NAME = re.compile(r"([A-Z0-9]{5,20})-(aggTrades|trades)-(\d{4}-\d{2}(?:-\d{2})?)")
COLUMNS = {"trades": (7, 4, 5), "aggTrades": (8, 5, 6)}  # how many, time, buyer is maker
MAX_MS = 10**14  # a larger number is in us


def is_binance_file(path: Path) -> bool:
    """Is it named as such files are?"""
    return _NAME.fullmatch(stem_of(path)) is not None


def import_binance(path: Path, *, symbols: dict[str, str]) -> Imported:
    """One file as one tape of trades; what is damaged is named by line, the rest is used.

    Raises TapeError for a name that is no such file's; its items do when no line is a trade.
    """
    match = _NAME.fullmatch(stem_of(path))
    if match is None:
        raise TapeError(f"{path}: not named SYMBOL-trades-DATE or SYMBOL-aggTrades-DATE")
    symbol, kind, _ = match.groups()
    warnings: list[str] = []
    return Imported(
        name=stem_of(path),
        label=f"data.binance.vision {kind}",
        items=_items(path, kind, warnings),
        clock="the exchange's: nothing was received",
        raw=False,
        symbols={**symbols, "spot": symbol},
        missing=("receive times", "best quotes", "oracle", "books", "strike", "outcome", "feed states"),
        warnings=warnings,
    )


def _items(path: Path, kind: str, warnings: list[str]) -> Iterator[Item]:
    faults, events, out = Faults(path), EventBuffer(1_024), list[Item]()
    last_id = last_ns = jumps = told = 0
    for number, text in read_lines(path, faults):
        cells = text.decode("ascii", "replace").split(",")
        if number == 1 and not cells[0].isdigit():
            continue  # a header
        try:
            first_id, last = _add(events, cells, kind, after=last_id)
        except (ValueError, OverflowError) as error:
            faults.note(number, error)
            continue
        at_ns = events.recv_ns_at(len(events) - 1)
        if faults.count > told and last_ns:
            out.append(_gap(last_ns, at_ns, faults.count - told, path))
        jumps += last_id > 0 and first_id != last_id + 1
        last_id, last_ns, told = last, at_ns, faults.count
        add_events(out, events, feed=TapeFeed.SPOT)
        yield from out
        out.clear()
    if not last_id:
        raise faults.refuse()
    add_events(out, events, feed=TapeFeed.SPOT, force=True)
    if faults.count > told:
        out.append(_gap(last_ns, last_ns, faults.count - told, path))
    yield from out
    if jumps:
        warnings.append(f"trade ids are not contiguous in {jumps} places")
    warnings += faults.texts()


def _gap(from_ns: int, to_ns: int, lines: int, path: Path) -> Item:
    """Lines that could not be used, as a gap of the tape (nobody knows how many trades they held)."""
    told = {"feed": "spot", "cause": "damage", "from_ns": from_ns, "to_ns": to_ns, "frames": None}
    detail = {"detail": f"{path.name}: {lines} lines could not be used"}
    return Item(to_ns, TapeFeed.OWN, EntryKind.GAP, orjson.dumps({**told, **detail}))


def _add(events: EventBuffer, cells: list[str], kind: str, *, after: int) -> tuple[int, int]:
    """Append one trade; returns (first id, last id).  Raises ValueError for what cannot be one."""
    width, time_at, maker_at = COLUMNS[kind]
    if len(cells) != width:
        raise ValueError(f"{len(cells)} columns, {kind} has {width}")
    stamp = int(cells[time_at])
    at_ns = stamp * (1_000 if stamp >= MAX_MS else 1_000_000)
    first, last = (int(cells[0]),) * 2 if kind == "trades" else (int(cells[3]), int(cells[4]))
    if first <= after or last < first:
        raise ValueError(f"trade id {first} does not follow {after}")
    price, quantity = float(cells[1]), float(cells[2])
    if not (0.0 < price < 1e12 and 0.0 <= quantity < 1e12):
        raise ValueError(f"price {cells[1]}, quantity {cells[2]}")
    maker, best = (cells[column].strip().lower() for column in (maker_at, maker_at + 1))
    for name, word in (("isBuyerMaker", maker), ("isBestMatch", best)):
        if word not in ("true", "false"):
            raise ValueError(f"{name} is {word!r}")
    events.add(
        EventKind.EV_SPOT_TRADE,
        recv_ns=at_ns,
        venue_ns=at_ns,
        side=Side.SELL if maker == "true" else Side.BUY,
        flags=EventFlag.F_END | (EventFlag.F_AGG if kind == "aggTrades" else 0),
        seq=last,
        x=price,
        y=quantity,
        i=first,
        j=at_ns,
    )
    return first, last
