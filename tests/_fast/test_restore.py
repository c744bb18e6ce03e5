"""Orders of an earlier run made again, places for strategies no longer configured, the venue closed as an event."""

import pytest
from scenario import SHARE, USD, Scenario
from scripted_strategy import Scripted, place

from polybot._fast.event import BUY, DOWN, FAK, GTC, SELL, UP, EventKind, OrderStatus, TradeStatus
from polybot._fast.risk import Denial
from polybot._fast.strategy import Strategy

S = OrderStatus


def restore(scenario, seq=1_000, **changes):
    values = {
        "order_seq": seq,
        "strategy": 0,
        "outcome": UP,
        "side": BUY,
        "order_type": FAK,
        "price_ticks": 5_000,
        "shares": 10 * SHARE,
        "post_only": False,
        "dispatched_ns": scenario.at(21.0),
    }
    values.update(changes)
    return scenario.engine.restore_order(0, **values)


@pytest.fixture
def fresh():
    scenario = Scenario([Scripted()])
    scenario.warm()
    return scenario


def reasons(commands):
    return [int(row["reason"]) for row in commands if row["kind"] == 4]


def test_a_restored_order_holds_and_counts_what_the_first_one_did(fresh):
    first = Scenario([Scripted()])
    first.warm()
    place(first, ticks=5_000)
    order = first.engine.orders[1_000]
    restored = restore(fresh)
    for name in (
        "seq",
        "market",
        "strategy",
        "outcome",
        "side",
        "order_type",
        "price_ticks",
        "shares",
        "status",
    ):
        assert getattr(restored, name) == getattr(order, name), name
    assert restored.reserved_usd == order.reserved_usd > 5 * USD
    assert fresh.risk.exposure() == first.risk.exposure() == order.reserved_usd
    assert fresh.risk.exposure(0) == order.reserved_usd
    assert fresh.market.order_count[0] == 1
    assert fresh.market.house == UP
    assert restored.status == S.OS_SENT


def test_the_same_events_bring_a_restored_order_to_where_the_first_one_was(fresh):
    first = Scenario([Scripted()])
    first.warm()
    place(first, ticks=5_000)
    restore(fresh)
    for scenario in (first, fresh):
        scenario.update(21.1, 1_000, S.OS_MATCHED)
        scenario.fill(21.2, 1_000, 4_900, 4 * SHARE, key=1)
        scenario.fill(21.3, 1_000, 5_000, 3 * SHARE, key=2)
        scenario.fill(24.0, 1_000, 4_900, 4 * SHARE, key=1, status=TradeStatus.TS_CONFIRMED)
        scenario.fill(24.0, 1_000, 5_000, 3 * SHARE, key=2, status=TradeStatus.TS_FAILED)
        scenario.update(24.1, 1_000, S.OS_CANCELED, 4 * SHARE)
        scenario.go()
    for scenario in (first, fresh):
        scenario.outcome(330.0, UP)
        scenario.go()
    assert fresh.risk.day_realised_usd == first.risk.day_realised_usd
    assert fresh.market.position() == first.market.position() == (4 * SHARE, 0)
    assert fresh.market.cost_usd == first.market.cost_usd
    assert fresh.engine.orders[1_000].status == first.engine.orders[1_000].status == S.OS_CANCELED


def test_new_orders_are_numbered_after_every_restored_one_in_whatever_order_they_come(fresh):
    restore(fresh, 1_007, order_type=GTC, post_only=True, price_ticks=4_700)
    restore(fresh, 1_003, order_type=GTC, post_only=True, price_ticks=4_700)
    fresh.update(21.2, 1_003, S.OS_CANCELED, 0)
    fresh.update(21.2, 1_007, S.OS_CANCELED, 0)
    fresh.go()
    placed = place(fresh, 23.0, ticks=5_000)
    assert [int(row["order_seq"]) for row in placed if row["kind"] == 1] == [1_008]


def test_a_restored_unknown_order_blocks_its_token(fresh):
    restore(fresh)
    fresh.update(21.1, 1_000, S.OS_UNKNOWN)
    fresh.go()
    fresh.oracle(29.0, 100_000.0)
    fresh.book(29.0, [(4_900, 10)], [(5_000, 10)])
    assert reasons(place(fresh, 29.0, ticks=5_000)) == [Denial.UNKNOWN_ORDER]


