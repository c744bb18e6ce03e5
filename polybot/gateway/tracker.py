"""Every order we sent and what is known of it: the book-keeping between the wire and the engine.

Owns order states and the trade ledger, turns venue facts into events.  No I/O, no clock, no tasks:
gateway.clob and gateway.resolver tell it what they learned, it tells which events follow.
States move by the one table of _fast.order (printed in docs/ARCHITECTURE.md).  SENT becomes UNKNOWN without a
usable answer and leaves it only on evidence: a user event, the order by hash, own trades, or a closed market
and complete lists that show nothing.  What cannot be true beside what is known is not applied and is handed on
all the same: the engine, which asks the same table, counts it and tells a person.
"""

# An order ends by the venue's word (canceled, expired, refused), or when its fills add up: to its size
# (FILLED), or to the amount the venue matched of a FAK or FOK (CANCELED with that amount).  Fills are
# booked whatever the state says: money first.  FILLED is only said when all that the engine asked for
# was filled; an order cut to the venue's decimals ends as CANCELED with the matched amount.

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from polybot._fast.event import EventBuffer, EventFlag, EventKind, OrderStatus, TradeStatus
from polybot._fast.order import MOVE_CONTRADICTION, MOVE_ON, MOVE_REVIVED, is_terminal, order_move
from polybot.errors import InvariantBroken
from polybot.gateway.amounts import parse_micro
from polybot.gateway.orders import TAKER_TYPES, OrderPlan
from polybot.gateway.reasons import RejectReason
from polybot.gateway.trades import (
    Fill,
    Trade,
    TradeLedger,
    TradeRecord,
    maker_fills,
    parse_trade,
    taker_fills,
)

__all__ = ["MAX_TRACKED", "OrderTracker", "TrackedOrder"]

OS_SENT, OS_LIVE = int(OrderStatus.OS_SENT), int(OrderStatus.OS_LIVE)
OS_DELAYED, OS_MATCHED = int(OrderStatus.OS_DELAYED), int(OrderStatus.OS_MATCHED)
OS_PARTIAL, OS_FILLED = int(OrderStatus.OS_PARTIAL), int(OrderStatus.OS_FILLED)
OS_CANCELED, OS_EXPIRED = int(OrderStatus.OS_CANCELED), int(OrderStatus.OS_EXPIRED)
OS_REJECTED, OS_UNKNOWN = int(OrderStatus.OS_REJECTED), int(OrderStatus.OS_UNKNOWN)
TS_FAILED = int(TradeStatus.TS_FAILED)
EV_ORDER_UPDATE, EV_FILL = int(EventKind.EV_ORDER_UPDATE), int(EventKind.EV_FILL)
F_MAKER, F_LOCAL = int(EventFlag.F_MAKER), int(EventFlag.F_LOCAL)
MOVES, TELLS = (MOVE_ON, MOVE_REVIVED), (MOVE_CONTRADICTION, MOVE_REVIVED)
# Orders kept in memory; the oldest finished ones go first, and with none finished no new order is taken.
MAX_TRACKED = 20_000
# Venue order statuses by prefix, the longer ones first; texts after the prefix are free.
_STATUS_PREFIXES = (
    ("CANCELED_EXPIRED", OS_EXPIRED),
    ("EXPIRED", OS_EXPIRED),
    ("CANCELED", OS_CANCELED),
    ("CANCELLED", OS_CANCELED),
    ("INVALID", OS_CANCELED),
    ("MATCHED", OS_MATCHED),
    ("DELAYED", OS_DELAYED),
    ("LIVE", OS_LIVE),
)


