"""The embedded spot exchange on the wire: payloads, subscriptions, candles and trades that agree."""

import json
from itertools import pairwise

import pytest
from sim.world import MS, NS, QUIET, make_world

E8 = 100_000_000
TRADE_KEYS = ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
AGG_KEYS = ["e", "E", "s", "a", "p", "q", "f", "l", "T", "m", "M"]
QUOTE_KEYS = ["u", "s", "b", "B", "a", "A"]


@pytest.fixture
def world():
    return make_world(**QUIET)


def by_stream(tap):
    found = {}
    for text in tap.texts:
        message = json.loads(text)
        found.setdefault(message["stream"], []).append(message["data"])
    return found


def test_combined_streams_have_the_exchange_payloads_in_microseconds(world):
    tap = world.tap(
        "spot", "/stream?streams=btcusdt@trade/btcusdt@aggTrade/btcusdt@bookTicker&timeUnit=MICROSECOND"
    )
    world.run_to(-30)
    found = by_stream(tap)
    trades = found["btcusdt@trade"]
    assert {tuple(trade) for trade in trades} == {tuple(TRADE_KEYS)}
    assert {tuple(trade) for trade in found["btcusdt@aggTrade"]} == {tuple(AGG_KEYS)}
    assert {tuple(quote) for quote in found["btcusdt@bookTicker"]} == {tuple(QUOTE_KEYS)}
    first = trades[0]
    assert (first["e"], first["s"], first["M"]) == ("trade", "BTCUSDT", True)
    assert first["p"].partition(".")[2].isdigit()
    assert len(first["p"].partition(".")[2]) == len(first["q"].partition(".")[2]) == 8
    assert world.epoch_ns // 1_000 < first["T"] <= first["E"] < (world.epoch_ns + NS) // 1_000
    assert [b["t"] - a["t"] for a, b in pairwise(trades)] == [1] * (len(trades) - 1)


def test_taker_orders_add_up_to_their_trades(world):
    tap = world.tap("spot", "/stream?streams=btcusdt@trade/btcusdt@aggTrade")
    world.run_to(-20)
    found = by_stream(tap)
    trades = {trade["t"]: trade for trade in found["btcusdt@trade"]}
    for agg in found["btcusdt@aggTrade"]:
        parts = [trades[number] for number in range(agg["f"], agg["l"] + 1)]
        assert {part["p"] for part in parts} == {agg["p"]}
        assert {part["m"] for part in parts} == {agg["m"]}
        total = sum(round(float(part["q"]) * E8) for part in parts)
        assert round(float(agg["q"]) * E8) == total


def test_a_frame_leaves_at_its_event_time(world):
    tap = world.tap("spot", "/ws/btcusdt@trade?timeUnit=MICROSECOND")
    world.run_to(-35)
    assert tap.texts
    for text, at_ns in zip(tap.texts, tap.times, strict=True):
        assert json.loads(text)["E"] == at_ns // 1_000


def test_milliseconds_unless_asked_for_microseconds(world):
    tap = world.tap("spot", "/ws/btcusdt@trade")
    world.run_to(-38)
    first = json.loads(tap.texts[0])
    assert first["E"] == tap.times[0] // MS


