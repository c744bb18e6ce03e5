"""Flatten: halt, cancel, and sell what is held to the bids that are seen, once a second, until nothing is left."""

import os
from random import Random

import pytest
from scenario import SHARE, USD, Scenario, make_risk, make_spec
from scripted_strategy import Scripted, place

from polybot._fast.event import (
    BUY,
    DOWN,
    FAK,
    GTC,
    SELL,
    UP,
    CommandKind,
    EventKind,
    OperatorCode,
    OrderStatus,
    TradeStatus,
)
from polybot._fast.risk import Denial

S = OrderStatus


def holding(*parts, spec=None, risk=None, bids=((4_900, 1_000),), asks=((5_000, 1_000),)):
    """A market where strategy k holds (k, outcome, shares) each, bought at 0.50 without a fee."""
    scenario = Scenario([Scripted("a"), Scripted("b", passive=True)], spec=spec, risk=risk)
    scenario.warm()
    for number, (strategy, outcome, shares) in enumerate(parts):
        seq = 1_000 + number
        scenario.engine.restore_order(
            0,
            order_seq=seq,
            strategy=strategy,
            outcome=outcome,
            side=BUY,
            order_type=FAK,
            price_ticks=5_000,
            shares=round(shares * SHARE),
            post_only=False,
            dispatched_ns=scenario.at(10.0),
        )
        scenario.fill(
            10.1, seq, 5_000, round(shares * SHARE), key=seq, maker=True, status=TradeStatus.TS_CONFIRMED
        )
    scenario.book(20.5, bids, asks)
    scenario.go()
    return scenario


def flatten(scenario, t=21.0):
    scenario.events.add(EventKind.EV_OPERATOR, recv_ns=scenario.at(t), i=OperatorCode.OP_FLATTEN)
    return scenario.go()


def beat(scenario, t, *, bids=((4_900, 1_000),), asks=((5_000, 1_000),)):
    """A fresh book and a heartbeat; the sales placed."""
    scenario.book(t, bids, asks)
    scenario.timer(t)
    return sales(scenario.go())


def sales(commands):
    """(order_seq, strategy, outcome, price_ticks, shares) of every order placed; all of them are sales by FAK."""
    found = [row for row in commands if row["kind"] == CommandKind.CMD_PLACE]
    assert all(row["side"] == SELL and row["order_type"] == FAK for row in found)
    return [
        tuple(int(row[name]) for name in ("order_seq", "strategy", "outcome", "price_ticks", "shares"))
        for row in found
    ]


def test_flatten_halts_cancels_and_sells_at_the_next_heartbeat():
    scenario = holding((0, UP, 10))
    commands = flatten(scenario)
    assert [int(row["kind"]) for row in commands] == [CommandKind.CMD_CANCEL_ALL]
    assert scenario.risk.halted_manual
    assert beat(scenario, 21.1) == [(1_001, 0, UP, 4_900, 10 * SHARE)]


def test_without_the_operators_word_nothing_is_sold():
    scenario = holding((0, UP, 10))
    scenario.events.add(EventKind.EV_OPERATOR, recv_ns=scenario.at(21), i=OperatorCode.OP_HALT)
    scenario.go()
    assert beat(scenario, 21.1) == []


def test_the_price_is_that_of_the_last_bid_needed_and_no_lower():
    bids = ((4_900, 3), (4_800, 4), (4_700, 100), (4_600, 100))
    scenario = holding((0, UP, 10))
    flatten(scenario)
    assert beat(scenario, 21.1, bids=bids) == [(1_001, 0, UP, 4_700, 10 * SHARE)]


def test_only_what_the_visible_bids_take_is_offered():
    scenario = holding((0, UP, 10))
    flatten(scenario)
    assert beat(scenario, 21.1, bids=((4_900, 3), (4_800, 4))) == [(1_001, 0, UP, 4_800, 7 * SHARE)]


def test_shares_of_down_go_to_the_asks_of_up():
    scenario = holding((0, DOWN, 10))
    flatten(scenario)
    assert beat(scenario, 21.1, asks=((5_000, 6), (5_100, 1_000))) == [(1_001, 0, DOWN, 4_900, 10 * SHARE)]


