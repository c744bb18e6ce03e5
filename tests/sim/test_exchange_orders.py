"""Orders through the REST surface: delay, matching, each refusal, cancels, user events."""

import pytest
from sim.desk import BUY, DOWN, NS, OTHER_KEY, SELL, SHARE, UP, Desk, Wallet

FEE_52 = 174_720  # 10 shares at 0.52: 10 * 0.07 * 0.52 * 0.48 = 0.17472 USD


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.spec = desk.list()
    desk.rest_ladder(desk.spec)
    return desk


@pytest.fixture
def wallet(desk: Desk) -> Wallet:
    return desk.wallet()


def error(answer):
    status, data = answer
    return status, data.get("error")


# ---- the delay


def test_marketable_fak_is_delayed_150_ms_then_matched_against_the_book_of_then(desk, wallet):
    socket = wallet.socket()
    status, answer = wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    assert (status, answer["success"], answer["status"], answer["errorMsg"]) == (200, True, "delayed", "")
    assert answer["orderID"].startswith("0x")
    assert len(answer["orderID"]) == 66
    assert wallet.account.held_cash == 5_200_000 + FEE_52
    desk.run(0.149)
    assert [(m["type"], m["status"]) for m in socket.read()] == [("PLACEMENT", "DELAYED")]
    desk.run(0.001)
    events = socket.read()
    assert [(m["event_type"], m["type"], m["status"]) for m in events] == [
        ("trade", "TRADE", "MATCHED"),
        ("order", "UPDATE", "MATCHED"),
    ]
    assert wallet.account.cash == 1_000_000_000 - 5_200_000 - FEE_52
    assert wallet.account.held_cash == 0
    assert wallet.account.position(desk.spec.condition_id) == [10 * SHARE, 0]


def test_quote_moved_away_during_the_delay_kills_the_fak_with_a_canceled_event(desk, wallet):
    socket = wallet.socket()
    _, answer = wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(0.1)
    desk.rest_ladder(desk.spec, bid=5_300, ask=5_500)
    desk.run(0.1)
    last = socket.read()[-1]
    assert (last["event_type"], last["type"], last["id"]) == ("order", "CANCELLATION", answer["orderID"])
    assert last["status"].startswith("CANCELED")
    assert last["size_matched"] == "0"
    assert wallet.account.cash == 1_000_000_000
    assert wallet.account.held_cash == 0


def test_quote_improved_during_the_delay_gives_the_taker_the_better_price(desk, wallet):
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.rest_ladder(desk.spec, bid=4_000, ask=4_500)
    desk.run(0.2)
    fee = 173_250  # 10 * 0.07 * 0.45 * 0.55 USD
    assert wallet.account.cash == 1_000_000_000 - 4_500_000 - fee


def test_delayed_order_cannot_be_cancelled_and_is_visible_by_hash(desk, wallet):
    _, answer = wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    order_id = answer["orderID"]
    status, cancel = wallet.call("DELETE", "/order", {"orderID": order_id})
    assert status == 200
    assert cancel["canceled"] == []
    assert order_id in cancel["not_canceled"]
    assert wallet.call("DELETE", "/cancel-all")[1]["not_canceled"].keys() == {order_id}
    assert wallet.call("GET", f"/data/order/{order_id}")[1]["status"] == "DELAYED"
    assert wallet.call("GET", "/data/orders")[1]["data"] == []
    desk.run(0.2)
    assert wallet.call("GET", f"/data/order/{order_id}")[1]["status"] == "MATCHED"


def test_market_without_delay_answers_matched_with_amounts_and_trade_id(wallet, desk):
    spec = desk.list(2, taker_delay_ms=0)
    desk.rest_ladder(spec)
    _, answer = wallet.post(spec.token_up, BUY, 5_200, 10, "FAK")
    assert answer["status"] == "matched"
    assert (answer["makingAmount"], answer["takingAmount"]) == ("5.2", "10")
    assert answer["transactionsHashes"] == []
    trades = wallet.call("GET", "/data/trades")[1]["data"]
    assert [t["id"] for t in trades] == answer["tradeIDs"]


def test_delayed_gtc_that_no_longer_crosses_rests(desk, wallet):
    socket = wallet.socket()
    _, answer = wallet.post(desk.spec.token_up, BUY, 5_200, 10, "GTC")
    assert answer["status"] == "delayed"
    desk.rest_ladder(desk.spec, bid=5_000, ask=5_500)
    desk.run(0.2)
    assert [(m["type"], m["status"]) for m in socket.read()] == [("PLACEMENT", "DELAYED"), ("UPDATE", "LIVE")]
    assert desk.exchange.best(desk.spec.condition_id) == (5_200, 5_500)
    assert wallet.account.held_cash == 5_200_000  # a maker holds no fee


