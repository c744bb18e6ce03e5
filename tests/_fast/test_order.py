"""Orders: the table of their states and what they reserve at each step, against the plain definition."""

import gc
import math
import re
from itertools import product
from pathlib import Path

import pytest
from reference.order_reference import ENDS, order_step, trade_step
from scenario import SHARE, USD, Scenario
from test_engine import Scripted, place

from polybot._fast.event import OrderStatus, TradeStatus
from polybot._fast.order import ORDER_MOVES, TRADE_MOVES, Move, is_terminal, order_move, trade_move

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


def test_an_order_made_where_one_was_freed_knows_nothing_of_it(placed):
    scenario, order = placed
    scenario.fill(21.1, 1_000, 5_000, 2 * SHARE)
    scenario.update(21.2, 1_000, OrderStatus.OS_CANCELED, 2 * SHARE)
    scenario.fill(21.3, 1_000, 5_000, 2 * SHARE, status=TradeStatus.TS_FAILED)
    scenario.go()
    scenario.engine.drop_market(0)
    made = type(order)
    del order
    fresh = [made() for _ in range(100)]  # more than are kept for the next
    assert {(o.seq, o.status, o.shares, o.filled, o.unsettled_trades) for o in fresh} == {(0, 0, 0, 0, 0)}
    assert all(math.isnan(o.cancel_edge) for o in fresh)
    assert not any(gc.is_tracked(o) for o in fresh)


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


# -- the table of states ---------------------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs" / "ARCHITECTURE.md"


def test_the_table_of_order_states_says_what_the_prose_says():
    for old, new, matched in product(OrderStatus, OrderStatus, (False, True)):
        assert order_move(old, new, matched=matched) == order_step(old, new, matched=matched), (
            old,
            new,
            matched,
        )


def test_the_table_of_trade_states_says_what_the_prose_says():
    for old, new in product((0, *TradeStatus), TradeStatus):
        assert trade_move(old, new) == trade_step(old, new), (old, new)


def test_no_order_that_ended_lives_on_except_one_the_venue_shows_after_it_refused_it():
    for old, new in product(OrderStatus, OrderStatus):
        assert is_terminal(old) == (old in ENDS)
        if old in ENDS:
            assert order_move(old, new) != Move.MOVE_ON


@pytest.mark.parametrize("status", [-1, 12, 255])
def test_a_status_that_does_not_exist_is_refused(status):
    with pytest.raises(ValueError):
        order_move(status, OrderStatus.OS_LIVE)
    with pytest.raises(ValueError):
        order_move(OrderStatus.OS_LIVE, status)
    with pytest.raises(ValueError):
        trade_move(0, status)
    with pytest.raises(ValueError):
        trade_move(status, TradeStatus.TS_MATCHED)


@pytest.mark.parametrize(
    ("head", "names", "moves"),
    [
        ("known, told", [status.name.removeprefix("OS_") for status in OrderStatus], ORDER_MOVES),
        ("trade known, told", ["-", *(s.name.removeprefix("TS_") for s in TradeStatus)], TRADE_MOVES),
    ],
)
def test_the_documents_print_the_tables_as_they_are(head, names, moves):
    text = DOCS.read_text()
    (table,) = re.findall(rf"^\| {head} \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    told, _, *lines = [
        [cell.strip() for cell in line.strip("| \n").split("|")] for line in table.splitlines()
    ]
    assert told[1:] == names
    assert lines == [[name, *row] for name, row in zip(names, moves, strict=True)]


# -- what cannot be true beside what is known ------------------------------------------------------------------


def test_a_confirmed_trade_that_fails_is_not_reversed_and_a_person_is_told(placed):
    scenario, order = placed
    scenario.fill(21.1, 1_000, 5_000, 10 * SHARE, key=1, status=TradeStatus.TS_CONFIRMED)
    scenario.fill(21.2, 1_000, 5_000, 10 * SHARE, key=1, status=TradeStatus.TS_FAILED)
    scenario.go()
    assert order.filled == 10 * SHARE
    assert scenario.engine.account.contradictions == 1
    assert scenario.engine.alerts == ["contradiction: order 1000 trade 1 told as 5, known as 4"]


