"""What the stepper's tests walk over: a tape recorded in virtual time, and scripts made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
from scenario import START_NS, Scenario, make_spec
from tape.recording import record, recorder_config

import polybot.tape
from polybot._fast.engine import Engine
from polybot._fast.event import EventBuffer, EventKind
from polybot.config import Config
from polybot.replay.step_model import StepModel, Studied, study
from polybot.replay.step_script import Call, EngineMachine, Script
from polybot.replay.step_tape import tape_script
from polybot.tape.reader import Tape

NS = 1_000_000_000


def record_window(folder: Path) -> tuple[Config, Tape]:
    """A 5m window with makers that are late on purpose: signals, denials, orders and fills."""
    config = recorder_config(venue__makers="slow", venue__world__makers__requote_ms=500)
    record(config, folder)
    return config, polybot.tape.open(polybot.tape.find_tapes(folder)[0])


def study_tape(config: Config, tape: Tape) -> Studied:
    return study(tape_script(tape, config))


def only_model(studied: Studied) -> StepModel:
    (life,) = studied.noted.lives
    return StepModel(studied, life)


def hand_engine() -> Engine:
    """An engine without strategies and without markets."""
    scenario = Scenario([])
    scenario.engine.drop_market(0)
    return scenario.engine


def heartbeats(first_s: float, last_s: float) -> np.ndarray[Any, Any]:
    """A heartbeat at every second of [first_s, last_s], relative to the window's start."""
    buffer = EventBuffer()
    for second in range(round(first_s), round(last_s) + 1):
        buffer.add(EventKind.EV_TIMER, recv_ns=START_NS + second * NS)
    return buffer.to_numpy()


def two_markets() -> Script:
    """Heartbeats at 0..9 s; one market lives over the first four, another one of the same index over the last five."""
    first, second = make_spec(), make_spec(slug="btc-updown-5m-second")

    def open_market(machine: Any, spec: Any) -> None:
        machine.engine.open_market(0, spec, order_seq_base=1)

    return Script(
        title="made by hand",
        events=heartbeats(0, 9),
        calls=(
            Call(0, lambda machine: open_market(machine, first)),
            Call(4, lambda machine: machine.engine.drop_market(0)),
            Call(5, lambda machine: open_market(machine, second)),
        ),
        build=lambda: EngineMachine(hand_engine()),
    )