def test_market_closed_during_the_delay_cancels_the_held_order(desk, wallet):
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.exchange.close_market(desk.spec.slug, desk.now_ns)
    desk.run(0.2)
    assert wallet.account.cash == 1_000_000_000
    assert wallet.account.orders == {}


def test_order_off_a_grid_that_changed_during_the_delay_is_invalid(desk, wallet):
    spec = desk.list(2, tick_size_ticks=10)
    desk.rest_ladder(spec)
    socket = wallet.socket()
    wallet.post(spec.token_up, BUY, 5_210, 10, "GTC")
    desk.exchange.set_tick_size(spec.slug, 100, desk.now_ns)
    desk.run(0.2)
    assert socket.read()[-1]["status"] == "INVALID"
    assert wallet.account.held_cash == 0


# ---- matching by type


def test_fak_takes_what_is_there_and_kills_the_rest(desk, wallet):
    socket = wallet.socket()
    desk.rest_ladder(desk.spec, shares=7)
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(0.2)
    events = socket.read()
    assert [(m["event_type"], m["type"], m["status"], m.get("size_matched")) for m in events] == [
        ("order", "PLACEMENT", "DELAYED", "0"),
        ("trade", "TRADE", "MATCHED", None),
        ("order", "UPDATE", "LIVE", "7"),
        ("order", "CANCELLATION", "CANCELED", "7"),
    ]
    assert events[1]["size"] == "7"
    assert wallet.account.position(desk.spec.condition_id) == [7 * SHARE, 0]
    assert wallet.account.held_cash == 0


def test_fok_short_at_arrival_is_a_400_and_short_after_the_delay_a_canceled_event(desk, wallet):
    assert error(wallet.post(desk.spec.token_up, BUY, 5_200, 150, "FOK")) == (
        400,
        "order couldn't be fully filled. FOK orders are fully filled or killed.",
    )
    socket = wallet.socket()
    assert wallet.post(desk.spec.token_up, BUY, 5_200, 100, "FOK")[1]["status"] == "delayed"
    desk.rest_ladder(desk.spec, shares=99)
    desk.run(0.2)
    last = socket.read()[-1]
    assert last["status"] == "CANCELED_order couldn't be fully filled. FOK orders are fully filled or killed."
    assert wallet.account.position(desk.spec.condition_id) == [0, 0]


def test_fok_that_fits_fills_whole_over_two_levels_with_worst_price_in_the_event(desk, wallet):
    quotes = [(SELL, 5_200, 6 * SHARE), (SELL, 5_300, 6 * SHARE), (BUY, 5_000, SHARE)]
    desk.exchange.replace_ladder("maker-0", desk.spec.condition_id, quotes)
    socket = wallet.socket()
    wallet.post(desk.spec.token_up, BUY, 5_300, 10, "FOK")
    desk.run(0.2)
    trade = next(m for m in socket.read() if m["event_type"] == "trade")
    assert (trade["price"], trade["size"], trade["side"], trade["outcome"]) == ("0.53", "10", "BUY", "Up")
    legs = trade["maker_orders"]
    assert [(leg["matched_amount"], leg["price"], leg["outcome"], leg["side"]) for leg in legs] == [
        ("6", "0.48", "Down", "BUY"),
        ("4", "0.47", "Down", "BUY"),
    ]


def test_post_only_rests_and_is_refused_when_it_would_cross(desk, wallet):
    _, answer = wallet.post(desk.spec.token_up, BUY, 5_100, 10, "GTC", postOnly=True)
    assert answer["status"] == "live"
    assert error(wallet.post(desk.spec.token_up, BUY, 5_200, 10, "GTC", postOnly=True)) == (
        400,
        "invalid post-only order: order crosses book",
    )


def test_post_only_fak_is_an_invalid_payload(desk, wallet):
    answer = wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK", postOnly=True)
    assert error(answer) == (400, "Invalid order payload")


