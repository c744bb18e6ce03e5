"""What a start makes of a journal: every path by which an order, a trade or a market comes back."""

from types import SimpleNamespace

import pytest
from journal.history import SHARE, START_NS, event, intent
from scenario import Scenario, make_spec

from polybot._fast.event import EventBuffer, EventFlag, EventKind, OrderStatus, TradeStatus
from polybot.gateway.tracker import OrderTracker
from polybot.gateway.trades import trade_key
from polybot.journal.records import MarketOpen, MoneyEvent, TradeSeen
from polybot.journal.recovery import Stamped, fold
from polybot.recovering import SEQ_GAP, restore, restored_words
from polybot.replay.calls import EngineDoor

BASE = 1_000
MATCHED, CONFIRMED, FAILED = (
    int(status) for status in (TradeStatus.TS_MATCHED, TradeStatus.TS_CONFIRMED, TradeStatus.TS_FAILED)
)


class Noting:
    """An engine that also notes from where a market's numbers begin."""

    def __init__(self, engine):
        self._engine = engine
        self.bases = {}

    def open_market(self, index, spec, *, order_seq_base, observed):
        self.bases[index] = order_seq_base
        return self._engine.open_market(index, spec, order_seq_base=order_seq_base, observed=observed)

    def __getattr__(self, name):
        return getattr(self._engine, name)


class Start:
    """A fresh engine and a gateway that notes what it is given."""

    def __init__(self, *records):
        self.state = fold(Stamped(n, START_NS + n, record) for n, record in enumerate(records))
        self.given = {}
        self.dropped = []
        self.engine = Noting(Scenario([]).engine)
        self.engine.drop_market(0)
        self.markets = restore(
            SimpleNamespace(
                engine=self.engine,
                door=EngineDoor(self.engine, None, None),
                gateway=SimpleNamespace(register_market=lambda *_: None, restore=self._take),
                recorder=SimpleNamespace(market_drop=self.dropped.append),
            ),
            self.state,
        )

    def _take(self, order, trades):
        self.given[order.order_seq] = (order, trades)


def opened(index=0, *, observed=False):
    return MarketOpen(index, BASE, observed, make_spec())


def update(seq, status, matched=-1, flags=0):
    return MoneyEvent(
        event(EventKind.EV_ORDER_UPDATE, recv_ns=START_NS, market=0, seq=seq, i=int(status), j=matched, flags=flags)
    )


def fill(seq, key, ushares, status=MATCHED, maker=True):
    flags = int(EventFlag.F_MAKER) if maker else 0
    told = {"x": float(status), "y": float(key), "i": 5_000, "j": ushares}
    return MoneyEvent(event(EventKind.EV_FILL, recv_ns=START_NS, market=0, seq=seq, flags=flags, **told))


def seen(seq, key, trade_id="t1", leg=0):
    return TradeSeen(key, trade_id, f"0x{seq:064x}", leg)


def test_an_intent_alone_is_an_order_that_may_have_been_sent():
    start = Start(opened(), intent(BASE))
    order, trades = start.given[BASE]
    assert (order.status, order.matched_ushares, order.answered) == (OrderStatus.OS_SENT, -1, True)
    assert trades == {}
    assert order.order_id == intent(BASE).order_id
    known = start.engine.orders[BASE]
    assert known.is_open
    assert known.reserved_usd >= 5 * SHARE  # held in full


def test_a_partly_filled_order_comes_back_with_its_trades_and_its_position():
    start = Start(
        opened(),
        intent(BASE),
        update(BASE, OrderStatus.OS_LIVE, 0),
        seen(BASE, 77, leg=2),
        fill(BASE, 77, 4 * SHARE),
        fill(BASE, 77, 4 * SHARE, CONFIRMED),
    )
    order, trades = start.given[BASE]
    assert (order.status, order.filled_ushares, order.voided_ushares) == (OrderStatus.OS_PARTIAL, 4 * SHARE, 0)
    assert order.matched_ushares == 4 * SHARE
    record = trades["t1"]
    assert record.status == CONFIRMED
    assert [(part.key, part.leg, part.ushares, part.is_maker) for part in record.fills] == [(77, 2, 4 * SHARE, True)]
    assert start.engine.markets[0].position() == (4 * SHARE, 0)
    assert sum(start.engine.markets[0].cost_usd) == 2 * SHARE


def test_a_trade_that_failed_stays_reversed_and_is_not_booked_again():
    start = Start(
        opened(),
        intent(BASE),
        update(BASE, OrderStatus.OS_LIVE, 0),
        seen(BASE, 77),
        fill(BASE, 77, 4 * SHARE),
        fill(BASE, 77, 4 * SHARE, FAILED),
    )
    order, trades = start.given[BASE]
    assert (order.filled_ushares, order.voided_ushares) == (0, 4 * SHARE)
    assert order.booked_ushares == 4 * SHARE
    assert trades["t1"].status == FAILED
    assert start.engine.markets[0].position() == (0, 0)


