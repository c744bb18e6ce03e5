"""A session is replayed to the byte: restarts, halts, an outage, other hashes; what is changed is found."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from replay.logged import play, rewrite
from runs import QUIET, configure, run

from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE, CommandKind, EventKind, OperatorCode
from polybot.assembly import HARD_MAX_ENV
from polybot.config import ModeConfig
from polybot.replay.inputs import OWN_KINDS, Call, open_inputs
from polybot.replay.verify import Player, verify
from polybot.tape.records import EntryKind

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 600


@pytest.fixture(scope="module")
def log(lived):
    """The second life's log: it begins with what the journal restored."""
    return open_inputs(lived.inputs[1])


def told(log):
    """Events and calls of a log, counted."""
    kinds, calls = {}, {}
    for turn in log.turns():
        for kind in np.frombuffer(turn.events, EVENT_DTYPE)["kind"].tolist():
            kinds[EventKind(kind).name] = kinds.get(EventKind(kind).name, 0) + 1
        if turn.call is not None:
            calls[turn.call.name] = calls.get(turn.call.name, 0) + 1
    return kinds, calls


def test_every_life_of_a_session_replays_identical_and_makes_the_commands_of_the_run(lived):
    assert len(lived.inputs) == len(lived.lives) == 3
    verdicts = [verify(open_inputs(path)) for path in lived.inputs]
    assert [verdict.text() for verdict in verdicts if not verdict.is_identical] == []
    assert [verdict.is_ended for verdict in verdicts] == [False, True, True]  # the first was killed
    digest, count = hashlib.sha256(), 0
    for path in lived.inputs:
        raw = open_inputs(path).commands().tobytes()
        digest.update(raw)
        count += len(raw) // COMMAND_DTYPE.itemsize
    assert (digest.hexdigest(), count) == (lived.commands_sha256, lived.commands)


def test_the_session_has_in_it_what_it_is_to_show(lived, log):
    first, _ = told(open_inputs(lived.inputs[0]))
    kinds, calls = told(log)
    assert first["EV_FILL"] > 0
    assert first["EV_ORDER_UPDATE"] > 0
    assert calls["restore_order"] >= 1
    assert calls["restore_losses"] == 1
    assert calls["open_market"] >= 2
    assert kinds["EV_FILL"] > 0  # restored ones
    assert kinds["EV_VENUE"] >= 2  # closed and opened again
    operator = [
        int(row["i"])
        for turn in log.turns()
        for row in np.frombuffer(turn.events, EVENT_DTYPE)
        if row["kind"] == EventKind.EV_OPERATOR
    ]
    assert operator[:3] == [OperatorCode.OP_RESUME, OperatorCode.OP_HALT, OperatorCode.OP_RESUME]
    placed = [open_inputs(path).commands()["kind"] == CommandKind.CMD_PLACE for path in lived.inputs]
    assert sum(int(one.sum()) for one in placed) > 3
    assert lived.money.is_ok, lived.money.text()


def test_a_look_of_the_observer_which_prices_anew_is_in_the_log_and_changes_no_byte(lived):
    logs = [open_inputs(path) for path in lived.inputs]
    assert sum(told(one)[1].get("look", 0) for one in logs) > 0


def test_a_paper_session_replays_identical(tmp_path):
    config = configure(venue__makers="slow", venue__seed=4, mode=ModeConfig(name="paper"), **QUIET)
    result = run(tmp_path, config, with_inputs=True)
    verdict = verify(open_inputs(result.inputs[0]))
    assert verdict.is_identical, verdict.text()
    assert (verdict.sha256, verdict.commands) == (result.commands_sha256, result.commands)
    assert result.totals.orders > 0


def test_the_log_changes_no_command_of_the_run(lived, tmp_path):
    plain = play(tmp_path, with_inputs=False)
    assert plain.inputs == ()
    assert (plain.commands, plain.commands_sha256) == (lived.commands, lived.commands_sha256)


@pytest.mark.parametrize(("field", "byte", "bit"), [("x", 0, 1), ("kind", 0, 1)])
def test_one_changed_byte_of_an_event_is_found_and_told(log, tmp_path, field, byte, bit):
    """The last bit of a spot price moves the sixteenth digit of a fair; one of its kind makes a trade nothing."""
    changed = []

    def change(entries):
        for entry in entries:
            raw = bytearray(entry.payload)
            is_wanted = entry.kind == EntryKind.EVENTS and not changed and entry.seq > 2_000
            if is_wanted and np.frombuffer(raw, EVENT_DTYPE)["kind"][0] == EventKind.EV_SPOT_TRADE:
                raw[EVENT_DTYPE.fields[field][1] + byte] ^= bit
                changed.append(entry.seq)
            yield entry._replace(payload=bytes(raw))

    verdict = verify(rewrite(log, tmp_path, change))
    assert changed
    assert not verdict.is_identical
    assert "in the log" in verdict.difference
    assert "UTC" in verdict.difference
    assert "CMD_" in verdict.difference


