"""The pump: Event -> engine -> Commands -> gateway, and everything that passes to telemetry.

Owns the order of things on one call stack: events go in, orders leave through the gateway before telemetry
sees them, the inputs log gets its copy after both, and events that arise meanwhile (a local refusal) wait
their turn.  The same pump runs live and in the virtual-time harness.  Must not decide, wait or do I/O.
Called by feeds, the gateway and the daemon's timers through `feed`.
"""

from collections.abc import Callable
from typing import Protocol

from polybot._fast.engine import Engine
from polybot._fast.event import CommandBuffer, CommandKind, EventBuffer, EventKind, OperatorCode
from polybot.clock import Clock
from polybot.replay.calls import InputsSink
from polybot.telemetry.inbox import TelemetryInbox

__all__ = ["CommandSink", "MoneyLog", "Runner"]

# Commands that leave the engine for the wire, and those meant for a market's feed.
GATEWAY_ACTION = 1
FEED_ACTION = 2
# One of so many messages is timed for the latency table (a clock read is dearer than a decision).
SAMPLE_EVERY = 64
_SPOT_KINDS = frozenset((int(EventKind.EV_SPOT_TRADE), int(EventKind.EV_SPOT_QUOTE)))
_BOOK_KINDS = frozenset(
    (
        int(EventKind.EV_BOOK_SNAPSHOT),
        int(EventKind.EV_BOOK_DELTA),
        int(EventKind.EV_PUBLIC_QUOTE),
        int(EventKind.EV_PUBLIC_TRADE),
    )
)


class CommandSink(Protocol):
    """Whoever carries out commands of one kind."""

    def __call__(self, commands: CommandBuffer) -> None:
        """Act on the commands that are this sink's; leave the others."""
        ...


class MoneyLog(Protocol):
    """Where events that move money or truth are written before the engine sees them."""

    def events(self, buffer: EventBuffer) -> None:
        """Record those of the buffer that do; never raises for a disk."""
        ...


class Runner:
    """One engine with its outlets."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        inbox: TelemetryInbox,
        gateway: CommandSink,
        on_feed_command: Callable[[int, int], None],
        journal: MoneyLog | None = None,
        inputs: InputsSink | None = None,
    ) -> None:
        """`on_feed_command(kind, market)` gets CMD_REFETCH_TICK and CMD_RESYNC_BOOK."""
        self._engine = engine
        self._clock = clock
        self._inbox = inbox
        self._gateway = gateway
        self._on_feed_command = on_feed_command
        self._journal = journal
        self._inputs = inputs
        self._waiting = EventBuffer()
        self._spare = EventBuffer()
        self._busy = False
        self._messages = 0

    def feed(self, events: EventBuffer) -> None:
        """Pump events through; called again from inside (by an outlet) it queues them behind.

        Whatever an outlet or the engine raises passes through, after a manual halt: what was decided may
        not have left, so nothing more is decided until somebody has looked.
        """
        if self._busy:
            self._waiting.extend_from(events)
            return
        self._busy = True
        try:
            self._step(events)
            while len(self._waiting):
                self._waiting, self._spare = self._spare, self._waiting
                self._step(self._spare)
                self._spare.reset()
        except Exception:
            self._halt()
            raise
        finally:
            self._spare.reset()
            self._busy = False

    def _halt(self) -> None:
        self._spare.reset()
        self._spare.add(EventKind.EV_OPERATOR, recv_ns=self._clock.now_ns(), i=OperatorCode.OP_HALT)
        if self._journal is not None:
            self._journal.events(self._spare)
        commands = self._engine.process(self._spare)
        if self._inputs is not None:
            self._inputs.step(self._spare, commands)

    def _step(self, events: EventBuffer) -> None:
        self._messages += 1
        timed = self._messages % SAMPLE_EVERY == 0
        decoded = self._clock.mono_ns()
        if self._journal is not None:
            self._journal.events(events)
        commands = self._process(events)
        if len(commands) or timed:
            decided = self._clock.mono_ns()
            try:
                self._hand_out(commands, events, decoded, decided)
                if timed:
                    self._note_sample(events, decoded, decided)
            finally:
                if self._inputs is not None:
                    self._inputs.step(events, commands)
        elif self._inputs is not None:
            self._inputs.step(events, commands)

    def _process(self, events: EventBuffer) -> CommandBuffer:
        try:
            return self._engine.process(events)
        except Exception:
            if self._inputs is not None:
                self._inputs.raised(events)
            raise

    def _hand_out(self, commands: CommandBuffer, events: EventBuffer, decoded: int, decided: int) -> None:
        """To the gateway first, then to feeds and telemetry."""
        actions = commands.actions()
        if actions & GATEWAY_ACTION:
            self._gateway(commands)
            self._note_decisions(commands, events, decoded, decided)
        if actions & FEED_ACTION:
            self._tell_feeds(commands)
        self._inbox.commands(commands, decided - decoded)

    def _receipt_ns(self, events: EventBuffer, mono_ns: int) -> tuple[int, int]:
        """(venue receive time of the first event, the raw monotonic time it stands for)."""
        recv_ns = events.recv_ns_at(0)
        behind = self._clock.real_s((self._clock.now_ns() - recv_ns) / 1e9)
        return recv_ns, mono_ns - max(0, int(behind * 1e9))

    def _note_decisions(
        self, commands: CommandBuffer, events: EventBuffer, decoded: int, decided: int
    ) -> None:
        recv_ns, receipt = self._receipt_ns(events, self._clock.mono_ns())
        venue_ns = events.venue_ns_at(0)
        for row in commands.to_numpy():
            if row["kind"] == CommandKind.CMD_PLACE:
                self._inbox.decision(
                    int(row["order_seq"]),
                    ts_ns=recv_ns,
                    wire_ns=recv_ns - venue_ns if venue_ns else None,
                    stamps=(min(receipt, decoded), decoded, decided),
                )

    def _note_sample(self, events: EventBuffer, decoded: int, decided: int) -> None:
        if not len(events):
            return
        kind = events.kind_at(0)
        source = "binance" if kind in _SPOT_KINDS else "pm" if kind in _BOOK_KINDS else ""
        if not source:
            return
        recv_ns, receipt = self._receipt_ns(events, self._clock.mono_ns())
        venue_ns = events.venue_ns_at(0)
        self._inbox.sample(
            source,
            ts_ns=recv_ns,
            wire_ns=recv_ns - venue_ns if venue_ns else None,
            decode_ns=max(0, decoded - receipt),
            decide_ns=decided - decoded,
            market=events.market_at(0),
        )

    def _tell_feeds(self, commands: CommandBuffer) -> None:
        for row in commands.to_numpy():
            if row["kind"] in (CommandKind.CMD_REFETCH_TICK, CommandKind.CMD_RESYNC_BOOK):
                self._on_feed_command(int(row["kind"]), int(row["market"]))