def test_each_strategy_sells_its_own_and_none_counts_on_the_bids_of_another():
    bids = ((4_900, 10), (4_800, 5), (4_700, 100))
    scenario = holding((0, UP, 10), (1, UP, 8), (1, DOWN, 6))
    flatten(scenario)
    assert beat(scenario, 21.1, bids=bids) == [
        (1_003, 0, UP, 4_900, 10 * SHARE),
        (1_004, 1, UP, 4_700, 8 * SHARE),
        (1_005, 1, DOWN, 5_000, 6 * SHARE),
    ]


def test_the_result_is_the_strategys_own():
    scenario = holding((0, UP, 10), (1, UP, 10))
    flatten(scenario)
    assert [sale[1] for sale in beat(scenario, 21.1)] == [0, 1]
    for key, seq in enumerate((1_002, 1_003)):
        scenario.fill(21.2, seq, 4_900, 10 * SHARE, key=key, status=TradeStatus.TS_CONFIRMED)
        scenario.update(21.3, seq, S.OS_FILLED, 10 * SHARE)
    scenario.go()
    scenario.outcome(330.0, UP)
    settled = [row for row in scenario.go() if row["kind"] == CommandKind.CMD_SETTLEMENT]
    fee = 174_930  # 0.07 x 10 x 0.49 x 0.51
    assert [(int(row["strategy"]), int(row["usd"])) for row in settled] == [
        (0, -10 * 10_000 - fee),
        (1, -10 * 10_000 - fee),
    ]
    assert scenario.market.position() == (0, 0)


def test_it_is_tried_again_once_a_second_until_nothing_is_left():
    scenario = holding((0, UP, 10))
    flatten(scenario)
    seen = []
    for k in range(1, 36):
        t = round(21.0 + k / 10, 3)
        for seq, _, _, ticks, _ in beat(scenario, t):
            part = 5 * SHARE if len(seen) < 1 else 0
            if part:
                scenario.fill(t, seq, ticks, part, key=seq, status=TradeStatus.TS_CONFIRMED)
            scenario.update(t, seq, S.OS_CANCELED, part)
            scenario.go()
            seen.append((t, scenario.market.position()[UP]))
    assert seen == [(t, 5 * SHARE) for t in (21.1, 22.1, 23.1, 24.1)]


def test_a_sale_on_its_way_is_not_made_twice():
    scenario = holding((0, UP, 10))
    flatten(scenario)
    assert len(beat(scenario, 21.1, bids=((4_900, 6),))) == 1
    assert beat(scenario, 22.2) == []  # 4 of 10 are not on offer, below the smallest size
    scenario.update(22.3, 1_001, S.OS_CANCELED, 0)
    scenario.go()
    assert beat(scenario, 23.3) == [(1_002, 0, UP, 4_900, 10 * SHARE)]


def test_an_unknown_order_on_the_token_stops_its_sale_and_not_that_of_the_other():
    scenario = holding((0, UP, 10), (0, DOWN, 10))
    flatten(scenario)
    assert len(beat(scenario, 21.1)) == 2
    scenario.update(21.2, 1_002, S.OS_UNKNOWN)
    scenario.update(21.2, 1_003, S.OS_CANCELED, 0)
    scenario.go()
    assert [sale[2] for sale in beat(scenario, 22.3)] == [DOWN]


def test_a_sale_that_fails_is_made_again():
    scenario = holding((0, UP, 10))
    flatten(scenario)
    beat(scenario, 21.1)
    scenario.fill(21.2, 1_001, 4_900, 10 * SHARE, key=7)
    scenario.go()
    assert beat(scenario, 22.3) == []
    scenario.fill(22.4, 1_001, 4_900, 10 * SHARE, key=7, status=TradeStatus.TS_FAILED)
    scenario.go()
    assert beat(scenario, 23.5) == [(1_002, 0, UP, 4_900, 10 * SHARE)]


