"""Orders: what they reserve at each step of their life, against the plain definition."""

import pytest
from scenario import SHARE, USD, Scenario
from test_engine import Scripted, place

from polybot._fast.event import OrderStatus, TradeStatus

UNIT = 500_000 + 17_500 + 10  # price and fee of one share at 0.50, with the rounding allowance


@pytest.fixture
def placed():
    strategy = Scripted()
    scenario = Scenario([strategy])
    scenario.warm()
    place(scenario, strategy)
    return scenario, scenario.engine.orders[1_000]


def reserved(shares):
    return shares * UNIT // SHARE + 2 if shares else 0


@pytest.mark.parametrize(
    ("status", "matched", "outstanding"),
    [
        (OrderStatus.OS_DELAYED, -1, 10 * SHARE),
        (OrderStatus.OS_LIVE, -1, 10 * SHARE),
        (OrderStatus.OS_UNKNOWN, -1, 10 * SHARE),
        (OrderStatus.OS_CANCEL_SENT, -1, 10 * SHARE),
        (OrderStatus.OS_REJECTED, 0, 0),
        (OrderStatus.OS_CANCELED, 0, 0),
        (OrderStatus.OS_CANCELED, 4 * SHARE, 4 * SHARE),
        (OrderStatus.OS_EXPIRED, 0, 0),
        (OrderStatus.OS_FILLED, 10 * SHARE, 10 * SHARE),
    ],
)
def test_an_order_reserves_exactly_what_may_still_fill(placed, status, matched, outstanding):
    scenario, order = placed
    scenario.update(21.1, 1_000, status, matched)
    scenario.go()
    assert order.reserved_usd == reserved(outstanding) == scenario.risk.reserved_usd
    assert order.is_open == (outstanding > 0)


def test_fills_take_their_share_of_the_reservation_each(placed):
    scenario, order = placed
    for key in range(1, 6):
        scenario.fill(21.0 + key, 1_000, 5_000, 2 * SHARE, key=key)
        scenario.go()
        assert order.filled == 2 * SHARE * key
        assert order.reserved_usd == reserved(10 * SHARE - order.filled)
    assert order.status == OrderStatus.OS_FILLED
    assert not order.is_open


def test_states_never_go_back(placed):
    scenario, order = placed
    scenario.update(21.1, 1_000, OrderStatus.OS_LIVE)
    scenario.update(21.2, 1_000, OrderStatus.OS_DELAYED)
    scenario.go()
    assert order.status == OrderStatus.OS_LIVE
    scenario.update(21.3, 1_000, OrderStatus.OS_CANCELED, 0)
    scenario.update(21.4, 1_000, OrderStatus.OS_LIVE)
    scenario.go()
    assert order.status == OrderStatus.OS_CANCELED


def test_trades_are_unsettled_until_confirmed_or_failed(placed):
    scenario, order = placed
    scenario.fill(21.1, 1_000, 5_000, 4 * SHARE, key=1)
    scenario.fill(21.1, 1_000, 5_000, 4 * SHARE, key=2)
    scenario.go()
    assert order.unsettled_trades == 2
    scenario.fill(25.0, 1_000, 5_000, 4 * SHARE, key=1, status=TradeStatus.TS_CONFIRMED)
    scenario.fill(25.0, 1_000, 5_000, 4 * SHARE, key=2, status=TradeStatus.TS_FAILED)
    scenario.go()
    assert order.unsettled_trades == 0
    assert order.filled == 4 * SHARE
    assert scenario.risk.position_usd == 2 * USD + 70_000
