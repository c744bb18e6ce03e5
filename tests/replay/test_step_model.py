"""The stepper's model: its state is the engine's own, back is as if never gone, jumps land where something came out."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from replay.stepping import NS, heartbeats, only_model, two_markets
from scenario import START_NS, make_spec

from polybot._fast.event import COMMAND_DTYPE, CommandKind, EventKind
from polybot.backtest.run import run_backtest
from polybot.config import Config
from polybot.replay.step_model import DIFFERS, StepModel, Studied, parse_time, study
from polybot.replay.step_row import ROW_COLUMNS, STRATEGY_COLUMNS, row_columns, row_text, state_row
from polybot.replay.step_script import NOTED_KINDS, Script, find_ends, note_commands
from polybot.replay.step_state import DENIALS
from polybot.tape.reader import Tape

DOCS = Path(__file__).resolve().parents[2] / "docs" / "REPLAY.md"


# -- what is shown is the engine's own ------------------------------------------------------------------


@pytest.mark.parametrize("left_s", [290.0, 200.0, 61.0, 7.0, -30.0])
def test_a_state_is_what_an_engine_knows_that_took_exactly_the_events_so_far(model: StepModel, left_s: float) -> None:
    model.seek(model.spec.end_ns - round(left_s * NS))
    state = model.state
    script = model.studied.script
    machine = script.build()
    done = 0
    for call in script.calls:
        if call.at < state.events:
            machine.feed(script.events[done : call.at])
            call.apply(machine)
            done = call.at
    machine.feed(script.events[done : state.events])
    engine = machine.engine
    market = engine.markets[0]
    assert state.now_ns == engine.now_ns
    assert state.block_reason == ("" if market.block_reason == 0 else DENIALS[market.block_reason])
    assert state.block_reason or market.priced
    assert (state.sigma, state.spot_bid, state.oracle) == (engine.spot.sigma, engine.spot.bid, engine.spot.oracle_last)
    assert state.strike == market.strike
    assert state.bids[0] == tuple(market.book.levels(0, 0, 12))
    assert state.asks[1] == tuple(market.book.levels(1, 1, 12))
    assert (state.up_shares, state.down_shares) == tuple(market.shares)
    assert [one.seq for one in state.orders] == sorted(engine.orders, reverse=True)
    for view, strategy in zip(state.strategies, engine.strategies, strict=True):
        rows = market.gate_rows(strategy.index)
        expected = [(name, row[3]) for name, row in zip(strategy.gate_names, rows, strict=False)]
        words = {"-": -1, "NO": 0, "ok": 1}
        assert [(gate.name, words[gate.result]) for gate in view.gates] == expected
        np.testing.assert_equal(
            [(gate.value, gate.threshold) for gate in view.gates], [row[:2] for row in rows[: len(view.gates)]]
        )
    if not state.block_reason:
        assert (state.fair, state.z, state.se) == (market.fair_up, market.z, market.se_fair)


def test_before_anything_was_asked_there_is_no_fair_and_it_is_said(model: StepModel) -> None:
    model.jump(0)
    state = model.state
    assert (state.phase, state.block_reason) == ("before", "NOT_ASKED_YET")
    assert np.isnan(state.fair)
    assert np.isnan(state.strike)
    assert {one.verdict for one in state.strategies if one.enabled} == {"market blocked"}


def test_commands_are_noted_at_the_messages_that_brought_them(studied: Studied) -> None:
    script, ends = studied.script, studied.ends
    machine = script.build()
    rows, places, done = [], [], 0
    calls = list(script.calls)
    for end in ends:
        while calls and calls[0].at <= done:
            calls.pop(0).apply(machine)
        found = machine.feed(script.events[done:end])
        found = found[np.isin(found["kind"], NOTED_KINDS)]
        rows.append(found)
        places += [int(end)] * len(found)
        done = int(end)
    assert len(places) > 100
    assert np.concatenate(rows).tobytes() == studied.noted.rows.tobytes()
    assert places == studied.noted.at.tolist()


def test_signals_and_fills_of_a_tape_are_those_of_its_backtest(
    taped: tuple[Config, Tape], studied: Studied, tmp_path: Path
) -> None:
    config, tape = taped
    own = replace(config.backtest, tapes=(str(tape.path),), intervals=("5m",))
    result = run_backtest(replace(config, backtest=own), folder=tmp_path / "run")
    noted = studied.noted.rows
    signals = noted[noted["kind"] == CommandKind.CMD_SIGNAL]
    assert signals.tobytes() == np.ascontiguousarray(result.table("signals")).tobytes()
    model = only_model(studied)
    model.jump(model.steps)
    assert model.state.pnl_usd == int(result.table("markets")["pnl"][0]) != 0


# -- going ----------------------------------------------------------------------------------------------


def test_back_and_step_again_give_the_same_state(model: StepModel) -> None:
    model.seek(model.spec.start_ns + 100 * NS)
    here = repr(model.state)
    model.back()
    before = repr(model.state)
    assert before != here
    model.step()
    assert repr(model.state) == here
    model.back(350)  # behind what is kept
    assert repr(model.state) != here
    model.step(349)
    assert repr(model.state) == before
    model.step()
    assert repr(model.state) == here


def test_a_step_moves_by_one_message_and_stops_at_both_ends(model: StepModel) -> None:
    model.jump(0)
    model.back()
    assert model.at == 0
    model.step()
    assert (model.at, model.state.step) == (1, 1)
    model.jump(model.steps + 5)
    last = model.at
    model.step()
    assert last == model.at == model.steps - 1
    assert model.state.events == len(model.studied.script.events)


def test_the_view_opens_at_the_start_of_the_window(model: StepModel) -> None:
    assert 0 <= model.now_ns - model.spec.start_ns < NS


def test_jumps_visit_every_step_with_a_signal_and_nothing_else(model: StepModel) -> None:
    model.jump(0)
    visited, signals = [], 0
    while model.next_signal():
        here = [record for record in model.records_here() if record.kind == CommandKind.CMD_SIGNAL]
        assert here
        assert model.state.signals[: len(here)] == tuple(reversed(here))
        signals += len(here)
        visited.append(model.at)
    assert signals == model.state.signals_count > 50
    assert visited == sorted(set(visited))
    back = [model.at]
    while model.previous_signal():
        back.append(model.at)
    assert back == visited[::-1]


def test_a_jump_to_a_fill_lands_where_the_position_changes(model: StepModel) -> None:
    model.jump(0)
    assert model.next_fill()
    state = model.state
    assert state.fills_count >= 1
    assert state.up_shares + state.down_shares > 0
    model.back()
    assert model.state.up_shares + model.state.down_shares == 0
    assert model.state.fills_count == 0
    model.jump(model.steps)
    assert not model.next_fill()
    assert model.previous_fill()


def test_a_jump_to_an_order_lands_on_a_signal_that_was_sent(model: StepModel) -> None:
    model.jump(0)
    assert model.next_order()
    assert any(record.kind == CommandKind.CMD_SIGNAL and record.reason == 0 for record in model.records_here())
    assert not model.previous_order()


def test_seek_shows_the_last_message_received_by_then(model: StepModel) -> None:
    at_ns = model.spec.end_ns - 30 * NS
    model.seek(at_ns)
    assert model.now_ns <= at_ns
    model.step()
    assert model.now_ns > at_ns


def test_playing_lets_as_much_market_time_pass_as_it_was_told(model: StepModel) -> None:
    model.seek(model.spec.start_ns)
    begun = model.now_ns
    for _ in range(50):
        assert model.advance(NS // 10)
    assert 4 * NS < model.now_ns - begun <= 5 * NS
    assert not model.advance(3_600 * NS)
    assert model.at == model.steps - 1


def test_moving_by_time_crosses_a_silence() -> None:
    script = two_markets()
    model = StepModel(*lives_of(script, 0))
    model.jump(0)
    model.move(NS // 2)  # nothing was received within half a second
    assert model.at == 1
    model.move(-NS // 2)
    assert model.at == 0


# -- which markets there are -----------------------------------------------------------------------------


def lives_of(script: Script, number: int) -> tuple[Studied, object]:
    found = study(script)
    return found, found.noted.lives[number]


def test_two_markets_of_one_index_are_two_and_each_has_its_own_steps() -> None:
    found = study(two_markets())
    first, second = found.noted.lives
    assert [(life.spec.slug, life.first, life.last) for life in (first, second)] == [
        ("btc-updown-5m-1790000100", 0, 4),
        ("btc-updown-5m-second", 5, 10),
    ]
    one, two = StepModel(found, first), StepModel(found, second)
    assert (one.steps, two.steps) == (4, 5)
    one.jump(3)
    assert one.state.is_open  # dropped only after its last message
    assert one.state.now_ns == START_NS + 3 * NS
    two.jump(0)
    assert two.state.spec.slug == "btc-updown-5m-second"
    assert two.state.now_ns == START_NS + 5 * NS


def test_a_market_in_whose_time_nothing_happened_has_no_steps() -> None:
    script = replace(two_markets(), events=heartbeats(0, -1))
    found = study(replace(script, calls=script.calls[:1]))
    assert len(find_ends(found.script)) == 0
    assert found.noted.lives == ()


def test_a_program_that_decides_otherwise_than_the_session_is_warned_of(studied: Studied) -> None:
    same = replace(studied.script, told=studied.noted.rows)
    assert DIFFERS not in study(same).script.warnings
    told = studied.noted.rows.copy()
    told["price_ticks"][len(told) // 2] += 1
    assert study(replace(same, told=told)).script.warnings[-1] == DIFFERS


def test_quiet_messages_are_not_noted() -> None:
    script = two_markets()
    noted = note_commands(script, find_ends(script))
    assert len(noted.rows) == 0
    assert noted.rows.dtype == COMMAND_DTYPE


# -- rows and times --------------------------------------------------------------------------------------


def test_a_row_has_the_documented_columns_and_can_be_read_back(model: StepModel) -> None:
    model.jump(0)
    model.next_fill()
    state = model.state
    text = row_text(state, with_header=True)
    (row,) = csv.DictReader(io.StringIO(text))
    assert list(row) == row_columns(state) == list(state_row(state))
    assert row_text(state, with_header=False) == text.partition("\n")[2]
    assert int(row["step"]) == state.step
    assert float(row["spot"]) == pytest.approx(state.spot)
    assert round(float(row["cost_usd"]) * 1e6) == state.cost_usd > 0
    assert row["latency_arb_gates"].startswith("ask ")
    documented = DOCS.read_text()
    missing = [name for name in (*ROW_COLUMNS, *STRATEGY_COLUMNS) if f"`{name}`" not in documented]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "after_start_s"),
    [("0:00", 0), ("1:30", 90), ("4:59.5", 299.5), ("-0:30", 270), ("-1:00", 240)],
)
def test_times_are_told_from_the_start_or_from_the_end(text: str, after_start_s: float) -> None:
    assert parse_time(text, make_spec()) == START_NS + round(after_start_s * NS)


def test_a_time_of_day_is_that_of_the_windows_day() -> None:
    midnight = START_NS - START_NS % (86_400 * NS)
    assert parse_time("01:02:03.5", make_spec(start_ns=midnight + 3_600 * NS)) == midnight + round(3_723.5 * NS)
    assert parse_time("00:00:10", make_spec(start_ns=midnight + 86_390 * NS)) == midnight + 86_410 * NS


@pytest.mark.parametrize("text", ["", "x", "12", "1:2:3:4", "-1:2:3", "1:-2", "nan:00", "inf:00"])
def test_what_is_no_time_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="1:30"):
        parse_time(text, make_spec())


def test_the_message_of_a_step_is_told_in_words(model: StepModel) -> None:
    model.seek(model.spec.start_ns)
    seen = set()
    for _ in range(400):
        model.step()
        seen.add(model.state.message.split()[0])
    assert {"spot", "book", "oracle", "strike"} <= seen
    assert not any(word.startswith("EV_") for word in seen)
    assert EventKind.EV_TIMER not in seen