def test_an_order_refused_and_then_shown_alive_counts_again_in_full(placed):
    scenario, order = placed
    held = scenario.risk.reserved_usd
    scenario.update(21.1, 1_000, OrderStatus.OS_REJECTED, 0)
    scenario.go()
    assert (scenario.risk.reserved_usd, scenario.market.order_count[0]) == (0, 0)
    scenario.update(21.2, 1_000, OrderStatus.OS_LIVE, 0)
    scenario.go()
    assert order.status == OrderStatus.OS_LIVE
    assert (scenario.risk.reserved_usd, scenario.market.order_count[0]) == (held, 1)
    assert scenario.engine.alerts == ["contradiction: order 1000 told as 2, known as 10"]


def test_a_fill_of_a_refused_order_is_booked_and_its_rest_counts(placed):
    scenario, order = placed
    scenario.update(21.1, 1_000, OrderStatus.OS_REJECTED, 0)
    scenario.fill(21.2, 1_000, 5_000, 4 * SHARE, key=1)
    scenario.go()
    assert order.status == OrderStatus.OS_PARTIAL
    assert scenario.market.position() == (4 * SHARE, 0)
    assert order.reserved_usd == reserved(6 * SHARE) == scenario.risk.reserved_usd
    assert len(scenario.engine.alerts) == 1


def test_an_order_of_which_something_was_matched_cannot_have_been_refused(placed):
    scenario, order = placed
    scenario.update(21.1, 1_000, OrderStatus.OS_UNKNOWN, 4 * SHARE)
    scenario.update(21.2, 1_000, OrderStatus.OS_REJECTED, 0)
    scenario.go()
    assert order.status == OrderStatus.OS_UNKNOWN
    assert order.reserved_usd == reserved(10 * SHARE)
    assert scenario.engine.account.contradictions == 1


@pytest.mark.parametrize("change", [{"shares": 5 * SHARE}, {"ticks": 4_900}])
def test_a_trade_told_with_other_numbers_keeps_the_first_and_a_person_is_told(placed, change):
    scenario, order = placed
    scenario.fill(21.1, 1_000, 5_000, 4 * SHARE, key=1)
    told = {"ticks": 5_000, "shares": 4 * SHARE, **change}
    scenario.fill(21.2, 1_000, told["ticks"], told["shares"], key=1, status=TradeStatus.TS_CONFIRMED)
    scenario.go()
    assert order.filled == 4 * SHARE
    assert order.unsettled_trades == 0
    assert scenario.engine.account.contradictions == 1


def test_more_matched_than_was_asked_is_held_and_told(placed):
    scenario, order = placed
    scenario.update(21.1, 1_000, OrderStatus.OS_CANCELED, 11 * SHARE)
    scenario.go()
    assert order.reserved_usd == reserved(11 * SHARE)
    assert scenario.engine.alerts == [
        "contradiction: order 1000 told as matched 11000000 of 10000000 micro-shares"
    ]


def test_news_of_no_state_that_exists_is_a_stray(placed):
    scenario, order = placed
    before = scenario.engine.strays
    for status in (-1, 12):
        scenario.update(21.1, 1_000, status)
    for status in (0, 6, 1.5):
        scenario.fill(21.2, 1_000, 5_000, SHARE, key=9, status=status)
    scenario.fill(21.2, 1_000, 5_000, 10**15 + 1, key=9)
    scenario.fill(21.2, 1_000, 5_000, SHARE, key=1 << 52)
    scenario.fill(21.2, 1_000, 5_000, SHARE, key=0.5)
    scenario.go()
    assert scenario.engine.strays == before + 8
    assert (order.status, order.filled) == (OrderStatus.OS_SENT, 0)


def test_sums_that_break_halt_everything_and_are_told_a_few_times(placed):
    """More than fits into 64 bits: nothing less breaks the sums from outside."""
    scenario, order = placed
    for key in range(9_300):
        scenario.fill(21.1, 1_000, 5_000, 10**15, key=key)
    scenario.go()
    account = scenario.engine.account
    assert order.filled < 0
    assert scenario.risk.halted_manual
    assert account.broken >= 70
    told = [text for text in account.alerts if text.startswith("InvariantBroken: order 1000: filled -")]
    assert len(told) == 20
