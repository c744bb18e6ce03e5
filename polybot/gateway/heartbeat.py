"""The venue's dead-man switch: while orders rest, a beat every few seconds, or it cancels them all.

Owns the heartbeat id, the last acknowledged beat and the loop.  The first beat arms the switch; 10 s (+ 5 s sweep)
without one cancels every order of this API key; a 400 that names another id is adopted.

    HELD --a beat not acknowledged, or the last acknowledgement too old--> LOST   no new order
    LOST --a fresh acknowledgement, then a complete comparison that leaves no order in doubt--> HELD
Late beats count as lost too: the venue may have cancelled everything meanwhile.
Called by gateway.clob, which blocks entries while the switch is lost.
"""

from collections.abc import Awaitable, Callable

import orjson

from polybot.clock import Clock
from polybot.errors import VenueUnavailable
from polybot.gateway.outage import PROBE_S
from polybot.gateway.rest import ClobRest

__all__ = ["Heartbeat"]

NS = 1_000_000_000
# The venue cancels after 10 s; by then a beat must have been acknowledged, with half a second to spare.
EXPIRY_S = 9.5
MIN_TIMEOUT_S = 0.25  # wall: a fast venue must not make an answer of the loopback late


class Heartbeat:
    """Beats of one account; `is_compared` makes one comparison and tells whether nothing is in doubt."""

    def __init__(
        self,
        rest: ClobRest,
        clock: Clock,
        *,
        period_s: float,
        on_lost: Callable[[str], None],
        on_held: Callable[[], None],
        is_compared: Callable[[], Awaitable[bool]],
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._period_s = period_s
        self._on_lost = on_lost
        self._on_held = on_held
        self._is_compared = is_compared
        self._heartbeat_id = ""
        self._acked_ns = 0  # of this spell of resting orders; 0: not yet
        self.missed = 0  # in a row
        self.lost = False

    async def run(self, may_rest: Callable[[], bool]) -> None:
        """Hold the switch while something may rest, and until a loss is made good."""
        self._acked_ns = 0
        due_ns = self._clock.now_ns()
        while may_rest() or self.lost:
            if await self.beat() and self.lost and await self._is_compared():
                self.lost = False
                self._on_held()
            due_ns += round((PROBE_S if self.lost else self._period_s) * NS)
            now_ns = self._clock.now_ns()
            if due_ns <= now_ns:  # too late for this one: not two in a row to catch up
                due_ns = now_ns + round(PROBE_S * NS)
            await self._clock.sleep((due_ns - now_ns) / NS)

    async def beat(self) -> bool:
        """Send one beat, and one more when the venue corrects the id; True when acknowledged."""
        sent_ns = self._clock.now_ns()
        held, corrected = await self._send()
        if corrected:
            held, _ = await self._send()
        self.missed = 0 if held else self.missed + 1
        if not held:
            self._lose(f"{self.missed} beats missed")
        elif self._acked_ns and sent_ns - self._acked_ns > EXPIRY_S * NS:
            self._lose(f"{(sent_ns - self._acked_ns) / NS:.1f} s without a beat")
        if held:
            self._acked_ns = sent_ns
        return held

    def is_overdue(self, now_ns: int) -> bool:
        """True when a beat should have been acknowledged by now, whatever the loop is doing."""
        return bool(self._acked_ns) and now_ns - self._acked_ns > EXPIRY_S * NS

    def rest(self) -> None:
        """Nothing rests any more: no acknowledgement is waited for."""
        self._acked_ns = 0

    def _lose(self, why: str) -> None:
        self.lost = True
        self._on_lost(why)

    async def _send(self) -> tuple[bool, bool]:
        limit_s = max(MIN_TIMEOUT_S, self._clock.real_s(self._period_s / 2))
        try:
            response = await self._rest.beat({"heartbeat_id": self._heartbeat_id}, limit_s)
        except VenueUnavailable:
            return False, False
        told = _read_id(response.body)
        if not told or response.status not in (200, 400):
            return False, False
        corrected = response.status == 400 and told != self._heartbeat_id
        self._heartbeat_id = told
        return response.status == 200, corrected


def _read_id(raw: bytes) -> str:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ""
    told = body.get("heartbeat_id") if isinstance(body, dict) else None
    return told if isinstance(told, str) else ""