def test_subscriptions_change_on_the_open_socket(world):
    tap = world.tap("spot", "/ws")
    world.run_to(-39)
    assert tap.texts == []
    tap.say({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
    tap.say({"method": "LIST_SUBSCRIPTIONS", "id": 2})
    assert tap.read() == [{"result": None, "id": 1}, {"result": ["btcusdt@trade"], "id": 2}]
    world.run_to(-35)
    assert all(message["e"] == "trade" for message in tap.read()[2:])
    tap.say({"method": "SET_PROPERTY", "params": ["combined", True], "id": 3})
    tap.say({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 4})
    count = len(tap.texts)
    world.run_to(-30)
    assert len(tap.texts) == count


def test_nonsense_on_the_socket_is_answered_with_an_error(world):
    tap = world.tap("spot", "/ws")
    tap.say("hello")
    tap.say({"method": "DANCE", "id": 1})
    assert [message["code"] for message in tap.read()] == [2, 2]


def test_a_closed_socket_gets_nothing_more(world):
    tap = world.tap("spot", "/ws/btcusdt@trade")
    world.run_to(-38)
    count = len(tap.texts)
    world.venue.ws_close(tap.session)
    world.run_to(-30)
    assert len(tap.texts) == count > 0


def test_sockets_are_cut_after_their_time_with_a_notice():
    world = make_world(**QUIET, **{"venue.world.lifecycle.spot_cut_h": 0.01})
    tap = world.tap("spot", "/stream?streams=btcusdt@bookTicker")
    world.run_to(-40 + 30.9)
    assert tap.session.close_reason is None
    world.run_to(-40 + 36)
    assert any(message["stream"] == "!serverShutdown" for message in tap.read())
    assert tap.session.close_reason == "1001 24 h"


def test_candles_agree_with_the_trades(world):
    tap = world.tap("spot", "/ws/btcusdt@trade?timeUnit=MICROSECOND")
    world.run_to(65)
    minute_us = world.start_ns // 1_000
    trades = [json.loads(text) for text in tap.texts]
    inside = [trade for trade in trades if minute_us <= trade["T"] < minute_us + 60_000_000]
    row = world.get(
        "spot", "/api/v3/klines", f"symbol=BTCUSDT&interval=1m&startTime={world.start_ns // MS}&limit=1"
    )[0]
    prices = [float(trade["p"]) for trade in inside]
    assert row[0] == world.start_ns // MS
    assert row[6] == world.start_ns // MS + 59_999
    assert [float(value) for value in row[1:5]] == [prices[0], max(prices), min(prices), prices[-1]]
    assert row[8] == len(inside)
    assert round(float(row[5]) * E8) == sum(round(float(trade["q"]) * E8) for trade in inside)


def test_candles_reach_back_without_a_hole(world):
    rows = world.get("spot", "/api/v3/klines", "symbol=BTCUSDT&interval=1m&limit=1000")
    opens = [row[0] for row in rows]
    assert len(rows) >= 60
    assert [b - a for a, b in pairwise(opens)] == [60_000] * (len(rows) - 1)
    assert all(a[4] == b[1] for a, b in pairwise(rows[:-4]))
    hour = world.get("spot", "/api/v3/klines", "symbol=BTCUSDT&interval=1h&limit=2")
    assert hour[-1][0] % 3_600_000 == 0


def test_klines_in_microseconds_when_the_header_asks(world):
    query = "symbol=BTCUSDT&interval=1s&limit=1"
    row = world.get("spot", "/api/v3/klines", query, **{"X-MBX-TIME-UNIT": "MICROSECOND"})[0]
    assert row[6] - row[0] == 999_999


def test_rest_trades_continue_the_stream(world):
    tap = world.tap("spot", "/ws/btcusdt@trade")
    world.run_to(-30)
    rows = world.get("spot", "/api/v3/aggTrades", "symbol=BTCUSDT&limit=1000")
    assert len(rows) == 1_000
    assert [b["a"] - a["a"] for a, b in pairwise(rows)] == [1] * 999
    assert [b["f"] - a["l"] for a, b in pairwise(rows)] == [1] * 999
    assert rows[-1]["l"] == json.loads(tap.texts[-1])["t"]
    after = world.get("spot", "/api/v3/aggTrades", f"symbol=BTCUSDT&fromId={rows[-5]['a']}")
    assert after == rows[-5:]
    since = world.get("spot", "/api/v3/aggTrades", f"symbol=BTCUSDT&startTime={rows[-1]['T']}&limit=10")
    assert since[-1] == rows[-1]
    latest = world.get("spot", "/api/v3/trades", "symbol=BTCUSDT&limit=3")
    assert latest[-1]["id"] == rows[-1]["l"]


def test_time_and_exchange_info(world):
    assert world.get("spot", "/api/v3/time") == {"serverTime": world.epoch_ns // MS}
    assert world.get("spot", "/api/v3/ping") == {}
    info = world.get("spot", "/api/v3/exchangeInfo", "symbol=BTCUSDT")
    assert info["symbols"][0]["status"] == "TRADING"
    assert info["symbols"][0]["filters"][0]["tickSize"] == "0.01000000"


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/api/v3/klines", "symbol=NOPE&interval=1m", -1121),
        ("/api/v3/klines", "symbol=BTCUSDT&interval=7m", -1120),
        ("/api/v3/aggTrades", "symbol=BTCUSDT&limit=many", -1100),
    ],
)
def test_bad_requests_get_the_exchange_error_codes(world, path, query, code):
    answer = world.ask("spot", path, query)
    assert answer.status == 400
    assert json.loads(answer.body)["code"] == code
