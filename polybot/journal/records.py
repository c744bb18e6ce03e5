"""What the money journal records, and the bytes of each record: strict codecs, one version per type.

Owns the record types and their payloads; framing (length, checksum, sequence number) is `frames`.  A reader
refuses a type, version or field it does not know: guessing at money is worse than stopping.
Must not do I/O or decide what a record means for the books (`recovery` does).  Called by journal, reader, ledger.
Money is micro-USD, sizes micro-shares, prices ticks of 1e-4, times ns since the epoch.
"""

import dataclasses
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar, get_type_hints

from polybot._fast.event import EVENT_DTYPE, EventKind, Special
from polybot.errors import StateDamaged
from polybot.market.spec import MarketSpec

__all__ = [
    "MAX_PAYLOAD",
    "MAX_TEXT",
    "MONEY_KINDS",
    "VERSION",
    "CleanStop",
    "HaltKind",
    "Intent",
    "Latch",
    "Loss",
    "MarketDrop",
    "MarketOpen",
    "MoneyEvent",
    "Note",
    "Record",
    "RecordType",
    "Session",
    "SnapshotBegin",
    "SnapshotEnd",
    "TradeSeen",
    "decode",
    "encode",
    "hide_owner",
    "pack_intent",
    "show_owner",
]

VERSION = 1  # of every type so far
MAX_PAYLOAD = 1 << 20  # no record is longer; a longer length field is damage
MAX_TEXT = 4_096  # bytes of one text; longer notes are cut, longer names refused
MAX_BODY = 65_536
EVENT_BYTES = EVENT_DTYPE.itemsize
# The API key is in every order's body as `owner`.  JSON never holds a NUL, so one stands for it in the file.
OWNER_MARK = b"\x00"
_EVENT = struct.Struct("<qqHHBBHqddqq")  # the layout of Event in _fast/event.pxd
_EVENT_KIND = struct.Struct("<16xH46x")
_INTENT = struct.Struct("<qQiHBBBBBxqqqqqqdq32s32sHI")
_MARKET = struct.Struct("<qHB")
_DROP = struct.Struct("<H")
_TRADE = struct.Struct("<QH32s")
_LATCH = struct.Struct("<BB")
_LOSS = struct.Struct("<qqqqq")
_STOP = struct.Struct("<I")
_COUNT = struct.Struct("<Q")
_LENGTH = struct.Struct("<H")
_T = TypeVar("_T")


class RecordType(IntEnum):
    """Codes in the file; never given again to something else."""

    SESSION = 1
    MARKET_OPEN = 2
    MARKET_DROP = 3
    INTENT = 4
    EVENT = 5
    TRADE_SEEN = 6
    LATCH = 7
    LOSS = 8
    NOTE = 9
    CLEAN_STOP = 10
    SNAPSHOT_BEGIN = 11
    SNAPSHOT_END = 12


class HaltKind(IntEnum):
    """What stops new orders until it is lifted."""

    MANUAL = 1
    DAILY = 2
    WEEKLY = 3
    RECONCILE = 4
    OTHER = 5


# Events that move money or truth; all others belong to the tape.
MONEY_KINDS = frozenset(
    int(kind)
    for kind in (
        EventKind.EV_ORDER_UPDATE,
        EventKind.EV_FILL,
        EventKind.EV_STRIKE,
        EventKind.EV_MARKET_CLOSE,
        EventKind.EV_OUTCOME,
        EventKind.EV_OPERATOR,
        EventKind.EV_BALANCE,
    )
)


@dataclass(frozen=True, slots=True)
class Session:
    """A process began to trade this account; `number` counts from 1."""

    account: str
    venue_session: str
    config_digest: str
    software: str
    number: int


@dataclass(frozen=True, slots=True)
class MarketOpen:
    """A market got its index; its orders count up from order_seq_base."""

    index: int
    order_seq_base: int
    observed: bool
    spec: MarketSpec


@dataclass(frozen=True, slots=True)
class MarketDrop:
    """A settled market was forgotten; its index may be given again."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An order about to be sent, complete enough to send the identical bytes again."""

    order_seq: int
    market: int
    strategy: str
    strategy_index: int
    outcome: int
    side: int
    order_type: int
    post_only: bool
    price_ticks: int
    asked_ushares: int
    signed_ushares: int
    maker_amount: int
    taker_amount: int
    salt: int
    order_id: str  # 0x and 64 hex digits: the EIP-712 hash
    token_id: str  # decimal
    expiration_s: int  # the venue's own end of a GTD order, 0: none
    expires_ns: int  # cancelled by us from then on, 0: never
    cancel_edge: float  # cancelled by us below this edge, NaN: never
    dispatched_ns: int
    body: bytes = field(repr=False)  # as sent, with OWNER_MARK for the API key


