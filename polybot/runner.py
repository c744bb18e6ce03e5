"""The pump: Event -> engine -> Commands -> gateway, and everything that passes to telemetry.

Owns the Python end of polybot._fast.path, where the order of things stands: events go in, orders leave through the
gateway before telemetry sees them, the inputs log gets its copy after both, and events that arise meanwhile (a local
refusal) wait their turn.  The same pump runs live and in the virtual-time harness.  Must not decide, wait or do I/O.
Called by feeds (through `path`, from C), the gateway and the daemon's timers (through `feed`).
"""

from collections.abc import Callable
from typing import Protocol

from polybot._fast.event import CommandBuffer, EventBuffer
from polybot._fast.path import HotPath
from polybot._fast.samples import SampleRing
from polybot._fast.sink import EventSink
from polybot._fast.tail import InputsTap
from polybot.clock import Clock, SystemClock
from polybot.replay.calls import InputsSink
from polybot.telemetry.inbox import TelemetryInbox

__all__ = ["CommandSink", "Deciding", "MoneyLog", "Runner"]

# One of so many messages is timed for the latency table (a clock read is dearer than a decision).
SAMPLE_EVERY = 64


class Deciding(Protocol):
    """What decides: the engine, or what stands in for it."""

    def process(self, events: EventBuffer) -> CommandBuffer:
        """Take events in, give back what to do; the buffer belongs to the engine."""
        ...


class CommandSink(Protocol):
    """Whoever carries out commands of one kind."""

    def __call__(self, commands: CommandBuffer) -> None:
        """Act on the commands that are this sink's; leave the others."""
        ...


class MoneyLog(Protocol):
    """Where events that move money or truth are written before the engine sees them."""

    @property
    def kinds(self) -> int:
        """Which those are, as bits of EventBuffer.kind_mask()."""
        ...

    def events(self, buffer: EventBuffer) -> None:
        """Record those of the buffer that do; never raises for a disk."""
        ...


class Runner:
    """One engine with its outlets; `path` is where events go in from C."""

    def __init__(
        self,
        engine: Deciding,
        *,
        clock: Clock,
        inbox: TelemetryInbox,
        gateway: CommandSink,
        on_feed_command: Callable[[int, int], None],
        journal: MoneyLog | None = None,
        inputs: InputsSink | None = None,
    ) -> None:
        """`on_feed_command(kind, market)` gets CMD_REFETCH_TICK and CMD_RESYNC_BOOK."""
        tap = getattr(inputs, "tap", None)
        self.path: EventSink = HotPath(
            engine,
            clock=clock,
            stamp=clock.stamp() if isinstance(clock, SystemClock) else None,
            gateway=gateway,
            on_feed_command=on_feed_command,
            inbox=inbox,
            ring=inbox.ring if type(inbox) is TelemetryInbox else None,  # an inbox that adds to it is asked itself
            samples=inbox.samples if isinstance(inbox, TelemetryInbox) else SampleRing(),
            journal=journal,
            journal_kinds=0 if journal is None else journal.kinds,
            inputs=inputs,
            tap=tap if isinstance(tap, InputsTap) else None,
            sample_every=SAMPLE_EVERY,
        )

    def feed(self, events: EventBuffer) -> None:
        """Pump events through; called again from inside (by an outlet) it queues them behind.

        Whatever an outlet or the engine raises passes through, after a manual halt: what was decided may
        not have left, so nothing more is decided until somebody has looked.
        """
        self.path.feed(events)