def test_our_own_resting_bid_is_gone_before_anything_is_sold_into_it():
    scenario = holding((0, UP, 10))
    scenario.engine.restore_order(
        0,
        order_seq=1_001,
        strategy=1,
        outcome=UP,
        side=BUY,
        order_type=GTC,
        price_ticks=4_900,
        shares=10 * SHARE,
        post_only=True,
        dispatched_ns=scenario.at(20.0),
    )
    flatten(scenario)
    assert beat(scenario, 21.1) == []
    scenario.update(21.2, 1_001, S.OS_CANCELED, 0)
    scenario.go()
    assert len(beat(scenario, 21.3)) == 1


def test_a_buy_that_fills_after_all_is_sold_too():
    scenario = holding((0, UP, 10))
    flatten(scenario)
    beat(scenario, 21.1)
    scenario.fill(21.2, 1_001, 4_900, 10 * SHARE, key=7)
    scenario.update(21.2, 1_001, S.OS_FILLED, 10 * SHARE)
    scenario.engine.restore_order(
        0,
        order_seq=1_002,
        strategy=1,
        outcome=UP,
        side=BUY,
        order_type=FAK,
        price_ticks=5_000,
        shares=6 * SHARE,
        post_only=False,
        dispatched_ns=scenario.at(20.9),
    )
    scenario.fill(21.9, 1_002, 5_000, 6 * SHARE, key=8)
    scenario.go()
    assert beat(scenario, 22.2) == [(1_003, 1, UP, 4_900, 6 * SHARE)]


@pytest.mark.parametrize(
    ("t", "why"),
    [
        (295.0, "end guard"),
        (300.1, "over"),
    ],
)
def test_nothing_is_sold_from_the_end_guard_on(t, why):
    scenario = holding((0, UP, 10))
    flatten(scenario, t - 0.2)
    assert beat(scenario, t) == [], why
    assert len(beat(scenario, 294.9)) == 1


def test_nothing_is_sold_on_a_stale_crossed_or_missing_book_or_while_the_venue_takes_nothing():
    scenario = holding((0, UP, 10))
    flatten(scenario)
    scenario.timer(25.6)
    assert sales(scenario.go()) == []
    assert beat(scenario, 25.7, bids=((5_100, 10),)) == []
    assert beat(scenario, 25.8, bids=()) == []
    scenario.events.add(EventKind.EV_VENUE, recv_ns=scenario.at(25.9), i=1)
    assert beat(scenario, 26.0) == []
    scenario.events.add(EventKind.EV_VENUE, recv_ns=scenario.at(26.1), i=0)
    assert len(beat(scenario, 26.2)) == 1


@pytest.mark.parametrize(
    ("held", "spec", "bids", "sold"),
    [
        (4.99, {}, ((4_900, 1_000),), None),  # below the venue's smallest size
        (5.0, {}, ((4_900, 1_000),), (4_900, 5 * SHARE)),
        (7.123456, {}, ((4_900, 1_000),), (4_900, 7_120_000)),  # whole lots of 0.01
        (10.0, {}, ((4_955, 1_000),), (4_900, 10 * SHARE)),  # an off-grid bid is met from below
        (10.0, {"tick_size_ticks": 10}, ((4_955, 1_000),), (4_950, 10 * SHARE)),
        (10.0, {}, ((100, 1_000),), (100, 10 * SHARE)),
        (10.0, {}, ((50, 1_000),), None),  # below the smallest price
    ],
)
def test_sizes_and_prices_are_such_as_the_venue_takes(held, spec, bids, sold):
    scenario = holding((0, UP, held), spec=make_spec(**spec))
    flatten(scenario)
    placed = beat(scenario, 21.1, bids=bids)
    assert [sale[3:] for sale in placed] == ([] if sold is None else [sold])


def test_the_hard_ceiling_of_an_order_cuts_a_sale():
    scenario = holding((0, UP, 100), risk=make_risk(hard_order_usd=7 * USD))
    flatten(scenario)
    assert beat(scenario, 21.1) == [(1_001, 0, UP, 4_900, 14_280_000)]


def test_the_rate_of_the_account_holds_for_sales_too():
    scenario = holding((0, UP, 10), (0, DOWN, 10), (1, UP, 10), risk=make_risk(orders_per_s=1.0))
    flatten(scenario)
    found = [len(beat(scenario, round(21.0 + k / 10, 3))) for k in range(1, 35)]
    assert (sum(found), max(found)) == (3, 1)
    assert [k for k, n in enumerate(found) if n] == [0, 10, 20]


