"""P11: what one record of telemetry costs the engine's thread, beside a direct loguru call with the same facts.

Ours is all of it: the engine asked on a heartbeat that makes it state its condition and every gate of the six
strategies, each as a command record, and those records copied into the ring that the writer's thread empties.
Theirs: one line to a file, not enqueued (enqueueing is four times slower still).  The plant is a logger call that its
level filters out, which alone costs several times the budget.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loguru import logger

from bench.gate import Gate
from bench.timing import timed_ns
from polybot._fast.event import EventBuffer, EventKind
from polybot._fast.ring import CommandRing
from polybot.assembly import build_strategies
from polybot.config import default_config

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from scenario import Scenario

HEARTBEATS = 50


@pytest.fixture
def a_log_file(tmp_path: Path) -> Iterator[Path]:
    """loguru writes INFO and above to this file and nowhere else."""
    logger.remove()
    sink = logger.add(tmp_path / "polybot.log", level="INFO", enqueue=False, backtrace=False)
    yield tmp_path / "polybot.log"
    logger.remove(sink)


def by_engine(*, is_logged: bool = False) -> tuple[Callable[[], None], int]:
    """HEARTBEATS engine calls with their records pushed, and how many records that is."""
    config = default_config()
    scenario = Scenario(build_strategies(config.strategy, config.model, config.risk), diagnostics_s=1e-9)
    scenario.warm()
    events, ring, process = EventBuffer(), CommandRing(), scenario.engine.process
    at_ns = scenario.at(21.0)

    def run() -> None:
        nonlocal at_ns
        for _ in range(HEARTBEATS):
            events.reset()
            at_ns += 10
            events.add(EventKind.EV_TIMER, recv_ns=at_ns)
            commands = process(events)
            if is_logged:
                for _ in range(len(commands)):
                    logger.debug("gate strategy={} value={} threshold={}", "latency_arb", 0.0312, 0.03)
            ring.push_all(commands)

    run()
    assert ring.pushed % HEARTBEATS == 0
    assert ring.pushed > 20 * HEARTBEATS  # a condition and the gates of six strategies each
    return run, ring.pushed


def by_loguru() -> None:
    for _ in range(HEARTBEATS):
        logger.info("gate market={} strategy={} gate={} value={} threshold={}", 0, "latency_arb", 3, 0.0312, 0.03)


def test_a_direct_loguru_call_costs_far_more(gate: Gate, a_log_file: Path) -> None:
    ours, records = by_engine()
    planted, _ = by_engine(is_logged=True)
    gate.paired(
        "P11",
        "telemetry record, against a direct loguru call",
        ours=lambda: timed_ns(ours, 20) / 20 / records,
        theirs=lambda: timed_ns(by_loguru, 1) / HEARTBEATS,
        at_least=100.0,
        planted=lambda: timed_ns(planted, 1) / records,
    )
    assert a_log_file.stat().st_size > 0


def test_a_record_is_cheap(gate: Gate, a_log_file: Path) -> None:
    ours, records = by_engine()
    planted, _ = by_engine(is_logged=True)
    gate.median("P11", "telemetry record, made and pushed", ours, below_ns=100, inner=records, planted=planted)
    assert a_log_file.exists()
