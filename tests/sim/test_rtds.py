"""Oracle prices on both sockets: recorded shapes, filters, snapshots, sequence numbers, auth."""

import json
from itertools import pairwise

import pytest
from sim.world import MS, QUIET, RTDS_SUBSCRIBE, make_world

TWAP = {"channel": "price.crypto.twap", "filter": {"symbol": "btcusd", "window_seconds": 60}}
SPOT = {"channel": "price.crypto", "filter": {"symbol": "btcusd", "provider": "chainlink"}}


@pytest.fixture
def world():
    return make_world(**QUIET)


def credentials(world):
    """An API key of the venue's test account, as its login gives it."""
    account = world.venue.account("main")
    known = world.venue.exchange.accounts.by_address(account["address"]).credentials
    return {"apiKey": known.api_key, "secret": known.secret, "passphrase": known.passphrase}


def bolt(world, *subscriptions):
    tap = world.tap("polybolt", "/ws")
    tap.say({"op": "auth", "rid": "a1", "auth": credentials(world)})
    tap.say({"op": "subscribe", "rid": "s1", "subscriptions": list(subscriptions)})
    return tap


def test_updates_have_the_keys_of_the_recorded_frames(world, shared_dir):
    recorded = shared_dir / "data" / "vipineth+polybot" / "rtds_chainlink_frames.jsonl"
    frame = json.loads(recorded.read_text().splitlines()[1])
    tap = world.tap("rtds")
    tap.say(RTDS_SUBSCRIBE)
    world.run_to(-30)
    updates = [message for message in tap.read() if message["topic"] == "crypto_prices_chainlink"][1:]
    assert {tuple(message) for message in updates} == {tuple(frame)}
    assert {tuple(message["payload"]) for message in updates} == {tuple(frame["payload"])}
    for key, value in frame["payload"].items():
        assert type(updates[0]["payload"][key]) is type(value)


def test_a_subscriber_gets_the_past_of_spot_then_every_second(world):
    tap = world.tap("rtds")
    tap.say(RTDS_SUBSCRIBE)
    world.run_to(-20)
    first, *rest = tap.read()
    assert (first["topic"], first["type"]) == ("crypto_prices_chainlink", "subscribe")
    stamps = [item["timestamp"] for item in first["payload"]["data"]]
    assert len(stamps) == 120
    spot = [m["payload"]["timestamp"] for m in rest if m["topic"] == "crypto_prices_chainlink"]
    assert spot[0] == stamps[-1] + 1_000
    distinct = list(dict.fromkeys(spot))
    assert [b - a for a, b in pairwise(distinct)] == [1_000] * (len(distinct) - 1)


def test_averages_tell_their_window_and_their_exact_value(world):
    tap = world.tap("rtds")
    tap.say(RTDS_SUBSCRIBE)
    world.run_to(-20)
    averages = [m["payload"] for m in tap.read() if m["topic"] == "crypto_prices_twap_sixty"]
    assert {payload["window_s"] for payload in averages} == {60}
    for payload in averages:
        assert int(payload["full_accuracy_value"]) / 1e18 == payload["value"]
        assert payload["timestamp"] % 1_000 == 0


def test_the_envelope_carries_the_send_time(world):
    tap = world.tap("rtds")
    tap.say(RTDS_SUBSCRIBE)
    world.run_to(-30)
    for text, at_ns in list(zip(tap.texts, tap.times, strict=True))[1:]:
        assert json.loads(text)["timestamp"] == at_ns // MS


def test_the_exchange_topic_is_a_plain_decimal(world):
    tap = world.tap("rtds")
    tap.say({"action": "subscribe", "subscriptions": [{"topic": "crypto_prices", "type": "update"}]})
    world.run_to(-35)
    payload = tap.read()[0]["payload"]
    assert payload["symbol"] == "btcusdt"
    assert float(payload["full_accuracy_value"]) == payload["value"]


def test_ping_is_answered_and_unsubscribing_stops(world):
    tap = world.tap("rtds")
    tap.say("PING")
    assert tap.texts == ["PONG"]
    tap.say(RTDS_SUBSCRIBE)
    tap.say(RTDS_SUBSCRIBE.replace("subscribe", "unsubscribe", 1))
    count = len(tap.texts)
    world.run_to(-30)
    assert len(tap.texts) == count


