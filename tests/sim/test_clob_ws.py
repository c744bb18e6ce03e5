"""The websockets: shapes, coalescing, mirrored changes, who gets what."""

import json
import random

import pytest
from sim.desk import BUY, DOWN, MS, OTHER_KEY, SELL, SHARE, UP, Desk

from polybot.sim.clob_ws import MarketChannel
from polybot.sim.faults import NoFaults

FAK = 3


@pytest.fixture
def desk():
    desk = Desk()
    desk.spec = desk.list()
    return desk


@pytest.fixture
def wallet(desk):
    return desk.wallet()


def kinds(messages):
    return [message["event_type"] for message in messages]


# ---- market channel


def test_subscribing_sends_one_array_with_the_books_of_the_known_tokens(desk):
    desk.rest_ladder(desk.spec)
    socket = desk.market_socket(desk.spec.token_up, desk.spec.token_down, "77")
    assert len(socket.frames) == 1
    assert socket.frames[0].startswith("[")
    up, down = socket.read()
    assert up == {
        "event_type": "book",
        "market": desk.spec.condition_id,
        "asset_id": desk.spec.token_up,
        "bids": [{"price": "0.5", "size": "100"}],
        "asks": [{"price": "0.52", "size": "100"}],
        "timestamp": str(desk.now_ns // MS),
        "hash": up["hash"],
        "tick_size": "0.01",
        "last_trade_price": "",
    }
    assert (down["bids"], down["asks"]) == (
        [{"price": "0.48", "size": "100"}],
        [{"price": "0.5", "size": "100"}],
    )


def test_no_book_when_the_dump_is_declined_or_nothing_is_known(desk):
    socket = desk.market_socket("77")
    assert socket.frames == []
    request = {"operation": "subscribe", "assets_ids": [desk.spec.token_up], "initial_dump": False}
    socket.session.on_text(json.dumps(request), desk.now_ns)
    assert socket.frames == []
    desk.rest_ladder(desk.spec)
    assert kinds(socket.read())[0] == "price_change"


def test_changes_of_one_instant_are_one_mirrored_message(desk):
    desk.rest_ladder(desk.spec)
    socket = desk.market_socket(desk.spec.token_up, desk.spec.token_down)
    socket.read()
    desk.run(1)
    quotes = [(BUY, 5_100, 20 * SHARE), (SELL, 5_200, 100 * SHARE)]
    desk.exchange.replace_ladder("maker-0", desk.spec.slug, quotes)
    desk.exchange.replace_ladder("maker-1", desk.spec.slug, [(BUY, 4_900, 7 * SHARE)])
    assert socket.frames == []
    desk.run(0)
    change, best_up, best_down = socket.read()
    items = [(c["asset_id"], c["side"], c["price"], c["size"]) for c in change["price_changes"]]
    up, down = desk.spec.token_up, desk.spec.token_down
    assert items == [
        (up, "BUY", "0.5", "0"), (down, "SELL", "0.5", "0"),
        (up, "BUY", "0.51", "20"), (down, "SELL", "0.49", "20"),
        (up, "BUY", "0.49", "7"), (down, "SELL", "0.51", "7"),
    ]  # fmt: skip
    assert {(c["asset_id"], c["best_bid"], c["best_ask"]) for c in change["price_changes"]} == {
        (up, "0.51", "0.52"),
        (down, "0.48", "0.49"),
    }
    assert (change["market"], change["timestamp"]) == (desk.spec.condition_id, str(desk.now_ns // MS))
    assert best_up == {
        "event_type": "best_bid_ask", "market": desk.spec.condition_id, "asset_id": up, "best_bid": "0.51",
        "best_ask": "0.52", "spread": "0.01", "timestamp": str(desk.now_ns // MS),
    }  # fmt: skip
    assert (best_down["best_bid"], best_down["best_ask"]) == ("0.48", "0.49")


def test_empty_side_is_told_as_zero_and_one(desk):
    socket = desk.market_socket(desk.spec.token_up, desk.spec.token_down)
    desk.exchange.replace_ladder("maker-0", desk.spec.slug, [(BUY, 9_800, SHARE)])
    desk.run(0)
    change = socket.read()[-3]
    assert [(c["best_bid"], c["best_ask"]) for c in change["price_changes"]] == [("0.98", "1"), ("0", "0.02")]


def test_trade_is_told_with_fresh_books_instead_of_changes(desk):
    quotes = [(SELL, 5_200, 5 * SHARE), (SELL, 5_300, 9 * SHARE), (BUY, 5_000, SHARE)]
    desk.exchange.replace_ladder("maker-0", desk.spec.slug, quotes)
    desk.run(0)
    socket = desk.market_socket(desk.spec.token_up, desk.spec.token_down)
    socket.read()
    assert desk.exchange.place_internal("noise", desk.spec.slug, DOWN, SELL, 4_700, 7 * SHARE, order_type=FAK)
    desk.run(0)
    messages = socket.read()
    assert kinds(messages) == [
        "last_trade_price",
        "last_trade_price",
        "book",
        "book",
        "best_bid_ask",
        "best_bid_ask",
    ]
    # A SELL of Down without shares is a BUY of Up at 0.53: it takes 5 at 0.52 and 2 at 0.53.
    assert [(m["asset_id"], m["price"], m["size"], m["side"]) for m in messages[:2]] == [
        (desk.spec.token_up, "0.52", "5", "BUY"),
        (desk.spec.token_up, "0.53", "2", "BUY"),
    ]
    assert messages[0]["transaction_hash"].startswith("0x")
    assert messages[2]["asks"] == [{"price": "0.53", "size": "7"}]
    assert (messages[2]["last_trade_price"], messages[3]["last_trade_price"]) == ("0.53", "0.47")


def test_socket_of_one_token_gets_its_own_books_and_the_whole_changes(desk):
    socket = desk.market_socket(desk.spec.token_down, custom=False)
    socket.read()
    desk.rest_ladder(desk.spec)
    (change,) = socket.read()
    assert {c["asset_id"] for c in change["price_changes"]} == {desk.spec.token_up, desk.spec.token_down}
    desk.exchange.place_internal("noise", desk.spec.slug, UP, BUY, 5_200, SHARE, order_type=FAK)
    desk.run(0)
    messages = socket.read()
    assert [(m["event_type"], m["asset_id"]) for m in messages] == [
        ("last_trade_price", desk.spec.token_up),
        ("book", desk.spec.token_down),
    ]


def test_replaying_the_messages_rebuilds_the_book_of_both_tokens(desk):
    rng = random.Random(4)
    socket = desk.market_socket(desk.spec.token_up, desk.spec.token_down)
    books = {desk.spec.token_up: {}, desk.spec.token_down: {}}
    seen = set()
    for _ in range(300):
        mid = rng.randint(40, 60)
        quotes = [(BUY, 100 * (mid - k), SHARE * rng.randint(1, 9)) for k in range(1, 4)]
        quotes += [(SELL, 100 * (mid + k), SHARE * rng.randint(1, 9)) for k in range(1, 4)]
        desk.exchange.replace_ladder(f"maker-{rng.randint(0, 2)}", desk.spec.slug, quotes)
        if rng.random() < 0.3:
            side, outcome = rng.randint(0, 1), rng.randint(0, 1)
            desk.exchange.place_internal(
                "noise", desk.spec.slug, outcome, side, 100 * mid, 4 * SHARE, order_type=FAK
            )
        desk.run(0.01)
        for message in socket.read():
            seen.add(message["event_type"])
            if message["event_type"] == "book":
                book = books[message["asset_id"]] = {}
                for side in ("bids", "asks"):
                    book.update({(side, row["price"]): row["size"] for row in message[side]})
            elif message["event_type"] == "price_change":
                for c in message["price_changes"]:
                    books[c["asset_id"]][("bids" if c["side"] == "BUY" else "asks", c["price"])] = c["size"]
        for token, book in books.items():
            rest = desk.get("/book", token_id=token)[1]
            there = {(side, row["price"]): row["size"] for side in ("bids", "asks") for row in rest[side]}
            assert {key: size for key, size in book.items() if size != "0"} == there
    assert seen == {"book", "price_change", "best_bid_ask", "last_trade_price"}


def test_tick_size_change_is_followed_by_fresh_books(desk):
    desk.rest_ladder(desk.spec, bid=9_600, ask=9_700)
    socket = desk.market_socket(desk.spec.token_up, desk.spec.token_down)
    socket.read()
    desk.exchange.set_tick_size(desk.spec.slug, 10, desk.now_ns)
    messages = socket.read()
    assert kinds(messages) == ["tick_size_change", "tick_size_change", "book", "book"]
    assert (messages[0]["old_tick_size"], messages[0]["new_tick_size"]) == ("0.01", "0.001")
    assert messages[2]["tick_size"] == "0.001"
    desk.exchange.set_tick_size(desk.spec.slug, 10, desk.now_ns)
    assert socket.read() == []


def test_new_and_resolved_markets_go_to_sockets_with_custom_features_only(desk):
    plain = desk.market_socket(desk.spec.token_up, custom=False)
    custom = desk.market_socket(desk.spec.token_up)
    other = desk.market_socket("5")
    for socket in (plain, custom, other):
        socket.read()
    spec = desk.list(2)
    assert plain.read() == []
    (new,) = custom.read()
    assert (new["event_type"], new["market"], new["clob_token_ids"]) == (
        "new_market",
        spec.condition_id,
        [spec.token_up, spec.token_down],
    )
    assert kinds(other.read()) == ["new_market"]
    desk.exchange.resolve_market(desk.spec.slug, DOWN, desk.now_ns)
    desk.run(0)
    (resolved,) = custom.read()
    assert (resolved["event_type"], resolved["winning_outcome"]) == ("market_resolved", "Down")
    assert resolved["winning_asset_id"] == desk.spec.token_down
    assert plain.read() == other.read() == []


def test_ping_is_answered_and_unsubscribing_silences(desk):
    socket = desk.market_socket(desk.spec.token_up)
    socket.read()
    socket.session.on_text("PING", desk.now_ns)
    assert socket.frames == ["PONG"]
    socket.read()
    request = {"operation": "unsubscribe", "assets_ids": [desk.spec.token_up]}
    socket.session.on_text(json.dumps(request), desk.now_ns)
    desk.rest_ladder(desk.spec)
    assert socket.read() == []


def test_closed_socket_gets_nothing_more(desk):
    socket = desk.market_socket(desk.spec.token_up)
    socket.session.close()
    socket.session.close()
    socket.read()
    desk.rest_ladder(desk.spec)
    assert socket.read() == []


@pytest.mark.parametrize("text", ["{", "[]", '{"assets_ids":5}', '{"assets_ids":[5]}', "{}", "ping"])
def test_senseless_text_on_the_market_channel_asks_for_a_close(desk, text):
    socket = desk.market_socket(desk.spec.token_up)
    socket.session.on_text(text, desk.now_ns)
    assert socket.session.close_reason == "invalid subscription"


def test_more_than_500_tokens_on_one_socket_asks_for_a_close(desk):
    socket = desk.market_socket(*[str(k) for k in range(500)])
    assert socket.session.close_reason is None
    request = {"operation": "subscribe", "assets_ids": ["x"]}
    socket.session.on_text(json.dumps(request), desk.now_ns)
    assert socket.session.close_reason == "invalid subscription"


def test_nothing_is_built_while_nobody_listens(desk, monkeypatch):
    monkeypatch.setattr("polybot.sim.clob_ws.price_change_text", lambda *_: pytest.fail("built"))
    desk.market_socket("5")
    desk.rest_ladder(desk.spec)
    assert desk.get("/book", token_id=desk.spec.token_up)[1]["bids"]


def test_fault_plan_sees_every_frame(desk):
    class Twice(NoFaults):
        def deliver(self, channel, text, to, now_ns):
            to.send(text)
            to.send(text)

    channel = MarketChannel(desk.exchange, Twice())
    frames = []
    session = channel.open(frames.append, desk.now_ns)
    session.on_text("PING", desk.now_ns)
    assert frames == ["PONG", "PONG"]


# ---- user channel


def test_order_events_have_the_venues_shape(desk, wallet):
    socket = wallet.socket()
    order_id = wallet.post(desk.spec.token_up, BUY, 4_000, 10)[1]["orderID"]
    (event,) = socket.read()
    assert event == {
        "event_type": "order", "type": "PLACEMENT", "id": order_id, "owner": wallet.credentials.api_key,
        "order_owner": wallet.credentials.api_key, "market": desk.spec.condition_id, "asset_id": desk.spec.token_up,
        "side": "BUY", "original_size": "10", "size_matched": "0", "price": "0.4", "associate_trades": [],
        "outcome": "Up", "order_type": "GTC", "status": "LIVE", "created_at": str(desk.now_ns // 10**9),
        "expiration": "0", "maker_address": wallet.address, "timestamp": str(desk.now_ns // MS),
    }  # fmt: skip


def test_trade_events_have_the_venues_shape_for_both_parties(desk, wallet):
    maker = desk.wallet(OTHER_KEY)
    resting = maker.post(desk.spec.token_up, BUY, 4_000, 10)[1]["orderID"]
    mine, theirs = wallet.socket(), maker.socket()
    taking = wallet.post(desk.spec.token_down, BUY, 6_000, 10, "FAK")[1]["orderID"]
    desk.run(0.15)
    trade = next(m for m in mine.read() if m["event_type"] == "trade")
    second = desk.now_ns // 10**9
    assert trade == {
        "event_type": "trade", "type": "TRADE", "id": trade["id"], "taker_order_id": taking,
        "market": desk.spec.condition_id, "asset_id": desk.spec.token_down, "side": "BUY", "size": "10",
        "price": "0.6", "fee_rate_bps": "0", "status": "MATCHED", "match_time": str(second),
        "last_update": str(second), "timestamp": str(desk.now_ns // MS), "outcome": "Down",
        "owner": wallet.credentials.api_key, "trader_side": "TAKER", "maker_address": wallet.address,
        "transaction_hash": trade["transaction_hash"], "bucket_index": 0,
        "maker_orders": [{
            "order_id": resting, "owner": maker.credentials.api_key, "maker_address": maker.address,
            "matched_amount": "10", "price": "0.4", "asset_id": desk.spec.token_up, "outcome": "Up", "side": "BUY",
            "fee_rate_bps": "0",
        }],
    }  # fmt: skip
    seen = next(m for m in theirs.read() if m["event_type"] == "trade")
    assert (seen["id"], seen["trader_side"], seen["owner"]) == (
        trade["id"],
        "MAKER",
        maker.credentials.api_key,
    )
    assert seen["maker_orders"] == trade["maker_orders"]
    updated = wallet.call("GET", f"/data/order/{taking}")[1]
    assert updated["associate_trades"] == [trade["id"]]


def test_markets_filter_can_be_widened(desk, wallet):
    other = desk.list(2)
    socket = wallet.socket(desk.spec.condition_id)
    wallet.post(other.token_up, BUY, 4_000, 10)
    assert socket.read() == []
    request = {"operation": "subscribe", "markets": [other.condition_id]}
    socket.session.on_text(json.dumps(request), desk.now_ns)
    wallet.post(other.token_up, BUY, 4_000, 10)
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    assert len(socket.read()) == 2
    socket.session.on_text(json.dumps(request | {"operation": "unsubscribe"}), desk.now_ns)
    wallet.post(other.token_up, BUY, 4_000, 10)
    assert socket.read() == []


@pytest.mark.parametrize("change", [
    {"secret": "x"}, {"passphrase": ""}, {"apiKey": "no-such-key"}, {"apiKey": 5}, {"secret": None},
])  # fmt: skip
def test_bad_credentials_ask_for_a_close_and_get_nothing(desk, wallet, change):
    good = {
        "apiKey": wallet.credentials.api_key,
        "secret": wallet.credentials.secret,
        "passphrase": wallet.credentials.passphrase,
    }
    frames = []
    session = desk.user_channel.open(frames.append, desk.now_ns)
    session.on_text(json.dumps({"type": "user", "auth": good | change}), desk.now_ns)
    assert session.close_reason == "invalid credentials"
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    assert frames == []


def test_user_socket_answers_ping_and_is_silent_before_login_and_after_close(desk, wallet):
    frames = []
    session = desk.user_channel.open(frames.append, desk.now_ns)
    session.on_text("PING", desk.now_ns)
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    assert frames == ["PONG"]
    socket = wallet.socket()
    socket.session.close()
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    assert socket.read() == []
    session.on_text("{", desk.now_ns)
    assert session.close_reason == "invalid subscription"
