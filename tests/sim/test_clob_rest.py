"""Public calls, queries of one account with paging, and the dead-man switch."""

import base64
import json

import pytest
from sim.desk import BUY, DOWN, MS, NS, OTHER_KEY, SELL, SHARE, UP, Desk

from polybot.sim.clob_rest import ClobRest
from polybot.sim.faults import NoFaults
from polybot.transport import HttpResponse


@pytest.fixture
def desk():
    desk = Desk()
    desk.spec = desk.list()
    return desk


@pytest.fixture
def wallet(desk):
    return desk.wallet()


# ---- public


def test_time_is_venue_seconds_and_version_is_two(desk):
    assert desk.get("/time") == (200, desk.now_ns // NS)
    assert desk.get("/version") == (200, {"version": 2})


def test_book_is_per_token_with_the_best_level_last(desk):
    quotes = [(BUY, 5_000, 100 * SHARE), (BUY, 4_900, 50_500_000), (SELL, 5_200, SHARE)]
    desk.exchange.replace_ladder("maker-0", desk.spec.slug, quotes)
    status, up = desk.get("/book", token_id=desk.spec.token_up)
    assert status == 200
    assert up["bids"] == [{"price": "0.49", "size": "50.5"}, {"price": "0.5", "size": "100"}]
    assert up["asks"] == [{"price": "0.52", "size": "1"}]
    assert (up["market"], up["asset_id"]) == (desk.spec.condition_id, desk.spec.token_up)
    assert (up["tick_size"], up["min_order_size"], up["neg_risk"]) == ("0.01", "5", False)
    assert (up["timestamp"], up["last_trade_price"]) == (str(desk.now_ns // MS), "")
    down = desk.get("/book", token_id=desk.spec.token_down)[1]
    assert down["bids"] == [{"price": "0.48", "size": "1"}]
    assert down["asks"] == [{"price": "0.51", "size": "50.5"}, {"price": "0.5", "size": "100"}]
    assert down["hash"] != up["hash"]


def test_book_hash_is_the_websockets_and_changes_with_the_book(desk):
    socket = desk.market_socket(desk.spec.token_up)
    desk.rest_ladder(desk.spec)
    told = socket.read()[-2]["price_changes"][0]["hash"]
    assert desk.get("/book", token_id=desk.spec.token_up)[1]["hash"] == told
    desk.rest_ladder(desk.spec)
    assert desk.get("/book", token_id=desk.spec.token_up)[1]["hash"] == told  # nothing changed
    desk.rest_ladder(desk.spec, shares=5)
    assert desk.get("/book", token_id=desk.spec.token_up)[1]["hash"] != told


def test_book_of_a_resolved_or_unknown_token_is_404(desk):
    answer = (404, {"error": "No orderbook exists for the requested token id"})
    assert desk.get("/book", token_id="5") == answer
    desk.exchange.resolve_market(desk.spec.slug, UP, desk.now_ns)
    assert desk.get("/book", token_id=desk.spec.token_up) == answer


def test_market_metadata_in_the_compact_form(desk):
    assert desk.get(f"/clob-markets/{desk.spec.condition_id}") == (
        200,
        {
            "c": desk.spec.condition_id,
            "t": [{"t": desk.spec.token_up, "o": "Up"}, {"t": desk.spec.token_down, "o": "Down"}],
            "mos": 5.0, "mts": 0.01, "mbf": 1000, "tbf": 1000, "nr": False, "fd": {"r": 0.07, "e": 1, "to": True},
            "itode": True, "oas": 0, "ao": True, "sd": 0, "r": {"mi": 50, "ma": 4.5, "moas": 30}, "v": "v1",
        },
    )  # fmt: skip
    assert desk.get("/clob-markets/0x5")[0] == 404
    assert desk.get(f"/clob-markets/{desk.spec.slug}")[0] == 404


def test_market_without_schedule_or_delay_says_so(desk):
    spec = desk.list(2, fees_enabled=False, fee_rate_ppm=None, taker_delay_ms=0)
    data = desk.get(f"/clob-markets/{spec.condition_id}")[1]
    assert "fd" not in data
    assert data["itode"] is False


def test_winner_shows_in_markets_after_resolution_only(desk):
    path = f"/markets/{desk.spec.condition_id}"
    data = desk.get(path)[1]
    assert (data["closed"], [t["winner"] for t in data["tokens"]]) == (False, [False, False])
    desk.exchange.close_market(desk.spec.slug, desk.now_ns)
    assert desk.get(path)[1]["accepting_orders"] is False
    desk.exchange.resolve_market(desk.spec.slug, DOWN, desk.now_ns)
    data = desk.get(path)[1]
    assert data["closed"] is True
    assert [(t["outcome"], t["winner"], t["price"]) for t in data["tokens"]] == [
        ("Up", False, 0.0),
        ("Down", True, 1.0),
    ]


def test_tick_size_and_neg_risk_by_token(desk):
    assert desk.get("/tick-size", token_id=desk.spec.token_up)[1] == {"minimum_tick_size": 0.01}
    desk.exchange.set_tick_size(desk.spec.slug, 10, desk.now_ns)
    assert desk.get("/tick-size", token_id=desk.spec.token_up)[1] == {"minimum_tick_size": 0.001}
    assert desk.get("/neg-risk", token_id=desk.spec.token_up)[1] == {"neg_risk": False}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/nothing"), ("PUT", "/order"), ("POST", "/time")]
)
def test_unknown_route_is_404(desk, wallet, method, path):
    headers = wallet.headers(method, path)
    assert desk.rest.handle(method, path, {}, headers, b"", desk.now_ns).status == 404


# ---- queries of one account


def collect(wallet, path, **query):
    """All rows of a paged query, and the sizes of its pages."""
    rows, sizes, cursor = [], [], "MA=="
    while cursor != "LTE=":
        status, page = wallet.call("GET", path, next_cursor=cursor, **query)
        assert status == 200
        rows += page["data"]
        sizes.append(len(page["data"]))
        cursor = page["next_cursor"]
    return rows, sizes


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (3, [3]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])]
)
def test_open_orders_come_in_pages_without_gap_or_repeat(count, sizes):
    desk = Desk(page_size=4)
    spec, wallet = desk.list(), desk.wallet()
    ids = [wallet.post(spec.token_up, BUY, 1_000 + 100 * k, 5)[1]["orderID"] for k in range(count)]
    rows, got = collect(wallet, "/data/orders")
    assert [row["id"] for row in rows] == ids
    assert got == sizes


