"""What a journal comes to: compared with the engine itself, event for event, and with its own snapshots."""

from random import Random

import numpy as np
import pytest
from journal.history import NS, SHARE, History, event, fill, intent
from scenario import Scenario, make_spec

from polybot._fast.event import EVENT_DTYPE, EventBuffer, EventKind, OrderType, Side
from polybot._fast.strategy import Strategy, Trigger
from polybot.journal.records import CleanStop, MarketDrop, MarketOpen, MoneyEvent, Session, TradeSeen
from polybot.journal.recovery import Fold, RecoveredState, Stamped, fold

OPEN = MarketOpen(0, 1_000, False, make_spec())


def stamped(records, first=1):
    return [Stamped(seq, seq * 10, record) for seq, record in enumerate(records, first)]


def come_to(*records) -> RecoveredState:
    return fold(stamped(records))


def test_a_fill_moves_position_cost_and_order():
    state = come_to(OPEN, intent(), MoneyEvent(fill(1_000, 9)))
    market = state.markets[0]
    position = market.positions["latency_arb"]
    fee = 4 * 70_000 * 5_000 * 5_000 // 10**8
    assert position.shares == [4 * SHARE, 0]
    assert position.cost_usd == 2 * SHARE + fee
    assert market.orders[1_000].state == (5, 4 * SHARE, 4 * SHARE)
    assert market.next_order_seq == 1_001
    assert market.holds_position


def test_a_trade_counts_once_and_its_failure_reverses_it_once():
    told = [MoneyEvent(fill(1_000, 9, status=status)) for status in (1, 1, 2, 1, 5, 5, 4)]
    state = come_to(OPEN, intent(), *told)
    assert state.markets[0].positions["latency_arb"].is_flat
    assert state.markets[0].orders[1_000].state.filled == 0
    assert state.duplicates == 4


def test_a_trade_first_heard_of_as_failed_is_never_booked():
    state = come_to(
        OPEN, intent(), MoneyEvent(fill(1_000, 9, status=5)), MoneyEvent(fill(1_000, 9, status=1))
    )
    assert not state.markets[0].positions
    assert not state.markets[0].orders[1_000].trades[9].is_booked


def test_an_outcome_realises_the_result_of_its_day_and_a_late_failure_corrects_it():
    day = 20_779
    at = day * 86_400 * NS + 5
    outcome = MoneyEvent(event(EventKind.EV_OUTCOME, recv_ns=at, market=0, outcome=0))
    held = [OPEN, intent(), MoneyEvent(fill(1_000, 9)), outcome]
    cost = fold(stamped(held[:3])).markets[0].positions["latency_arb"].cost_usd
    state = come_to(*held)
    assert state.pnl_by_day() == {(day, "latency_arb"): 4 * SHARE - cost}
    assert state.realised(day) == (4 * SHARE - cost, 4 * SHARE - cost)
    late = MoneyEvent(fill(1_000, 9, status=5, recv_ns=at + 86_400 * NS))
    assert sum(come_to(*held, late).pnl_by_day().values()) == 0
    assert come_to(*held, outcome, late).realised(day) == (4 * SHARE - cost, 4 * SHARE - cost)  # a Sunday


def test_a_dropped_market_leaves_its_result_and_gives_its_index_again():
    outcome = MoneyEvent(event(EventKind.EV_OUTCOME, recv_ns=NS, market=0, outcome=1))
    state = come_to(OPEN, intent(), MoneyEvent(fill(1_000, 9)), outcome, MarketDrop(0), OPEN)
    assert sum(state.pnl_by_day().values()) < 0
    assert not state.markets[0].orders
    assert state.strays == 0


def test_a_market_that_holds_a_position_is_not_forgotten():
    state = come_to(OPEN, intent(), MoneyEvent(fill(1_000, 9)), MarketDrop(0))
    assert state.markets[0].holds_position
    assert state.strays == 1


def test_the_same_intent_twice_counts_once():
    again = intent(1_001, order_id=f"0x{1_000:064x}")
    state = come_to(OPEN, intent(), intent(), again)
    assert list(state.markets[0].orders) == [1_000]
    assert state.strays == 2


def test_only_an_orderly_end_is_clean():
    session = Session("0xabc", "s", "d", "v", 1)
    assert not come_to(session).is_clean
    assert come_to(session, CleanStop(0)).is_clean
    assert not come_to(session, CleanStop(0), session).is_clean


def test_a_trade_key_is_known_by_its_trade_again():
    seen = TradeSeen(9, "trade-1", f"0x{1_000:064x}", 2)
    state = come_to(OPEN, intent(), seen, MoneyEvent(fill(1_000, 9)))
    assert state.markets[0].orders[1_000].trades[9].seen == seen


@pytest.mark.parametrize("seed", range(60))
def test_a_snapshot_says_what_the_whole_history_says_and_goes_on_the_same(seed):
    records = History(seed).records(250)
    cut = Random(seed).randrange(len(records))
    whole, first = Fold(), Fold()
    for item in stamped(records[:cut]):
        whole.apply(item)
        first.apply(item)
    again = Fold.of_snapshot(first.state)
    again.state.duplicates = first.state.duplicates
    assert again.state == first.state
    for item in stamped(records[cut:], cut + 1):
        whole.apply(item)
        again.apply(item)
    assert again.state == whole.state


