"""What a journal comes to: live markets, orders, trades, positions, results and halts, folded from its records.

Theory of operation: records of a live market that told something new are kept as they were, so a snapshot is
those records said again, and giving them to a fresh engine in their order makes its state (see `restore_events`).
A snapshot replaces the fold's state when it is whole and is ignored when it is not.  A record that fits nothing
is counted as a stray: a fold never raises and never books a fill that no record tells.

Owns RecoveredState and the fold.  Must not do I/O, know the engine, or read time.  Called by journal, ledger
checks and the daemon's start.  Money is micro-USD, sizes micro-shares, days UTC since 1970.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from polybot._fast.event import EventKind, OrderStatus, Side
from polybot.journal.booking import (
    F_MAKER,
    FAILED,
    LAST_STATUS,
    OrderState,
    after_fill,
    after_update,
    fill_cost,
    is_local_refusal,
    is_open,
    is_sound_fill,
    is_trade_news,
    utc_day,
    utc_week,
)
from polybot.journal.records import (
    CleanStop,
    EventFields,
    HaltKind,
    Intent,
    Latch,
    Loss,
    MarketDrop,
    MarketOpen,
    MoneyEvent,
    Record,
    Session,
    SnapshotBegin,
    SnapshotEnd,
    TradeSeen,
)

__all__ = [
    "Fold",
    "Position",
    "RecoveredMarket",
    "RecoveredOrder",
    "RecoveredState",
    "RecoveredTrade",
    "Stamped",
    "fold",
]

EV_ORDER_UPDATE, EV_FILL = int(EventKind.EV_ORDER_UPDATE), int(EventKind.EV_FILL)
EV_STRIKE, EV_MARKET_CLOSE = int(EventKind.EV_STRIKE), int(EventKind.EV_MARKET_CLOSE)
EV_OUTCOME, EV_BALANCE = int(EventKind.EV_OUTCOME), int(EventKind.EV_BALANCE)
OS_SENT = int(OrderStatus.OS_SENT)
BUY = int(Side.BUY)
# Results of forgotten markets are kept by day for so long; the SQLite ledger has all of them.
KEEP_DAYS = 40


Kept = tuple[int, Record]  # (ns it was recorded, the record)


class Stamped(NamedTuple):
    """A record with its place in the journal."""

    seq: int
    ns: int
    record: Record
    is_restated: bool = False


@dataclass(slots=True)
class RecoveredTrade:
    """One fill of one order; usd with fee, negative for proceeds."""

    key: int
    status: int
    price_ticks: int
    ushares: int
    usd: int
    fee_usd: int
    is_maker: bool
    is_booked: bool  # counted in the position: told, and not failed
    seen: TradeSeen | None = None


@dataclass(slots=True)
class RecoveredOrder:
    """One order from intent to its last known state."""

    intent: Intent
    state: OrderState
    trades: dict[int, RecoveredTrade] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """True while anything of it may still become a fill."""
        return is_open(self.state, self.intent.asked_ushares)


@dataclass(slots=True)
class Position:
    """One strategy's holding in one market; shares per outcome (Up, Down)."""

    shares: list[int] = field(default_factory=lambda: [0, 0])
    cost_usd: int = 0
    fees_usd: int = 0

    @property
    def is_flat(self) -> bool:
        """True when nothing is held and nothing was paid."""
        return not any(self.shares) and self.cost_usd == 0


@dataclass(slots=True)
class RecoveredMarket:
    """One live market: opened and not dropped."""

    opened: MarketOpen
    kept: list[Kept] = field(default_factory=list)  # what it was made of, in order
    orders: dict[int, RecoveredOrder] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)  # by strategy
    realised: dict[tuple[int, str], int] = field(default_factory=dict)  # by (day, strategy)
    strike: float = 0.0
    strike_source: int = 0
    is_closed: bool = False
    outcome: int = -1  # as the venue published it, -1: not yet
    refused: tuple[int, Kept] | None = None  # the last order that was refused here: (its order_seq, the record)

    @property
    def next_order_seq(self) -> int:
        """The first order_seq not known to be used in this market."""
        last = self.opened.order_seq_base - 1 if self.refused is None else self.refused[0]
        return max(last, *self.orders) + 1 if self.orders else last + 1

    @property
    def holds_position(self) -> bool:
        """True while something bought here is not settled."""
        return self.outcome < 0 and not all(position.is_flat for position in self.positions.values())

    def restore_events(self) -> list[bytes]:
        """The raw Events to give an engine after its market and orders were made again, in order."""
        return [record.raw for _, record in self.kept if isinstance(record, MoneyEvent)]


