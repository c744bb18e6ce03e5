"""CSV files that survive restarts, full disks and torn lines; the columns of every table.

Owns file format: header once, append only, RFC 4180 quoting, integers exact, NaN an empty cell.
A file whose header is not ours (an older version, another set of strategies) is left alone and the
next free name (signals.2.csv) is used.  When the disk refuses, rows wait in memory up to a named
maximum and are written as soon as it accepts again; what does not fit is counted, never silent.
Must not know markets or the ring.  Called by market_log and writer on the telemetry thread only.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from polybot.telemetry.inbox import Second
from polybot.telemetry.records import (
    NS_PER_MS,
    Record,
    denial_text,
    expected_price_text,
    number_text,
    order_status_text,
    order_type_text,
    outcome_text,
    price_text,
    shares_text,
    side_text,
    trade_status_text,
)

__all__ = [
    "FILLS_COLUMNS",
    "ORDERS_COLUMNS",
    "SAMPLES_COLUMNS",
    "SIGNALS_COLUMNS",
    "CsvSink",
    "csv_line",
    "fill_cells",
    "order_cells",
    "sample_cells",
    "signal_cells",
    "signal_line",
]

# A disk that refuses for an hour with a busy strategy: 64 MiB of rows; then rows are lost and counted.
PENDING_MAX_BYTES = 64 << 20
LOOSE_PENDING_MAX_BYTES = 4 << 20
# Files with another header met in one folder before we give up on this table.
MAX_VERSIONS = 100
_LINE_FEED = ord("\n")
_WANTS_QUOTES = re.compile('[,"\r\n]')
# A row of signals.csv: floats as number_text has them, NaN excepted.
_SIGNAL_LINE = "%d,%s,%s,%.12g,%.12g,%s,%.12g,%.12g,%.12g,%.12g,%.12g,%s,%.12g,%.12g,%.12g,%s,%s\n"

SIGNALS_COLUMNS = (
    "ts_ms", "strategy", "outcome", "edge", "fair", "market_price", "confidence", "size_frac", "spot",
    "distance", "time_left_s", "eval_us", "delta", "gamma", "vega", "status", "order_seq",
)  # fmt: skip
ORDERS_COLUMNS = (
    "ts_ms", "order_seq", "order_id", "strategy", "outcome", "side", "order_type", "price", "price_ticks",
    "shares", "shares_micro", "state", "matched_micro", "reason",
)  # fmt: skip
FILLS_COLUMNS = (
    "ts_ms", "trade_key", "order_seq", "order_id", "strategy", "outcome", "side", "maker", "price_ticks",
    "price", "shares_micro", "shares", "fee_micro_usd", "cost_micro_usd", "status",
)  # fmt: skip
# Once a second of the window: fair, bid and ask are of Up, in USD.
SAMPLES_COLUMNS = ("ts_ms", "tau_s", "spot", "fair_up", "bid", "ask")


class CsvSink:
    """One append-only CSV file; opened at the first flush with rows."""

    def __init__(self, path: Path, columns: Sequence[str], *, droppable: bool = False) -> None:
        self._path = path
        self._header = csv_line(columns)
        self._limit = LOOSE_PENDING_MAX_BYTES if droppable else PENDING_MAX_BYTES
        self._fd: int | None = None
        self._prefix = bytearray()  # what the file found at opening needs before its next row
        self._pending = bytearray()
        self._midline = False  # the disk took a part of a line; what follows must come right behind it
        self.rows = 0
        self.lost = 0
        self.error = ""

    def add(self, cells: Iterable[str]) -> None:
        """Queue one row of ready cells (text from outside must have gone through csv_text)."""
        self.add_line(",".join(cells) + "\n")

    def add_line(self, text: str) -> None:
        """Queue one row that is text already, its line feed included."""
        line = text.encode()
        if len(self._pending) + len(line) > self._limit:
            self.lost += 1
            return
        self._pending += line
        self.rows += 1

    @property
    def tried(self) -> int:
        """Rows that were to be written: what the file has, what waits and what is lost."""
        return self.rows + self.lost

    @property
    def waiting(self) -> int:
        """Rows accepted that the disk has not taken yet."""
        return self._pending.count(b"\n")

    def flush(self) -> bool:
        """Write what is queued; False when the disk refused and rows still wait."""
        if not self._pending:
            return True
        try:
            if self._fd is None:
                self._fd = self._open()
            while self._prefix:
                del self._prefix[: os.write(self._fd, self._prefix)]
            while self._pending:
                written = os.write(self._fd, self._pending)
                self._midline = written > 0 and self._pending[written - 1] != _LINE_FEED
                del self._pending[:written]
        except OSError as error:
            self.error = f"{type(error).__name__}: {error.strerror}"
            return False
        self.error = ""
        return True

    def close(self) -> None:
        """Flush and close; a later add opens the file again."""
        self.flush()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        """Find the file with our header or make it; mend a torn last line."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        header = self._header.encode()
        for version in range(1, MAX_VERSIONS + 1):
            path = self._path if version == 1 else self._path.with_suffix(f".{version}.csv")
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            size = os.fstat(fd).st_size
            start = os.pread(fd, len(header), 0)
            if size == 0 or (size < len(header) and header.startswith(start)):
                # An empty file, or a header torn by a full disk: complete it.
                self._prefix[:] = header[size:]
                return fd
            if start == header:
                torn = not self._midline and os.pread(fd, 1, size - 1) != b"\n"
                self._prefix[:] = b"\n" if torn else b""
                return fd
            os.close(fd)
        raise OSError(0, f"more than {MAX_VERSIONS} versions of {self._path.name}")