@pytest.mark.parametrize("seed", range(40))
def test_no_prefix_raises_or_invents_a_fill(seed):
    records = History(1_000 + seed).records(300)
    folding, told = Fold(), set()
    for item in stamped(records):
        if isinstance(item.record, MoneyEvent) and item.record.fields.kind == EventKind.EV_FILL:
            told.add((item.record.fields.seq, item.record.fields.y))
        folding.apply(item)
        for market in folding.state.markets.values():
            for seq, order in market.orders.items():
                assert {(seq, float(key)) for key in order.trades} <= told
                booked = sum(trade.ushares for trade in order.trades.values() if trade.is_booked)
                assert order.state.filled == booked
    assert told


def test_an_unfinished_snapshot_changes_nothing():
    state = come_to(OPEN, intent(), MoneyEvent(fill(1_000, 9)))
    before = repr(state)
    folding = Fold.of_snapshot(state)
    restated = [record for _, record in state.restatement()]
    for record in restated[:-1]:
        folding.apply(Stamped(0, 0, record, True))
    assert repr(folding.state) == before


# ---- against the engine


class Scripted(Strategy):
    """Says one thing once."""

    def __init__(self, name: str, outcome: int, price_ticks: int) -> None:
        super().__init__(name, gate_names=("armed",), triggers=Trigger.ON_SPOT_TRADE, passive=True)
        self.outcome, self.price_ticks, self.said = outcome, price_ticks, False

    def evaluate(self, market, spot, signal) -> int:
        if self.said:
            return 0
        self.said = True
        signal.outcome, signal.side, signal.order_type = self.outcome, Side.BUY, OrderType.FAK
        signal.price_ticks, signal.price, signal.shares = self.price_ticks, self.price_ticks / 1e4, 10 * SHARE
        signal.fair, signal.edge, signal.confidence, signal.size_frac = 0.9, 0.2, 0.5, 0.01
        return 1


@pytest.mark.parametrize("seed", range(40))
def test_random_news_of_orders_come_to_what_the_engine_books(seed):
    """The engine dispatches six orders; the same news go to engine and fold, and both must say the same."""
    rng = Random(seed)
    scenario = Scenario([Scripted(f"s{k}", k % 2, 5_000 - 500 * (k % 2)) for k in range(6)])
    scenario.warm()
    scenario.trade(21.0, 100_000.0)
    scenario.go()
    orders = list(scenario.engine.orders.values())
    assert len(orders) == 6
    records = [MarketOpen(0, 1_000, False, scenario.spec)]
    records += [
        intent(
            order.seq,
            strategy=scenario.engine.strategies[order.strategy].name,
            outcome=order.outcome,
            asked_ushares=order.shares,
            price_ticks=order.price_ticks,
        )
        for order in orders
    ]
    raw = random_news(rng, [order.seq for order in orders], 120, scenario)
    buffer = EventBuffer()
    buffer.extend(np.frombuffer(b"".join(raw), dtype=EVENT_DTYPE))
    scenario.engine.process(buffer)
    state = come_to(*records, *map(MoneyEvent, raw))
    market = state.markets[0]
    for order in orders:
        mine = market.orders[order.seq]
        assert mine.state == (order.status, order.matched, order.filled), order.seq
        assert mine.is_open == order.is_open
    engine, positions = scenario.market, market.positions.values()
    assert [sum(at.shares[side] for at in positions) for side in (0, 1)] == list(engine.position())
    assert sum(at.cost_usd for at in positions) == sum(engine.cost_usd)
    assert sum(at.fees_usd for at in positions) == engine.fees_usd
    assert (market.outcome, market.is_closed) == (engine.outcome, engine.closed)
    assert market.outcome >= 0
    assert state.realised(scenario.at(100) // (86_400 * NS))[0] == scenario.risk.day_realised_usd
    assert state.strays == scenario.engine.strays


def random_news(rng: Random, seqs: list[int], count: int, scenario: Scenario) -> list[bytes]:
    """Updates and fills of these orders and one nobody knows; an outcome on the way."""
    made, sizes = [], {}
    for number in range(count):
        seq, at = rng.choice([*seqs, 5]), scenario.at(30 + number * 0.5)
        if rng.random() < 0.4:
            matched = rng.choice([-1, -1, 0, 3 * SHARE, 10 * SHARE])
            status = rng.randrange(1, 12)
            made.append(event(EventKind.EV_ORDER_UPDATE, recv_ns=at, market=0, seq=seq, i=status, j=matched))
            continue
        key = rng.randrange(1, 40)
        price, shares = sizes.setdefault((seq, key), (rng.randrange(1, 9_999), rng.randrange(1, 4 * SHARE)))
        status, flags = rng.choice([1, 1, 2, 3, 4, 5]), rng.choice([0, 8])
        made.append(fill(seq, key, status=status, recv_ns=at, market=0, i=price, j=shares, flags=flags))
    outcome = event(EventKind.EV_OUTCOME, recv_ns=scenario.at(100), market=0, outcome=rng.randrange(2))
    made.insert(rng.randrange(count // 2, count), outcome)
    return made
