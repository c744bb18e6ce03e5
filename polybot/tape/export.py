"""A tape as columns: numpy dicts, pandas frames, Parquet files.

Owns names and units of the columns: times ns since the epoch, prices and quantities as the venue writes them (a share
price of 0.52, not 5200 ticks), sides and outcomes as words.  pandas and pyarrow are optional: without them the
functions that need them say how to get them.  Called by polybot.tape.reader.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from polybot._fast.book import Book
from polybot._fast.event import EVENT_DTYPE, EventBuffer, EventFlag, EventKind, Outcome, Side
from polybot.errors import TapeError
from polybot.tape.records import FEED_NAMES, EntryKind

if TYPE_CHECKING:
    from polybot.tape.reader import Tape

__all__ = ["BOOK_LEVELS", "Columns", "columns", "to_pandas", "to_parquet"]

Columns = dict[str, npt.NDArray[Any]]
Rows = npt.NDArray[np.void]
GRID = 10_000.0
MICRO = 1e6
E8 = 1e8
BOOK_LEVELS = 5  # of each side
SIDES = np.array(["buy", "sell"])
OUTCOMES = np.array(["up", "down"])
_BOOK_KINDS = (EventKind.EV_BOOK_SNAPSHOT, EventKind.EV_BOOK_LEVEL, EventKind.EV_BOOK_DELTA)


def columns(tape: "Tape", what: str) -> Columns:
    """Return one view of a tape as named columns of equal length; raises TapeError for an unknown name."""
    views = _views()
    if what not in views:
        raise TapeError(f"{what} is no view of a tape: views are {', '.join(views)}")
    return views[what](tape)


def to_pandas(tape: "Tape", what: str) -> Any:
    """Return one view as a pandas DataFrame; raises TapeError when pandas is not installed."""
    pandas = _optional("pandas", "pip install pandas, or take columns() as they are")
    return pandas.DataFrame(columns(tape, what))


def to_parquet(tape: "Tape", folder: Path) -> list[Path]:
    """Write every view that has rows as `<view>.parquet`; raises TapeError when pyarrow is not installed."""
    how = "make extras"
    pyarrow, parquet = _optional("pyarrow", how), _optional("pyarrow.parquet", how)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for what in _views():
        found: Mapping[str, Any] = columns(tape, what)
        if not len(next(iter(found.values()))):
            continue
        table = pyarrow.table({name: pyarrow.array(column) for name, column in found.items()})
        path = folder / f"{what}.parquet"
        new = path.with_name(path.name + ".new")
        parquet.write_table(table, new, compression="zstd")
        new.replace(path)
        made.append(path)
    return made


def _optional(name: str, how: str) -> Any:
    """Import a library that need not be there; raises TapeError that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise TapeError(f"{name.partition('.')[0]} is not installed: {how}") from None


def _views() -> dict[str, Callable[["Tape"], Columns]]:
    return {
        "events": _events,
        "frames": _frames,
        "trades": _trades,
        "quotes": _quotes,
        "oracle": _oracle,
        "prints": _prints,
        "book": _book,
    }


def _events(tape: "Tape") -> Columns:
    return {name: np.array(tape.events[name]) for name in EVENT_DTYPE.names or ()}


def _frames(tape: "Tape") -> Columns:
    heads = tape.frames
    feeds = np.array([FEED_NAMES.get(code, "") for code in range(256)])
    kinds = np.array(["", *(kind.name.lower() for kind in EntryKind)])
    payloads = np.empty(len(heads), object)
    payloads[:] = [entry.payload for entry in tape.entries()]
    return {
        "recv_ns": np.array(heads["recv_ns"]),
        "seq": np.array(heads["seq"]),
        "feed": feeds[heads["feed"]],
        "kind": kinds[heads["kind"]],
        "payload": payloads,
    }


def _rows(tape: "Tape", *kinds: int) -> Rows:
    """Live events of some kinds: what was filled in from the past is not a print of now."""
    events = tape.events
    is_wanted = np.isin(events["kind"], [int(kind) for kind in kinds])
    found: Rows = events[is_wanted & (events["flags"] & EventFlag.F_SNAPSHOT == 0)]
    return found


def _trades(tape: "Tape") -> Columns:
    rows = _rows(tape, EventKind.EV_SPOT_TRADE)
    return {
        **_stamps(rows),
        "price": np.array(rows["x"]),
        "quantity": np.array(rows["y"]),
        "side": SIDES[rows["side"]],
        "first_id": np.array(rows["i"]),
        "last_id": np.array(rows["seq"]),
    }


def _quotes(tape: "Tape") -> Columns:
    rows = _rows(tape, EventKind.EV_SPOT_QUOTE)
    return {
        **_stamps(rows),
        "bid": np.array(rows["x"]),
        "ask": np.array(rows["y"]),
        "bid_quantity": rows["i"] / E8,
        "ask_quantity": rows["j"] / E8,
        "update_id": np.array(rows["seq"]),
    }


def _oracle(tape: "Tape") -> Columns:
    rows = _rows(tape, EventKind.EV_ORACLE_SPOT, EventKind.EV_ORACLE_TWAP)
    is_twap = rows["kind"] == EventKind.EV_ORACLE_TWAP
    return {
        **_stamps(rows),
        "price": np.array(rows["x"]),
        "average_s": np.where(is_twap, rows["i"], 0),
        "sent_ns": np.array(rows["j"]),
    }


def _prints(tape: "Tape") -> Columns:
    rows = _rows(tape, EventKind.EV_PUBLIC_TRADE)
    return {
        **_stamps(rows),
        "outcome": OUTCOMES[rows["outcome"]],
        "side": SIDES[rows["side"]],
        "price": rows["i"] / GRID,
        "shares": rows["j"] / MICRO,
    }


def _stamps(rows: Rows) -> Columns:
    return {"recv_ns": np.array(rows["recv_ns"]), "venue_ns": np.array(rows["venue_ns"])}


def _book(tape: "Tape") -> Columns:
    """The book of Up after every message that touched it: NaN where a level is empty."""
    rows = _rows(tape, *_BOOK_KINDS)
    ends = np.flatnonzero((rows["flags"] & EventFlag.F_END) != 0) + 1
    book, buffer = Book(), EventBuffer(1_024)
    levels = range(1, BOOK_LEVELS + 1)
    names = [f"{side}_{what}_{n}" for side in ("bid", "ask") for n in levels for what in ("price", "shares")]
    table = np.full((len(ends), len(names)), np.nan)
    start = 0
    for line, end in enumerate(ends):
        buffer.reset()
        buffer.extend(rows[start:end])
        book.apply_events(buffer)
        start = int(end)
        for block, side in enumerate((Side.BUY, Side.SELL)):
            for n, (ticks, ushares) in enumerate(book.levels(Outcome.UP, side, BOOK_LEVELS)):
                at = 2 * (block * BOOK_LEVELS + n)
                table[line, at : at + 2] = ticks / GRID, ushares / MICRO
    stamps = _stamps(rows[ends - 1]) if len(ends) else _stamps(rows[:0])
    return {**stamps, **{name: table[:, at] for at, name in enumerate(names)}}
