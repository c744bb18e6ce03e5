"""A tape is enough for an engine: it prices the market, sees its strike and outcome, and has opinions; twice the same.

Heartbeats are not on tape; they are made here as a replay makes them, every timer_ms of receive time.
"""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from tape.recording import record, recorder_config

import polybot.tape
from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE, CommandKind, EventBuffer, EventKind, Special
from polybot.assembly import build_engine
from polybot.config import Config
from polybot.tape.decoding import MARKET_INDEX
from polybot.tape.reader import Tape

CHUNK = 512


@pytest.fixture(scope="module")
def taped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Tape]:
    folder = tmp_path_factory.mktemp("tape")
    config = recorder_config(venue__makers="slow", venue__world__makers__requote_ms=500)
    record(config, folder)
    return config, polybot.tape.open(polybot.tape.find_tapes(folder)[0])


def with_heartbeats(events: np.ndarray, period_ns: int) -> np.ndarray:
    first, last = int(events["recv_ns"][0]), int(events["recv_ns"][-1])
    beats = np.zeros((last - first) // period_ns, EVENT_DTYPE)
    beats["recv_ns"] = first + period_ns * np.arange(1, len(beats) + 1)
    beats["kind"] = EventKind.EV_TIMER
    beats["market"] = Special.NO_MARKET
    both = np.concatenate([events, beats])
    return both[np.argsort(both["recv_ns"], kind="stable")]


def replay(config: Config, tape: Tape) -> np.ndarray:
    """All commands of an engine that goes through the tape."""
    engine = build_engine(config)
    assert tape.spec is not None
    engine.open_market(MARKET_INDEX, tape.spec, order_seq_base=1)
    events = with_heartbeats(tape.events, config.engine.timer_ms * 1_000_000)
    buffer, commands = EventBuffer(CHUNK), []
    for start in range(0, len(events), CHUNK):
        buffer.reset()
        buffer.extend(events[start : start + CHUNK])
        commands.append(engine.process(buffer).to_bytes())
    market = engine.markets[MARKET_INDEX]
    assert market.strike == tape.strike
    assert market.outcome == tape.outcome
    return np.frombuffer(b"".join(commands), COMMAND_DTYPE)


def test_an_engine_that_goes_through_a_tape_prices_the_market_and_has_opinions(taped: tuple[Config, Tape]) -> None:
    commands = replay(*taped)
    diagnostics = commands[commands["kind"] == CommandKind.CMD_DIAGNOSTIC]
    assert len(diagnostics) >= 28
    priced = diagnostics[np.isfinite(diagnostics["fair"])]
    assert len(priced) >= 28  # from the first diagnostic of the window on: the warm start is on the tape
    assert np.all((priced["fair"] >= 0) & (priced["fair"] <= 1))
    assert np.all(np.isfinite(priced["confidence"]))  # z
    assert (commands["kind"] == CommandKind.CMD_SIGNAL).sum() > 0


def test_two_replays_of_a_tape_give_the_same_commands_byte_for_byte(taped: tuple[Config, Tape]) -> None:
    config, tape = taped
    digests = {hashlib.sha256(replay(config, polybot.tape.open(tape.path)).tobytes()).hexdigest() for _ in range(2)}
    assert len(digests) == 1


def test_a_tape_moved_elsewhere_is_the_same_tape(taped: tuple[Config, Tape], tmp_path: Path) -> None:
    config, tape = taped
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tape.path, elsewhere)
    assert replay(config, polybot.tape.open(elsewhere)).tobytes() == replay(config, tape).tobytes()