def test_a_trade_torn_while_it_was_written_is_left_to_the_venue_and_counts_once():
    """Two legs were named, one fill was told: the whole trade is told again, and the engine knows what it has."""
    order_id = intent(BASE).order_id
    keys = [trade_key("t1", order_id, leg) for leg in (0, 1)]
    start = Start(
        opened(),
        intent(BASE),
        update(BASE, OrderStatus.OS_LIVE, 0),
        seen(BASE, keys[0], leg=0),
        seen(BASE, keys[1], leg=1),
        fill(BASE, keys[0], 4 * SHARE),
    )
    order, trades = start.given[BASE]
    assert trades == {}
    assert (order.filled_ushares, order.trade_ids) == (0, [])
    assert start.engine.markets[0].position() == (4 * SHARE, 0)
    tracker, out = OrderTracker(), EventBuffer()
    tracker.restore(order, trades)
    legs = [
        {"order_id": order_id, "asset_id": "123", "side": "BUY", "price": "0.5", "matched_amount": amount}
        for amount in ("4", "3")
    ]
    trade = {"id": "t1", "status": "MATCHED", "taker_order_id": "0x01", "asset_id": "456", "side": "BUY"}
    for _ in range(2):
        tracker.on_trade(out, {**trade, "price": "0.5", "size": "7", "maker_orders": legs}, now_ns=START_NS)
    start.engine.process(out)
    assert start.engine.markets[0].position() == (7 * SHARE, 0)
    assert tracker.by_seq(BASE).filled_ushares == 7 * SHARE


def test_an_order_that_ended_with_fills_to_come_is_still_open():
    start = Start(opened(), intent(BASE), update(BASE, OrderStatus.OS_CANCELED, 6 * SHARE))
    order, _ = start.given[BASE]
    assert order.is_terminal
    assert not order.is_settled
    assert start.engine.orders[BASE].is_open


def test_a_refused_order_is_known_and_holds_nothing():
    start = Start(opened(), intent(BASE), update(BASE, OrderStatus.OS_REJECTED, 0))
    order, _ = start.given[BASE]
    assert order.is_settled
    assert start.engine.orders[BASE].reserved_usd == 0


def test_a_strategy_that_is_no_longer_configured_keeps_its_orders_and_may_not_trade():
    start = Start(opened(), intent(BASE, strategy="of_yesterday"), seen(BASE, 77), fill(BASE, 77, SHARE))
    (strategy,) = start.engine.strategies
    assert (strategy.name, strategy.enabled) == ("of_yesterday", False)
    assert start.engine.orders[BASE].strategy == 0
    assert start.engine.markets[0].strat_cost_usd[0] == SHARE // 2


@pytest.mark.parametrize("refused", [0, 7])
def test_new_numbers_begin_behind_everything_that_may_have_been_given(refused):
    """Also behind orders that were refused here: of those only their end is in the journal."""
    local = int(EventFlag.F_LOCAL)
    told = [update(BASE + k, OrderStatus.OS_REJECTED, 0, local) for k in range(1, refused + 1)]
    start = Start(opened(), intent(BASE), *told)
    assert start.state.strays == 0
    assert start.state.markets[0].next_order_seq == BASE + 1 + refused
    assert start.engine.bases == {0: BASE + 1 + refused + SEQ_GAP}


def test_strike_close_and_outcome_come_back_and_are_not_booked_twice():
    strike = MoneyEvent(event(EventKind.EV_STRIKE, recv_ns=START_NS, venue_ns=5, market=0, x=100.0, y=0.25, i=1))
    outcome = MoneyEvent(event(EventKind.EV_OUTCOME, recv_ns=START_NS, market=0, outcome=1))
    start = Start(opened(), strike, intent(BASE), seen(BASE, 77), fill(BASE, 77, 4 * SHARE), outcome)
    market = start.engine.markets[0]
    assert (market.strike, market.strike_var, market.strike_stamp_ns) == (100.0, 0.25, 5)
    assert (market.settled, market.outcome) == (True, 1)
    assert start.engine.risk.day_realised_usd == -2 * SHARE
    assert start.state.realised(START_NS // 86_400_000_000_000)[0] == -2 * SHARE


def test_an_observed_market_is_dropped_and_a_balance_is_cash():
    balance = MoneyEvent(event(EventKind.EV_BALANCE, recv_ns=START_NS, j=123_456_789))
    start = Start(opened(3, observed=True), opened(0), balance)
    assert start.dropped == [3]
    assert list(start.engine.markets) == [0]
    assert [market.opened.index for market in start.markets] == [0]
    assert start.engine.risk.cash_usd == 123_456_789


def test_the_operator_is_told_what_came_back_and_how_the_last_process_ended():
    start = Start(opened(), intent(BASE), seen(BASE, 77), fill(BASE, 77, 4 * SHARE))
    text = restored_words(start.state)
    assert "1 markets, 1 orders (1 may be open), 1 positions" in text
    start.state.is_clean = False
    assert "DID NOT STOP IN ORDER" in restored_words(start.state)