@dataclass(slots=True)
class TrackedOrder:
    """One order of ours; sizes in micro-shares, matched -1 while the venue has not told."""

    order_seq: int
    order_id: str
    market: int
    condition_id: str
    token_id: str
    end_ns: int
    plan: OrderPlan
    placed_ns: int
    body: bytes = field(repr=False)
    status: int = OS_SENT
    matched_ushares: int = -1
    match_is_final: bool = False  # the venue told all that a FAK or FOK matched
    filled_ushares: int = 0  # booked and not reversed
    voided_ushares: int = 0  # booked and reversed by FAILED
    answered: bool = False  # the POST is over, one way or the other
    cancel_wanted: bool = False
    canceling: bool = False  # a DELETE is under way
    cancel_answered: bool = False  # the venue answered it; asked again only when the order shows up alive
    cancel_confirmed: bool = False  # the venue said it ended, not with how much matched
    missing: bool = False  # the venue's open orders did not list it
    resolving: bool = False
    trade_ids: list[str] = field(default_factory=list)

    @property
    def is_taker(self) -> bool:
        """FAK or FOK: it can never rest."""
        return self.plan.order_type in TAKER_TYPES

    @property
    def is_terminal(self) -> bool:
        """The venue has nothing more to do with it, except to report fills already matched."""
        return is_terminal(self.status)

    @property
    def is_doubted(self) -> bool:
        """What we believe of it is not what the venue last showed, or it never showed anything."""
        return self.missing or self.cancel_confirmed or self.status in (OS_SENT, OS_UNKNOWN)

    @property
    def is_settled(self) -> bool:
        """Terminal, and every matched share was reported as a fill (some of them reversed since)."""
        return self.is_terminal and self.booked_ushares >= self.matched_ushares

    @property
    def reported_ushares(self) -> int:
        """Matched so far for the engine: what the venue told or what fills showed, less what was reversed."""
        if self.matched_ushares < 0 and self.booked_ushares == 0:
            return -1
        return max(self.matched_ushares, self.booked_ushares) - self.voided_ushares

    @property
    def booked_ushares(self) -> int:
        """Micro-shares of all fills ever told, reversed or not."""
        return self.filled_ushares + self.voided_ushares