def test_gtd_is_removed_a_minute_before_its_expiration(desk, wallet):
    socket = wallet.socket()
    expiration = str(desk.now_ns // NS + 200)
    _, answer = wallet.post(desk.spec.token_up, BUY, 5_000, 10, "GTD", expiration=expiration)
    assert answer["status"] == "live"
    desk.run(139)
    assert len(wallet.account.orders) == 1
    desk.run(1)
    assert socket.read()[-1]["status"] == "CANCELED_EXPIRED_ORDER"
    assert wallet.account.orders == {}
    assert wallet.account.held_cash == 0


def test_down_order_trades_on_the_mirrored_book(desk, wallet):
    socket = wallet.socket()
    wallet.post(
        desk.spec.token_down, BUY, 5_000, 10, "FAK"
    )  # the bid for Up at 0.50 is an ask of Down at 0.50
    desk.run(0.2)
    trade = next(m for m in socket.read() if m["event_type"] == "trade")
    assert (trade["asset_id"], trade["outcome"], trade["price"]) == (desk.spec.token_down, "Down", "0.5")
    assert trade["maker_orders"][0]["asset_id"] == desk.spec.token_up
    assert wallet.account.position(desk.spec.condition_id) == [0, 10 * SHARE]


def test_sell_needs_shares_and_pays_the_fee_out_of_the_proceeds(desk, wallet):
    token = desk.spec.token_up
    assert error(wallet.post(token, SELL, 5_000, 10, "FAK")) == (400, "not enough balance / allowance")
    wallet.post(token, BUY, 5_200, 10, "FAK")
    desk.run(0.2)
    assert error(wallet.post(token, SELL, 5_000, 10.01, "FAK")) == (400, "not enough balance / allowance")
    before = wallet.account.cash
    wallet.post(token, SELL, 5_000, 10, "FAK")
    desk.run(0.2)
    assert wallet.account.cash == before + 5_000_000 - 175_000
    assert wallet.account.position(desk.spec.condition_id) == [0, 0]


def test_makers_pay_no_fee_and_see_their_leg_in_the_takers_trade(desk, wallet):
    other = desk.wallet(OTHER_KEY)
    socket = other.socket()
    _, answer = other.post(desk.spec.token_down, BUY, 4_900, 10)  # an ask of Up at 0.51
    assert answer["status"] == "live"
    socket.read()
    wallet.post(desk.spec.token_up, BUY, 5_100, 6, "FAK")
    desk.run(0.2)
    trade, update = socket.read()
    assert (trade["trader_side"], trade["owner"]) == ("MAKER", other.credentials.api_key)
    assert trade["taker_order_id"] != answer["orderID"]
    (leg,) = trade["maker_orders"]
    assert (leg["order_id"], leg["matched_amount"], leg["price"]) == (answer["orderID"], "6", "0.49")
    assert (update["type"], update["status"], update["size_matched"]) == ("UPDATE", "LIVE", "6")
    assert other.account.cash == 1_000_000_000 - 6 * 490_000
    assert other.account.held_cash == 4 * 490_000
    assert other.account.position(desk.spec.condition_id) == [0, 6 * SHARE]


def test_taker_cancels_its_own_resting_order_instead_of_trading_with_it(desk, wallet):
    _, resting = wallet.post(desk.spec.token_down, BUY, 4_900, 10)
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(0.2)
    assert wallet.call("GET", f"/data/order/{resting['orderID']}")[1]["status"] == "CANCELED"
    assert wallet.account.position(desk.spec.condition_id) == [10 * SHARE, 0]


def test_trade_moves_to_mined_and_confirmed(desk, wallet):
    socket = wallet.socket()
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(0.2)
    socket.read()
    desk.run(2)
    assert [m["status"] for m in socket.read()] == ["MINED"]
    desk.run(1.9)
    assert socket.read() == []
    desk.run(4.1)
    assert [m["status"] for m in socket.read()] == ["CONFIRMED"]
    trade = wallet.call("GET", "/data/trades")[1]["data"][0]
    assert trade["status"] == "TRADE_STATUS_CONFIRMED"


# ---- refusals


@pytest.mark.parametrize(
    ("price", "shares", "kind", "text"),
    [
        (5_250, 10, "GTC", "Price (0.525) breaks minimum tick size rule: 0.01"),
        (10_000, 10, "GTC", "Price (1) breaks minimum tick size rule: 0.01"),
        (5_000, 4.99, "GTC", "Size (4.99) lower than the minimum: 5"),
        (5_200, 0.5, "FAK", "Size (0.5) lower than the minimum: 5"),
    ],
)
def test_tick_and_size_rules_name_the_order(desk, wallet, price, shares, kind, text):
    status, data = wallet.post(desk.spec.token_up, BUY, price, shares, kind)
    assert status == 400
    assert data["error"].startswith("order 0x")
    assert data["error"].endswith(f"is invalid. {text}")


def test_marketable_buy_below_one_dollar_is_refused_but_may_rest(desk, wallet):
    desk.rest_ladder(desk.spec, bid=800, ask=1_000)
    assert error(wallet.post(desk.spec.token_up, BUY, 1_000, 9, "FAK")) == (
        400,
        "invalid amount for a marketable BUY order ($0.9), min size: $1",
    )
    assert wallet.post(desk.spec.token_up, BUY, 900, 9)[1]["status"] == "live"


def test_market_order_amounts_have_two_and_four_decimals(desk, wallet):
    status, text = error(wallet.post(desk.spec.token_up, BUY, 5_200, 10.01, "FAK"))  # 5.2052 USD
    assert status == 400
    assert text.startswith("invalid amounts, the market buy orders maker amount supports a max accuracy of 2")
    body = wallet.body(
        desk.spec.token_up, BUY, 5_200, 10, "FAK", makerAmount="5200000", takerAmount="9999900"
    )
    assert wallet.call("POST", "/order", body)[1]["status"] == "delayed"
    desk.run(0.2)
    assert wallet.account.position(desk.spec.condition_id) == [9_999_900, 0]


def test_market_buy_whose_implied_price_lies_below_the_ask_is_not_matched(desk, wallet):
    body = wallet.body(
        desk.spec.token_up, BUY, 5_200, 10, "FAK", makerAmount="5200000", takerAmount="10000100"
    )
    assert error(wallet.call("POST", "/order", body))[1].startswith("no orders found to match with FAK order")


def test_limit_order_amounts_follow_the_tick(desk, wallet):
    body = wallet.body(desk.spec.token_up, BUY, 5_000, 10, makerAmount="5000000", takerAmount="10000100")
    status, text = error(wallet.call("POST", "/order", body))
    assert status == 400
    assert text.endswith(
        "maker amount supports a max accuracy of 4 decimals, taker amount a max of 2 decimals"
    )


def test_fak_that_meets_nothing_at_arrival_is_a_400(desk, wallet):
    assert error(wallet.post(desk.spec.token_up, BUY, 5_100, 10, "FAK")) == (
        400,
        "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found.",
    )


@pytest.mark.parametrize(("kind", "ahead"), [("GTD", 179), ("GTD", None), ("GTC", 400), ("FAK", 400)])
def test_expiration_is_180_s_ahead_for_gtd_and_zero_otherwise(desk, wallet, kind, ahead):
    expiration = "0" if ahead is None else str(desk.now_ns // NS + ahead)
    answer = wallet.post(desk.spec.token_up, BUY, 5_200, 10, kind, expiration=expiration)
    assert error(answer) == (400, "invalid expiration")


def test_balance_counts_open_orders_and_the_fee(desk, wallet):
    poor = desk.wallet(OTHER_KEY, usd=10)
    refusal = (400, "not enough balance / allowance")
    assert error(poor.post(desk.spec.token_up, BUY, 5_000, 20.01)) == refusal
    assert poor.post(desk.spec.token_up, BUY, 5_000, 10)[1]["status"] == "live"
    assert error(poor.post(desk.spec.token_up, BUY, 5_000, 10.01)) == refusal
    assert error(poor.post(desk.spec.token_up, BUY, 5_200, 9.5, "FAK")) == refusal  # 4.94 + fee 0.166 > 5
    assert poor.post(desk.spec.token_up, BUY, 5_200, 9.25, "FAK")[1]["status"] == "delayed"


def test_same_order_twice_is_duplicated_even_after_it_ended(desk, wallet):
    body = wallet.body(desk.spec.token_up, BUY, 5_000, 10)
    order_id = wallet.call("POST", "/order", body)[1]["orderID"]
    assert error(wallet.call("POST", "/order", body)) == (400, f"order {order_id} is invalid. Duplicated.")
    wallet.call("DELETE", "/order", {"orderID": order_id})
    assert error(wallet.call("POST", "/order", body)) == (400, f"order {order_id} is invalid. Duplicated.")


def test_unknown_token_is_not_ready_and_a_closed_market_has_no_orderbook(desk, wallet):
    assert error(wallet.post("123", BUY, 5_000, 10)) == (
        400,
        "the market is not yet ready to process new orders",
    )
    desk.exchange.close_market(desk.spec.slug, desk.now_ns)
    assert error(wallet.post(desk.spec.token_up, BUY, 5_000, 10)) == (
        400,
        f"the orderbook {desk.spec.token_up} does not exist",
    )


# ---- batches and cancels


def test_batch_answers_each_order_and_refuses_more_than_fifteen(desk, wallet):
    bodies = [wallet.body(desk.spec.token_up, BUY, price, 10) for price in (5_000, 5_050, 4_900)]
    status, answers = wallet.call("POST", "/orders", bodies)
    assert status == 200
    assert [a["success"] for a in answers] == [True, False, True]
    assert "breaks minimum tick size rule" in answers[1]["errorMsg"]
    assert error(wallet.call("POST", "/orders", bodies * 6)) == (400, "Invalid order payload")
    assert error(wallet.call("POST", "/orders", [])) == (400, "Invalid order payload")


def test_cancels_by_id_by_market_and_all(desk, wallet):
    other = desk.list(2)
    ids = [wallet.post(desk.spec.token_up, BUY, price, 10)[1]["orderID"] for price in (4_000, 4_100, 4_200)]
    down = wallet.post(desk.spec.token_down, BUY, 4_000, 10)[1]["orderID"]
    elsewhere = wallet.post(other.token_up, BUY, 4_000, 10)[1]["orderID"]
    _, answer = wallet.call("DELETE", "/orders", [ids[0], "0xnone"])
    assert answer == {"canceled": [ids[0]], "not_canceled": {"0xnone": "order not found"}}
    _, answer = wallet.call("DELETE", "/order", {"orderID": ids[0]})
    assert answer["not_canceled"] == {ids[0]: "already canceled or matched"}
    wanted = {"market": desk.spec.condition_id, "asset_id": desk.spec.token_down}
    assert wallet.call("DELETE", "/cancel-market-orders", wanted)[1]["canceled"] == [down]
    wanted = {"market": desk.spec.condition_id}
    assert wallet.call("DELETE", "/cancel-market-orders", wanted)[1]["canceled"] == ids[1:]
    assert wallet.call("DELETE", "/cancel-all")[1]["canceled"] == [elsewhere]
    assert wallet.account.held_cash == 0


def test_cancel_of_a_partly_filled_order_gives_back_the_rest(desk, wallet):
    _, answer = wallet.post(desk.spec.token_up, BUY, 5_100, 10)
    assert desk.exchange.place_internal("noise", desk.spec.slug, DOWN, BUY, 4_900, 4 * SHARE, order_type=3)
    assert wallet.account.held_cash == 6 * 510_000
    wallet.call("DELETE", "/order", {"orderID": answer["orderID"]})
    assert wallet.account.held_cash == 0
    row = wallet.call("GET", f"/data/order/{answer['orderID']}")[1]
    assert (row["status"], row["size_matched"], row["original_size"]) == ("CANCELED", "4", "10")
    assert wallet.account.cash == 1_000_000_000 - 4 * 510_000


def test_closing_the_market_cancels_resting_orders_and_resolution_pays_the_winner(desk, wallet):
    socket = wallet.socket()
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(0.2)
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    socket.read()
    desk.exchange.close_market(desk.spec.condition_id, desk.now_ns)
    assert [(m["type"], m["status"]) for m in socket.read()] == [("CANCELLATION", "CANCELED")]
    before = wallet.account.cash
    desk.exchange.resolve_market(desk.spec.condition_id, UP, desk.now_ns)
    assert wallet.account.cash == before + 10_000_000
    assert desk.ledger.account_pnl(wallet.address) == {
        desk.spec.condition_id: 10_000_000 - 5_200_000 - FEE_52
    }


def test_resolving_an_open_market_says_market_resolved_to_resting_orders(desk, wallet):
    socket = wallet.socket()
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    desk.exchange.resolve_market(desk.spec.condition_id, DOWN, desk.now_ns)
    assert socket.read()[-1]["status"] == "CANCELED_MARKET_RESOLVED"


def test_wallet_of_the_other_key_sees_nothing_of_this_one(desk, wallet):
    other = desk.wallet(OTHER_KEY)
    socket = other.socket()
    _, answer = wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    assert socket.read() == []
    assert other.call("GET", f"/data/order/{answer['orderID']}")[0] == 404
    assert other.call("DELETE", "/order", {"orderID": answer["orderID"]})[1]["canceled"] == []
