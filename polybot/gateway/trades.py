"""The venue's trades to fills of our own orders: pure parsing and the idempotent trade ledger.

The ledger keeps (trade id, own order id) -> the fills as first booked, and a status that only moves
forward; a later message of the same trade never changes sizes, it only advances the status:

    MATCHED -> MINED -> RETRYING -> CONFIRMED (final) | FAILED (final: reverses what was booked, once)

A trade first seen as FAILED was never booked and stays unbooked.
Must not do I/O.  Called by gateway.tracker.
"""

# A trade (user channel or REST) names the taker's order and a list of maker legs.  Our part of it is
# found by our own order ids:
#   taker: the maker legs, each at its own price, when their amounts add up to the trade's size; otherwise
#          (size, price).  A leg in our token counts at its price, a leg in the complement (mint or merge)
#          at 1 - price.
#   maker: every leg with our order id, at that leg's own price and size.

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from polybot._fast.event import TradeStatus
from polybot._fast.keccak import keccak_256
from polybot._fast.order import MOVE_CONTRADICTION, MOVE_ON, trade_move
from polybot.errors import DecodeError
from polybot.gateway.amounts import PRICE_ONE_TICKS, parse_micro, parse_ticks

__all__ = [
    "Fill",
    "Leg",
    "Trade",
    "TradeLedger",
    "TradeRecord",
    "maker_fills",
    "parse_trade",
    "taker_fills",
    "trade_key",
]

FAILED, CONFIRMED = int(TradeStatus.TS_FAILED), int(TradeStatus.TS_CONFIRMED)
# By prefix: REST also says MATCHED_NOT_BROADCASTED, and puts TRADE_STATUS_ before all of them.
_STATUS_PREFIXES = (
    ("MATCHED", int(TradeStatus.TS_MATCHED)),
    ("MINED", int(TradeStatus.TS_MINED)),
    ("RETRYING", int(TradeStatus.TS_RETRYING)),
    ("CONFIRMED", CONFIRMED),
    ("FAILED", FAILED),
)
_KEY_MASK = (1 << 52) - 1  # exact in the double that carries it
_MAX_LEGS = 1_000
_MS_FROM = 10**11  # a stamp below is in seconds
_END_NS = 1 << 63  # what an event can carry
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Leg:
    """One maker order's part of a trade."""

    order_id: str
    token_id: str
    is_buy: bool
    price_ticks: int
    ushares: int


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade as the venue tells it; prices in ticks, sizes in micro-shares."""

    trade_id: str
    status: int
    taker_order_id: str
    token_id: str
    is_buy: bool
    price_ticks: int
    ushares: int
    matched_ns: int
    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill of one of our orders; key is the engine's trade key."""

    price_ticks: int
    ushares: int
    is_maker: bool
    key: int
    leg: int = 0  # its place in the trade, part of what the key is made of


@dataclass(slots=True)
class TradeRecord:
    """What was booked for (trade id, own order id)."""

    status: int
    fills: tuple[Fill, ...]
    is_contradicted: bool = False  # told as failed after it was confirmed, or the other way round


