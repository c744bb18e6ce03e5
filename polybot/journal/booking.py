"""How an order's state and a fill's money follow from events: the journal's own rules, pure and without state.

Owns what follows from a move of an order or a trade, what a match costs, and which UTC day and week a stamp
belongs to; the rules are those of docs/ARCHITECTURE.md, written a second time on purpose: what the journal says
is compared with what the engine booked.  Which move is one is the table of _fast.order, and roundings of money
belong to _fast.fees; both are taken from there.
Must not hold state or do I/O.  Called by recovery and ledger.
"""

from typing import NamedTuple

from polybot._fast.event import EventFlag, EventKind, OrderStatus, Side, TradeStatus
from polybot._fast.fees import leg_micro_usd, taker_fee_micro_usd
from polybot._fast.order import MOVE_ON, MOVE_REVIVED, is_terminal, order_move, trade_move
from polybot.journal.records import EventFields
from polybot.market.spec import MarketSpec

__all__ = [
    "FAILED",
    "F_MAKER",
    "LAST_STATUS",
    "Cost",
    "OrderState",
    "after_fill",
    "after_update",
    "fill_cost",
    "is_local_refusal",
    "is_open",
    "is_sound_fill",
    "is_terminal",
    "is_trade_news",
    "utc_day",
    "utc_week",
]

DAY_NS = 86_400_000_000_000
FAILED = int(TradeStatus.TS_FAILED)
LAST_STATUS = int(OrderStatus.OS_UNKNOWN)
F_MAKER, F_LOCAL = int(EventFlag.F_MAKER), int(EventFlag.F_LOCAL)
EV_ORDER_UPDATE = int(EventKind.EV_ORDER_UPDATE)
BUY = int(Side.BUY)
TICKS_PER_USD = 10_000
MAX_KEY = 1 << 52
MAX_USHARES = 10**15  # the limit of _fast.fees
FILLED, PARTIAL, REJECTED, UNKNOWN = (
    int(OrderStatus.OS_FILLED),
    int(OrderStatus.OS_PARTIAL),
    int(OrderStatus.OS_REJECTED),
    int(OrderStatus.OS_UNKNOWN),
)
MOVES = (MOVE_ON, MOVE_REVIVED)


class OrderState(NamedTuple):
    """What is known of an order; matched as the venue last told, filled as booked, micro-shares."""

    status: int
    matched: int
    filled: int


class Cost(NamedTuple):
    """What one match moved, micro-USD; usd is with fee and negative for proceeds."""

    usd: int
    fee_usd: int


def is_open(state: OrderState, ushares: int) -> bool:
    """True while anything of the order may still become a fill."""
    if state.status == REJECTED:
        return False
    return not is_terminal(state.status) or state.matched > state.filled


def after_update(state: OrderState, ushares: int, status: int, matched: int) -> OrderState | None:
    """The state after an EV_ORDER_UPDATE; None when it tells nothing new."""
    known = max(matched, state.matched)
    moves = order_move(state.status, status, matched=known > 0) in MOVES
    if matched <= state.matched and not moves:
        return None
    now = state.status
    if moves:
        now = status
        if status == FILLED and matched < 0:
            known = ushares  # how much was not told: all of it, until fills say otherwise
    return _tidy(OrderState(now, known, state.filled), ushares)


def after_fill(state: OrderState, ushares: int, filled: int, *, booked: bool, failed: bool) -> OrderState:
    """The state after a fill of `filled` micro-shares: first told, told as failed, or a later status.

    booked: it counts in filled already; failed: it is FAILED now.
    """
    if failed and not booked:
        state = state._replace(matched=max(state.filled, state.matched - filled))
    elif failed:
        left = state.filled - filled
        matched = left if left > state.matched else state.matched - filled
        state = state._replace(filled=left, matched=matched)
    elif not booked:
        total = state.filled + filled
        state = state._replace(filled=total, matched=max(total, state.matched))
        if state.status == REJECTED:  # the venue refused it and filled it: it lives
            state = state._replace(status=PARTIAL)
    return _tidy(state, ushares)


def is_trade_news(known: int, told: int) -> bool:
    """True when a trade moves: known is its TradeStatus so far, 0 for one never heard of."""
    return trade_move(known, told) == MOVE_ON


def is_local_refusal(event: EventFields) -> bool:
    """True for the EV_ORDER_UPDATE of an order that was refused here and never sent."""
    return event.kind == EV_ORDER_UPDATE and event.i == REJECTED and bool(event.flags & F_LOCAL)


def is_sound_fill(event: EventFields) -> bool:
    """True for an EV_FILL whose numbers can be booked."""
    return (
        0 < event.j <= MAX_USHARES
        and 0 < event.i < TICKS_PER_USD
        and event.x in (1.0, 2.0, 3.0, 4.0, 5.0)
        and 0.0 <= event.y < MAX_KEY
        and event.y == int(event.y)
    )


def fill_cost(spec: MarketSpec, event: EventFields, *, outcome: int, side: int) -> Cost:
    """What a sound fill costs: notional, and for the taker the market's fee."""
    fee = 0
    if not event.flags & F_MAKER and spec.fees_enabled and spec.fee_rate_ppm:
        fee = taker_fee_micro_usd(event.j, event.i, spec.fee_rate_ppm, spec.fee_exponent)
    notional = leg_micro_usd(outcome, event.j, event.i)
    return Cost(notional + fee if side == BUY else fee - notional, fee)


def utc_day(ns: int) -> int:
    """Days since 1970 in UTC."""
    return ns // DAY_NS


def utc_week(day: int) -> int:
    """Weeks since 1970, each from Monday; 1970-01-01 was a Thursday."""
    return (day + 3) // 7


def _tidy(state: OrderState, ushares: int) -> OrderState:
    """Fills that add up end an order; a first fill makes it partial."""
    if is_terminal(state.status):
        return state
    if state.filled >= ushares:
        return state._replace(status=FILLED)
    if state.filled > 0 and state.status != UNKNOWN and order_move(state.status, PARTIAL) == MOVE_ON:
        return state._replace(status=PARTIAL)
    return state
