"""Every rule of the simulated execution on a small table, with exact numbers."""

import pytest
from execution_scenario import END_NS, MS, START_NS, Table, spec

from polybot._fast import event as ev
from polybot._fast.execution import ExecutionReason, SimExecution
from polybot.gateway.reasons import RejectReason

BUY, SELL, UP, DOWN = 0, 1, 0, 1
FAK, FOK, GTC, GTD = int(ev.FAK), int(ev.FOK), int(ev.GTC), int(ev.GTD)
USD = 1_000_000


def quoted(**more) -> Table:
    """Bids 0.48 x 30, 0.47 x 50; asks 0.50 x 10, 0.51 x 20, 0.53 x 100."""
    table = Table(**more)
    table.book(0, bids={0.48: 30, 0.47: 50}, asks={0.50: 10, 0.51: 20, 0.53: 100})
    return table


# -- takers


def test_taker_is_held_150_ms_and_walks_the_depth_of_that_moment():
    table = quoted()
    table.place(20, FAK, BUY, 0.51, 25)
    assert table.news(20) == [(20.0, 1, "DELAYED", None)]
    table.level(100, SELL, 0.50, 6)  # four of the ten are gone when the hold ends
    assert table.news(170) == [
        (170.0, 1, "taker", 0.50, 6.0),
        (170.0, 1, "taker", 0.51, 19.0),
        (170.0, 1, "FILLED", 25.0),
    ]


def test_better_prices_that_came_during_the_hold_are_paid_instead_of_the_limit():
    table = quoted()
    table.place(20, FAK, BUY, 0.50, 5)
    table.level(100, SELL, 0.49, 3)
    assert table.news(170)[1:] == [
        (170.0, 1, "taker", 0.49, 3.0),
        (170.0, 1, "taker", 0.50, 2.0),
        (170.0, 1, "FILLED", 5.0),
    ]


def test_depth_that_left_during_the_hold_is_not_filled():
    table = quoted()
    table.place(20, FAK, BUY, 0.50, 10)
    table.level(169, SELL, 0.50, 0)
    assert table.news(170) == [(20.0, 1, "DELAYED", None), (170.0, 1, "CANCELED", 0.0)]


def test_a_book_of_the_very_instant_of_the_match_is_seen_and_a_later_one_is_not():
    seen, unseen = quoted(), quoted()
    for table, at_ms in ((seen, 170.0), (unseen, 170.000_001)):
        table.place(20, FAK, BUY, 0.50, 10)
        table.level(at_ms, SELL, 0.50, 0)
    assert seen.news(200)[-1] == (170.0, 1, "CANCELED", 0.0)
    assert unseen.news(200)[-1] == (170.0, 1, "FILLED", 10.0)


def test_fak_takes_what_there_is_and_ends_with_the_matched_amount():
    table = quoted()
    table.place(20, FAK, BUY, 0.51, 40)
    assert table.news(170)[1:] == [
        (170.0, 1, "taker", 0.50, 10.0),
        (170.0, 1, "taker", 0.51, 20.0),
        (170.0, 1, "MATCHED", 30.0),
        (170.0, 1, "CANCELED", 30.0),
    ]


def test_fak_and_fok_without_a_match_are_killed_at_arrival_and_leave_no_hold():
    table = quoted()
    table.place(20, FAK, BUY, 0.49, 10)
    table.place(20, FOK, BUY, 0.50, 11)
    killed = int(RejectReason.KILLED)
    assert table.news(400) == [(20.0, 1, "CANCELED", 0.0, killed), (20.0, 2, "CANCELED", 0.0, killed)]


def test_fok_is_killed_at_the_end_of_the_hold_when_its_depth_went_away():
    table = quoted()
    table.place(20, FOK, BUY, 0.51, 30)
    table.level(100, SELL, 0.51, 19)
    assert table.news(170) == [(20.0, 1, "DELAYED", None), (170.0, 1, "CANCELED", 0.0)]
    assert table.sim.cash_usd == 1_000 * USD
    assert table.sim.held_usd == 0


