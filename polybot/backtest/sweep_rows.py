"""The rows of a sweep on disk: one line per finished point, appended in one write; the markets they are about beside.

    points.jsonl              {"version", "digest", "point", "error", "elapsed_s", "worker", "figures", ...} per line
    markets-<digest>.json     the settled markets of a point, in the order of its pnl_micro and fills

Owns these files.  A line is whole or not there: a torn last one (a kill, a full disk) is cut off by the next writer and
read by nobody.  The last line of a digest counts.  One process at a time writes to a sweep.
Called by polybot.backtest.sweep, and for reading by analyze.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from polybot.errors import AlreadyRunning, TapeError

__all__ = ["ROWS_NAME", "RowFile", "is_current", "read_markets", "read_rows"]

ROWS_NAME = "points.jsonl"
VERSION = 1
DIGEST_CHARS = 12

Row = dict[str, Any]


def read_rows(folder: Path) -> list[Row]:
    """The last row of every point, in the order they were first written; lines that are no row are left out."""
    try:
        lines = (folder / ROWS_NAME).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    rows: dict[str, Row] = {}
    for line in lines:
        row = _row(line)
        if row is not None:
            rows[row["digest"]] = row
    return list(rows.values())


def is_current(row: Mapping[str, Any]) -> bool:
    """Is it of the version this program reads?"""
    return row.get("version") == VERSION


def read_markets(folder: Path, name: str) -> list[dict[str, str]]:
    """Asset, interval, market, day and outcome of the markets a row is about; raises TapeError."""
    path = folder / f"markets-{name}.json"
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TapeError(f"{path}: not the markets of a sweep: {error}") from error
    if _digest(found) != name:
        raise TapeError(f"{path}: not what its name says")
    markets: list[dict[str, str]] = found
    return markets


class RowFile:
    """points.jsonl opened for appending, for one process alone."""

    def __init__(self, folder: Path) -> None:
        """Raise AlreadyRunning when another process writes to it."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ROWS_NAME
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise AlreadyRunning(f"another process works on this sweep ({path})") from None
        end = path.read_bytes().rfind(b"\n") + 1
        os.ftruncate(self._fd, end)

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def append(self, row: Row, markets: Sequence[Mapping[str, str]]) -> Row:
        """Write one row, its markets first; returns it as it stands in the file."""
        name = _digest(markets)
        path = self._folder / f"markets-{name}.json"
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_text(json.dumps(list(markets)) + "\n")
            part.replace(path)
        whole = {"version": VERSION, **row, "markets": name}
        data = json.dumps(whole, allow_nan=False).encode() + b"\n"
        written = os.write(self._fd, data)
        if written != len(data):
            raise OSError(f"{self._folder / ROWS_NAME}: the disk took {written} of {len(data)} bytes")
        return whole


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("digest"), str) else None


def _digest(markets: Sequence[Mapping[str, str]]) -> str:
    text = json.dumps(list(markets), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]
