"""Recorded spot exchange frames, ready to be served again at their own pace.

Owns reading a file of lines `<local ns> <combined-stream JSON>` (plain, .gz or .xz) and giving every
frame its due time in *exchange* time: a trade or depth frame is due at its own event time E; a
bookTicker has none, so it is due at its local stamp plus the running offset (E minus local stamp of
the latest frame that had both).  Due times never go back.  Depth frames only move the offset and
are not served; a line without a stream (the recorder's REST snapshot) is skipped.
Called by sim.spot when `venue.tape` names a file.  Raises ConfigError for a file that is no tape.
"""

import gzip
import lzma
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import orjson

from polybot.errors import ConfigError
from polybot.sim.path import E8, Quote, Trade

__all__ = ["SpotTape", "TapeFrame", "load_spot_tape", "tape_start_ns"]

MICRO_FROM = 10**14  # a stamp above this is in microseconds, below in milliseconds
_UNREADABLE = (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError, StopIteration, IndexError)
SIGMA_MIN = 1e-5  # per sqrt(second), for a recording whose price never moves


@dataclass(frozen=True, slots=True)
class TapeFrame:
    """One frame as recorded: `text` is the combined form, text[raw_at:-1] the raw one."""

    due_ns: int
    stream: str
    text: str
    raw_at: int
    trade: Trade | None
    quote: Quote | None


@dataclass(frozen=True, slots=True)
class SpotTape:
    """All served frames of one recording, in file order."""

    frames: tuple[TapeFrame, ...]
    symbol: str
    first_ns: int  # exchange time of the first stamped frame: the venue's epoch
    first_price: float
    sigma: float  # realised volatility per sqrt(second) of the whole recording, from 1 s last prices
    skipped: Counter[str]  # lines not served, by kind

    @property
    def last_ns(self) -> int:
        """When the last frame is due."""
        return self.frames[-1].due_ns


def load_spot_tape(path: str | Path) -> SpotTape:
    """Read a recording; raises ConfigError when the file is missing or holds no trades."""
    skipped: Counter[str] = Counter()
    try:
        with _open_text(Path(path)) as lines:
            frames, first_ns = _read(lines, skipped)
    except _UNREADABLE as error:
        raise ConfigError(f"venue.tape={path} is not a recording of spot frames: {error}") from error
    trades = [frame.trade for frame in frames if frame.trade is not None]
    if not trades:
        raise ConfigError(f"venue.tape={path} holds no trades")
    symbol = frames[0].stream.partition("@")[0].upper()
    return SpotTape(tuple(frames), symbol, first_ns, trades[0].price_e8 / E8, _realised(trades), skipped)


def tape_start_ns(path: str | Path) -> int:
    """Exchange time at which a recording begins, reading no more than its first lines."""
    try:
        with _open_text(Path(path)) as lines:
            first_local_ns = -1
            for local_ns, _, _, stamp_ns in _parsed(lines, Counter()):
                first_local_ns = local_ns if first_local_ns < 0 else first_local_ns
                if stamp_ns:
                    return stamp_ns - (local_ns - first_local_ns)
    except _UNREADABLE as error:
        raise ConfigError(f"venue.tape={path} is not a recording of spot frames: {error}") from error
    raise ConfigError(f"venue.tape={path} holds no stamped frame")


def _open_text(path: Path) -> TextIO:
    opener: Any = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    stream: TextIO = opener(path, "rt", encoding="utf-8")
    return stream


def _read(lines: TextIO, skipped: Counter[str]) -> tuple[list[TapeFrame], int]:
    parsed = list(_parsed(lines, skipped))
    offset_ns = next(stamp - local for local, _, _, stamp in parsed if stamp)
    first_ns = due_ns = parsed[0][3] or parsed[0][0] + offset_ns
    frames: list[TapeFrame] = []
    for local_ns, text, message, stamp_ns in parsed:
        if stamp_ns:
            offset_ns = stamp_ns - local_ns
        due_ns = max(due_ns, stamp_ns or local_ns + offset_ns)
        stream, data = message["stream"], message["data"]
        trade = quote = None
        if stream.endswith("@trade"):
            trade = _trade(data)
        elif stream.endswith("@bookTicker"):
            quote = _quote(data, due_ns)
        else:
            skipped[stream.partition("@")[2]] += 1
            continue
        raw_at = text.index('"data":') + len('"data":')
        frames.append(TapeFrame(due_ns, stream, text, raw_at, trade, quote))
    return frames, first_ns


def _parsed(lines: TextIO, skipped: Counter[str]) -> Iterator[tuple[int, str, dict[str, Any], int]]:
    """Yield (local ns, text, message, exchange stamp in ns or 0) for every combined-stream line."""
    for line in lines:
        local, _, text = line.strip().partition(" ")
        if not text:
            continue
        message = orjson.loads(text)
        if "stream" not in message:
            skipped["rest"] += 1
            continue
        stamp = message["data"].get("E", 0)
        yield int(local), text, message, stamp * (1_000 if stamp > MICRO_FROM else 1_000_000)


def _trade(data: dict[str, Any]) -> Trade:
    at_us = data["T"] if data["T"] > MICRO_FROM else data["T"] * 1_000
    price_e8, qty_e8 = _e8(data["p"]), _e8(data["q"])
    return Trade(data["t"], data["t"], price_e8, qty_e8, at_us, data["m"])


def _quote(data: dict[str, Any], due_ns: int) -> Quote:
    return Quote(due_ns, data["u"], _e8(data["b"]), _e8(data["B"]), _e8(data["a"]), _e8(data["A"]))


def _e8(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * E8 + int(part.ljust(8, "0")[:8] or "0")


def _realised(trades: list[Trade]) -> float:
    """Volatility per sqrt(second) from the last price of each second."""
    last = {trade.at_us // 1_000_000: trade.price_e8 for trade in trades}
    seconds = sorted(last)
    total = math.fsum(math.log(last[b] / last[a]) ** 2 for a, b in pairwise(seconds))
    span = seconds[-1] - seconds[0]
    return math.sqrt(total / span) if total > 0.0 else SIGMA_MIN