def test_buying_down_takes_the_bids_of_up_at_the_mirrored_price():
    table = quoted()
    table.place(20, FAK, BUY, 0.53, 40, outcome=DOWN)
    assert table.news(170)[1:] == [
        (170.0, 1, "taker", 0.52, 30.0),
        (170.0, 1, "taker", 0.53, 10.0),
        (170.0, 1, "FILLED", 40.0),
    ]
    assert table.sim.position(0) == (0, 40 * USD)


def test_an_order_cut_to_the_venues_cents_ends_canceled_with_all_it_asked_the_venue_for():
    table = quoted()
    table.place(20, FAK, BUY, 0.51, 9.99, asked=10 * USD)
    assert table.news(170)[-1] == (170.0, 1, "CANCELED", 9.99)


def test_the_same_shown_shares_are_not_taken_twice():
    table = quoted()
    table.place(0, FAK, BUY, 0.50, 8)
    assert table.news(150)[-1] == (150.0, 1, "FILLED", 8.0)
    table.place(200, FAK, BUY, 0.50, 10)
    assert table.news(350)[1:] == [
        (350.0, 2, "taker", 0.50, 2.0),
        (350.0, 2, "MATCHED", 2.0),
        (350.0, 2, "CANCELED", 2.0),
    ]
    table.place(400, FAK, BUY, 0.50, 10)
    assert table.news(600) == [(400.0, 3, "CANCELED", 0.0, int(RejectReason.KILLED))]


def test_a_snapshot_that_shows_the_same_shares_does_not_bring_back_what_we_took():
    table = quoted()
    table.place(0, FAK, BUY, 0.50, 8)
    table.until(150)
    table.book(200, bids={0.48: 30}, asks={0.50: 10, 0.51: 20})
    assert table.sim.taken(0) == {(1, 5_000): 8 * USD}


def test_shares_added_to_a_level_are_new_and_a_level_that_vanished_is_forgotten():
    table = quoted()
    table.place(0, FAK, BUY, 0.50, 8)
    table.until(150)
    table.level(200, SELL, 0.50, 14)  # four more than the ten, so six are there for us
    table.place(210, FAK, BUY, 0.50, 10)
    assert (360.0, 2, "taker", 0.50, 6.0) in table.news(360)
    table.level(400, SELL, 0.50, 3)
    assert table.sim.taken(0) == {(1, 5_000): 3 * USD}
    table.level(410, SELL, 0.50, 0)
    table.level(420, SELL, 0.50, 5)
    assert table.sim.taken(0) == {}
    table.place(430, FAK, BUY, 0.50, 5)
    assert table.news(600)[-1] == (580.0, 3, "FILLED", 5.0)


def test_extra_ticks_make_every_taken_price_worse_and_never_break_the_limit():
    table = quoted(extra_ticks=1)
    table.place(0, FAK, BUY, 0.51, 30)
    assert table.news(150)[1:] == [
        (150.0, 1, "taker", 0.51, 10.0),
        (150.0, 1, "MATCHED", 10.0),
        (150.0, 1, "CANCELED", 10.0),
    ]


def test_extra_ticks_let_no_post_only_order_rest_that_the_venue_would_refuse():
    for extra in (0, 1, 2):
        table = quoted(extra_ticks=extra)
        table.place(0, GTC, BUY, 0.50, 10, post_only=True)
        assert table.news(0) == [(0.0, 1, "REJECTED", 0.0, int(RejectReason.CROSSES_BOOK))]


def test_a_market_without_a_hold_matches_at_arrival():
    table = quoted(market={"taker_delay_ms": 0})
    table.place(20, FAK, BUY, 0.50, 5)
    assert table.news(20) == [(20.0, 1, "taker", 0.50, 5.0), (20.0, 1, "FILLED", 5.0)]


