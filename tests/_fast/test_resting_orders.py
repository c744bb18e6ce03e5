"""Orders that rest: when the engine cancels them, how often, and what counts until the venue has the last word."""

import math

import pytest
from scenario import NS, SHARE, USD, Scenario, make_risk, rows
from scripted_strategy import Scripted, opinion, place

from polybot._fast.event import DOWN, FOK, GTC, UP, CommandKind, EventKind, OperatorCode, OrderStatus
from polybot._fast.risk import Denial

SEQ = 1_000


def resting(t=21.0, *, live=True, warm=20.0, risk=None, **say):
    """A market with one order of 10 shares at 0.48 resting since t."""
    scenario = Scenario([Scripted()], risk=risk)
    scenario.warm(until=warm)
    assert len(rows(place(scenario, t, post_only=True, **say), CommandKind.CMD_PLACE)) == 1
    if live:
        scenario.update(t + 0.05, SEQ, OrderStatus.OS_LIVE)
        scenario.go()
    return scenario


def fresh(scenario, t, price=None):
    """Spot, oracle and book anew, so that nothing is stale."""
    scenario.trade(t, scenario.price if price is None else price)
    scenario.oracle(t, scenario.price)
    scenario.book(t, [(4_900, 1_000)], [(5_000, 1_000)])


def cancels(scenario):
    found = rows(scenario.go(), CommandKind.CMD_CANCEL)
    assert all(row["order_seq"] == SEQ for row in found)
    return len(found)


def beat(scenario, t, **more):
    """Fresh data and a heartbeat; the number of cancels said."""
    fresh(scenario, t, **more)
    scenario.timer(t)
    return cancels(scenario)


def test_an_order_whose_life_is_over_is_cancelled_by_the_heartbeat_and_not_before():
    scenario = resting(life_ns=3 * NS)
    assert scenario.engine.orders[SEQ].expires_ns == scenario.at(21.0) + 3 * NS
    assert [beat(scenario, t) for t in (21.5, 23.0, 23.9, 24.0)] == [0, 0, 0, 1]
    assert scenario.engine.orders[SEQ].status == OrderStatus.OS_CANCEL_SENT


def test_an_order_without_a_life_rests_on():
    scenario = resting()
    assert scenario.engine.orders[SEQ].expires_ns == 0
    assert [beat(scenario, t) for t in (30.0, 60.0, 100.0)] == [0, 0, 0]


def test_the_end_of_a_life_is_seen_by_any_event_that_asks_the_strategies():
    scenario = resting(life_ns=NS)
    fresh(scenario, 22.1)
    assert cancels(scenario) == 1


@pytest.mark.parametrize(
    ("outcome", "ticks", "away", "least"),
    [(UP, 4_800, 99_960.0, -0.01), (DOWN, 4_700, 100_060.0, -0.01), (UP, 4_800, 99_990.0, 0.0)],
)
def test_fair_crossing_price_less_the_buffer_cancels_and_fair_just_above_does_not(
    outcome, ticks, away, least
):
    scenario = resting(outcome=outcome, ticks=ticks, cancel_edge=least)
    here = scenario.price
    for step in range(1, 30):
        price = here + (away - here) * step / 30
        scenario.trade(21.0 + 0.1 + step / 100, price)
        said = cancels(scenario)
        edge = scenario.market.fair(outcome) - ticks / 1e4
        assert said == (1 if edge < least else 0)
        if said:
            break
    assert said == 1
    assert edge == pytest.approx(least, abs=0.02)


def test_a_cancel_edge_of_nan_never_cancels():
    scenario = resting()
    assert math.isnan(scenario.engine.orders[SEQ].cancel_edge)
    scenario.trade(21.2, 99_000.0)
    assert cancels(scenario) == 0


def test_a_cancel_is_said_once_and_again_after_two_seconds_without_an_end():
    scenario = resting(life_ns=NS)
    said = [beat(scenario, round(22.0 + k / 10, 6)) for k in range(45)]
    assert [k for k, n in enumerate(said) if n] == [0, 20, 40]
    assert sum(said) == 3
    scenario.update(26.6, SEQ, OrderStatus.OS_CANCELED, 0)
    scenario.go()
    assert beat(scenario, 29.0) == 0


def test_a_cancel_is_recorded_as_a_state_of_the_order_once():
    scenario = resting(life_ns=NS)
    fresh(scenario, 22.1)
    states = rows(scenario.go(), CommandKind.CMD_ORDER)
    assert [int(row["reason"]) for row in states] == [OrderStatus.OS_CANCEL_SENT]
    fresh(scenario, 24.2)
    commands = scenario.go()
    assert len(rows(commands, CommandKind.CMD_CANCEL)) == 1
    assert len(rows(commands, CommandKind.CMD_ORDER)) == 0