class OrderTracker:
    """Orders by id and by order_seq; fills an EventBuffer with what changed."""

    def __init__(self, on_new_trade: Callable[[Trade, str, tuple[Fill, ...]], None] | None = None) -> None:
        """`on_new_trade(trade, order_id, fills)` is called before the fills of a new trade are handed on."""
        self._on_new_trade = on_new_trade
        self._by_id: dict[str, TrackedOrder] = {}
        self._by_seq: dict[int, TrackedOrder] = {}
        self._open: dict[str, TrackedOrder] = {}
        self._unknown: dict[str, TrackedOrder] = {}
        self.ledger = TradeLedger()
        self.counters = {
            "foreign_orders": 0,
            "foreign_trades": 0,
            "unknown_statuses": 0,
            "after_terminal": 0,
            "contradictions": 0,
            "overfilled": 0,
        }

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[TrackedOrder]:
        return iter(tuple(self._by_id.values()))

    def by_id(self, order_id: str) -> TrackedOrder | None:
        """The order with this venue id (0x hex in any case)."""
        return self._by_id.get(order_id.lower())

    def by_seq(self, order_seq: int) -> TrackedOrder | None:
        """The order with this engine number."""
        return self._by_seq.get(order_seq)

    def add(self, order: TrackedOrder) -> bool:
        """Track an order about to be sent; False when there is no room for it."""
        assert order.order_id not in self._by_id, "the same signed order twice"
        assert order.order_seq not in self._by_seq, "the same order_seq twice"
        if len(self._by_id) >= MAX_TRACKED and not self._drop_oldest():
            return False
        self._by_id[order.order_id] = order
        self._by_seq[order.order_seq] = order
        self._open[order.order_id] = order
        return True

    def restore(self, order: TrackedOrder, trades: Mapping[str, TradeRecord]) -> None:
        """Take up an order of an earlier run as it was last known, with its trades by trade id."""
        assert order.order_id not in self._by_id, "the same order restored twice"
        assert order.order_seq not in self._by_seq, "the same order_seq restored twice"
        self._by_id[order.order_id] = self._by_seq[order.order_seq] = order
        if not order.is_terminal:
            self._open[order.order_id] = order
        if order.status == OS_UNKNOWN:
            self._unknown[order.order_id] = order
        for trade_id, record in trades.items():
            self.ledger.restore(trade_id, order.order_id, record)
            order.trade_ids.append(trade_id)

    def blocks_token(self, token_id: str) -> bool:
        """True while an order on this token is unknown."""
        return any(order.token_id == token_id for order in self._unknown.values())

    def open_orders(self, market: int | None = None) -> list[TrackedOrder]:
        """Orders not at their end, of one market or all."""
        return [order for order in self._open.values() if market in (None, order.market)]

    def on_status(
        self,
        out: EventBuffer,
        order: TrackedOrder,
        *,
        status: int,
        now_ns: int,
        matched_ushares: int = -1,
        reason: RejectReason = RejectReason.NONE,
        is_local: bool = False,
    ) -> None:
        """The venue (is_local: we ourselves) said something definite of an order: move by the table and report."""
        before = order.reported_ushares
        order.matched_ushares = max(matched_ushares, order.matched_ushares)
        grew = order.reported_ushares > max(before, 0)
        move = order_move(order.status, status, matched=order.reported_ushares > 0)
        self.counters["contradictions"] += move in TELLS
        if move in MOVES:
            self._set_status(order, status)
            self._report(out, order, now_ns, reason, flags=F_LOCAL if is_local else 0)
        elif move == MOVE_CONTRADICTION:
            self._report(out, order, now_ns, reason, told=status)
        elif grew:
            # Of an order at its end: more was matched, and the engine must hold for the fills to come.
            self.counters["after_terminal"] += order.is_terminal
            self._report(out, order, now_ns, reason)

    def on_order_event(
        self, out: EventBuffer, raw: Mapping[str, object], *, now_ns: int
    ) -> TrackedOrder | None:
        """Apply an order object of the user channel or REST; None when it is not ours.

        Raises DecodeError when sizes cannot be read.
        """
        order = self.by_id(str(raw.get("id", "")))
        if order is None:
            self.counters["foreign_orders"] += 1
            return None
        told = raw.get("size_matched")
        matched = -1 if told in (None, "") else parse_micro(told)
        status = self._read_status(raw, order, matched)
        if status >= 0 and is_terminal(status) and matched < 0:
            # It ended, but with how much matched?  The resolver finds out.
            order.cancel_confirmed = True
        elif status >= 0:
            self.on_status(out, order, status=status, matched_ushares=matched, now_ns=now_ns)
            self.check_complete(out, order, now_ns=now_ns)
        return order

    def on_trade(self, out: EventBuffer, raw: Mapping[str, object], *, now_ns: int) -> list[TrackedOrder]:
        """Apply a trade object; returns our orders in it.  Raises DecodeError when it cannot be read."""
        trade = parse_trade(raw)
        touched: list[TrackedOrder] = []
        taker = self._by_id.get(trade.taker_order_id)
        if taker is not None:
            self._book(out, trade, taker, taker_fills(trade, taker.token_id, taker.order_id), now_ns)
            touched.append(taker)
        for order_id in dict.fromkeys(leg.order_id for leg in trade.legs):
            maker = self._by_id.get(order_id)
            if maker is not None:
                self._book(out, trade, maker, maker_fills(trade, order_id), now_ns)
                touched.append(maker)
        if not touched:
            self.counters["foreign_trades"] += 1
        return touched

    def end(self, out: EventBuffer, order: TrackedOrder, *, now_ns: int) -> None:
        """Evidence says nothing more will match: the order ends with what was filled."""
        assert not order.is_terminal, "an order ends once"
        order.matched_ushares = max(order.matched_ushares, order.booked_ushares)
        self._set_status(order, self._end_status(order, order.matched_ushares))
        self._report(out, order, now_ns, RejectReason.NONE)

    def _book(
        self, out: EventBuffer, trade: Trade, order: TrackedOrder, fills: tuple[Fill, ...], now_ns: int
    ) -> None:
        self._tell_fills(out, order, trade, self.ledger.contradicted(trade, order.order_id), now_ns)
        news = self.ledger.advance(trade, order.order_id, fills)
        if trade.trade_id not in order.trade_ids:
            if self._on_new_trade is not None:
                self._on_new_trade(trade, order.order_id, fills)
            order.trade_ids.append(trade.trade_id)
            if trade.status == TS_FAILED:
                # First heard of as failed: nothing to reverse, but its match must not be waited for.
                news = fills
                order.voided_ushares += sum(fill.ushares for fill in news)
                self.check_complete(out, order, now_ns=now_ns)
            else:
                order.filled_ushares += sum(fill.ushares for fill in news)
        elif trade.status == TS_FAILED:
            order.filled_ushares -= sum(fill.ushares for fill in news)
            order.voided_ushares += sum(fill.ushares for fill in news)
        if order.filled_ushares < 0:
            raise InvariantBroken(f"order {order.order_seq}: more reversed than booked")
        if order.filled_ushares > order.plan.ushares:
            self.counters["overfilled"] += 1
        self._tell_fills(out, order, trade, news, now_ns)
        if news and trade.status == TS_FAILED:
            self._report(out, order, now_ns, RejectReason.NONE)
        elif news:
            self.check_complete(out, order, now_ns=now_ns)

    def _tell_fills(
        self, out: EventBuffer, order: TrackedOrder, trade: Trade, fills: tuple[Fill, ...], now_ns: int
    ) -> None:
        for fill in fills:
            out.add(
                EV_FILL,
                recv_ns=now_ns,
                venue_ns=trade.matched_ns,
                market=order.market,
                outcome=order.plan.outcome,
                side=order.plan.side,
                flags=F_MAKER if fill.is_maker else 0,
                seq=order.order_seq,
                x=trade.status,
                y=fill.key,
                i=fill.price_ticks,
                j=fill.ushares,
            )

    def check_complete(self, out: EventBuffer, order: TrackedOrder, *, now_ns: int) -> None:
        """After fills: is the order at its end, or partly filled?"""
        if order.is_terminal and not (order.status == OS_REJECTED and order.filled_ushares > 0):
            return
        filled = order.booked_ushares
        if order.status == OS_REJECTED:
            # The venue refused it, and it was filled: it is followed to its end like any other.
            status = OS_MATCHED if order.is_taker else OS_PARTIAL
            self.on_status(out, order, status=status, matched_ushares=filled, now_ns=now_ns)
        if filled >= order.plan.ushares or (order.match_is_final and 0 < order.matched_ushares <= filled):
            self.end(out, order, now_ns=now_ns)
        elif filled > 0:
            status = OS_MATCHED if order.is_taker else OS_PARTIAL
            matched = max(filled, order.matched_ushares)
            self.on_status(out, order, status=status, matched_ushares=matched, now_ns=now_ns)

    def _read_status(self, raw: Mapping[str, object], order: TrackedOrder, matched: int) -> int:
        text = str(raw.get("status") or "").upper().removeprefix("ORDER_STATUS_")
        if str(raw.get("type", "")).upper() == "CANCELLATION" and not text.startswith(("CANCEL", "INVALID")):
            return OS_CANCELED
        for prefix, status in _STATUS_PREFIXES:
            if not text.startswith(prefix):
                continue
            if status == OS_MATCHED and matched >= order.plan.ushares:
                return self._end_status(order, matched)
            if status in (OS_LIVE, OS_MATCHED) and matched > 0:
                return OS_MATCHED if order.is_taker else OS_PARTIAL
            return status
        if text != "UNMATCHED":
            self.counters["unknown_statuses"] += 1
        return -1

    def _end_status(self, order: TrackedOrder, matched: int) -> int:
        return OS_FILLED if matched >= order.plan.asked_ushares else OS_CANCELED

    def _set_status(self, order: TrackedOrder, status: int) -> None:
        order.status = status
        self._unknown.pop(order.order_id, None)
        if status == OS_UNKNOWN:
            self._unknown[order.order_id] = order
        if order.is_terminal:
            self._open.pop(order.order_id, None)
        else:
            self._open[order.order_id] = order

    def _report(
        self,
        out: EventBuffer,
        order: TrackedOrder,
        now_ns: int,
        reason: RejectReason,
        *,
        flags: int = 0,
        told: int | None = None,
    ) -> None:
        """Say an order's state to the engine; `told` instead of it is what cannot be true."""
        out.add(
            EV_ORDER_UPDATE,
            recv_ns=now_ns,
            market=order.market,
            outcome=order.plan.outcome,
            side=order.plan.side,
            seq=order.order_seq,
            x=float(reason),
            i=order.status if told is None else told,
            j=order.reported_ushares,
            flags=flags,
        )

    def _drop_oldest(self) -> bool:
        for order in self._by_id.values():
            if order.is_settled:
                del self._by_id[order.order_id], self._by_seq[order.order_seq]
                self.ledger.forget(order.order_id, tuple(order.trade_ids))
                return True
        return False
