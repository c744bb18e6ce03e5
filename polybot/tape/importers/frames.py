"""Raw frame dumps: one line per frame with the time it was received, in the layouts people write them.

Owns which layouts are known, by line:
    {"recv": 1776081905.208399, "raw": {...}}     a time key and a frame key, the frame as object or as text
    [1776081905208, "{...}"]                      time and frame
    1723161254087891268 {...}                     time, blank, frame
    {...}                                         a bare frame: its own stamp is all there is
Times are seconds, ms, us or ns by their size.  The frame's bytes are cut out of the line as they stand there.
Which feed a frame is of is told by its content.  Called by polybot.tape.importers.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from polybot.config_record import AssumeConfig
from polybot.errors import DecodeError, TapeError
from polybot.market.spec import MarketSpec
from polybot.market.window import parse_slug
from polybot.tape.importers.files import Faults, read_lines, stem_of
from polybot.tape.importers.markets import KnownMarket, guessed_spec
from polybot.tape.importers.writing import Imported, Item
from polybot.tape.records import EntryKind, TapeFeed

__all__ = ["Line", "feed_of", "import_frames", "is_frame_dump", "parse_line"]

TIME_KEYS = (
    "recv_ns", "recv_us", "recv_ms", "recv", "received_at", "receive_time", "local_ts", "local_time", "recv_ts", "ts"
)  # fmt: skip
FRAME_KEYS = ("raw", "frame", "payload", "message", "msg", "raw_data", "data")
STAMP_KEYS = ("timestamp", "E", "T")
_PLAIN_TIME = re.compile(rb"(\d{9,19}(?:\.\d+)?)[ ,\t](\s*[{\[].*)", re.DOTALL)
# A number of so many digits before the point is in that unit: true from 2001 to 2286.
_UNIT_NS = {10: 10**9, 13: 10**6, 16: 10**3, 19: 1}
ORACLE_TOPICS = ("crypto_prices_chainlink", "crypto_prices_twap_thirty", "crypto_prices_twap_sixty")
CLOB_KINDS = (
    "book",
    "price_change",
    "last_trade_price",
    "best_bid_ask",
    "tick_size_change",
    "new_market",
    "market_resolved",
)
PREVIEW_LINES = 2_000  # looked at to find the market's tokens before anything is written


class Line(NamedTuple):
    """One line understood: receive time (0: none told) and the frame's bytes."""

    recv_ns: int
    frame: bytes


def is_frame_dump(path: Path) -> bool:
    """Could the first line be a frame?"""
    for number, text in read_lines(path):
        try:
            return feed_of(parse_line(path, number, text).frame) is not None
        except TapeError:
            return False
    return False


def import_frames(
    path: Path, *, symbols: dict[str, str], markets: dict[str, KnownMarket], assume: AssumeConfig
) -> Imported:
    """One dump as one tape; `markets` by slug and by condition id say what its market is, when they know it.

    A line that is neither a frame nor an answer is left out and named.  Its items raise TapeError when no line is one.
    """
    seen = _Seen()
    for count, (number, text) in enumerate(read_lines(path, Faults(path))):
        if count >= PREVIEW_LINES:
            break
        try:
            seen.look(parse_line(path, number, text).frame)
        except TapeError:
            continue  # named when the entries are made
    missing: list[str] = []
    spec, told = _market_of(path, seen, markets, missing)
    assumptions: list[str] = []
    if spec is not None and not spec.taker_delay_ms:  # neither frames nor lists tell it
        spec = replace(spec, taker_delay_ms=assume.taker_delay_ms)
        assumptions.append(f"a taker order is held {assume.taker_delay_ms} ms")
    for feed, name in ((TapeFeed.SPOT, "spot"), (TapeFeed.RTDS, "oracle"), (TapeFeed.MARKET, "books")):
        if feed not in seen.feeds:
            missing.append(name)
    missing += ["feed states", *(what for what in ("strike", "outcome") if what not in told)]
    own = {**symbols, "spot": seen.symbol or symbols["spot"]}
    imported = Imported(
        name=stem_of(path),
        label="raw frame dump",
        items=(),
        clock="the recorder's, as it wrote it",
        raw=True,
        symbols=own,
        spec=spec,
        missing=missing,
        told=told,
        assumptions=assumptions,
    )
    imported.items = _items(path, imported.warnings)
    return imported


