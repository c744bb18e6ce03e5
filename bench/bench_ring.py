"""What one telemetry record costs the engine's thread, and what taking it out costs."""

from collections.abc import Callable

import numpy as np

from polybot._fast.event import COMMAND_DTYPE, CommandKind
from polybot._fast.ring import CommandRing

Budget = Callable[..., float]
BATCH = 100


def records(kind: CommandKind) -> bytes:
    array = np.zeros(BATCH, dtype=COMMAND_DTYPE)
    array["kind"], array["reason"] = kind, 5
    return array.tobytes()


def test_push_a_droppable_record(budget: Budget) -> None:
    """The ring is full all the time: every push also drops the oldest."""
    ring, batch = CommandRing(), records(CommandKind.CMD_SIGNAL)
    budget(lambda: ring.push_bytes(batch), name="ring.push signal", median_ns=50, inner=BATCH)


def test_push_and_drain_a_kept_record(budget: Budget) -> None:
    ring, batch = CommandRing(), records(CommandKind.CMD_FILL)

    def run() -> None:
        ring.push_bytes(batch)
        ring.drain(BATCH)

    budget(run, name="ring.push and drain fill", median_ns=100, inner=BATCH)


def test_push_one_record_from_python(budget: Budget) -> None:
    ring, one = CommandRing(), records(CommandKind.CMD_SIGNAL)[:128]
    budget(lambda: ring.push_bytes(one), name="ring.push one, call included", median_ns=300)