def test_a_lost_socket_blinds_the_market_until_the_next_snapshot():
    table = quoted()
    table.place(20, FAK, BUY, 0.50, 5)
    table.feed(100, {"kind": ev.EV_FEED_STATE, "i": ev.FEED_MARKET, "j": ev.FS_DISCONNECTED})
    assert table.news(170)[-1] == (170.0, 1, "CANCELED", 0.0)
    table.place(180, FAK, BUY, 0.50, 5)
    assert table.news(180) == [(180.0, 2, "CANCELED", 0.0, int(RejectReason.KILLED))]
    table.book(200, bids={}, asks={0.50: 10})
    table.place(210, FAK, BUY, 0.50, 5)
    assert table.news(360)[-1] == (360.0, 3, "FILLED", 5.0)
    assert table.sim.counters()["blind_matches"] == 1


# -- refusals


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"price": 0.505}, RejectReason.TICK_SIZE),
        ({"shares": 4.99}, RejectReason.MIN_SIZE),
        ({"kind": GTC, "post_only": True}, RejectReason.CROSSES_BOOK),
        ({"usd": 999_999}, RejectReason.MIN_NOTIONAL),
        ({"shares": 2_000.0}, RejectReason.BALANCE),
        ({"side": SELL, "price": 0.48}, RejectReason.BALANCE),
        ({"at": 300_000.0}, RejectReason.NOT_READY),
    ],
)
def test_what_the_venue_refuses_is_refused_with_its_reason(change, reason):
    table = quoted()
    terms = {"at": 20.0, "kind": FAK, "side": BUY, "price": 0.50, "shares": 10.0, **change}
    at, kind, side, price, shares = (terms.pop(name) for name in ("at", "kind", "side", "price", "shares"))
    table.place(at, kind, side, price, shares, **terms)
    assert table.news(400_000) == [(at, 1, "REJECTED", 0.0, int(reason))]
    assert table.sim.held_usd == 0


def test_a_buy_of_exactly_one_usd_may_take():
    table = quoted()
    table.place(20, FAK, BUY, 0.50, 5, usd=1_000_000)
    assert table.news(170)[-1] == (170.0, 1, "FILLED", 5.0)


def test_cash_held_for_open_orders_is_not_spent_twice():
    table = quoted(cash=6.0)
    table.place(20, GTC, BUY, 0.47, 10, post_only=True)
    table.place(30, GTC, BUY, 0.47, 5, post_only=True)
    assert table.news(40) == [(20.0, 1, "LIVE", 0.0), (30.0, 2, "REJECTED", 0.0, int(RejectReason.BALANCE))]
    assert table.sim.held_usd == 4_700_000


def test_taking_without_a_fee_schedule_is_refused_because_a_fee_left_out_would_flatter():
    table = quoted(market={"fee_rate_ppm": None})
    table.place(20, FAK, BUY, 0.50, 10)
    assert table.news(400) == [(20.0, 1, "REJECTED", 0.0, int(RejectReason.NOT_READY))]


def test_reason_codes_are_the_gateways():
    for reason in ExecutionReason:
        name = reason.name.removeprefix("REASON_")
        assert int(RejectReason[name]) == int(reason)


# -- makers


def test_a_resting_order_waits_for_the_size_shown_when_it_joined():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    assert table.news(0) == [(0.0, 1, "LIVE", 0.0)]
    assert table.sim.order(1).ahead == 30 * USD
    table.trade(100, SELL, 0.48, 29)
    assert table.news(100) == []
    table.trade(110, SELL, 0.48, 4)
    assert table.news(110) == [(110.0, 1, "maker", 0.48, 3.0), (110.0, 1, "PARTIAL", 3.0)]
    table.trade(120, SELL, 0.48, 50)
    assert table.news(120) == [(120.0, 1, "maker", 0.48, 7.0), (120.0, 1, "FILLED", 10.0)]
    assert table.sim.cash_usd == 1_000 * USD - 4_800_000  # makers pay no fee