@pytest.mark.parametrize("filters", ['{"symbol":"eth/usd"}', "btc/usd,eth/usd", "[]"])
def test_filters_that_do_not_name_our_symbol_match_nothing(world, filters):
    tap = world.tap("rtds")
    topic = {"topic": "crypto_prices_chainlink", "type": "*", "filters": filters}
    tap.say({"action": "subscribe", "subscriptions": [topic]})
    tap.say("nonsense")
    world.run_to(-35)
    assert tap.texts == []


def test_polybolt_wants_credentials_first(world):
    tap = world.tap("polybolt", "/ws")
    tap.say({"op": "subscribe", "rid": "s1", "subscriptions": [TWAP]})
    tap.say({"op": "auth", "rid": "a1", "auth": {"apiKey": "x", "secret": "y", "passphrase": "z"}})
    tap.say({"op": "auth", "rid": "a2", "auth": credentials(world)})
    assert [message.get("code") for message in tap.read()] == ["auth_required", "auth_invalid", None]
    assert tap.read()[-1] == {"op": "authed", "rid": "a2"}


def test_polybolt_closes_after_too_many_bad_logins(world):
    tap = world.tap("polybolt", "/ws")
    for _ in range(9):
        tap.say({"op": "auth", "rid": "a", "auth": {}})
    assert tap.session.close_reason == "4001 auth"


def test_polybolt_sends_a_snapshot_then_numbered_updates(world):
    tap = bolt(world, TWAP, SPOT)
    world.run_to(-20)
    channel = [m for m in tap.read() if m.get("channel") == "price.crypto.twap" and "seq" in m]
    assert channel[0]["snapshot"] is True
    assert len(channel[0]["payload"]["data"]) == 120
    assert channel[0]["payload"]["window_seconds"] == 60
    assert [b["seq"] - a["seq"] for a, b in pairwise(channel)] == [1] * (len(channel) - 1)
    update = channel[1]["payload"]
    assert {"symbol", "value", "full_accuracy_value", "timestamp", "window_seconds", "source"} == set(update)
    assert float(update["full_accuracy_value"]) == pytest.approx(update["value"], rel=1e-15)
    assert len(update["full_accuracy_value"].partition(".")[2]) == 18


def test_both_sockets_tell_the_same_prices(world):
    rtds, polybolt = world.tap("rtds"), bolt(world, TWAP)
    rtds.say(RTDS_SUBSCRIBE)
    world.run_to(-10)
    theirs = {
        m["payload"]["timestamp"]: m["payload"]["value"]
        for m in rtds.read()
        if m["topic"] == "crypto_prices_twap_sixty"
    }
    ours = {
        m["payload"]["timestamp"]: m["payload"]["value"]
        for m in polybolt.read()
        if "snapshot" not in m and "seq" in m
    }
    assert ours == theirs
    assert len(ours) > 20


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"channel": "price.gold"}, "bad_channel"),
        ({"channel": "price.crypto", "filter": {"symbol": "ethusd"}}, "bad_filter"),
        (
            {"channel": "price.crypto.twap", "filter": {"symbol": "btcusd", "window_seconds": 30}},
            "bad_filter",
        ),
    ],
)
def test_polybolt_refuses_what_it_does_not_serve(world, item, code):
    assert bolt(world, item).read()[-1]["code"] == code


def test_polybolt_answers_pings_and_unknown_words(world):
    tap = world.tap("polybolt", "/ws")
    tap.say({"op": "ping"})
    tap.say({"op": "sing"})
    tap.say("{")
    assert [message["op"] for message in tap.read()] == ["pong", "error", "error"]


def test_an_unsubscribed_channel_is_silent(world):
    tap = bolt(world, TWAP)
    tap.say({"op": "unsubscribe", "rid": "u", "subscriptions": [TWAP]})
    count = len(tap.texts)
    world.run_to(-30)
    assert len(tap.texts) == count
