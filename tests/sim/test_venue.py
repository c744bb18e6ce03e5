"""The embedded venue whole: determinism, settlement by the published numbers, calibration, the tape."""

import hashlib
import json
import math
import os
import subprocess
import sys

import pytest
from sim.world import NS, QUIET, REAL_NOW_NS, RTDS_SUBSCRIBE, SPOT_STREAMS, make_world

from polybot.config import default_config
from polybot.sim.opening import opening

TRANSCRIPT_SCRIPT = "from sim.test_venue import transcript; print(transcript(3, 20))"


def transcript(seed, seconds):
    """Hash of everything the venue sends to a client of every service."""
    world = make_world(**{"venue.seed": seed})
    taps = [world.tap("spot", SPOT_STREAMS), world.tap("rtds"), world.tap("clob", "/ws/market")]
    taps[1].say(RTDS_SUBSCRIBE)
    event = world.get("gamma", f"/events/slug/btc-updown-5m-{world.start_ns // NS}")
    tokens = json.loads(event["markets"][0]["clobTokenIds"])
    taps[2].say({"type": "market", "assets_ids": tokens, "custom_feature_enabled": True})
    answers = [json.dumps(event)]
    for second in range(-39, seconds - 40, 5):
        world.run_to(second)
        answers.append(world.ask("clob", "/book", f"token_id={tokens[0]}").body.decode())
        answers.append(world.ask("spot", "/api/v3/aggTrades", "symbol=BTCUSDT&limit=5").body.decode())
    lines = [f"{at} {text}" for tap in taps for at, text in zip(tap.times, tap.texts, strict=True)]
    assert all(tap.texts for tap in taps)
    return hashlib.sha256("\n".join(lines + answers).encode()).hexdigest()


def test_same_seed_sends_the_same_bytes_and_another_seed_others():
    assert transcript(3, 20) == transcript(3, 20) != transcript(4, 20)


@pytest.mark.parametrize("hash_seed", ["0", "777"])
def test_same_seed_sends_the_same_bytes_in_another_process(hash_seed, project_dir):
    paths = os.pathsep.join([str(project_dir), str(project_dir / "tests")])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", TRANSCRIPT_SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == transcript(3, 20)


@pytest.fixture(scope="module")
def settled():
    """Four windows from listing to resolution, with every RTDS frame."""
    world = make_world(**QUIET | {"venue.world.spot.bursts_per_s": 3.0, "venue.world.spot.trades_per_s": 3.0})
    tap = world.tap("rtds")
    tap.say(RTDS_SUBSCRIBE)
    world.run_to(4 * 300 + 200)
    return world, tap


def test_outcomes_follow_the_rule_applied_to_the_published_averages(settled):
    world, tap = settled
    published = {
        message["payload"]["timestamp"] // 1_000: int(message["payload"]["full_accuracy_value"])
        for message in tap.read()
        if message["topic"] == "crypto_prices_twap_sixty"
    }
    for number in range(4):
        start = world.start_ns // NS + 300 * number
        event = world.get("gamma", f"/events/slug/btc-updown-5m-{start}")
        up = published[start + 300] >= published[start]
        assert json.loads(event["markets"][0]["outcomePrices"]) == (["1", "0"] if up else ["0", "1"])
        market = world.get("clob", f"/markets/{event['markets'][0]['conditionId']}")
        assert [token["winner"] for token in market["tokens"]] == [up, not up]
        assert event["eventMetadata"]["priceToBeat"] == published[start] / 1e18


