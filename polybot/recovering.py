"""The start is the recovery: puts what the journal came to back into engine, gateway and telemetry.

Theory of operation, per market that was not dropped: open it with its old index, make its orders again as SENT,
give the engine the events that told of them in their order (the Commands are thrown away: what they asked for
was done, or is asked again), give the gateway the same orders with their trades.  Order numbers go on behind
every number that may have been used.  Afterwards results and halts are put back, and the venue is asked.

A market's orders are what the journal says; what happened while nobody listened comes from the venue by the
first reconcile.  Must not ask the venue or wait.  Called by polybot.trader, before anything connects.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from polybot._fast.event import EVENT_DTYPE, EventBuffer
from polybot.gateway.orders import OrderPlan
from polybot.gateway.tracker import TrackedOrder
from polybot.gateway.trades import Fill, TradeRecord
from polybot.journal.booking import is_terminal
from polybot.journal.records import HaltKind, MoneyEvent, TradeSeen
from polybot.journal.recovery import RecoveredMarket, RecoveredOrder, RecoveredState
from polybot.market.spec import MarketSpec

if TYPE_CHECKING:
    from polybot.trader import Trader

__all__ = ["check_sound", "restore", "restored_words"]

# Numbers the last process may have given to orders that never reached the journal: refused here, or died before.
SEQ_GAP = 100
NS = 1_000_000_000


def restore(trader: "Trader", state: RecoveredState) -> list[RecoveredMarket]:
    """Put everything back; returns the markets that are to be gone on with, oldest first."""
    if state.balance is not None and isinstance(state.balance[1], MoneyEvent):
        trader.door.retell(_buffer(state.balance[1].raw))
    traded = []
    for index, market in sorted(state.markets.items()):
        if market.opened.observed:
            trader.recorder.market_drop(index)  # it is joined anew, under another index
        else:
            _restore_market(trader, market)
            traded.append(market)
    if not trader.engine.account.broken:
        trader.engine.alerts.clear()  # they were told when it happened
    return sorted(traded, key=lambda market: market.opened.spec.start_ns)


def check_sound(trader: "Trader", state: RecoveredState) -> None:
    """After results and halts were put back: halt when what the journal tells does not add up in the engine.

    What it found is left in the engine's alerts, which are told.  A halt that the operator lifts with this start
    is not set again: it was set for this when it happened.
    """
    broken = trader.engine.account.broken
    if broken and not (trader.config.run.resume and HaltKind.MANUAL in state.latches):
        text = f"the books restored from the journal do not add up ({broken} times)"
        trader.notice("ERROR", f"{text}; halted until resumed")
        trader.losses.explain(text, "polybot")
        trader.door.halt()


def restored_words(state: RecoveredState) -> str:
    """One line for the operator."""
    traded = [market for market in state.markets.values() if not market.opened.observed]
    orders, open_orders = sum(len(market.orders) for market in traded), len(state.open_orders())
    ended = "after an orderly stop" if state.is_clean else "THE LAST PROCESS DID NOT STOP IN ORDER"
    return (
        f"recovered from the journal: {len(traded)} markets, {orders} orders ({open_orders} may be open), "
        f"{sum(market.holds_position for market in traded)} positions; {ended}"
    )


def _restore_market(trader: "Trader", market: RecoveredMarket) -> None:
    door, opened = trader.door, market.opened
    door.open_market(opened.index, opened.spec, order_seq_base=market.next_order_seq + SEQ_GAP)
    trader.gateway.register_market(opened.index, opened.spec)
    for order in market.orders.values():
        intent = order.intent
        door.restore_order(
            opened.index,
            strategy=intent.strategy,
            order_seq=intent.order_seq,
            outcome=intent.outcome,
            side=intent.side,
            order_type=intent.order_type,
            price_ticks=intent.price_ticks,
            shares=intent.asked_ushares,
            post_only=intent.post_only,
            dispatched_ns=intent.dispatched_ns,
            expires_ns=intent.expires_ns,
            cancel_edge=intent.cancel_edge,
        )
    for raw in market.restore_events():
        door.retell(_buffer(raw))  # the Commands are thrown away
    seen = _seen_trades(market)
    for order in market.orders.values():
        trades = _whole_trades(order, seen[order.intent.order_id])
        trader.gateway.restore(_tracked(order, opened.spec, trades), trades)


def _buffer(raw: bytes) -> EventBuffer:
    events = EventBuffer(1)
    events.extend(np.frombuffer(raw, dtype=EVENT_DTYPE))
    return events


def _seen_trades(market: RecoveredMarket) -> defaultdict[str, list[TradeSeen]]:
    """What was written of trades, by order id."""
    found: defaultdict[str, list[TradeSeen]] = defaultdict(list)
    for _, record in market.kept:
        if isinstance(record, TradeSeen):
            found[record.order_id].append(record)
    return found


def _whole_trades(order: RecoveredOrder, seen: list[TradeSeen]) -> dict[str, TradeRecord]:
    """The trades of an order by trade id.

    A trade of which some fill is named and not told was torn off while it was written: it is left out, the venue
    tells it again, and the engine knows by its key which part it has.
    """
    torn = {named.trade_id for named in seen if named.key not in order.trades}
    parts: defaultdict[str, list[tuple[int, Fill, int]]] = defaultdict(list)
    for trade in order.trades.values():
        if trade.seen is not None and trade.seen.trade_id not in torn:
            leg = trade.seen.leg
            fill = Fill(trade.price_ticks, trade.ushares, trade.is_maker, trade.key, leg)
            parts[trade.seen.trade_id].append((leg, fill, trade.status))
    return {
        trade_id: TradeRecord(max(status for _, _, status in legs), tuple(fill for _, fill, _ in sorted(legs)))
        for trade_id, legs in parts.items()
    }


def _tracked(order: RecoveredOrder, spec: MarketSpec, trades: dict[str, TradeRecord]) -> TrackedOrder:
    """The gateway's own picture of an order, as it was when the last process ended."""
    intent, state = order.intent, order.state
    booked = {fill.key for record in trades.values() for fill in record.fills}
    filled = sum(trade.ushares for trade in order.trades.values() if trade.key in booked and trade.is_booked)
    voided = sum(trade.ushares for trade in order.trades.values() if trade.key in booked and not trade.is_booked)
    told = state.matched > 0 or is_terminal(state.status)
    return TrackedOrder(
        order_seq=intent.order_seq,
        order_id=intent.order_id,
        market=intent.market,
        condition_id=spec.condition_id,
        token_id=intent.token_id,
        end_ns=spec.end_ns,
        plan=OrderPlan(
            order_seq=intent.order_seq,
            outcome=intent.outcome,
            side=intent.side,
            order_type=intent.order_type,
            price_ticks=intent.price_ticks,
            asked_ushares=intent.asked_ushares,
            ushares=intent.signed_ushares,
            maker_amount=intent.maker_amount,
            taker_amount=intent.taker_amount,
            expiration_s=intent.expiration_s,
        ),
        placed_ns=intent.dispatched_ns,
        body=intent.body,
        status=state.status,
        matched_ushares=state.matched + voided if told else -1,
        filled_ushares=filled,
        voided_ushares=voided,
        answered=True,
    )