def test_a_restored_resting_order_is_cancelled_when_its_time_is_up(fresh):
    restore(fresh, order_type=GTC, post_only=True, price_ticks=4_700, expires_ns=fresh.at(30.0))
    fresh.update(21.1, 1_000, S.OS_LIVE, 0)
    seen = []
    for t in (29.0, 30.0):
        fresh.trade(t, 100_000.0)
        fresh.oracle(t, 100_000.0)
        fresh.book(t, [(4_900, 10)], [(5_000, 10)])
        fresh.timer(t)
        seen.append([int(row["order_seq"]) for row in fresh.go() if row["kind"] == 2])
    assert seen == [[], [1_000]]


def test_the_cooldown_runs_from_the_latest_restored_dispatch(fresh):
    fresh.risk.set_limits(0, per_trade_frac=0.02, total_frac=0.08, cooldown_ns=5 * 10**9, max_orders=50)
    restore(fresh, 1_000, dispatched_ns=fresh.at(20.5))
    restore(fresh, 1_001, dispatched_ns=fresh.at(10.0))
    for seq in (1_000, 1_001):
        fresh.update(21.0, seq, S.OS_CANCELED, 0)
    fresh.go()
    assert reasons(place(fresh, 22.0, ticks=5_000)) == [Denial.COOLDOWN]


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": 1},
        {"strategy": -1},
        {"outcome": 2},
        {"price_ticks": 0},
        {"price_ticks": 10_000},
        {"shares": 0},
        {"post_only": True},
        {"order_type": 9},
    ],
)
def test_what_cannot_be_an_order_is_refused_and_leaves_nothing_behind(fresh, changes):
    with pytest.raises(ValueError):
        restore(fresh, **changes)
    assert fresh.risk.exposure() == 0
    assert fresh.engine.orders == {}


def test_an_order_is_restored_once_and_only_into_an_open_market(fresh):
    restore(fresh)
    with pytest.raises(ValueError, match="order 1000 exists"):
        restore(fresh)
    with pytest.raises(KeyError):
        fresh.engine.restore_order(
            7,
            order_seq=5,
            strategy=0,
            outcome=UP,
            side=BUY,
            order_type=FAK,
            price_ticks=5_000,
            shares=SHARE,
            post_only=False,
            dispatched_ns=0,
        )


def test_a_passive_or_selling_order_sets_no_house():
    scenario = Scenario([Scripted(passive=True), Scripted("other")])
    scenario.warm()
    restore(scenario, 1_000, outcome=DOWN)
    assert scenario.market.house == -1
    restore(scenario, 1_001, strategy=1, side=SELL)
    assert scenario.market.house == -1
    restore(scenario, 1_002, strategy=1, outcome=DOWN)
    assert scenario.market.house == DOWN


def test_a_strategy_keeps_its_index_and_an_unknown_name_gets_a_place_that_cannot_trade():
    scenario = Scenario([Scripted("one"), Scripted("two")])
    scenario.warm()
    engine = scenario.engine
    assert (engine.strategy_slot("two"), engine.strategy_slot("one")) == (1, 0)
    gone = engine.strategy_slot("gone")
    assert gone == 2 == engine.strategy_slot("gone")
    assert [s.name for s in engine.strategies] == ["one", "two", "gone"]
    assert not engine.strategies[gone].enabled
    assert set(scenario.risk.row(gone).values()) == {0}
    restore(scenario, strategy=gone)
    scenario.fill(21.2, 1_000, 5_000, 10 * SHARE)
    scenario.go()
    scenario.outcome(330.0, UP)
    settled = [row for row in scenario.go() if row["kind"] == 8]
    assert [(int(row["strategy"]), int(row["usd"])) for row in settled] == [
        (gone, 10 * USD - 5 * USD - 175_000)
    ]


def test_places_for_strategies_are_limited():
    scenario = Scenario([Scripted()])
    for number in range(15):
        scenario.engine.strategy_slot(f"gone_{number}")
    with pytest.raises(ValueError, match="at most 16"):
        scenario.engine.strategy_slot("one_too_many")
    assert len(scenario.engine.strategies) == 16
    assert all(isinstance(s, Strategy) for s in scenario.engine.strategies)


def test_a_venue_that_takes_no_orders_closes_entries_until_it_does(fresh):
    fresh.events.add(EventKind.EV_VENUE, recv_ns=fresh.at(20.5), i=1)
    fresh.go()
    assert fresh.risk.venue_down
    assert reasons(place(fresh, 21.0, ticks=5_000)) == [Denial.VENUE_DOWN]
    fresh.events.add(EventKind.EV_VENUE, recv_ns=fresh.at(21.5), i=0)
    fresh.go()
    assert not fresh.risk.venue_down
    assert reasons(place(fresh, 22.0, ticks=5_000)) == [Denial.DISPATCHED]