def test_a_print_through_our_price_fills_at_our_price_and_never_more_than_was_printed():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.trade(100, SELL, 0.47, 6)
    assert table.news(100)[1:] == [(100.0, 1, "maker", 0.48, 6.0), (100.0, 1, "PARTIAL", 6.0)]


def test_prints_on_the_other_side_or_at_worse_prices_do_not_reach_us():
    table = quoted()
    table.place(0, GTC, BUY, 0.47, 10, post_only=True)
    table.trade(100, BUY, 0.47, 500)
    table.trade(110, SELL, 0.48, 500)
    assert table.news(200) == [(0.0, 1, "LIVE", 0.0)]


def test_a_taker_who_buys_down_meets_our_bid_for_up():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.trade(100, BUY, 0.52, 32, outcome=DOWN)
    assert table.news(100)[1:] == [(100.0, 1, "maker", 0.48, 2.0), (100.0, 1, "PARTIAL", 2.0)]


def test_our_bid_for_down_stands_among_the_asks_of_up():
    table = quoted()
    table.place(0, GTC, BUY, 0.49, 10, outcome=DOWN, post_only=True)  # an ask of Up at 0.51 behind 20
    table.until(0)
    assert table.sim.order(1).ahead == 20 * USD
    table.trade(100, BUY, 0.51, 25)
    assert table.news(100) == [(100.0, 1, "maker", 0.49, 5.0), (100.0, 1, "PARTIAL", 5.0)]
    assert table.sim.position(0) == (0, 5 * USD)


def test_cancels_stood_behind_us_but_never_more_is_ahead_than_is_shown():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.level(100, BUY, 0.48, 45)  # fifteen joined behind us
    table.level(110, BUY, 0.48, 35)  # ten left: behind us
    assert table.sim.order(1).ahead == 30 * USD
    table.level(120, BUY, 0.48, 12)
    assert table.sim.order(1).ahead == 12 * USD


def test_by_the_proportional_model_cancels_come_from_before_and_behind_us_alike():
    table = quoted(queue=1)
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.until(0)
    table.level(100, BUY, 0.48, 60)
    table.level(110, BUY, 0.48, 40)  # a third of what was shown
    assert table.sim.order(1).ahead == 20 * USD


@pytest.mark.parametrize("print_first", [True, False])
@pytest.mark.parametrize("queue", [0, 1])
def test_a_trade_moves_the_queue_once_whether_its_print_or_its_book_comes_first(queue, print_first):
    table = quoted(queue=queue)
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.until(0)
    calls = [lambda: table.trade(100, SELL, 0.48, 12), lambda: table.level(100, BUY, 0.48, 18)]
    for call in calls if print_first else reversed(calls):
        call()
    assert table.sim.order(1).ahead == 18 * USD
    table.trade(200, SELL, 0.48, 18)
    assert table.news(200) == []
    table.trade(210, SELL, 0.48, 1)
    assert table.news(210)[0] == (210.0, 1, "maker", 0.48, 1.0)


def test_what_left_long_ago_does_not_explain_a_print_of_now():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.until(0)
    table.level(100, BUY, 0.48, 20)  # ten left
    table.trade(1_200, SELL, 0.48, 15)
    assert table.sim.order(1).ahead == 5 * USD


def test_two_orders_of_ours_share_one_print_in_order_of_price_and_arrival():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.place(1, GTC, BUY, 0.49, 10, post_only=True)
    table.place(2, GTC, BUY, 0.48, 10, post_only=True)
    table.until(2)
    table.trade(100, SELL, 0.48, 45)
    assert [row[1:] for row in table.news(100)] == [
        (2, "maker", 0.49, 10.0),
        (2, "FILLED", 10.0),
        (1, "maker", 0.48, 5.0),
        (1, "PARTIAL", 5.0),
    ]