class _Seen:
    """What the first frames tell of a dump."""

    def __init__(self) -> None:
        self.feeds: set[TapeFeed] = set()
        self.tokens: dict[str, None] = {}
        self.conditions: dict[str, None] = {}
        self.symbol = ""

    def look(self, frame: bytes) -> None:
        feed = feed_of(frame)
        if feed is None:
            return
        self.feeds.add(feed)
        parsed = orjson.loads(frame)
        if feed == TapeFeed.SPOT and not self.symbol:
            data = parsed.get("data", parsed)
            self.symbol = str(data.get("s", ""))
        for one in parsed if isinstance(parsed, list) else [parsed]:
            if feed == TapeFeed.MARKET and isinstance(one, dict):
                if one.get("market"):
                    self.conditions[str(one["market"])] = None
                for holder in (one, *one.get("price_changes", ())):
                    if isinstance(holder, dict) and holder.get("asset_id"):
                        self.tokens[str(holder["asset_id"])] = None


def _market_of(
    path: Path, seen: _Seen, markets: dict[str, KnownMarket], missing: list[str]
) -> tuple[MarketSpec | None, dict[str, Any]]:
    """The market of a dump with what is known of its end; what had to be assumed is said in `missing`."""
    keys = [stem_of(path), *seen.conditions]
    known = next((markets[key] for key in keys if key in markets), None)
    if known is not None:
        return known.spec, known.told()
    if TapeFeed.MARKET not in seen.feeds:
        return None, {}
    try:
        windows = parse_slug(stem_of(path)).windows
    except DecodeError:
        windows = ()
    if len(windows) != 1 or len(seen.conditions) != 1 or len(seen.tokens) > 2:
        missing.append(f"which market: {len(seen.conditions)} condition ids, books are kept raw and not decoded")
        return None, {}
    missing.append("which token is Up: the first one seen is called Up here")
    missing.append("fee schedule, resolution rule, minimum size")
    return guessed_spec(stem_of(path), windows[0], next(iter(seen.conditions)), tuple(seen.tokens)), {}


def _items(path: Path, warnings: list[str]) -> Iterator[Item]:
    counts: Counter[str] = Counter()
    faults, last_ns, told = Faults(path), 0, 0
    for number, text in read_lines(path, faults):
        try:
            line = parse_line(path, number, text)
        except TapeError as error:
            faults.note(number, error)
            continue
        feed = feed_of(line.frame)
        recv_ns = line.recv_ns
        if recv_ns == 0:
            recv_ns = _own_stamp_ns(line.frame) or last_ns
            counts["frames without a receive time: their own stamp is used"] += 1
        if faults.count > told and last_ns:
            yield _gap(last_ns, recv_ns, faults.count - told, path)
        told = faults.count
        if recv_ns < last_ns:
            counts["frames received earlier than the one before: times are kept as told"] += 1
        last_ns = recv_ns
        if feed is None:
            counts["answers or frames of no known feed: kept, not decoded"] += 1
            front = f"GET {path.name}#{number}\n200\n".encode()
            yield Item(recv_ns, TapeFeed.REST, EntryKind.ANSWER, front + line.frame)
        else:
            yield Item(recv_ns, feed, EntryKind.FRAME, line.frame)
    if not last_ns:
        raise faults.refuse()
    warnings += [*(f"{count} {what}" for what, count in counts.items()), *faults.texts()]


