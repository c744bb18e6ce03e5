"""A session's log on the stepper: its orders and fills as they were, and what cannot be shown is said."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from replay.logged import rewrite
from replay.stepping import NS
from runs import QUIET, configure, rows, run

from polybot._fast.event import COMMAND_DTYPE, CommandKind
from polybot.config import default_config
from polybot.errors import ConfigError, TapeError
from polybot.harness import VirtualRun
from polybot.replay.inputs import InputsLog, open_inputs
from polybot.replay.step import find_choices, run_step
from polybot.replay.step_inputs import inputs_script
from polybot.replay.step_model import StepModel, Studied, study
from polybot.tape.records import Entry, EntryKind


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> VirtualRun:
    config = configure(venue__makers="slow", venue__seed=4, **QUIET)
    return run(tmp_path_factory.mktemp("session"), config, with_inputs=True)


@pytest.fixture(scope="module")
def log(session: VirtualRun) -> InputsLog:
    return open_inputs(session.inputs[0])


@pytest.fixture(scope="module")
def studied(log: InputsLog) -> Studied:
    return study(inputs_script(log))


@pytest.fixture
def model(studied: Studied) -> StepModel:
    return StepModel(studied, studied.noted.lives[0])


def test_a_session_is_shown_without_a_warning_and_says_what_the_session_said(log: InputsLog, studied: Studied) -> None:
    assert studied.script.warnings == ()
    logged = log.commands()
    for kind in (CommandKind.CMD_SIGNAL, CommandKind.CMD_ORDER, CommandKind.CMD_FILL):
        noted = studied.noted.rows[studied.noted.rows["kind"] == kind]
        assert len(noted) > 0
        assert noted.tobytes() == logged[logged["kind"] == kind].tobytes()


def test_orders_fills_and_pnl_are_those_of_the_sessions_files(session: VirtualRun, model: StepModel) -> None:
    model.jump(model.steps)
    state = model.state
    (market,) = rows(session, "markets.csv")
    assert state.spec.slug == market["slug"]
    assert state.pnl_usd == int(market["pnl_micro_usd"])
    assert state.outcome == market["outcome"]
    fills = rows(session, "fills.csv")
    assert state.fills_count == len({(row["order_seq"], row["trade_key"]) for row in fills}) > 0
    assert {str(order.seq) for order in state.orders} == {row["order_seq"] for row in rows(session, "orders.csv")}


def test_back_and_step_again_give_the_same_state_of_a_session(model: StepModel) -> None:
    model.jump(0)
    assert model.next_fill()
    here = repr(model.state)
    model.back(2)
    assert repr(model.state) != here
    model.step(2)
    assert repr(model.state) == here
    assert model.state.message.startswith("fill of order")


def test_a_log_with_another_word_in_it_is_told_apart(log: InputsLog, tmp_path: Path) -> None:
    def change(entries: Iterable[Entry]) -> Iterator[Entry]:
        done = False
        for entry in entries:
            if entry.kind == EntryKind.COMMANDS and not done:
                commands = np.frombuffer(entry.payload, COMMAND_DTYPE).copy()
                signals = commands["kind"] == CommandKind.CMD_SIGNAL
                commands["price_ticks"][signals] += 1
                done = bool(signals.any())
                entry = entry._replace(payload=commands.tobytes())  # noqa: PLW2901
            yield entry

    found = study(inputs_script(rewrite(log, tmp_path / "changed", change)))
    assert any("decides otherwise" in text for text in found.script.warnings)


def test_a_log_with_a_hole_is_shown_up_to_it(log: InputsLog, studied: Studied, tmp_path: Path) -> None:
    middle = len(list(log.entries())) // 2

    def change(entries: Iterable[Entry]) -> Iterator[Entry]:
        for number, entry in enumerate(entries):
            if number == middle:
                told = {"frames": 3, "detail": "the disk was full"}
                entry = entry._replace(kind=EntryKind.GAP, payload=json.dumps(told).encode())  # noqa: PLW2901
            yield entry

    found = study(inputs_script(rewrite(log, tmp_path / "holed", change)))
    assert found.script.warnings == ("shown up to here: 3 entries were dropped: the disk was full",)
    assert 0 < len(found.script.events) < len(studied.script.events)
    assert StepModel(found, found.noted.lives[0]).steps > 0


def test_the_markets_of_a_session_can_be_chosen(session: VirtualRun, model: StepModel) -> None:
    (choice,) = find_choices(default_config(**{"replay.source": str(session.inputs[0])}))
    assert choice.label.startswith(f"{model.spec.slug}  traded, session ")
    opened = choice.open()
    assert (opened.spec.slug, opened.steps) == (model.spec.slug, model.steps)
    opened.seek(opened.spec.end_ns - 100 * NS)
    assert opened.state.is_open


def test_a_folder_with_nothing_to_step_through_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a session's log nor a tape"):
        find_choices(default_config(**{"replay.source": str(tmp_path)}))
    (tmp_path / "frames.zst").write_bytes(b"no tape at all")
    (choice,) = find_choices(default_config(**{"replay.source": str(tmp_path)}))
    assert "cannot be read" in choice.label
    with pytest.raises(TapeError, match="neither a manifest"):
        choice.open()
    with pytest.raises(ConfigError, match="needs source=FOLDER"):
        run_step(default_config())