def test_loss_halts_do_not_stop_a_sale_and_resume_ends_it():
    scenario = holding((0, UP, 10), risk=make_risk(daily_loss_halt_frac=0.0))
    scenario.timer(20.9)
    scenario.go()
    assert scenario.risk.halted_daily
    flatten(scenario)
    assert scenario.engine.flattener.on
    assert len(beat(scenario, 21.1)) == 1
    scenario.update(21.2, 1_001, S.OS_CANCELED, 0)
    scenario.events.add(EventKind.EV_OPERATOR, recv_ns=scenario.at(21.3), i=OperatorCode.OP_RESUME)
    scenario.go()
    assert not scenario.engine.flattener.on
    assert beat(scenario, 22.5) == []


def test_a_sale_sets_no_house_and_strategies_stay_halted():
    scenario = holding((1, UP, 10))
    flatten(scenario)
    assert len(beat(scenario, 21.1)) == 1
    assert scenario.market.house == -1
    assert [int(row["reason"]) for row in place(scenario, 21.5)] == [Denial.HALTED_MANUAL]


def test_never_more_is_sold_than_is_held_whatever_becomes_of_the_sales():
    for seed in range(60 * int(os.environ.get("POLYBOT_HARD", "1"))):
        sell_out(seed)


def sell_out(seed):
    """Random holdings, books and venue answers: what may still be sold never exceeds what is held; flat in the end."""
    rng = Random(seed)
    parts = [
        (k, o, rng.randrange(500, 3_000) / 100) for k in (0, 1) for o in (UP, DOWN) if rng.random() < 0.7
    ]
    scenario = holding(*(parts or [(0, UP, 10)]))
    flatten(scenario)
    live, pending, t, keys = {}, [], 21.0, 100
    while t < 290.0:
        t = round(t + rng.choice((0.1, 0.4, 1.0)), 3)
        calm = t > 250.0
        size = 1_000 if calm else rng.randrange(1, 30)
        for seq, strategy, outcome, ticks, shares in beat(
            scenario, t, bids=((4_900, size), (4_800, 2 * size)), asks=((5_000, size), (5_100, 2 * size))
        ):
            live[seq] = [strategy, outcome, shares]
            pending.append((seq, ticks))
        for strategy in (0, 1):
            for outcome in (UP, DOWN):
                held = scenario.market.strategy_position(strategy)[outcome]
                offered = sum(o.shares - o.filled for o in open_sales(scenario, strategy, outcome))
                assert 0 <= offered <= max(0, held), (seed, t)
        for seq, ticks in list(pending):
            fate = "all" if calm else rng.choice(("all", "part", "none", "unknown", "later", "fail"))
            if fate == "later":
                continue
            if fate == "unknown":
                scenario.update(t, seq, S.OS_UNKNOWN)
                scenario.go()
                continue
            order = scenario.engine.orders[seq]
            part = {"all": order.shares, "part": order.shares // 20_000 * 10_000, "fail": order.shares}.get(
                fate, 0
            )
            if part:
                keys += 1
                scenario.fill(t, seq, ticks, part, key=keys)
                last = TradeStatus.TS_FAILED if fate == "fail" else TradeStatus.TS_CONFIRMED
                scenario.fill(t, seq, ticks, part, key=keys, status=last)
            scenario.update(t, seq, S.OS_CANCELED, 0 if fate == "fail" else part)
            pending.remove((seq, ticks))
        scenario.go()
    left = [shares for k in (0, 1) for shares in scenario.market.strategy_position(k)]
    assert all(0 <= shares < 5 * SHARE for shares in left), (seed, left)
    assert scenario.engine.account.broken == 0
    assert len(live) >= len(parts)


def open_sales(scenario, strategy, outcome):
    return [
        o
        for o in scenario.engine.orders.values()
        if (o.strategy, o.outcome, o.side) == (strategy, outcome, SELL) and o.is_open
    ]