@dataclass(slots=True)
class RecoveredState:
    """Everything a start needs to know before it asks the venue."""

    session: Session | None = None
    is_clean: bool = True
    next_index: int = 0
    markets: dict[int, RecoveredMarket] = field(default_factory=dict)
    latches: dict[HaltKind, Latch] = field(default_factory=dict)  # those that are on
    loss: Kept | None = None
    balance: Kept | None = None
    closed_pnl: dict[tuple[int, str], int] = field(default_factory=dict)  # of dropped markets
    strays: int = 0
    duplicates: int = 0

    @property
    def cash_usd(self) -> int:
        """Collateral the venue last told, -1: never."""
        if self.balance is None or not isinstance(self.balance[1], MoneyEvent):
            return -1
        return self.balance[1].fields.j

    def pnl_by_day(self) -> dict[tuple[int, str], int]:
        """Realised PnL by (UTC day, strategy)."""
        total: dict[tuple[int, str], int] = defaultdict(int, self.closed_pnl)
        for market in self.markets.values():
            for key, usd in market.realised.items():
                total[key] += usd
        return {key: total[key] for key in sorted(total)}

    def realised(self, day: int) -> tuple[int, int]:
        """Realised PnL of a UTC day and of the week it lies in."""
        pnl = self.pnl_by_day()
        week = utc_week(day)
        return (
            sum(usd for (at, _), usd in pnl.items() if at == day),
            sum(usd for (at, _), usd in pnl.items() if utc_week(at) == week),
        )

    def open_orders(self) -> list[RecoveredOrder]:
        """Orders of which anything may still become a fill."""
        found = (order for market in self.markets.values() for order in market.orders.values())
        return [order for order in found if order.is_open]

    def restatement(self) -> list[tuple[int, Record]]:
        """The records of a snapshot of this state, (ns, record) in order, begin and end included."""
        restated = [item for market in self.markets.values() for item in market.kept]
        restated += [market.refused[1] for market in self.markets.values() if market.refused is not None]
        restated += [item for item in (self.loss, self.balance) if item is not None]
        restated += [(0, latch) for latch in self.latches.values()]
        begin = SnapshotBegin(
            session=self.session,
            is_clean=self.is_clean,
            next_index=self.next_index,
            closed_pnl=tuple((day, name, usd) for (day, name), usd in self.closed_pnl.items()),
            strays=self.strays,
        )
        return [(0, begin), *restated, (0, SnapshotEnd(len(restated)))]