def test_an_order_that_joins_an_unknown_book_learns_its_queue_from_the_next_one():
    table = Table()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.trade(10, SELL, 0.48, 500)
    assert table.news(10) == [(0.0, 1, "LIVE", 0.0)]
    table.book(20, bids={0.48: 7}, asks={0.50: 10})
    table.trade(30, SELL, 0.48, 8)
    assert table.news(30)[0] == (30.0, 1, "maker", 0.48, 1.0)


def test_what_remains_of_a_gtc_that_took_rests():
    table = quoted()
    table.place(0, GTC, BUY, 0.50, 16)
    assert table.news(150) == [
        (0.0, 1, "DELAYED", None),
        (150.0, 1, "taker", 0.50, 10.0),
        (150.0, 1, "PARTIAL", 10.0),
    ]
    table.trade(200, SELL, 0.50, 6)
    assert table.news(200) == [(200.0, 1, "maker", 0.50, 6.0), (200.0, 1, "FILLED", 16.0)]


def test_a_taker_cancels_our_own_resting_order_it_would_reach_and_no_other():
    table = quoted()
    table.place(0, GTC, BUY, 0.50, 5, outcome=DOWN, post_only=True)  # an ask of Up at 0.50 behind 10
    table.place(0, GTC, BUY, 0.48, 5, outcome=DOWN, post_only=True)  # an ask of Up at 0.52
    table.until(0)
    table.place(10, FAK, BUY, 0.51, 10)  # served by those ahead of us
    assert "CANCELED" not in [row[2] for row in table.news(160)]
    table.book(200, bids={0.48: 30}, asks={0.50: 10, 0.51: 20, 0.53: 100})
    table.place(210, FAK, BUY, 0.51, 15)
    assert (360.0, 1, "CANCELED", 0.0) in table.news(360)
    assert table.sim.open_orders() == [2]


# -- cancels and ends


def test_a_cancel_ends_what_rests_and_loses_against_a_match_of_the_same_instant():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.place(0, GTC, BUY, 0.47, 10, post_only=True)
    table.until(0)
    assert table.cancel(100, 1)
    assert table.cancel(100, 2)
    table.trade(100, SELL, 0.48, 34)
    assert table.news(100) == [
        (100.0, 1, "maker", 0.48, 4.0),
        (100.0, 1, "PARTIAL", 4.0),
        (100.0, 1, "CANCELED", 4.0),
        (100.0, 2, "CANCELED", 0.0),
    ]
    assert not table.cancel(110, 2)


def test_a_cancel_after_the_last_fill_finds_nothing():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.until(0)
    table.cancel(120, 1)
    table.trade(119, SELL, 0.48, 40)
    assert [row[2] for row in table.news(120)] == ["maker", "FILLED"]
    assert table.sim.counters()["cancels_late"] == 1


def test_a_cancel_during_the_hold_is_asked_again_when_the_rest_of_the_order_rests():
    table = quoted()
    table.place(0, GTC, BUY, 0.50, 16)
    table.until(0)
    table.cancel(50, 1)
    assert [row[2] for row in table.news(150)] == ["taker", "PARTIAL"]
    assert table.news(190) == [(190.0, 1, "CANCELED", 10.0)]


def test_a_cancel_that_overtakes_its_order_still_ends_it():
    table = quoted()
    table.place(100, GTC, BUY, 0.48, 10, post_only=True)
    table.cancel(50, 1)
    assert table.news(200) == [(100.0, 1, "LIVE", 0.0), (140.0, 1, "CANCELED", 0.0)]


def test_the_end_of_the_window_cancels_what_rests_and_what_is_held():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.place(299_900, FAK, BUY, 0.50, 10)
    table.until(299_900)
    table.trade(300_000.001, SELL, 0.48, 500)
    assert table.news(300_100) == [(300_000.0, 1, "CANCELED", 0.0), (300_000.0, 2, "CANCELED", 0.0)]
    assert table.sim.held_usd == 0


def test_a_gtd_order_expires():
    table = quoted()
    table.place(0, GTD, BUY, 0.48, 10, post_only=True, expires_ns=START_NS + 5_000 * MS)
    assert table.news(6_000)[-1] == (5_000.0, 1, "EXPIRED", 0.0)


