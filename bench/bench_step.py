"""What a step forward and one back cost in a 5m window of 40,000 events: back feeds a new engine from the start."""

import itertools
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from scenario import START_NS, make_spec

from polybot._fast.event import EVENT_DTYPE, EventFlag, EventKind, Special, StrikeSource
from polybot.assembly import build_engine
from polybot.config import default_config
from polybot.replay.step_model import KEPT_STEPS, StepModel, study
from polybot.replay.step_script import Call, EngineMachine, Script

Budget = Callable[..., float]
EVENTS = 40_000
STEP_NS = 300_000_000_000 // EVENTS
STRIKE = 100_000.0


def window() -> np.ndarray:
    """Spot, book, oracle and heartbeats in turn over 300 s; nothing is random."""
    rows = np.zeros(EVENTS, EVENT_DTYPE)
    number = np.arange(EVENTS)
    rows["recv_ns"] = START_NS + number * STEP_NS
    rows["venue_ns"] = rows["recv_ns"]
    rows["market"] = Special.NO_MARKET
    rows["flags"] = EventFlag.F_END
    rows["kind"] = np.where(number % 3 == 0, EventKind.EV_SPOT_TRADE, EventKind.EV_BOOK_DELTA)
    rows["x"] = STRIKE + 40.0 * np.sin(number / 700.0) + number % 5
    rows["y"] = 0.01
    book = rows["kind"] == EventKind.EV_BOOK_DELTA
    rows["market"][book], rows["x"][book], rows["y"][book] = 0, -1.0, -1.0
    rows["side"][book] = number[book] % 2
    rows["i"][book] = np.where(number[book] % 2, 5_100, 4_700) + number[book] // 2 % 3 * 100
    rows["j"][book] = (number[book] % 50 + 1) * 1_000_000
    for offset, kind in ((11, EventKind.EV_TIMER), (17, EventKind.EV_ORACLE_SPOT)):
        chosen = number % 100 == offset
        rows["kind"][chosen], rows["market"][chosen] = kind, Special.NO_MARKET
        rows["x"][chosen] = STRIKE
    rows["kind"][0], rows["market"][0], rows["flags"][0] = EventKind.EV_BOOK_SNAPSHOT, 0, EventFlag.F_END
    rows["kind"][1], rows["market"][1], rows["x"][1] = EventKind.EV_STRIKE, 0, STRIKE
    rows["i"][1], rows["y"][1] = StrikeSource.STRIKE_RTDS_TWAP, 0.0
    return rows


@pytest.fixture(scope="module")
def model() -> StepModel:
    config = default_config()

    def open_market(machine: EngineMachine) -> None:
        machine.engine.risk.set_cash(1_000_000_000)
        machine.engine.open_market(0, make_spec(), order_seq_base=1)

    script = Script("bench", window(), (Call(0, open_market),), lambda: EngineMachine(build_engine(config)))
    studied = study(script)
    made = StepModel(studied, studied.noted.lives[0])
    assert made.steps == EVENTS
    made.jump(EVENTS - 1)
    assert made.state.signals_count > 0
    return made


def test_step_back(budget: Budget, model: StepModel) -> None:
    # Each goal lies just before what the one before kept, in the last third of the window.
    goals = itertools.cycle(range(EVENTS - 1, EVENTS * 2 // 3, -(KEPT_STEPS + 1)))

    def back() -> None:
        model.jump(next(goals))
        assert model.state.step == model.at

    budget(back, name=f"step back in a window of {EVENTS:,} events", median_ns=200_000_000)


def test_step_forward(budget: Budget, model: StepModel) -> None:
    model.jump(0)
    assert model.state.step == 0
    budget(partial(forward, model), name="step forward", median_ns=1_500_000, inner=10)


def forward(model: StepModel) -> None:
    """Ten steps, from the start again when the end is near."""
    if model.at > EVENTS - 20:
        model.jump(0)
    for _ in range(10):
        model.step()
        assert model.state.step == model.at
