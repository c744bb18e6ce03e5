"""What `watch` tells of a run in virtual time: the engine's own values, the recorded sample's shape, the events."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from runs import QUIET, configure, rows, run

from polybot.control.operator import Operator
from polybot.control.wire import encode
from polybot.telemetry.recent import KINDS, RecentEvents

SAMPLE = json.loads((Path(__file__).parent / "watch_sample.json").read_text())
IDENTITY = {key: SAMPLE[key] for key in ("version", "pid", "mode", "venue", "asset", "interval", "risk")}
# Parts of a sample whose keys are names of feeds, strategies, outcomes or reasons, not of fields.
BY_NAME = {"counters", "by_strategy", "denied", "feeds", "held", "data", "control", "seconds"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A window from start to settlement: (result, all events, looks), each look (answer, engine's values)."""
    recent = RecentEvents(4_096, scrub=str)
    operators, looks = [], []

    def prepare(trader, venue):
        identity = {**IDENTITY, "account": "0xa", "session": "s", "started_ns": trader.clock.now_ns()}
        operators.append(Operator(trader, identity=identity, recent=recent))
        trader.on_beat = operators[0].on_beat

    def look(trader, _):
        (market,) = (one for one in trader.engine.markets.values() if not one.settled)
        values = {
            "spot": market.spot,
            "fair_up": market.fair_up,
            "z": market.z,
            "strike": market.strike,
            "cost_usd": sum(market.cost_usd),
            "held": {"Up": market.shares[0], "Down": market.shares[1]},
            "bids": market.book.levels(0, 0, 10),
            "asks": market.book.levels(1, 1, 10),
            "signals": list(market.signals),
        }
        control = {"control": {"requests": 1}}
        looks.append((json.loads(encode({"ok": True, **operators[0].watch(None), **control})), values))

    calls = [(at_s, look) for at_s in (60.0, 150.0, 250.0)]
    calls.append((200.0, lambda trader, _: operators[0].halt("phone (uid 0)", "news at ten")))
    calls.append((210.0, lambda trader, _: operators[0].resume("phone (uid 0)")))
    config = configure(venue__makers="slow", venue__seed=4, **QUIET)
    result = run(tmp_path_factory.mktemp("watched"), config, prepare=prepare, during=calls, recent=recent)
    events = [json.loads(text) for text in recent.since(1, limit=5_000, limit_bytes=1 << 30).events]
    return result, events, looks


def test_the_markets_of_an_answer_have_the_engines_own_values(watched):
    for answer, values in watched[2]:
        (market,) = answer["markets"]
        assert {name: market[name] for name in ("spot", "fair_up", "z", "strike", "cost_usd", "held")} == {
            name: values[name] for name in ("spot", "fair_up", "z", "strike", "cost_usd", "held")
        }
        assert [tuple(level) for level in market["up"]["bids"]] == values["bids"]
        assert [tuple(level) for level in market["down"]["asks"]] == values["asks"]
        assert market["up"]["bid_ticks"] == market["up"]["bids"][0][0]
        assert market["down"]["ask_ticks"] == 10_000 - market["up"]["bid_ticks"]
        assert math.isclose(market["basis"], market["spot"] - market["spot_raw"])
        assert [one["signals"] for one in market["strategies"]] == values["signals"][: len(market["strategies"])]
    assert any(values["signals"] != watched[2][0][1]["signals"] for _, values in watched[2])
    assert any(sum(values["held"].values()) for _, values in watched[2])


def test_every_strategys_signals_are_orders_dropped_and_denied(watched):
    for answer, _ in watched[2]:
        for one in answer["markets"][0]["strategies"]:
            assert one["signals"] == one["orders"] + one["dropped"] + sum(one["denied"].values())
            assert one["dropped"] >= 0


def test_an_answer_has_the_shape_of_the_recorded_sample(watched):
    answer = watched[2][-1][0]
    left_out = {"latency", "telemetry", "totals"}  # of the telemetry thread, which made them a second ago at most
    assert answer.keys() == SAMPLE.keys()
    for name in answer.keys() - left_out - {"events"}:
        assert list(_differences(answer[name], SAMPLE[name], name)) == []


def test_what_the_sample_tells_of_the_telemetry_thread_has_the_shape_of_what_it_writes(tmp_path):
    recent = RecentEvents(64, scrub=str)
    config = configure(run__markets=1, **QUIET)
    run(tmp_path, config, recent=recent, during=[(90.0, lambda trader, _: trader.stop())])
    for name, text in recent.figures.items():
        assert list(_differences(json.loads(text), SAMPLE[name], name)) == []
    assert recent.figures.keys() == {"latency", "telemetry", "totals"}


def test_events_of_every_kind_have_the_facts_that_the_sample_shows(watched):
    facts = {event["kind"]: event["data"].keys() for event in SAMPLE["events"] if event["kind"] != "notice"}
    seen = [event for event in watched[1] if event["kind"] in facts]
    assert {event["kind"] for event in seen} >= {"market_open", "strike", "signal", "order", "fill", "market_end"}
    for event in seen:
        assert event["data"].keys() == facts[event["kind"]], event
        assert event.keys() == SAMPLE["events"][0].keys()
    assert {event["kind"] for event in SAMPLE["events"]} <= set(KINDS)


def test_events_and_files_of_a_run_agree(watched):
    result, events, _ = watched
    count = Counter(event["kind"] for event in events)
    dispatched = [row for row in rows(result, "signals.csv") if row["status"] == "DISPATCHED"]
    assert count["signal"] == len(dispatched) > 0
    fills = [event["data"] for event in events if event["kind"] == "fill"]
    assert len(fills) == len(rows(result, "fills.csv"))
    assert sum(one["cost_usd"] for one in fills if one["is_first"]) == result.totals.cost_micro
    (end,) = (event["data"] for event in events if event["kind"] == "market_end")
    assert end["pnl_usd"] == result.totals.pnl_micro
    assert sum(one["pnl_usd"] or 0 for one in end["strategies"].values()) == end["pnl_usd"]


def test_halts_and_entries_are_told_by_kind_with_who_and_why(watched):
    events = watched[1]
    assert [event["kind"] for event in events if event["kind"].startswith("entries")][:2] == [
        "entries_closed",
        "entries_open",
    ]
    words = [event["data"] for event in events if event["data"].get("verb")]
    by = "phone (uid 0)"
    assert words == [
        {"verb": "halt", "by": by, "reason": "news at ten"},
        {"verb": "resume", "by": by, "reason": ""},
    ]
    facts = {"halt": "manual", "stopping": False}
    manual = [event["kind"] for event in events if event["data"] == facts]
    assert manual == ["halt", "resume"]


def test_the_sample_tells_nothing_of_a_machine():
    text = json.dumps(SAMPLE)
    assert "/" not in text  # no path of any machine


def _differences(ours, theirs, name):
    """Where two JSON values differ in keys or kinds; null may stand for anything, and a list may be empty."""
    if ours is None or theirs is None or name.rpartition(".")[2] in BY_NAME:
        return
    if _kind(ours) != _kind(theirs):
        yield f"{name}: {_kind(ours)}, {_kind(theirs)}"
    elif isinstance(ours, dict):
        yield from (f"{name}.{key}: only in one" for key in ours.keys() ^ theirs.keys())
        for key in ours.keys() & theirs.keys():
            yield from _differences(ours[key], theirs[key], f"{name}.{key}")
    elif isinstance(ours, list):
        for one, other in zip(ours, theirs, strict=False):
            yield from _differences(one, other, name)


def _kind(value):
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