def test_taking_orders_are_never_cancelled_by_us():
    scenario = Scenario([Scripted()])
    scenario.warm()
    assert len(rows(place(scenario, order_type=FOK, life_ns=1), CommandKind.CMD_PLACE)) == 1
    scenario.update(21.05, SEQ, OrderStatus.OS_DELAYED)
    assert beat(scenario, 30.0) == 0


# -- when nothing new might be placed, nothing old may rest --------------------------------------------------


def test_the_end_guard_cancels_what_rests_before_the_market_closes():
    scenario = resting(t=290.0, warm=289.0)
    for second in range(230, 295):
        scenario.oracle(second, 100_000.0)
    scenario.go()
    assert beat(scenario, 294.9) == 0
    assert beat(scenario, 295.0) == 1
    scenario.events.add(EventKind.EV_MARKET_CLOSE, recv_ns=scenario.at(300), market=0)
    assert len(rows(scenario.go(), CommandKind.CMD_CANCEL_ALL)) == 1


def test_a_manual_halt_cancels_what_rests():
    scenario = resting()
    assert beat(scenario, 22.0) == 0
    scenario.events.add(EventKind.EV_OPERATOR, recv_ns=scenario.at(22.1), i=OperatorCode.OP_HALT)
    assert beat(scenario, 22.2) == 1


def test_a_loss_halt_cancels_what_rests():
    scenario = resting(risk=make_risk(daily_loss_halt_frac=0.001))
    scenario.fill(21.5, SEQ, 4_800, 4 * SHARE, key=1, maker=True)
    assert beat(scenario, 22.0) == 0
    scenario.book(22.1, [(500, 10)], [(600, 10)])  # 4 shares lose 43 cents each: more than a dollar
    scenario.timer(22.1)
    scenario.timer(22.2)
    assert cancels(scenario) == 1
    assert scenario.risk.halted_daily


@pytest.mark.parametrize("stale", ["spot", "book", "oracle"])
def test_stale_data_cancels_what_rests(stale):
    scenario = resting()
    counts = []
    for k in range(1, 60):
        t = round(21.0 + k / 10, 6)
        if stale != "spot":
            scenario.trade(t, scenario.price)
        if stale != "oracle" and k % 10 == 0:
            scenario.oracle(t, scenario.price)
        if stale != "book":
            scenario.book(t, [(4_900, 1_000)], [(5_000, 1_000)])
        scenario.timer(t)
        counts.append(cancels(scenario))
    first = counts.index(1) + 1
    last_told = {"spot": 21.0, "book": 20.0, "oracle": 20.0}[stale]
    assert 21.0 + first / 10 == pytest.approx(last_told + 5.1, abs=0.15)
    assert sum(counts[: first + 19]) == 1


def test_a_crossed_book_cancels_what_rests():
    scenario = resting()
    fresh(scenario, 22.0)
    scenario.book(22.0, [(5_200, 10)], [(5_000, 10)])
    scenario.timer(22.1)
    assert cancels(scenario) == 1
    assert scenario.market.stats()["blocked"].get(Denial.BOOK_CROSSED, 0) >= 1


def test_what_still_rests_after_the_close_is_cancelled_one_by_one_until_it_ends():
    scenario = resting(t=290.0, warm=289.0)
    scenario.events.add(EventKind.EV_MARKET_CLOSE, recv_ns=scenario.at(300), market=0)
    assert len(rows(scenario.go(), CommandKind.CMD_CANCEL_ALL)) == 1
    said = []
    for k in range(1, 60):
        scenario.timer(round(300.0 + k / 10, 3))
        said += [k / 10] * cancels(scenario)
    assert said == [2.0, 4.0]
    scenario.update(306.0, SEQ, OrderStatus.OS_CANCELED, 0)
    scenario.timer(306.1)
    assert cancels(scenario) == 0


# -- what counts until the last word -------------------------------------------------------------------------


def test_an_unknown_order_whose_time_is_up_is_cancelled_again_and_again_and_stays_unknown_until_its_end():
    scenario = resting(life_ns=NS, live=False)
    scenario.update(21.5, SEQ, OrderStatus.OS_UNKNOWN)
    scenario.go()
    held = scenario.risk.reserved_usd
    assert [beat(scenario, t) for t in (21.9, 22.5, 23.0, 25.0, 30.0)] == [0, 1, 0, 1, 1]
    assert scenario.engine.orders[SEQ].status == OrderStatus.OS_UNKNOWN
    assert scenario.risk.reserved_usd == held > 0
    scenario.update(31.0, SEQ, OrderStatus.OS_CANCELED, 0)
    scenario.go()
    assert scenario.risk.reserved_usd == 0
    assert beat(scenario, 33.0) == 0