class TradeLedger:
    """Remembers what was booked, so that every trade counts once however often it is told."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], TradeRecord] = {}
        self.counters = {"trade_duplicates": 0, "trade_contradictions": 0, "trade_unbooked_failures": 0}

    def advance(self, trade: Trade, order_id: str, fills: tuple[Fill, ...]) -> tuple[Fill, ...]:
        """Return the fills to tell the engine with trade.status: none when nothing is new."""
        record = self._records.get((trade.trade_id, order_id))
        if record is None:
            self._records[trade.trade_id, order_id] = TradeRecord(trade.status, fills)
            if trade.status == FAILED:
                self.counters["trade_unbooked_failures"] += 1
                return ()
            return fills
        if _total(record.fills) != _total(fills):
            self.counters["trade_contradictions"] += 1
        move = trade_move(record.status, trade.status)
        if move != MOVE_ON:
            doubted = move == MOVE_CONTRADICTION
            self.counters["trade_contradictions" if doubted else "trade_duplicates"] += 1
            return ()
        record.status = trade.status
        return record.fills

    def contradicted(self, trade: Trade, order_id: str) -> tuple[Fill, ...]:
        """Return what was booked of a trade that is final and is told to have ended otherwise; once."""
        record = self._records.get((trade.trade_id, order_id))
        if record is None or trade_move(record.status, trade.status) != MOVE_CONTRADICTION:
            return ()
        told, record.is_contradicted = record.is_contradicted, True
        return () if told else record.fills

    def fills_of(self, order_id: str, trade_ids: Iterable[str]) -> Iterator[tuple[int, Fill]]:
        """(trade status, fill) of everything booked for one order and not reversed."""
        for trade_id in trade_ids:
            record = self._records.get((trade_id, order_id))
            if record is not None and record.status != FAILED:
                for fill in record.fills:
                    yield record.status, fill

    def restore(self, trade_id: str, order_id: str, record: TradeRecord) -> None:
        """Take up what an earlier run booked."""
        self._records[trade_id, order_id] = record

    def forget(self, order_id: str, trade_ids: tuple[str, ...]) -> None:
        """Drop the records of an order that is no longer tracked."""
        for trade_id in trade_ids:
            self._records.pop((trade_id, order_id), None)


def parse_trade(raw: Mapping[str, object]) -> Trade:
    """Read one trade object of the user channel or REST; raises DecodeError for what cannot be one."""
    trade_id = raw.get("id")
    if not isinstance(trade_id, str) or not trade_id:
        raise DecodeError("trade_without_id")
    legs = raw.get("maker_orders") or []
    if not isinstance(legs, list) or len(legs) > _MAX_LEGS:
        raise DecodeError("trade_legs")
    return Trade(
        trade_id=trade_id,
        status=_read_status(raw.get("status")),
        taker_order_id=str(raw.get("taker_order_id", "")).lower(),
        token_id=str(raw.get("asset_id", "")),
        is_buy=_read_is_buy(raw.get("side")),
        price_ticks=_read_price(raw.get("price")),
        ushares=parse_micro(raw.get("size")),
        matched_ns=_stamp_ns(raw.get("match_time") or raw.get("matchtime") or raw.get("timestamp")),
        legs=tuple(_parse_leg(leg) for leg in legs),
    )


def taker_fills(trade: Trade, token_id: str, order_id: str) -> tuple[Fill, ...]:
    """Return our fills when we were the taker with an order on token_id."""
    prices = [_taker_price(trade, leg, token_id) for leg in trade.legs]
    adds_up = sum(leg.ushares for leg in trade.legs) == trade.ushares
    if prices and adds_up and min(prices) > 0:
        return tuple(
            Fill(price, leg.ushares, False, trade_key(trade.trade_id, order_id, k), k)
            for k, (price, leg) in enumerate(zip(prices, trade.legs, strict=True))
            if leg.ushares
        )
    if trade.price_ticks < 0:
        raise DecodeError("trade_price", trade.trade_id[:40])
    return (Fill(trade.price_ticks, trade.ushares, False, trade_key(trade.trade_id, order_id, 0)),)


def maker_fills(trade: Trade, order_id: str) -> tuple[Fill, ...]:
    """Return our fills when order_id rested."""
    return tuple(
        Fill(leg.price_ticks, leg.ushares, True, trade_key(trade.trade_id, order_id, k), k)
        for k, leg in enumerate(trade.legs)
        if leg.order_id == order_id and leg.ushares
    )


def trade_key(trade_id: str, order_id: str, leg: int) -> int:
    """Return the 52-bit key of one fill."""
    digest = keccak_256(f"{trade_id}|{order_id}|{leg}".encode())
    return int.from_bytes(digest[:8], "big") & _KEY_MASK


def _taker_price(trade: Trade, leg: Leg, token_id: str) -> int:
    """Our price against one maker leg, or -1 when the leg cannot have matched us."""
    if leg.token_id == token_id:
        return leg.price_ticks if leg.is_buy != trade.is_buy else -1
    return PRICE_ONE_TICKS - leg.price_ticks if leg.is_buy == trade.is_buy else -1


def _parse_leg(raw: object) -> Leg:
    if not isinstance(raw, Mapping):
        raise DecodeError("trade_leg")
    return Leg(
        order_id=str(raw.get("order_id", "")).lower(),
        token_id=str(raw.get("asset_id", "")),
        is_buy=_read_is_buy(raw.get("side")),
        price_ticks=parse_ticks(raw.get("price")),
        ushares=parse_micro(raw.get("matched_amount")),
    )


def _read_price(value: object) -> int:
    # The trade's own price may be an average off the grid: only needed when the legs do not add up.
    try:
        return parse_ticks(value)
    except DecodeError as error:
        if error.code == "too_many_decimals":
            return -1
        raise


def _read_status(value: object) -> int:
    text = str(value).upper().removeprefix("TRADE_STATUS_")
    for prefix, status in _STATUS_PREFIXES:
        if text.startswith(prefix):
            return status
    raise DecodeError("trade_status", text[:40])


def _read_is_buy(value: object) -> bool:
    text = str(value).upper()
    if text not in ("BUY", "SELL"):
        raise DecodeError("trade_side", text[:40])
    return text == "BUY"


def _stamp_ns(value: object) -> int:
    try:
        stamp = int(str(value))
    except ValueError:
        return 0
    stamp_ns = stamp * NS_PER_MS if stamp >= _MS_FROM else stamp * 1_000 * NS_PER_MS
    return stamp_ns if 0 <= stamp_ns < _END_NS else 0  # a time that cannot be: the fill counts all the same


def _total(fills: tuple[Fill, ...]) -> int:
    return sum(fill.ushares for fill in fills)