class EventFields(NamedTuple):
    """The fields of one 64-byte Event, see _fast/event.pxd."""

    recv_ns: int
    venue_ns: int
    kind: int
    market: int
    outcome: int
    side: int
    flags: int
    seq: int
    x: float
    y: float
    i: int
    j: int


@dataclass(frozen=True, slots=True)
class MoneyEvent:
    """One Event as the engine saw it."""

    raw: bytes

    @property
    def fields(self) -> EventFields:
        """The record's fields."""
        return EventFields._make(_EVENT.unpack(self.raw))


@dataclass(frozen=True, slots=True)
class TradeSeen:
    """What the 52-bit trade key of a fill stands for."""

    key: int
    trade_id: str
    order_id: str
    leg: int


@dataclass(frozen=True, slots=True)
class Latch:
    """A halt was set or lifted."""

    kind: HaltKind
    on: bool
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Loss:
    """The engine's own results: day and week counted from 1970 in UTC, micro-USD."""

    day: int
    week: int
    day_realised_usd: int
    week_realised_usd: int
    marked_usd: int


@dataclass(frozen=True, slots=True)
class Note:
    """A line for people."""

    text: str


@dataclass(frozen=True, slots=True)
class CleanStop:
    """An orderly end; open_orders may still be open at the venue."""

    open_orders: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotBegin:
    """What a new segment must say besides the restated records: sums over markets already forgotten."""

    session: Session | None
    is_clean: bool
    next_index: int
    closed_pnl: tuple[tuple[int, str, int], ...]  # (UTC day, strategy, micro-USD)
    strays: int


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """The snapshot is whole when this many records were restated."""

    count: int


Record = (
    Session
    | MarketOpen
    | MarketDrop
    | Intent
    | MoneyEvent
    | TradeSeen
    | Latch
    | Loss
    | Note
    | CleanStop
    | SnapshotBegin
    | SnapshotEnd
)


def encode(record: Record) -> tuple[RecordType, bytes]:
    """Return type and payload; raises ValueError for what cannot be recorded."""
    kind, writer = _ENCODERS[type(record)]
    try:
        payload = writer(record)
    except struct.error as error:
        raise ValueError(f"{kind.name}: a number is out of range: {error}") from error
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"{kind.name}: {len(payload)} bytes are more than {MAX_PAYLOAD}")
    return kind, payload


def decode(kind: int, version: int, payload: bytes) -> Record:
    """Return the record; raises StateDamaged for a type, version or content that is not known."""
    reader = _DECODERS.get(kind)
    if reader is None:
        raise StateDamaged(f"record type {kind} is not known to this version")
    if version != VERSION:
        raise StateDamaged(f"{RecordType(kind).name} has version {version}, this program reads {VERSION}")
    try:
        record: Record = reader(payload)
    except (struct.error, ValueError, TypeError, KeyError, IndexError) as error:
        raise StateDamaged(f"{RecordType(kind).name}: {type(error).__name__}: {error}") from error
    return record


def hide_owner(body: bytes, api_key: str) -> bytes:
    """Put the mark where the body names the API key; ValueError when the key is not there exactly once."""
    secret = api_key.encode()
    at = body.find(secret) if secret else -1
    after = at + len(secret)
    if at < 0 or body.find(secret, at + 1) >= 0 or OWNER_MARK in body:
        raise ValueError("the order's body does not hold its owner exactly once")
    return b"".join((body[:at], OWNER_MARK, body[after:]))


def show_owner(body: bytes, api_key: str) -> bytes:
    """The body as it was sent: what hide_owner took out is put back."""
    if body.count(OWNER_MARK) != 1:
        raise ValueError("the recorded body does not hold its mark exactly once")
    return body.replace(OWNER_MARK, api_key.encode())


# ---- payloads


def _text(value: str) -> bytes:
    raw = value.encode()
    if len(raw) > MAX_TEXT:
        raise ValueError(f"{len(raw)} bytes of text are more than {MAX_TEXT}")
    return _LENGTH.pack(len(raw)) + raw


