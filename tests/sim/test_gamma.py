"""Discovery data of the embedded venue: the real field names, types and lateness."""

import json
from datetime import UTC, datetime

import pytest
from sim.world import NS, QUIET, make_world

from polybot.sim.oracle import E18, published_e18


@pytest.fixture(scope="module")
def world():
    """Resolved: run to the window's end and well past it."""
    world = make_world(**QUIET)
    world.before = world.get("gamma", f"/events/slug/btc-updown-5m-{world.start_ns // NS}")
    world.run_to(301)
    world.over = world.get("gamma", f"/events/slug/btc-updown-5m-{world.start_ns // NS}")
    world.run_to(300 + 185)
    world.after = world.get("gamma", f"/events/slug/btc-updown-5m-{world.start_ns // NS}")
    return world


@pytest.fixture(scope="module")
def recorded(shared_dir):
    path = (
        shared_dir / "data" / "BrightKha+Claude-route" / "gamma_event_twap60_resolved_1790123400_trimmed.json"
    )
    return json.loads(path.read_text())[0]


def test_an_open_market_has_the_documented_fields(world):
    market = world.before["markets"][0]
    assert json.loads(market["outcomes"]) == ["Up", "Down"]
    tokens = json.loads(market["clobTokenIds"])
    assert all(isinstance(token, str) and len(token) == 77 and token.isdigit() for token in tokens)
    assert market["conditionId"].startswith("0x")
    assert len(market["conditionId"]) == 66
    assert market["orderPriceMinTickSize"] == 0.01
    assert market["orderMinSize"] == 5
    assert market["feeSchedule"] == {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2}
    assert market["cryptoMarketConfig"] == {
        "id": "btc-5m-twap-60",
        "asset": "btc",
        "duration": "5m",
        "twapEnabled": True,
        "twapLookbackSeconds": 60,
    }
    assert market["resolutionSource"] == "https://data.chain.link/streams/btc-usd-twap-60s-streams"
    assert (market["closed"], market["acceptingOrders"], market["negRisk"]) == (False, True, False)
    assert "umaResolutionStatus" not in market
    start = datetime.fromtimestamp(world.start_ns // NS, UTC)
    assert market["eventStartTime"] == start.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_token_ids_are_of_the_present_exchange(world):
    for token in json.loads(world.before["markets"][0]["clobTokenIds"]):
        assert int(token) & (((1 << 64) - 1) << 40)


def test_the_price_to_beat_comes_after_the_window_only(world):
    assert "eventMetadata" not in world.before
    assert "eventMetadata" not in world.over
    assert world.over["markets"][0]["acceptingOrders"] is False
    assert world.over["closed"] is False
    oracle, metadata = world.venue.oracle, world.after["eventMetadata"]
    assert metadata["priceToBeat"] == published_e18(oracle.twap_at(world.start_ns // NS)) / E18
    assert metadata["finalPrice"] == published_e18(oracle.twap_at(world.end_ns // NS)) / E18


def test_a_resolved_market_says_so_in_every_field(world):
    market, metadata = world.after["markets"][0], world.after["eventMetadata"]
    up = metadata["finalPrice"] >= metadata["priceToBeat"]
    assert json.loads(market["outcomePrices"]) == (["1", "0"] if up else ["0", "1"])
    assert (market["closed"], market["umaResolutionStatus"]) == (True, "resolved")
    closed = datetime.strptime(market["closedTime"], "%Y-%m-%d %H:%M:%S+00").replace(tzinfo=UTC)
    assert 20 <= closed.timestamp() - world.end_ns / NS <= 91


def test_the_final_price_is_the_next_strike(world):
    following = world.get("gamma", f"/events/slug/btc-updown-5m-{world.end_ns // NS}")
    cid = following["markets"][0]["conditionId"]
    record = world.venue.lifecycle.by_condition(cid)
    assert record.strike_e18 / E18 == world.after["eventMetadata"]["finalPrice"]


def test_fields_are_those_of_the_recorded_event(world, recorded):
    computed_elsewhere = {"volume"}
    assert set(recorded) - set(world.after) == set()
    ours, theirs = world.after["markets"][0], recorded["markets"][0]
    missing = set(theirs) - set(ours) - {"lastTradePrice", "spread", "bestBid", "bestAsk"}
    assert missing == set()
    for key in set(theirs) & set(ours) - computed_elsewhere:
        assert type(ours[key]) is type(theirs[key]), key


@pytest.mark.parametrize("query", ["slug={slug}", "series_id=10684&closed=false", "series_id=10684"])
def test_lists_hold_the_coming_window(world, query):
    name = f"btc-updown-5m-{world.end_ns // NS + 300}"
    found = world.get("gamma", "/events", query.format(slug=name))
    assert name in [event["slug"] for event in found]


def test_closed_filter_separates_resolved_markets(world):
    name = f"btc-updown-5m-{world.start_ns // NS}"
    opened = [event["slug"] for event in world.get("gamma", "/events", "series_id=10684&closed=false")]
    closed = [event["slug"] for event in world.get("gamma", "/events", "series_id=10684&closed=true")]
    assert name in closed
    assert name not in opened


def test_start_time_filter_finds_exactly_one(world):
    stamp = datetime.fromtimestamp(world.end_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    query = f"series_id=10684&start_time_min={stamp}&start_time_max={stamp}"
    assert [event["slug"] for event in world.get("gamma", "/events", query)] == [
        f"btc-updown-5m-{world.end_ns // NS}"
    ]


def test_a_market_alone_carries_its_event(world):
    market = world.get("gamma", f"/markets/slug/btc-updown-5m-{world.start_ns // NS}")
    assert market["events"][0]["eventMetadata"] == world.after["eventMetadata"]


def test_series_are_found_by_slug(world):
    assert world.get("gamma", "/series", "slug=btc-up-or-down-5m")[0]["id"] == "10684"
    assert world.get("gamma", "/series", "slug=eth-up-or-down-5m") == []


def test_a_window_hours_ahead_is_listed_when_asked_for_and_one_too_far_is_not(world):
    near = world.start_ns // NS + 6 * 3_600
    assert world.get("gamma", f"/events/slug/btc-updown-5m-{near}")["slug"].endswith(str(near))
    cid = world.get("gamma", f"/markets/slug/btc-updown-5m-{near}")["conditionId"]
    assert world.get("clob", f"/clob-markets/{cid}")["c"] == cid
    assert world.ask("gamma", f"/events/slug/btc-updown-5m-{near + 30 * 3_600}").status == 404


@pytest.mark.parametrize(
    "name", ["btc-updown-5m-1", "eth-updown-5m-1790616600", "nonsense", "btc-updown-15m-1790617500"]
)
def test_what_is_not_served_is_not_found(world, name):
    assert world.ask("gamma", f"/events/slug/{name}").status == 404
    assert world.get("gamma", "/events", f"slug={name}") == []


def test_pages_are_limited(world):
    assert len(world.get("gamma", "/events", "limit=1")) == 1
    assert world.ask("gamma", "/events", "offset=2001").status == 422


def test_hourly_markets_settle_on_the_exchange_candle():
    world = make_world(**QUIET, **{"venue.world.lifecycle.intervals": ["1h"]})
    events = world.get("gamma", "/events", "series_id=10114")
    assert events[0]["slug"] == "bitcoin-up-or-down-september-28-2026-1pm-et"
    assert events[0]["markets"][0]["resolutionSource"] == "https://www.binance.com/en/trade/BTC_USDT"
    assert "cryptoMarketConfig" not in events[0]["markets"][0]


def test_under_the_point_rule_gamma_names_the_stream_of_single_prints_and_no_average():
    world = make_world(**QUIET, **{"venue.world.lifecycle.rule": "point"})
    record = world.record()
    market = world.get("gamma", f"/events/slug/{record.spec.slug}")["markets"][0]
    assert market["resolutionSource"] == "https://data.chain.link/streams/btc-usd"
    assert not [key for key in market if key.startswith("cryptoMarketConfig")]
    assert (record.terms.rule, record.spec.rule, record.spec.twap_window_s) == ("point", "point", 0)
    world.run_to(400)
    prints = [published_e18(world.venue.oracle.print_at(at_ns // NS)) for at_ns in (world.start_ns, world.end_ns)]
    assert [record.strike_e18, record.final_e18] == prints
    assert record.winner == int(prints[1] < prints[0])