class Fold:
    """Applies records one by one; `state` is what they come to so far."""

    def __init__(self) -> None:
        self.state = RecoveredState()
        self.snapshots = 0
        self._home: dict[int, RecoveredMarket] = {}  # by order_seq
        self._by_id: dict[str, RecoveredMarket] = {}  # by order id
        self._seen: dict[int, TradeSeen] = {}  # told before their fill
        self._shadow: Fold | None = None  # a snapshot being read
        self._restated = 0

    @classmethod
    def of_snapshot(cls, state: RecoveredState) -> "Fold":
        """A fold that stands where `state` does and shares nothing with it."""
        folding = cls()
        for ns, record in state.restatement():
            folding.apply(Stamped(0, ns, record, True))
        assert folding.snapshots == 1, "a state restates itself"
        return folding

    def apply(self, item: Stamped) -> None:
        """Take one record in."""
        record = item.record
        if isinstance(record, SnapshotBegin):
            self._begin_snapshot(record)
        elif isinstance(record, SnapshotEnd):
            self._end_snapshot(record)
        elif self._shadow is not None and item.is_restated:
            self._restated += 1
            self._shadow._take(item)
        else:
            self._shadow = None  # a snapshot that never ended says nothing
            self._take(item)

    def _begin_snapshot(self, begin: SnapshotBegin) -> None:
        self._shadow, self._restated = Fold(), 0
        state = self._shadow.state
        state.session, state.is_clean, state.next_index = begin.session, begin.is_clean, begin.next_index
        state.closed_pnl = {(day, name): usd for day, name, usd in begin.closed_pnl}
        state.strays = begin.strays

    def _end_snapshot(self, end: SnapshotEnd) -> None:
        shadow, self._shadow = self._shadow, None
        if shadow is None or self._restated != end.count:
            self.state.strays += 1
            return
        # Restated records count no stray or duplicate of their own.
        shadow.state.duplicates = self.state.duplicates
        self.state, self._home = shadow.state, shadow._home
        self._by_id, self._seen = shadow._by_id, shadow._seen
        self.snapshots += 1

    def _take(self, item: Stamped) -> None:
        record, state = item.record, self.state
        if isinstance(record, MoneyEvent):
            self._on_event(item, record.fields)
        elif isinstance(record, Intent):
            self._on_intent(item, record)
        elif isinstance(record, TradeSeen):
            self._on_trade_seen(item, record)
        elif isinstance(record, MarketOpen):
            self._on_market_open(item, record)
        elif isinstance(record, MarketDrop):
            self._on_market_drop(record)
        elif isinstance(record, Session):
            state.session, state.is_clean = record, False
        elif isinstance(record, CleanStop):
            state.is_clean = True
        elif isinstance(record, Loss):
            state.loss = (item.ns, record)
        elif isinstance(record, Latch):
            state.latches.pop(record.kind, None)
            if record.on:
                state.latches[record.kind] = record

    # -- markets ----------------------------------------------------------------------------------------------

    def _on_market_open(self, item: Stamped, record: MarketOpen) -> None:
        if record.index in self.state.markets:
            self.state.strays += 1
            return
        self.state.markets[record.index] = RecoveredMarket(record, [(item.ns, record)])
        self.state.next_index = max(self.state.next_index, record.index + 1)

    def _on_market_drop(self, record: MarketDrop) -> None:
        market = self.state.markets.get(record.index)
        if market is None or market.holds_position:
            self.state.strays += 1  # what is held must not be forgotten, whatever is said
            return
        del self.state.markets[record.index]
        for seq, order in market.orders.items():
            del self._home[seq], self._by_id[order.intent.order_id]
        for _, kept in market.kept:
            if isinstance(kept, TradeSeen):
                del self._seen[kept.key]
        for key_day, usd in market.realised.items():
            self.state.closed_pnl[key_day] = self.state.closed_pnl.get(key_day, 0) + usd
        self._forget_old_days()

    def _forget_old_days(self) -> None:
        newest = max((day for day, _ in self.state.closed_pnl), default=0)
        for key in [key for key in self.state.closed_pnl if key[0] < newest - KEEP_DAYS]:
            del self.state.closed_pnl[key]

    # -- orders -----------------------------------------------------------------------------------------------

    def _on_intent(self, item: Stamped, record: Intent) -> None:
        market = self.state.markets.get(record.market)
        if market is None or record.order_seq in self._home or record.order_id in self._by_id:
            self.state.strays += 1
            return
        market.orders[record.order_seq] = RecoveredOrder(record, OrderState(OS_SENT, 0, 0))
        market.kept.append((item.ns, item.record))
        self._home[record.order_seq] = self._by_id[record.order_id] = market

    def _on_trade_seen(self, item: Stamped, record: TradeSeen) -> None:
        if record.key in self._seen:
            self.state.duplicates += 1
            return
        market = self._by_id.get(record.order_id)
        if market is None:
            self.state.strays += 1
            return
        self._seen[record.key] = record
        market.kept.append((item.ns, item.record))

    def _on_event(self, item: Stamped, event: EventFields) -> None:
        if event.kind in (EV_ORDER_UPDATE, EV_FILL):
            self._on_order_news(item, event)
        elif event.kind == EV_BALANCE:
            self.state.balance = (item.ns, item.record)
        elif event.kind in (EV_STRIKE, EV_MARKET_CLOSE, EV_OUTCOME):
            self._on_market_event(item, event)

    def _on_order_news(self, item: Stamped, event: EventFields) -> None:
        market = self._home.get(event.seq)
        if market is None and is_local_refusal(event):
            self._on_refusal(item, event)
            return
        order = None if market is None else market.orders[event.seq]
        if market is None or order is None or (event.kind == EV_FILL and not is_sound_fill(event)):
            self.state.strays += 1
        elif event.kind == EV_FILL:
            self._on_fill(item, event, market, order)
        elif not 0 <= event.i <= LAST_STATUS:
            self.state.strays += 1
        else:
            changed = after_update(order.state, order.intent.asked_ushares, event.i, event.j)
            self._keep(item, market, news=changed is not None)
            order.state = changed or order.state

    def _on_refusal(self, item: Stamped, event: EventFields) -> None:
        """An order that was never sent: only its number is remembered, so that it is not given again."""
        market = self.state.markets.get(event.market)
        if market is None:
            self.state.strays += 1
        elif market.refused is None or event.seq > market.refused[0]:
            market.refused = (event.seq, (item.ns, item.record))

    def _on_fill(
        self, item: Stamped, event: EventFields, market: RecoveredMarket, order: RecoveredOrder
    ) -> None:
        key, status, asked = int(event.y), int(event.x), order.intent.asked_ushares
        trade = order.trades.get(key)
        if trade is not None and not is_trade_news(trade.status, status):
            self._keep(item, market, news=False)
            return
        self._keep(item, market, news=True)
        if trade is None:
            cost = fill_cost(market.opened.spec, event, outcome=order.intent.outcome, side=order.intent.side)
            maker, seen = bool(event.flags & F_MAKER), self._seen.get(key)
            trade = RecoveredTrade(key, status, event.i, event.j, cost.usd, cost.fee_usd, maker, False, seen)
            order.trades[key] = trade
        failed = status == FAILED
        order.state = after_fill(order.state, asked, trade.ushares, booked=trade.is_booked, failed=failed)
        if failed == trade.is_booked:  # booked and now failed, or neither yet
            self._book(market, order, trade, -1 if failed else 1, event.recv_ns)
            trade.is_booked = not failed
        trade.status = status

    def _keep(self, item: Stamped, market: RecoveredMarket, *, news: bool) -> None:
        if news:
            market.kept.append((item.ns, item.record))
        else:
            self.state.duplicates += 1

    def _book(
        self, market: RecoveredMarket, order: RecoveredOrder, trade: RecoveredTrade, sign: int, recv_ns: int
    ) -> None:
        """Book (1) or reverse (-1) one trade; after settlement also its difference to the result."""
        name, outcome = order.intent.strategy, order.intent.outcome
        position = market.positions.setdefault(name, Position())
        held = sign * (trade.ushares if order.intent.side == BUY else -trade.ushares)
        cost = sign * trade.usd
        position.shares[outcome] += held
        position.cost_usd += cost
        position.fees_usd += sign * trade.fee_usd
        if market.outcome >= 0:
            _realise(market, recv_ns, name, (held if outcome == market.outcome else 0) - cost)

    def _on_market_event(self, item: Stamped, event: EventFields) -> None:
        market = self.state.markets.get(event.market)
        if market is None:
            self.state.strays += 1
        elif event.kind == EV_STRIKE:
            sound = event.x > 0.0
            market.strike, market.strike_source = (
                (event.x, event.i) if sound else (market.strike, market.strike_source)
            )
            self._keep(item, market, news=sound)
        elif event.kind == EV_MARKET_CLOSE:
            self._keep(item, market, news=not market.is_closed)
            market.is_closed = True
        elif market.outcome >= 0 or event.outcome > 1:
            self._keep(item, market, news=False)
        else:
            market.outcome, market.is_closed = event.outcome, True
            market.kept.append((item.ns, item.record))
            for name, position in market.positions.items():
                if not position.is_flat:
                    _realise(market, event.recv_ns, name, position.shares[event.outcome] - position.cost_usd)


def fold(records: Iterable[Stamped]) -> RecoveredState:
    """What these records come to."""
    folding = Fold()
    for item in records:
        folding.apply(item)
    return folding.state


def _realise(market: RecoveredMarket, recv_ns: int, strategy: str, usd: int) -> None:
    key = (utc_day(recv_ns), strategy)
    market.realised[key] = market.realised.get(key, 0) + usd