def _texts(payload: bytes, offset: int, count: int) -> list[str]:
    """Read `count` texts that fill the payload from offset to its end."""
    found = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(payload, offset)
        offset += _LENGTH.size
        raw = payload[offset : offset + length]
        if len(raw) != length:
            raise ValueError("a text is cut off")
        found.append(raw.decode())
        offset += length
    if offset != len(payload):
        raise ValueError(f"{len(payload) - offset} bytes too many")
    return found


def _hash_bytes(text: str) -> bytes:
    if len(text) != 66 or not text.startswith("0x"):
        raise ValueError("an order id is 0x and 64 hex digits")
    return bytes.fromhex(text[2:])


def _bool(value: int) -> bool:
    if value not in (0, 1):
        raise ValueError(f"{value} is neither 0 nor 1")
    return bool(value)


def pack_intent(numbers: tuple[float, ...], *, order_id: str, token_id: str, strategy: str, body: bytes) -> bytes:
    """The payload of an INTENT; `numbers` in the order of _encode_intent.

    An order waits for this: no Intent is made on its way.  Raises ValueError for what cannot be recorded.
    """
    name = strategy.encode()
    if len(body) > MAX_BODY or len(name) > MAX_TEXT:
        raise ValueError("the order's body or its strategy's name is too long")
    token = int(token_id).to_bytes(32, "big")
    try:
        head = _INTENT.pack(*numbers, _hash_bytes(order_id), token, len(name), len(body))
    except struct.error as error:
        raise ValueError(f"INTENT: a number is out of range: {error}") from error
    return b"".join((head, name, body))


def _encode_intent(r: Intent) -> bytes:
    numbers = (
        r.order_seq, r.salt, r.price_ticks, r.market, r.strategy_index, r.outcome, r.side, r.order_type,
        r.post_only, r.asked_ushares, r.signed_ushares, r.maker_amount, r.taker_amount, r.expiration_s,
        r.expires_ns, r.cancel_edge, r.dispatched_ns,
    )  # fmt: skip
    return pack_intent(numbers, order_id=r.order_id, token_id=r.token_id, strategy=r.strategy, body=r.body)


def _decode_intent(payload: bytes) -> Intent:
    (
        order_seq, salt, price_ticks, market, strategy_index, outcome, side, order_type, post_only, asked,
        signed, maker_amount, taker_amount, expiration_s, expires_ns, cancel_edge, dispatched_ns, order_hash,
        token, name_bytes, body_bytes,
    ) = _INTENT.unpack_from(payload)  # fmt: skip
    body_at = _INTENT.size + name_bytes
    if body_at + body_bytes != len(payload) or outcome > 1 or side > 1:
        raise ValueError("lengths, outcome or side do not fit")
    return Intent(
        order_seq=order_seq,
        market=market,
        strategy=payload[_INTENT.size : body_at].decode(),
        strategy_index=strategy_index,
        outcome=outcome,
        side=side,
        order_type=order_type,
        post_only=_bool(post_only),
        price_ticks=price_ticks,
        asked_ushares=asked,
        signed_ushares=signed,
        maker_amount=maker_amount,
        taker_amount=taker_amount,
        salt=salt,
        order_id="0x" + order_hash.hex(),
        token_id=str(int.from_bytes(token, "big")),
        expiration_s=expiration_s,
        expires_ns=expires_ns,
        cancel_edge=cancel_edge,
        dispatched_ns=dispatched_ns,
        body=payload[body_at:],
    )


def _encode_event(r: MoneyEvent) -> bytes:
    if len(r.raw) != EVENT_BYTES:
        raise ValueError(f"an event has {EVENT_BYTES} bytes, not {len(r.raw)}")
    return r.raw


def _decode_event(payload: bytes) -> MoneyEvent:
    if len(payload) != EVENT_BYTES:
        raise ValueError(f"an event has {EVENT_BYTES} bytes, not {len(payload)}")
    (kind,) = _EVENT_KIND.unpack(payload)
    if kind not in MONEY_KINDS:
        raise ValueError(f"event kind {kind} does not belong here")
    return MoneyEvent(payload)


def _decode_trade(payload: bytes) -> TradeSeen:
    key, leg, order_hash = _TRADE.unpack_from(payload)
    (trade_id,) = _texts(payload, _TRADE.size, 1)
    return TradeSeen(key, trade_id, "0x" + order_hash.hex(), leg)


def _decode_latch(payload: bytes) -> Latch:
    kind, on = _LATCH.unpack_from(payload)
    reason, by = _texts(payload, _LATCH.size, 2)
    return Latch(HaltKind(kind), _bool(on), reason, by)


