"""Prometheus text: read with the official parser and held against the watch answer it was made of.

The answer is one that a running daemon gave (tests/control/watch_sample.json); what it does not have is made by hand.
"""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from polybot.telemetry.metrics import exposition
from tests.dashboard.made import made_answer

SAMPLE = json.loads((Path(__file__).resolve().parents[1] / "control" / "watch_sample.json").read_text())
UNITS = r"_(seconds|usd|ratio|shares|rows|orders|positions|signals|sqrt_second|info|total)$"
STATES = {f"polybot_{name}" for name in ("up", "ready", "stopping", "entries_open", "healthy", "halted")}


def read(answers):
    """Every sample by name and labels."""
    text = exposition(answers).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            daemon = sample.labels.pop("daemon")
            key = (daemon, sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def of(answers, name, *labels, daemon="one"):
    return read(answers)[(daemon, name, *labels)]


@pytest.fixture(scope="module")
def samples():
    return read({"one": SAMPLE})


def value(samples, name, *labels):
    return samples[("one", name, *labels)]


def test_money_counts_and_states_are_those_of_the_answer(samples) -> None:
    pnl, totals, exposure = SAMPLE["pnl"], SAMPLE["totals"], SAMPLE["exposure"]
    wanted = {
        ("polybot_up",): 1.0,
        ("polybot_ready",): 1.0,
        ("polybot_healthy",): 1.0,
        ("polybot_entries_open",): float(SAMPLE["entries"]["open"]),
        ("polybot_halted", "kind=manual"): 0.0,
        ("polybot_realised_pnl_usd", "period=day"): pnl["day_usd"] / 1e6,
        ("polybot_realised_pnl_usd", "period=week"): pnl["week_usd"] / 1e6,
        ("polybot_loss_limit_usd", "period=day"): pnl["daily_halt_usd"] / 1e6,
        ("polybot_pnl_marked_usd",): pnl["marked_usd"] / 1e6,
        ("polybot_session_pnl_usd",): totals["pnl_usd"] / 1e6,
        ("polybot_session_fees_usd",): totals["fees_usd"] / 1e6,
        ("polybot_exposure_limit_usd",): exposure["limit_usd"] / 1e6,
        ("polybot_cash_usd",): exposure["cash_usd"] / 1e6,
        ("polybot_windows_finished_total",): totals["markets"],
        ("polybot_windows_won_total",): totals["wins"],
        ("polybot_signals_total",): totals["signals"],
        ("polybot_orders_total",): totals["orders"],
        ("polybot_fills_total",): totals["fills"],
        ("polybot_open_orders",): SAMPLE["orders"]["count"],
        ("polybot_loop_lag_worst_seconds",): SAMPLE["health"]["loop_lag_ms"]["worst"] / 1e3,
        ("polybot_speed_ratio",): SAMPLE["speed"],
    }
    assert {key: value(samples, *key) for key in wanted} == pytest.approx(wanted)


def test_the_window_that_is_traded_now_is_told_without_its_slug(samples) -> None:
    market = SAMPLE["markets"][0]
    assert value(samples, "polybot_strike_usd") == market["strike"]
    assert value(samples, "polybot_fair_up_ratio") == market["fair_up"]
    assert value(samples, "polybot_window_left_seconds") == market["left_s"]
    assert value(samples, "polybot_quote_usd", "outcome=Down", "side=ask") == market["down"]["ask_ticks"] / 1e4
    assert value(samples, "polybot_held_shares", "outcome=Up") == market["held"]["Up"] / 1e6
    assert "updown" not in exposition({"one": SAMPLE}).decode()


def test_between_windows_there_is_no_price_of_one_that_is_over() -> None:
    answer = made_answer(40)
    answer["now_ns"] = answer["markets"][0]["end_ns"]
    assert not any("polybot_strike_usd" in key or "polybot_quote_usd" in key for key in read({"one": answer}))


def test_strategies_are_told_by_name(samples) -> None:
    for name, counts in SAMPLE["totals"]["by_strategy"].items():
        assert value(samples, "polybot_strategy_pnl_usd", f"strategy={name}") == counts["pnl_usd"] / 1e6
        for kind in ("signals", "dispatched", "orders", "fills"):
            key = ("polybot_strategy_events_total", f"kind={kind}", f"strategy={name}")
            assert value(samples, *key) == counts[kind]
    denied = {one["name"]: one["denied"] for one in SAMPLE["markets"][0]["strategies"]}
    told = {key[2:]: number for key, number in samples.items() if key[1] == "polybot_window_denied_signals"}
    wanted = {(f"reason={reason}", f"strategy={name}"): n for name, by in denied.items() for reason, n in by.items()}
    assert told == wanted


def test_latency_histograms_are_cumulative_in_seconds_and_end_with_all(samples) -> None:
    assert len(SAMPLE["latency"]) > 5
    for row in SAMPLE["latency"]:
        stage = f"stage={row['name']}"
        name = "polybot_stage_latency_seconds"
        told = {
            float(label.removeprefix("le=")): number
            for key, number in samples.items()
            if key[1] == f"{name}_bucket" and stage in key
            for label in key
            if label.startswith("le=")
        }
        assert told == {**{float(f"{le:g}"): n for le, n in row["buckets"]}, float("inf"): row["count"]}
        assert value(samples, f"{name}_count", stage) == row["count"]
        assert value(samples, f"{name}_sum", stage) == pytest.approx(row["sum_s"])
        counts = [told[le] for le in sorted(told)]
        assert counts == sorted(counts)
        below = max((n for le, n in told.items() if le < row["p50_us"] / 1e6), default=0)
        above = min(n for le, n in told.items() if le >= row["p50_us"] / 1e6)
        assert below <= row["count"] / 2 + 1
        assert above >= row["count"] / 2 - 1


def test_feeds_and_telemetrys_losses_are_told() -> None:
    answer = made_answer(40)
    answer["feeds"] = {"spot": 0.25, "oracle": None, "book a-1": 3.0, "book a-2": 1.0}
    answer["counters"] = {"market": {"gaps": 3, "name": "text"}, "spot": {"gaps": 2}}
    answer["telemetry"]["rows_lost"] = 7
    samples = read({"one": answer})
    ages = {key[2]: number for key, number in samples.items() if key[1] == "polybot_feed_age_seconds"}
    assert ages == {"feed=spot": 0.25, "feed=book": 3.0}
    events = {key[2:]: number for key, number in samples.items() if key[1] == "polybot_feed_events_total"}
    assert events == {("counter=gaps", "feed=market"): 3, ("counter=gaps", "feed=spot"): 2}
    assert samples[("one", "polybot_telemetry_lost_total", "kind=rows_lost")] == 7


def test_a_daemon_that_does_not_answer_is_down_and_nothing_else_is_told_of_it() -> None:
    samples = read({"one": made_answer(40), "two": None})
    assert {key for key in samples if key[0] == "two"} == {("two", "polybot_up")}
    assert samples[("two", "polybot_up")] == 0.0
    assert read({}) == {}


def test_two_daemons_are_told_apart() -> None:
    other = made_answer(40, halts=[{"kind": "daily", "by": "risk", "reason": "loss limit"}])
    answers = {"one": made_answer(40), "two": other}
    assert of(answers, "polybot_halted", "kind=daily") == 0.0
    assert of(answers, "polybot_halted", "kind=daily", daemon="two") == 1.0


def test_what_is_not_known_yet_gives_no_sample() -> None:
    answer = made_answer(40, latency=[], telemetry=None, totals=None)
    answer["exposure"]["cash_usd"] = -1
    answer["markets"][0]["fair_up"] = None
    names = {key[1] for key in read({"one": answer})}
    assert not names & {"polybot_cash_usd", "polybot_fair_up_ratio", "polybot_signals_total", "polybot_session_pnl_usd"}


def test_names_follow_the_conventions_and_everything_has_help() -> None:
    text = exposition({"one": made_answer(40)}).decode()
    families = list(text_string_to_metric_families(text))
    assert len(families) > 40
    for family in families:
        assert re.fullmatch(r"polybot_[a-z_]+", family.name)
        assert family.documentation.endswith("."), family.name
        samples = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert all(name.endswith("_total") for name in samples)
        elif family.name not in STATES and samples:
            assert re.search(UNITS, family.name), family.name