def test_the_averages_follow_from_the_published_prints(settled):
    _, tap = settled
    prints, averages = {}, {}
    for message in tap.read()[1:]:
        kind = prints if message["topic"] == "crypto_prices_chainlink" else averages
        payload = message["payload"]
        kind[payload["timestamp"] // 1_000] = int(payload["full_accuracy_value"]) / 1e18
    checked = [
        abs(value - sum(prints[stamp - 3 - i] for i in range(60)) / 60)
        for stamp, value in averages.items()
        if all(stamp - 3 - i in prints for i in range(60))
    ]
    assert len(checked) > 1_000
    assert max(checked) < 1e-6


def test_windows_are_listed_ahead_without_end(settled):
    world, _ = settled
    starts = sorted(record.spec.start_ns for record in world.venue.lifecycle.records.values())
    assert starts == list(range(starts[0], starts[-1] + 1, 300 * NS))
    assert starts[-1] >= world.start_ns + 5 * 300 * NS


def test_instant_makers_are_calibrated():
    """Mid at half time against the outcome: the sum of surprises is small in units of its own sd."""
    world = make_world(
        **QUIET
        | {
            "venue.makers": "instant",
            "venue.world.spot.bursts_per_s": 2.0,
            "venue.world.spot.trades_per_s": 2.0,
        },
    )
    surprise = variance = brier = 0.0
    mids = []
    for number in range(12):
        world.run_to(300 * number + 150)
        start_ns = world.start_ns + 300 * number * NS
        records = world.venue.lifecycle.records.values()
        record = next(item for item in records if item.spec.start_ns == start_ns)
        bid, ask = world.venue.exchange.best(record.spec.condition_id)
        mids.append((((bid if bid > 0 else 0) + (ask if ask > 0 else 10_000)) / 20_000, record))
    world.run_to(300 * 12 + 100)
    for mid, record in mids:
        won = float(record.winner == 0)
        surprise += won - mid
        variance += mid * (1 - mid)
        brier += (won - mid) ** 2 / len(mids)
    assert abs(surprise) < 3 * math.sqrt(variance)
    assert brier < 0.24


def test_a_fresh_venue_starts_its_lead_before_a_window():
    config = default_config(**{"venue.lead_s": 40.0})
    opens = opening(config.venue, config.interval, REAL_NOW_NS)
    assert opens.first_window_ns % (300 * NS) == 0
    assert opens.first_window_ns - opens.epoch_ns == 40 * NS
    assert 0 < opens.first_window_ns - REAL_NOW_NS <= 300 * NS


def test_requests_are_answered_before_the_epoch_and_nothing_moves():
    world = make_world(**QUIET)
    venue = type(world.venue)(world.venue.setup)
    before_ns = world.epoch_ns - 30 * NS
    tap = []
    venue.ws_open("spot", SPOT_STREAMS, tap.append, before_ns)
    venue.advance(world.epoch_ns - NS)
    answer = venue.http("clob", "GET", "/time", "", headers={}, body=b"", now_ns=world.epoch_ns - NS)
    assert int(answer.body) == world.epoch_ns // NS - 1
    assert tap == []
    venue.advance(world.epoch_ns + NS)
    assert tap


def test_joining_facts_are_told(project_dir):
    world = make_world(**QUIET)
    info = world.get("sim", "/info")
    assert info["session_id"] == "world-test"
    assert info["account"] == world.venue.account("main")
    other = world.get("sim", "/info", "account=second")["account"]
    assert other["address"] != info["account"]["address"]
    assert world.get("geoblock", "/api/geoblock")["blocked"] is False
    assert world.ask("sim", "/elsewhere").status == 404
    assert world.venue.ws_open("clob", "/ws/nowhere", print, world.epoch_ns) is None


def test_the_recorded_tape_is_served_whole_and_its_window_settles(shared_dir):
    path = str(shared_dir / "data" / "nkaz001+hftbacktest" / "spot_btcusdt_20240808.gz")
    world = make_world(**QUIET, **{"venue.tape": path})
    assert world.start_ns == 1_723_161_300 * NS
    slugs = list(world.venue.lifecycle.records)
    assert slugs[0] == "btc-updown-5m-1723161300"
    tap = world.tap("spot", "/stream?streams=btcusdt@trade/btcusdt@bookTicker&timeUnit=MICROSECOND")
    raw = world.tap("spot", "/ws/btcusdt@trade")
    assert world.get("sim", "/info")["oracle_history"] == "flat at the first recorded price"
    history = {tick.value_e18 // 10**16 for tick in world.venue.oracle.history("spot")}
    assert len(history) == 1
    world.run_to(300 + 185)
    streams = [json.loads(text)["stream"] for text in tap.texts]
    assert streams.count("btcusdt@trade") == 9_757
    assert streams.count("btcusdt@bookTicker") == 28_040
    recorded = [frame.text for frame in world.venue.spot.tape.frames]
    assert tap.texts == recorded
    assert len(raw.texts) == 9_757
    event = world.get("gamma", "/events/slug/btc-updown-5m-1723161300")
    metadata = event["eventMetadata"]
    up = metadata["finalPrice"] >= metadata["priceToBeat"]
    assert json.loads(event["markets"][0]["outcomePrices"]) == (["1", "0"] if up else ["0", "1"])