def _gap(from_ns: int, to_ns: int, lines: int, path: Path) -> Item:
    """Lines that could not be used, as a gap of the tape: what they changed of a book is not known."""
    told = {"feed": "all", "cause": "damage", "from_ns": from_ns, "to_ns": max(from_ns, to_ns), "frames": None}
    detail = {"detail": f"{path.name}: {lines} lines could not be used"}
    return Item(max(from_ns, to_ns), TapeFeed.OWN, EntryKind.GAP, orjson.dumps({**told, **detail}))


def parse_line(path: Path, number: int, text: bytes) -> Line:
    """Read a line of any of the layouts; raises TapeError naming file and line."""
    plain = _PLAIN_TIME.fullmatch(text)
    if plain:
        return Line(_time_ns(plain[1].decode()), plain[2].strip())
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise TapeError(f"{path}: line {number} is no JSON: {error}") from error
    if isinstance(parsed, list) and len(parsed) == 2 and isinstance(parsed[0], int | float):
        return Line(_time_ns(_cut_number(text[1:])), _cut(path, number, text, text.index(b",") + 1, parsed[1]))
    if not isinstance(parsed, dict):
        raise TapeError(f"{path}: line {number} is neither a frame nor a time with one")
    frame_key = next((key for key in FRAME_KEYS if key in parsed and _is_frame(parsed[key])), None)
    time_key = next((key for key in TIME_KEYS if key in parsed), None)
    if frame_key is None or time_key is None:
        return Line(0, text)
    at = _value_at(text, frame_key)
    stamp = _time_ns(_cut_number(text[_value_at(text, time_key) :]))
    return Line(stamp, _cut(path, number, text, at, parsed[frame_key]))


def _is_frame(value: Any) -> bool:
    return isinstance(value, dict | list) or (isinstance(value, str) and value[:1] in "{[")


def _value_at(text: bytes, key: str) -> int:
    """Where the value of a key of the outer object begins."""
    match = re.search(rb'"' + key.encode() + rb'"\s*:\s*', text)
    assert match is not None, "the parsed object had it"
    return match.end()


def _cut(path: Path, number: int, text: bytes, at: int, value: Any) -> bytes:
    """The bytes of a value as they stand in the line from `at` on; of a text its content."""
    if isinstance(value, str):
        return value.encode()
    start = at + len(text[at:]) - len(text[at:].lstrip())
    end = len(text)
    while end > start:  # the value ends with the last bracket that makes it whole
        end = max(text.rfind(b"}", start, end), text.rfind(b"]", start, end)) + 1
        try:
            if end and orjson.loads(text[start:end]) == value:
                return text[start:end]
        except orjson.JSONDecodeError:
            pass
        end -= 1
    raise TapeError(f"{path}: line {number}: its frame cannot be cut out")


def _cut_number(text: bytes) -> str:
    match = re.match(rb'\s*"?([0-9.eE+]+)', text)
    return match[1].decode() if match else ""


def _time_ns(text: str) -> int:
    """A time of any unit as ns, exactly; 0 when it is none."""
    try:
        value = Decimal(text)
    except ArithmeticError:
        return 0
    unit = _UNIT_NS.get(len(str(int(value))))
    return 0 if unit is None else int(value * unit)


def _own_stamp_ns(frame: bytes) -> int:
    try:
        parsed = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return 0
    data = parsed.get("data", parsed) if isinstance(parsed, dict) else {}
    for key in STAMP_KEYS:
        if isinstance(data, dict) and key in data:
            return _time_ns(str(data[key]))
    return 0


def feed_of(frame: bytes) -> TapeFeed | None:
    """Tell which feed sends such frames, None: none of ours."""
    try:
        parsed = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    one = parsed[0] if isinstance(parsed, list) and parsed else parsed
    if not isinstance(one, dict):
        return None
    if one.get("event_type") in CLOB_KINDS:
        return TapeFeed.MARKET
    if one.get("topic") in ORACLE_TOPICS:
        return TapeFeed.RTDS
    if "@" in str(one.get("stream", "")) or (one.get("e") in ("trade", "aggTrade") and "s" in one):
        return TapeFeed.SPOT
    return None