def csv_text(text: str) -> str:
    """One cell of text: quoted when needed; a leading formula character is disarmed for spreadsheets."""
    if text and text[0] in "=+-@\t\r":
        text = "'" + text
    if _WANTS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def csv_line(cells: Iterable[str]) -> str:
    """A whole line of text cells with its line feed."""
    return ",".join(csv_text(cell) for cell in cells) + "\n"


def signal_cells(record: Record, strategy: str, denials: tuple[str, ...], eval_ns: int) -> tuple[str, ...]:
    """Row of signals.csv for a CMD_SIGNAL."""
    return (
        str(record.ts_ms),
        csv_text(strategy),
        outcome_text(record.outcome),
        number_text(record.edge),
        number_text(record.fair),
        expected_price_text(record),
        number_text(record.confidence),
        number_text(record.size_frac),
        number_text(record.spot),
        number_text(record.distance),
        number_text(record.tau_s),
        f"{eval_ns / 1000:.3f}" if eval_ns else "",
        number_text(record.delta),
        number_text(record.gamma),
        number_text(record.vega),
        denial_text(record.reason, denials),
        str(record.order_seq) if record.order_seq else "",
    )


def signal_line(record: Record, strategy: str, denials: tuple[str, ...], eval_ns: int) -> str:
    """The whole line of `signal_cells`, in one go: there may be thousands of denied signals a second."""
    line = _SIGNAL_LINE % (
        record.decided_ns // NS_PER_MS,
        csv_text(strategy),
        outcome_text(record.outcome),
        record.edge,
        record.fair,
        expected_price_text(record),
        record.confidence,
        record.size_frac,
        record.spot,
        record.distance,
        record.tau_s,
        "%.3f" % (eval_ns / 1000) if eval_ns else "",
        record.delta,
        record.gamma,
        record.vega,
        denial_text(record.reason, denials),
        record.order_seq or "",
    )
    if "nan" in line:  # a number that is none is an empty cell
        return ",".join(signal_cells(record, strategy, denials, eval_ns)) + "\n"
    return line


def order_cells(
    record: Record, *, order_id: str, strategy: str, status: int, matched_micro: int, reason: str
) -> tuple[str, ...]:
    """Row of orders.csv for a CMD_PLACE or CMD_ORDER."""
    return (
        str(record.ts_ms),
        str(record.order_seq),
        csv_text(order_id),
        csv_text(strategy),
        outcome_text(record.outcome),
        side_text(record.side),
        order_type_text(record.order_type),
        price_text(record.price_ticks),
        str(record.price_ticks),
        shares_text(record.shares),
        str(record.shares),
        order_status_text(status),
        str(matched_micro),
        csv_text(reason),
    )


def fill_cells(record: Record, *, order_id: str, strategy: str) -> tuple[str, ...]:
    """Row of fills.csv for a CMD_FILL."""
    return (
        str(record.ts_ms),
        str(int(record.confidence)),
        str(record.order_seq),
        csv_text(order_id),
        csv_text(strategy),
        outcome_text(record.outcome),
        side_text(record.side),
        "1" if record.size_frac == 1.0 else "0",
        str(record.price_ticks),
        price_text(record.price_ticks),
        str(record.shares),
        shares_text(record.shares),
        str(int(record.edge)),
        str(record.usd),
        trade_status_text(record.reason),
    )


def sample_cells(note: Second, end_ns: int) -> tuple[str, ...]:
    """Cells of one row of samples.csv."""
    return (
        str(note.now_ns // NS_PER_MS),
        f"{(end_ns - note.now_ns) / 1e9:.3f}",
        number_text(note.spot),
        number_text(note.fair),
        price_text(note.bid_ticks) if note.bid_ticks >= 0 else "",
        price_text(note.ask_ticks) if note.ask_ticks >= 0 else "",
    )