@pytest.mark.parametrize("cursor", ["x", "LTI=", "!!", base64.b64encode(b"a").decode()])
def test_senseless_cursor_is_refused(desk, wallet, cursor):
    status, data = wallet.call("GET", "/data/orders", next_cursor=cursor)
    assert status == 400
    assert data == {"error": "invalid next_cursor"}


def test_open_orders_by_market_token_and_id(desk, wallet):
    other = desk.list(2)
    first = wallet.post(desk.spec.token_up, BUY, 4_000, 10)[1]["orderID"]
    second = wallet.post(desk.spec.token_down, BUY, 4_000, 10)[1]["orderID"]
    third = wallet.post(other.token_up, BUY, 4_000, 10)[1]["orderID"]

    def found(**query):
        return [row["id"] for row in collect(wallet, "/data/orders", **query)[0]]

    assert found() == [first, second, third]
    assert found(market=desk.spec.condition_id) == [first, second]
    assert found(asset_id=desk.spec.token_down) == [second]
    assert found(id=third) == [third]


def test_order_row_has_strings_for_numbers_and_seconds_for_created_at(desk, wallet):
    order_id = wallet.post(desk.spec.token_down, BUY, 4_500, 10.5)[1]["orderID"]
    assert wallet.call("GET", f"/data/order/{order_id}")[1] == {
        "id": order_id,
        "status": "LIVE",
        "owner": wallet.credentials.api_key,
        "maker_address": wallet.address,
        "market": desk.spec.condition_id,
        "asset_id": desk.spec.token_down,
        "side": "BUY",
        "original_size": "10.5",
        "size_matched": "0",
        "price": "0.45",
        "outcome": "Down",
        "expiration": "0",
        "order_type": "GTC",
        "associate_trades": [],
        "created_at": desk.now_ns // NS,
    }
    assert wallet.call("GET", "/data/order/0xabc") == (404, {"error": "order not found"})


