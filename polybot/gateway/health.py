"""May an order leave now?  Everything that speaks against it, and the loops that find out when it is over.

Owns the pauses and blocks, the state of the venue with its probe, the dead-man switch, the pulse of this process and
the warm connections.  What nobody tells (a hang, an overdue beat) is noticed at the moment somebody asks.
Must not know orders or markets.  Called by gateway.clob.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

from polybot.clock import Clock
from polybot.config import GatewayConfig, VenueConfig
from polybot.errors import VenueUnavailable
from polybot.gateway.admission import watch
from polybot.gateway.heartbeat import Heartbeat
from polybot.gateway.outage import Outage
from polybot.gateway.pause import EntryPause
from polybot.gateway.pulse import Pulse
from polybot.gateway.reasons import RejectReason
from polybot.gateway.resolver import Spawn
from polybot.gateway.rest import ClobRest
from polybot.transport import HttpClient

__all__ = ["Health"]

# Wall seconds between two questions on every kept connection; servers close idle ones after a minute or so.
WARM_S = 20.0


class Health:
    """What one gateway knows of the venue, the network and itself; makes the `rest` everybody uses."""

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        *,
        venue: VenueConfig,
        settings: GatewayConfig,
        nonce: bytes,
        spawn: Spawn,
        is_compared: Callable[[], Awaitable[bool]],
        on_up: Callable[[], None],
    ) -> None:
        """`is_compared` makes one comparison: True when nothing that rests is in doubt; `on_up`: it answers again."""
        self._clock = clock
        self._venue = venue
        self._settings = settings
        self._spawn = spawn
        self._on_up = on_up
        self.pause = EntryPause(Random(nonce + b"pause"))
        self.outage = Outage(
            clock,
            rng=Random(nonce + b"outage"),
            on_down=self._on_venue_down,
            on_up=self._on_venue_up,
            on_limited=self._on_venue_limit,
        )
        self.rest = ClobRest(http, clock, venue=venue, gateway=settings, outage=self.outage)
        self._pulse = Pulse(clock)
        self._heartbeat = Heartbeat(
            self.rest,
            clock,
            period_s=settings.heartbeat_s,
            on_lost=lambda why: self.pause.block(RejectReason.HEARTBEAT_LOST, why),
            on_held=lambda: self.pause.lift(RejectReason.HEARTBEAT_LOST),
            is_compared=is_compared,
        )
        self._loops: dict[str, asyncio.Task[Any]] = {}
        self._beating = self._probing = False
        self.started = False
        self.counters = {"failed_probes": 0}

    def start(self) -> None:
        """Logged in and admitted: watch clock, place and account, keep connections warm."""
        self.started = True
        self._run_loop("warm", self._keep_warm)
        self._run_loop(
            "admission",
            lambda: watch(
                self.rest, self._clock, venue=self._venue, settings=self._settings, pause=self.pause
            ),
        )

    def stop(self) -> None:
        """End the loops; nothing may leave any more."""
        self.started = False
        for task in tuple(self._loops.values()):
            task.cancel()

    def doubt(self) -> RejectReason:
        """What speaks against orders at this moment without anybody having told, NONE for nothing."""
        if not self.started:
            return RejectReason.NOT_STARTED
        if self._pulse.is_late():
            return RejectReason.HUNG
        if self._heartbeat.is_overdue(self._clock.now_ns()):
            return RejectReason.HEARTBEAT_LOST
        return RejectReason.NONE

    # -- hangs

    def on_beat(self) -> None:
        """The daemon's timer beat; one that comes far too late blocks entries until a comparison succeeded."""
        if self._pulse.beat():
            self.pause.block(RejectReason.HUNG, "the process stood still; comparing with the venue first")

    @property
    def hangs(self) -> int:
        """Hangs so far: a comparison is worth something only when there was none meanwhile."""
        return self._pulse.hangs

    def compared(self, hangs_before: int) -> None:
        """A comparison that began at so many hangs is complete."""
        if hangs_before == self._pulse.hangs and not self._pulse.is_late():
            self.pause.lift(RejectReason.HUNG)

    # -- the dead-man switch

    def hold_switch(self, may_rest: Callable[[], bool]) -> None:
        """Beat while something may rest."""
        if not self._beating:
            self._beating = True
            self._run_loop("heartbeat", lambda: self._beat(may_rest))

    async def _beat(self, may_rest: Callable[[], bool]) -> None:
        try:
            await self._heartbeat.run(may_rest)
        finally:
            self._heartbeat.rest()
            self._beating = False

    # -- the venue

    def _on_venue_down(self, why: str) -> None:
        self.pause.block(RejectReason.VENUE_DOWN, why)
        if not self._probing and self.started:
            self._probing = True
            self._run_loop("probe", self._probe)

    def _on_venue_up(self) -> None:
        self.pause.lift(RejectReason.VENUE_DOWN)
        self._on_up()

    def _on_venue_limit(self, seconds: float) -> None:
        self.pause.pause(RejectReason.RATE_LIMIT, seconds, now_ns=self._clock.now_ns())

    async def _probe(self) -> None:
        """Ask once a second, until the venue answers again."""
        try:
            while self.outage.is_down:
                try:
                    await self.rest.probe()
                except VenueUnavailable:
                    self.counters["failed_probes"] += 1
        finally:
            self._probing = False

    async def _keep_warm(self) -> None:
        """Open connections ahead of the first order, and keep them open."""
        while True:
            if not self.outage.is_down:
                await self.rest.warm()
            await self._clock.sleep(WARM_S / self._clock.real_s(1.0))

    def _run_loop(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Spawn lasting work that stop() ends."""

        async def run() -> None:
            task = asyncio.current_task()
            assert task is not None
            self._loops[name] = task
            try:
                await work()
            finally:
                self._loops.pop(name, None)

        self._spawn(run())