def test_a_new_grid_invalidates_a_held_order_off_it_and_hides_the_book_until_the_next_snapshot():
    table = quoted(market={"tick_size_ticks": 10})
    table.place(0, FAK, BUY, 0.505, 5)
    table.place(0, GTC, BUY, 0.48, 5, post_only=True)
    table.until(0)
    table.feed(100, {"kind": ev.EV_TICK_SIZE, "i": 100})
    assert table.news(150) == [(150.0, 1, "CANCELED", 0.0)]
    assert table.sim.order(2).ahead == 30 * USD
    table.book(200, bids={0.48: 12}, asks={0.50: 10}, tick=100)
    assert table.sim.order(2).ahead == 12 * USD


# -- money


def test_a_taker_pays_the_markets_fee_and_a_settlement_pays_one_usd_a_share():
    table = quoted()
    table.place(0, FAK, BUY, 0.51, 30)
    table.until(150)
    market = table.sim.market(0)
    # 10 x 0.50 + 20 x 0.51 = 15.20; fee 0.07 x (10 x 0.25 + 20 x 0.2499) = 0.17500 + 0.34986
    assert (market.cost_usd, market.fees_usd) == (15_724_860, 524_860)
    assert table.sim.cash_usd == 1_000 * USD - 15_724_860
    assert table.sim.settle(0, UP) == 30 * USD
    assert table.sim.cash_usd == 1_000 * USD + 14_275_140
    assert table.sim.settle(0, UP) == 0


def test_selling_what_we_hold_brings_the_price_less_the_fee():
    table = quoted()
    table.place(0, FAK, BUY, 0.50, 10)
    table.place(200, FAK, SELL, 0.48, 10)
    table.until(400)
    # 4.80 - 0.07 x 10 x 0.2496 = 4.62528; bought for 5.00 + 0.175
    assert table.sim.cash_usd == 1_000 * USD - 5_175_000 + 4_625_280
    assert table.sim.position(0) == (0, 0)


def test_every_fill_is_confirmed_once_after_the_delay_and_then_the_order_is_forgotten():
    table = quoted()
    table.place(0, FAK, BUY, 0.51, 15)
    table.until(200)
    assert table.sim.order(1).filled == 15 * USD
    assert table.until(10_000) == [(5_150.0, 1, "CONFIRMED", 1), (5_150.0, 1, "CONFIRMED", 2)]
    assert table.sim.order(1) is None
    assert table.sim.next_due_ns() == END_NS


def test_what_cannot_be_an_order_or_a_market_is_refused_by_name():
    sim = SimExecution(cash_usd=0, confirm_ns=0)
    sim.add_market(3, spec())
    with pytest.raises(ValueError, match="in use"):
        sim.add_market(3, spec())
    with pytest.raises(ValueError, match="no market"):
        sim.place(1, order_seq=1, outcome=0, side=0, order_type=0, price_ticks=1, ushares=1, arrive_ns=0)
    with pytest.raises(ValueError, match="no order"):
        sim.place(3, order_seq=1, outcome=0, side=0, order_type=0, price_ticks=0, ushares=1, arrive_ns=0)
    with pytest.raises(ValueError, match="nothing to settle"):
        sim.settle(1, 0)
    with pytest.raises(ValueError, match="no such execution"):
        SimExecution(cash_usd=0, confirm_ns=0, queue=7)


def test_a_dropped_market_takes_its_orders_along_and_its_index_may_be_used_again():
    table = quoted()
    table.place(0, GTC, BUY, 0.48, 10, post_only=True)
    table.until(0)
    table.sim.drop_market(0)
    assert (table.sim.open_orders(), table.sim.held_usd) == ([], 0)
    table.sim.add_market(0, spec(end_ns=END_NS + 300_000 * MS))
    assert table.news(301_000) == []  # the end of the market before is not this one's