def test_trades_of_maker_and_taker_with_filters_and_pages():
    desk = Desk(page_size=2)
    spec, taker, maker = desk.list(), desk.wallet(), desk.wallet(OTHER_KEY)
    for _ in range(5):
        maker.post(spec.token_down, BUY, 4_900, 5)
        taker.post(spec.token_up, BUY, 5_100, 5, "FAK")
        desk.run(1)
    start = desk.now_ns // NS - 5
    mine, sizes = collect(taker, "/data/trades")
    assert sizes == [2, 2, 1]
    assert {row["trader_side"] for row in mine} == {"TAKER"}
    theirs, _ = collect(maker, "/data/trades")
    assert [row["id"] for row in theirs] == [row["id"] for row in mine]
    assert {row["trader_side"] for row in theirs} == {"MAKER"}
    assert len(collect(taker, "/data/trades", after=str(start + 3))[0]) == 2
    assert len(collect(taker, "/data/trades", before=str(start + 1))[0]) == 2
    assert len(collect(maker, "/data/trades", asset_id=spec.token_down)[0]) == 5
    assert collect(maker, "/data/trades", asset_id=spec.token_up)[0] == []
    assert collect(taker, "/data/trades", market="0x9")[0] == []
    assert len(collect(taker, "/data/trades", maker_address=taker.address.lower())[0]) == 5
    assert collect(taker, "/data/trades", maker_address=maker.address)[0] == []
    assert len(collect(taker, "/data/trades", id=mine[0]["id"])[0]) == 1
    assert taker.call("GET", "/data/trades", after="x")[0] == 400


def test_balances_are_what_is_owned_not_what_is_free(desk, wallet):
    desk.rest_ladder(desk.spec)
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(1)
    wallet.post(desk.spec.token_up, SELL, 9_000, 10)
    wallet.post(desk.spec.token_up, BUY, 1_000, 10)
    cash = wallet.call("GET", "/balance-allowance", asset_type="COLLATERAL", signature_type="0")[1]
    assert cash["balance"] == str(1_000_000_000 - 5_200_000 - 174_720)
    assert desk.settings.exchange_address in cash["allowances"]
    shares = wallet.call("GET", "/balance-allowance", asset_type="CONDITIONAL", token_id=desk.spec.token_up)[
        1
    ]
    assert shares["balance"] == "10000000"
    none = wallet.call("GET", "/balance-allowance", asset_type="CONDITIONAL", token_id="7")[1]
    assert none["balance"] == "0"
    assert wallet.call("GET", "/balance-allowance")[0] == 400


def test_account_is_not_in_closed_only_mode(wallet):
    assert wallet.call("GET", "/auth/ban-status/closed-only") == (200, {"closed_only": False})


# ---- dead-man switch


def beat(wallet, heartbeat_id=""):
    return wallet.call("POST", "/v1/heartbeats", {"heartbeat_id": heartbeat_id})


def test_heartbeat_echoes_and_a_wrong_id_is_answered_with_the_right_one(wallet):
    _, first = beat(wallet)
    status, second = beat(wallet, first["heartbeat_id"])
    assert status == 200
    status, wrong = beat(wallet, "nonsense")
    assert status == 400
    assert wrong == {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": second["heartbeat_id"]}
    assert beat(wallet, wrong["heartbeat_id"])[0] == 200


def test_missed_heartbeats_cancel_everything_within_a_sweep_of_the_limit(desk, wallet):
    beat_id = beat(wallet)[1]["heartbeat_id"]
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    for _ in range(6):
        desk.run(5)
        beat_id = beat(wallet, beat_id)[1]["heartbeat_id"]
    assert len(wallet.account.orders) == 1
    desk.run(9.999)
    assert len(wallet.account.orders) == 1
    desk.run(5.001)
    assert wallet.account.orders == {}
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)  # still armed: the next sweep takes this one too
    desk.run(5)
    assert wallet.account.orders == {}
    beat(wallet, beat_id)
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    desk.run(5)
    assert len(wallet.account.orders) == 1


def test_without_a_first_beat_nothing_is_cancelled(desk, wallet):
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    desk.run(100)
    assert len(wallet.account.orders) == 1


# ---- the seam for faults


def test_fault_plan_sees_every_answer_and_may_withhold_it_after_the_effect(desk, wallet):
    class LoseOrders(NoFaults):
        def answer(self, method, path, call, now_ns):
            answer = call()
            return HttpResponse(500, {}, b"") if (method, path) == ("POST", "/order") else answer

    rest = ClobRest(desk.exchange, LoseOrders())
    body = json.dumps(wallet.body(desk.spec.token_up, BUY, 4_000, 10)).encode()
    headers = wallet.headers("POST", "/order", body)
    assert rest.handle("POST", "/order", {}, headers, body, desk.now_ns).status == 500
    assert len(wallet.call("GET", "/data/orders")[1]["data"]) == 1