def test_an_order_that_becomes_unknown_while_it_is_cancelled_is_followed_to_its_end():
    scenario = resting(life_ns=NS, live=False)
    assert beat(scenario, 22.1) == 1
    scenario.update(22.2, SEQ, OrderStatus.OS_UNKNOWN)  # the POST had no answer, and the cancel none yet
    scenario.go()
    assert scenario.engine.orders[SEQ].status == OrderStatus.OS_UNKNOWN
    assert [beat(scenario, t) for t in (23.0, 24.1, 26.1)] == [0, 1, 1]
    scenario.update(26.2, SEQ, OrderStatus.OS_LIVE)  # found alive: still to be cancelled
    assert beat(scenario, 28.2) == 1
    assert scenario.engine.orders[SEQ].status == OrderStatus.OS_CANCEL_SENT
    scenario.update(28.3, SEQ, OrderStatus.OS_CANCELED, 0)
    scenario.go()
    assert scenario.market.open_order_count == 0


def test_a_cancel_and_a_fill_that_cross_end_alike_in_either_order():
    ends = []
    for first in ("cancel", "fill"):
        scenario = resting(life_ns=NS)
        assert beat(scenario, 22.1) == 1
        for what in (first, "fill" if first == "cancel" else "cancel"):
            if what == "fill":
                scenario.fill(22.3, SEQ, 4_800, 4 * SHARE, key=3, maker=True)
            else:
                scenario.update(22.3, SEQ, OrderStatus.OS_CANCELED, 4 * SHARE)
            scenario.go()
        order = scenario.engine.orders[SEQ]
        ends.append((order.status, order.filled, scenario.risk.exposure(), scenario.market.order_count[0]))
        assert scenario.engine.account.contradictions == scenario.engine.account.broken == 0
    assert ends[0] == ends[1] == (OrderStatus.OS_CANCELED, 4 * SHARE, 4 * 480_000, 1)


def test_an_order_being_cancelled_counts_in_full_until_it_is():
    scenario = resting(life_ns=NS)
    held = scenario.risk.reserved_usd
    assert held == pytest.approx(4.8 * USD, abs=5)
    assert beat(scenario, 22.1) == 1
    assert scenario.risk.reserved_usd == held
    assert scenario.market.order_count[0] == 1
    again = place(scenario, 22.5, post_only=True)
    assert list(rows(again, CommandKind.CMD_SIGNAL)["reason"]) == [Denial.PENDING_ORDER]
    scenario.update(22.6, SEQ, OrderStatus.OS_CANCELED, 0)
    scenario.go()
    assert scenario.risk.reserved_usd == 0
    assert scenario.market.order_count[0] == 0
    assert len(rows(place(scenario, 23.0, post_only=True), CommandKind.CMD_PLACE)) == 1


def test_a_fill_that_came_before_the_cancel_is_booked_and_the_refused_cancel_changes_nothing():
    scenario = resting(life_ns=NS)
    assert beat(scenario, 22.1) == 1
    scenario.update(22.2, SEQ, OrderStatus.OS_LIVE)  # the venue refused: the order was matched meanwhile
    scenario.fill(22.3, SEQ, 4_800, 10 * SHARE, key=3, maker=True)
    scenario.go()
    order = scenario.engine.orders[SEQ]
    assert (order.status, order.filled) == (OrderStatus.OS_FILLED, 10 * SHARE)
    assert scenario.market.position() == (10 * SHARE, 0)
    assert scenario.market.cost_usd[UP] == 10 * 480_000
    assert scenario.risk.reserved_usd == 0
    assert beat(scenario, 26.0) == 0


def test_a_part_filled_order_cancels_its_rest_and_keeps_what_was_bought():
    scenario = resting(life_ns=NS)
    scenario.fill(21.5, SEQ, 4_800, 4 * SHARE, key=3, maker=True)
    scenario.go()
    assert beat(scenario, 22.1) == 1
    scenario.update(22.2, SEQ, OrderStatus.OS_CANCELED, 4 * SHARE)
    scenario.go()
    assert scenario.market.position() == (4 * SHARE, 0)
    assert scenario.risk.exposure() == 4 * 480_000
    assert scenario.market.order_count[0] == 1


def test_a_negative_life_is_no_opinion():
    scenario = Scenario([Scripted()])
    scenario.warm()
    assert len(rows(place(scenario, post_only=True, life_ns=-1), CommandKind.CMD_PLACE)) == 0
    assert "life_ns -1 is negative" in scenario.engine.alerts[0]
    assert opinion(post_only=True)["order_type"] == GTC