def _decode_market(payload: bytes) -> MarketOpen:
    base, index, observed = _MARKET.unpack_from(payload)
    if index >= Special.NO_MARKET:
        raise ValueError(f"market index {index} is out of range")
    return MarketOpen(index, base, _bool(observed), _from_json(MarketSpec, payload[_MARKET.size :]))


def _encode_market(r: MarketOpen) -> bytes:
    if not 0 <= r.index < Special.NO_MARKET:
        raise ValueError(f"market index {r.index} is out of range")
    return _MARKET.pack(r.order_seq_base, r.index, r.observed) + _json(dataclasses.asdict(r.spec))


def _encode_snapshot(r: SnapshotBegin) -> bytes:
    return _json({**dataclasses.asdict(r), "closed_pnl": [list(row) for row in r.closed_pnl]})


def _decode_snapshot(payload: bytes) -> SnapshotBegin:
    raw = json.loads(payload)
    if set(raw) != {item.name for item in dataclasses.fields(SnapshotBegin)}:
        raise ValueError("not the fields of a snapshot")
    return SnapshotBegin(
        session=None if raw["session"] is None else _checked(Session, raw["session"]),
        is_clean=_bool(raw["is_clean"]),
        next_index=int(raw["next_index"]),
        closed_pnl=tuple((int(day), str(name), int(usd)) for day, name, usd in raw["closed_pnl"]),
        strays=int(raw["strays"]),
    )


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def _from_json(cls: type[_T], payload: bytes) -> _T:
    return _checked(cls, json.loads(payload))


def _checked(cls: type[_T], raw: Any) -> _T:
    """Make a dataclass of a JSON object with exactly its fields, each of its type."""
    hints = _HINTS[cls]
    if not isinstance(raw, dict) or set(raw) != set(hints):
        raise ValueError(f"not the fields of {cls.__name__}")
    for name, kind in hints.items():
        if type(raw[name]) not in (getattr(kind, "__args__", None) or (kind,)):
            raise ValueError(f"{cls.__name__}.{name} is a {type(raw[name]).__name__}")
    return cls(**raw)


_HINTS: Mapping[type, Mapping[str, Any]] = {cls: get_type_hints(cls) for cls in (MarketSpec, Session)}
_ENCODERS: Mapping[type, tuple[RecordType, Callable[[Any], bytes]]] = {
    Session: (RecordType.SESSION, lambda r: _json(dataclasses.asdict(r))),
    MarketOpen: (RecordType.MARKET_OPEN, _encode_market),
    MarketDrop: (RecordType.MARKET_DROP, lambda r: _DROP.pack(r.index)),
    Intent: (RecordType.INTENT, _encode_intent),
    MoneyEvent: (RecordType.EVENT, _encode_event),
    TradeSeen: (
        RecordType.TRADE_SEEN,
        lambda r: _TRADE.pack(r.key, r.leg, _hash_bytes(r.order_id)) + _text(r.trade_id),
    ),
    Latch: (RecordType.LATCH, lambda r: _LATCH.pack(r.kind, r.on) + _text(r.reason) + _text(r.by)),
    Loss: (RecordType.LOSS, lambda r: _LOSS.pack(*dataclasses.astuple(r))),
    Note: (RecordType.NOTE, lambda r: _text(r.text)),
    CleanStop: (RecordType.CLEAN_STOP, lambda r: _STOP.pack(r.open_orders)),
    SnapshotBegin: (RecordType.SNAPSHOT_BEGIN, _encode_snapshot),
    SnapshotEnd: (RecordType.SNAPSHOT_END, lambda r: _COUNT.pack(r.count)),
}
_DECODERS: Mapping[int, Callable[[bytes], Any]] = {
    RecordType.SESSION: lambda raw: _from_json(Session, raw),
    RecordType.MARKET_OPEN: _decode_market,
    RecordType.MARKET_DROP: lambda raw: MarketDrop(*_DROP.unpack(raw)),
    RecordType.INTENT: _decode_intent,
    RecordType.EVENT: _decode_event,
    RecordType.TRADE_SEEN: _decode_trade,
    RecordType.LATCH: _decode_latch,
    RecordType.LOSS: lambda raw: Loss(*_LOSS.unpack(raw)),
    RecordType.NOTE: lambda raw: Note(*_texts(raw, 0, 1)),
    RecordType.CLEAN_STOP: lambda raw: CleanStop(*_STOP.unpack(raw)),
    RecordType.SNAPSHOT_BEGIN: _decode_snapshot,
    RecordType.SNAPSHOT_END: lambda raw: SnapshotEnd(*_COUNT.unpack(raw)),
}
