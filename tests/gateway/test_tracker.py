"""The tracker and the engine ask one table: what it lets through, holds back, or hands on for a person to see."""

import pytest
from scenario import SHARE, Scenario, make_spec
from scripted_strategy import Scripted

from polybot._fast.event import BUY, FAK, GTC, UP, EventBuffer, OrderStatus
from polybot.gateway.orders import OrderPlan
from polybot.gateway.reasons import RejectReason
from polybot.gateway.tracker import OrderTracker, TrackedOrder

SPEC = make_spec()
SEQ, ORDER_ID = 1_000, "0x" + "ab" * 32
S = OrderStatus


class Desk:
    """One order in the tracker and in the engine."""

    def __init__(self, *, order_type=FAK):
        self.scenario = Scenario([Scripted()])
        self.tracker, self.out = OrderTracker(), EventBuffer(8)
        self.scenario.engine.restore_order(
            0,
            order_seq=SEQ,
            strategy=0,
            outcome=UP,
            side=BUY,
            order_type=order_type,
            price_ticks=5_000,
            shares=10 * SHARE,
            post_only=False,
            dispatched_ns=SPEC.start_ns,
        )
        plan = OrderPlan(SEQ, UP, BUY, order_type, 5_000, 10 * SHARE, 10 * SHARE, 0, 0, 0)
        self.tracked = TrackedOrder(
            SEQ, ORDER_ID, 0, SPEC.condition_id, SPEC.token_up, SPEC.end_ns, plan, SPEC.start_ns, b""
        )
        assert self.tracker.add(self.tracked)
        self.order = self.scenario.engine.orders[SEQ]

    def told(self, status, matched=-1):
        """A definite word of the venue; how many events it came to."""
        self.tracker.on_status(
            self.out,
            self.tracked,
            status=status,
            now_ns=SPEC.start_ns,
            matched_ushares=matched,
            reason=RejectReason.NONE,
        )
        return self.go()

    def trade(self, status, *, shares="10", trade_id="t1"):
        raw = {
            "id": trade_id,
            "taker_order_id": ORDER_ID,
            "asset_id": SPEC.token_up,
            "side": "BUY",
            "size": shares,
            "price": "0.5",
            "status": status,
            "maker_orders": [],
        }
        self.tracker.on_trade(self.out, raw, now_ns=SPEC.start_ns)
        return self.go()

    def go(self):
        count = len(self.out)
        self.scenario.engine.process(self.out)
        self.out.reset()
        return count

    @property
    def alerts(self):
        return self.scenario.engine.alerts


def test_older_news_and_repeats_reach_nobody():
    desk = Desk(order_type=GTC)
    assert [desk.told(status, 0) for status in (S.OS_LIVE, S.OS_LIVE, S.OS_DELAYED, S.OS_UNKNOWN)] == [
        1,
        0,
        0,
        0,
    ]
    assert desk.order.status == desk.tracked.status == S.OS_LIVE
    assert desk.alerts == []


def test_a_growing_match_is_reported_whatever_the_state_told():
    desk = Desk(order_type=GTC)
    desk.told(S.OS_PARTIAL, 2 * SHARE)
    assert desk.told(S.OS_LIVE, 5 * SHARE) == 1
    assert desk.order.matched == 5 * SHARE
    desk.told(S.OS_CANCELED, 5 * SHARE)
    assert desk.told(S.OS_LIVE, 6 * SHARE) == 1
    assert (desk.order.matched, desk.order.status) == (6 * SHARE, S.OS_CANCELED)
    assert desk.tracker.counters["after_terminal"] == 1


def test_a_refusal_of_an_order_that_was_seen_is_not_applied_and_a_person_is_told():
    desk = Desk(order_type=GTC)
    desk.told(S.OS_LIVE, 0)
    assert desk.told(S.OS_REJECTED, 0) == 1
    assert desk.tracked.status == desk.order.status == S.OS_LIVE
    assert desk.alerts == ["contradiction: order 1000 told as 10, known as 2"]
    assert desk.tracker.counters["contradictions"] == 1


def test_a_refused_order_that_the_venue_shows_is_open_again_and_counts():
    desk = Desk(order_type=GTC)
    held = desk.scenario.risk.reserved_usd
    desk.told(S.OS_REJECTED, 0)
    assert (desk.tracker.open_orders(), desk.scenario.risk.reserved_usd) == ([], 0)
    desk.told(S.OS_LIVE, 0)
    assert desk.tracker.open_orders() == [desk.tracked]
    assert desk.scenario.risk.reserved_usd == held > 0
    assert len(desk.alerts) == 1


def test_a_refused_order_that_was_filled_is_followed_to_its_end():
    desk = Desk()
    desk.told(S.OS_REJECTED, 0)
    desk.trade("MATCHED", shares="4")
    assert desk.tracker.open_orders() == [desk.tracked]
    assert desk.tracked.status == S.OS_MATCHED
    assert (desk.order.filled, desk.order.status) == (4 * SHARE, S.OS_PARTIAL)
    desk.trade("MATCHED", shares="6", trade_id="t2")
    assert desk.tracked.status == desk.order.status == S.OS_FILLED
    assert len(desk.alerts) == 1


def test_an_unknown_order_leaves_that_state_only_by_what_the_venue_shows():
    desk = Desk()
    desk.told(S.OS_UNKNOWN)
    assert desk.tracker.blocks_token(SPEC.token_up)
    assert [desk.told(status) for status in (S.OS_SENT, S.OS_UNKNOWN, S.OS_CANCEL_SENT)] == [0, 0, 0]
    assert desk.tracker.blocks_token(SPEC.token_up)
    desk.trade("MATCHED", shares="4")
    assert not desk.tracker.blocks_token(SPEC.token_up)
    assert desk.order.status == S.OS_PARTIAL


@pytest.mark.parametrize(
    ("first", "then", "filled"), [("CONFIRMED", "FAILED", 10), ("FAILED", "CONFIRMED", 0)]
)
def test_a_final_trade_told_to_have_ended_otherwise_is_told_once_and_changes_nothing(first, then, filled):
    desk = Desk()
    desk.trade(first)
    before = (desk.order.status, desk.order.filled, desk.scenario.risk.exposure())
    assert desk.trade(then) == 1
    assert desk.trade(then) == 0
    assert (desk.order.status, desk.order.filled, desk.scenario.risk.exposure()) == before
    assert desk.order.filled == filled * SHARE
    assert len(desk.alerts) == 1
    assert "trade" in desk.alerts[0]
