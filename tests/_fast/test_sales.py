"""Sales: what they bring makes room only when it is final, whatever comes back."""

import pytest
from scenario import SHARE, USD, Scenario
from scripted_strategy import Scripted, opinion, place

from polybot._fast.event import DOWN, SELL, UP, CommandKind, EventKind, TradeStatus
from polybot._fast.risk import Denial

PAID = 10 * 480_000  # ten shares at 0.48, as a maker
FEE = 174_720  # 0.07 x 10 x 0.48 x 0.52
BUY_SEQ, SALE_SEQ = 1_000, 1_001


@pytest.fixture
def sold():
    """Ten shares bought and confirmed, and sold again at 0.48; the sale is matched."""
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, 21.0, post_only=True)
    scenario.fill(21.1, BUY_SEQ, 4_800, 10 * SHARE, key=1, maker=True, status=TradeStatus.TS_CONFIRMED)
    scenario.go()
    assert scenario.risk.exposure() == PAID
    placed = [row for row in place(scenario, 22.0, side=SELL) if row["kind"] == CommandKind.CMD_PLACE]
    assert [int(row["order_seq"]) for row in placed] == [SALE_SEQ]
    assert scenario.risk.exposure() == PAID
    scenario.fill(22.1, SALE_SEQ, 4_800, 10 * SHARE, key=2)
    scenario.go()
    return scenario


def tell(scenario, status, t=23.0):
    scenario.fill(t, SALE_SEQ, 4_800, 10 * SHARE, key=2, status=status)
    return scenario.go()


def test_a_matched_sale_moves_the_position_and_frees_nothing(sold):
    assert sold.market.position() == (0, 0)
    assert sold.market.cost_usd[UP] == FEE
    assert sold.risk.exposure() == sold.risk.exposure(0) == PAID


@pytest.mark.parametrize("status", [TradeStatus.TS_MINED, TradeStatus.TS_RETRYING])
def test_a_sale_on_its_way_frees_nothing(sold, status):
    tell(sold, status)
    assert sold.risk.exposure() == PAID


def test_a_confirmed_sale_frees_what_it_brought_once(sold):
    tell(sold, TradeStatus.TS_CONFIRMED)
    assert sold.risk.exposure() == FEE
    tell(sold, TradeStatus.TS_CONFIRMED)
    assert sold.risk.exposure() == FEE


def test_a_failed_sale_gives_the_shares_back_and_was_counted_all_along(sold):
    tell(sold, TradeStatus.TS_FAILED)
    assert sold.market.position() == (10 * SHARE, 0)
    assert sold.market.cost_usd[UP] == PAID
    assert sold.risk.exposure() == PAID


def test_a_sale_first_heard_of_as_confirmed_frees_its_room_at_once():
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, 21.0, post_only=True)
    scenario.fill(21.1, BUY_SEQ, 4_800, 10 * SHARE, key=1, maker=True)
    scenario.go()
    place(scenario, 22.0, side=SELL)
    tell(scenario, TradeStatus.TS_CONFIRMED)
    assert scenario.risk.exposure() == FEE


def test_the_room_of_a_matched_sale_cannot_be_spent_before_it_is_confirmed():
    scenario = Scenario([Scripted()])
    scenario.risk.set_limits(0, per_trade_frac=0.0048, total_frac=0.005, cooldown_ns=0, max_orders=50)
    scenario.warm()
    place(scenario, 21.0, post_only=True)
    scenario.fill(21.1, BUY_SEQ, 4_800, 9 * SHARE, key=1, maker=True)
    scenario.go()
    scenario.update(21.2, BUY_SEQ, 8, 9 * SHARE)
    place(scenario, 22.0, side=SELL)
    scenario.fill(22.1, SALE_SEQ, 4_800, 9 * SHARE, key=2)
    scenario.go()
    (denied,) = place(scenario, 22.5, post_only=True)
    assert denied["reason"] == Denial.STRATEGY_EXPOSURE
    scenario.fill(22.6, SALE_SEQ, 4_800, 9 * SHARE, key=2, status=TradeStatus.TS_CONFIRMED)
    scenario.go()
    assert [int(row["kind"]) for row in place(scenario, 23.0, post_only=True)] == [
        CommandKind.CMD_SIGNAL,
        CommandKind.CMD_PLACE,
    ]


@pytest.mark.parametrize("late", [TradeStatus.TS_CONFIRMED, TradeStatus.TS_FAILED])
@pytest.mark.parametrize("winner", [UP, DOWN])
def test_a_settled_market_holds_no_room_and_the_last_word_on_a_sale_corrects_the_result(sold, late, winner):
    sold.outcome(330.0, winner)
    sold.go()
    assert sold.risk.exposure() == 0
    assert sold.risk.day_realised_usd == -FEE
    tell(sold, late, 331.0)
    assert sold.risk.exposure() == sold.risk.exposure(0) == 0
    held = 10 * SHARE if winner == UP else 0
    assert sold.risk.day_realised_usd == (-FEE if late == TradeStatus.TS_CONFIRMED else held - PAID)


def test_a_forgotten_market_gives_back_the_room_of_a_sale_that_was_never_confirmed():
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, 21.0, post_only=True)
    scenario.fill(21.1, BUY_SEQ, 4_800, 10 * SHARE, key=1, maker=True)
    scenario.go()
    place(scenario, 22.0, side=SELL)
    scenario.fill(22.1, SALE_SEQ, 4_800, 10 * SHARE, key=2, maker=True)
    scenario.go()
    assert (scenario.market.position(), sum(scenario.market.cost_usd)) == ((0, 0), 0)
    assert scenario.risk.exposure() == PAID
    scenario.engine.drop_market(0)
    assert scenario.risk.exposure() == scenario.risk.exposure(0) == 0


def test_cash_falls_with_what_is_bought_and_rises_only_by_the_venues_word(sold):
    before = sold.risk.cash_usd
    assert before == 1_000 * USD - PAID
    tell(sold, TradeStatus.TS_CONFIRMED)
    assert sold.risk.cash_usd == before
    sold.events.add(EventKind.EV_BALANCE, recv_ns=sold.at(24.0), j=999 * USD)
    sold.go()
    assert sold.risk.cash_usd == 999 * USD


def test_a_strategy_cannot_offer_what_it_has_offered(sold):
    tell(sold, TradeStatus.TS_FAILED)
    first = [row for row in place(sold, 24.0, side=SELL, shares=8 * SHARE) if row["kind"] == 1]
    assert [int(row["shares"]) for row in first] == [8 * SHARE]
    assert opinion(side=SELL)["side"] == SELL
    again = place(sold, 25.0, side=SELL)
    assert [int(row["reason"]) for row in again] == [Denial.PENDING_ORDER]