def test_one_changed_byte_of_a_command_is_told_with_step_time_and_field_of_both_sides(log, tmp_path):
    planted = []

    def change(entries):
        for entry in entries:
            if entry.kind == EntryKind.COMMANDS and not planted and entry.seq > 2_000:
                rows = np.frombuffer(entry.payload, COMMAND_DTYPE).copy()
                planted.append((int(rows["price_ticks"][0]), int(rows["price_ticks"][0]) + 1))
                rows["price_ticks"][0] += 1
                yield entry._replace(payload=rows.tobytes())
            else:
                yield entry

    verdict = verify(rewrite(log, tmp_path, change))
    (was, became), = planted
    assert f"price_ticks {became} in the log, {was} now" in verdict.difference
    assert f"step {verdict.steps + 1} at 2026-11-22" in verdict.difference
    assert verdict.text().startswith("DIFFERENT after ")


def test_a_command_that_is_missing_is_told(log, tmp_path):
    def change(entries):
        for entry in entries:
            size = len(entry.payload)
            is_cut = entry.kind == EntryKind.COMMANDS and size > COMMAND_DTYPE.itemsize
            yield entry._replace(payload=entry.payload[: size - COMMAND_DTYPE.itemsize]) if is_cut else entry

    assert "only the replay has CMD_" in verify(rewrite(log, tmp_path, change)).difference


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("strategy", "min_edge", 0.5), ("risk", "bankroll_usd", 900.0), ("model", "oracle_lag_s", 2.0)],
)
def test_a_changed_setting_is_found(log, section, key, value, monkeypatch):
    facts = json.loads(log.manifest["facts"])
    place = facts["config"][section]
    if section == "strategy":
        for strategy in place.values():
            strategy.update({key: value} if key in strategy else {})
    else:
        place[key] = value
    monkeypatch.setattr(log, "_facts", facts)
    assert verify(log).difference


def test_the_hard_ceilings_are_those_of_then_not_of_now(log, monkeypatch):
    monkeypatch.setenv(HARD_MAX_ENV, "20")
    assert verify(log).is_identical
    facts = {**log.facts, "hard_max_usd": "20"}
    monkeypatch.setattr(log, "_facts", facts)
    assert Player(log).engine.risk.hard_open_usd == 20_000_000


def test_a_log_of_another_version_replays_with_a_warning(log, monkeypatch):
    facts = json.loads(log.manifest["facts"])
    facts["config"]["model"]["gone"] = 1.0
    facts["config"]["strategy"]["latency_arb"]["old_gate"] = 2.0
    del facts["config"]["engine"]["end_guard_s"]
    monkeypatch.setattr(log, "_facts", facts)
    monkeypatch.setitem(log.manifest, "program", "polybot 0.0.1")
    verdict = verify(log)
    assert verdict.is_identical
    assert "WARNING: written by polybot 0.0.1" in verdict.notes[0]
    assert any("model.gone" in note for note in verdict.notes)
    assert any("strategy.latency_arb.old_gate" in note for note in verdict.notes)
    assert any("engine.end_guard_s was not known then" in note for note in verdict.notes)


def test_under_three_hash_seeds_the_command_line_tells_the_same_of_a_log(lived, tmp_path):
    found = []
    for seed in ("0", "1", "777"):
        done = subprocess.run(
            [sys.executable, "-m", "polybot", "replay", f"source={lived.inputs[1].parent}"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        found.append([line for line in done.stdout.splitlines() if "identical" in line])
    assert found[0] == found[1] == found[2]
    assert found[0] == [verify(open_inputs(path)).text() for path in lived.inputs]
    assert list(tmp_path.iterdir()) == []


def test_events_are_market_data_and_timers_in_order_with_the_calls_between_them(log):
    every, calls = [], []
    for item in log.items():
        if isinstance(item, Call):
            calls.append(item.name)
        else:
            every.append(item)
    joined = np.concatenate(every)
    assert joined.tobytes() == np.concatenate(list(log.events())).tobytes()
    assert not np.isin(joined["kind"], OWN_KINDS).any()
    assert {int(EventKind.EV_TIMER), int(EventKind.EV_SPOT_TRADE), int(EventKind.EV_BOOK_DELTA)} <= set(
        joined["kind"].tolist()
    )
    whole = b"".join(turn.events for turn in log.turns())
    given = np.frombuffer(whole, EVENT_DTYPE)
    assert joined.tobytes() == given[~np.isin(given["kind"], OWN_KINDS)].tobytes()
    assert calls == [call.name for _, call in log.calls]


def test_a_market_that_is_opened_is_the_one_the_log_names(log):
    opened = [turn.call.args for turn in log.turns() if turn.call is not None and turn.call.name == "open_market"]
    player = Player(log)
    seen = set()
    while player.step() is not None:
        seen |= {(index, dataclasses.asdict(one.spec)["slug"]) for index, one in player.engine.markets.items()}
    assert seen == {(one["index"], one["spec"]["slug"]) for one in opened}
