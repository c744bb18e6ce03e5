"""Is the venue answering?  One state for all calls, so that a venue that is down is asked once a second, no more.

Owns the state and its ends, what Retry-After asks of each lane, and the budget of calls while the venue is down:

    UP   --425 (engine restart), 503-->                   DOWN   at once
    UP   --FAILURES in a row: no answer, another 5xx-->   DOWN
    DOWN --a probe is answered-->                         UP     `on_up` wakes whoever waits for the venue
While DOWN reads fail at once (nobody needs to wait for them), cancels and heartbeats share one token per second
with the probe, and new orders are blocked by the gateway (`on_down`).  A 429 holds back its own lane until
Retry-After has passed, a 503 the lane of cancels for a second; cancels never wait for the lane of places.  What a
place is answered is the gateway's to read: only a 425 says something of the venue, other modes refuse places alone.
Must not know what a call is for.  Called by gateway.rest before and after every call.
"""

from collections.abc import Callable
from random import Random

from polybot.clock import Clock
from polybot.errors import VenueUnavailable
from polybot.gateway.limiter import TokenBucket
from polybot.gateway.responses import DEFAULT_PAUSE_S, retry_after_s
from polybot.transport import HttpResponse

__all__ = ["BEAT", "CANCEL", "PLACE", "PROBE_S", "READ", "Outage"]

NS = 1_000_000_000
FAILURES = 2  # in a row; one may be an accident of the network
PROBE_S = 1.0  # venue seconds between two calls while the venue is down
RESTARTING, TOO_MANY, DISABLED = 425, 429, 503
NOTHING = "no answer"
READ, CANCEL, BEAT, PLACE = "read", "cancel", "beat", "place"  # lanes


class Outage:
    """The state of one venue; `on_down(why)` is called when it begins, `on_up()` when it ends."""

    def __init__(
        self,
        clock: Clock,
        *,
        rng: Random,
        on_down: Callable[[str], None],
        on_up: Callable[[], None],
        on_limited: Callable[[float], None],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._on_down = on_down
        self._on_up = on_up
        self._on_limited = on_limited
        self._failures = 0
        self._trickle = TokenBucket(1.0 / PROBE_S, 1)
        self._held_ns: dict[str, int] = {}  # lane -> nothing before this venue time
        self.is_down = False
        self.why = ""
        self.counters = {"outages": 0, "probes": 0, "limited": 0, "not_asked": 0}

    async def admit(self, lane: str, *, is_probe: bool = False) -> None:
        """Wait until this call may leave; raises VenueUnavailable when it should not be made now."""
        clock = self._clock
        while (wait_ns := self._held_ns.get(lane, 0) - clock.now_ns()) > 0:
            if lane == READ and not is_probe:
                self._refuse("the venue asked for fewer calls")
            await clock.sleep(wait_ns / NS)
        if not self.is_down:
            return
        if lane == READ and not is_probe:
            self._refuse(self.why)
        self.counters["probes"] += 1
        while (wait_ns := self._trickle.take_or_wait(clock.now_ns())) and self.is_down:
            await clock.sleep(wait_ns / NS)

    def _refuse(self, why: str) -> None:
        self.counters["not_asked"] += 1
        raise VenueUnavailable(f"not asked: {why}")

    def on_answer(self, lane: str, response: HttpResponse) -> None:
        """An answer came: the venue is up, unless the answer says otherwise."""
        status, is_place = response.status, lane == PLACE
        if status == TOO_MANY:
            if not is_place:
                self._hold(lane, response)
        elif status == DISABLED and lane == CANCEL:
            self._held_ns[lane] = self._clock.now_ns() + round(PROBE_S * NS)  # reads may well be answered
        elif status == RESTARTING or (status == DISABLED and not is_place):
            self._fall(f"HTTP {status}")
        elif status >= 500:
            if not is_place:
                self._fail(f"HTTP {status}")
        elif not is_place:
            self._failures = 0
            if self.is_down:
                self._rise()

    def on_no_answer(self) -> None:
        """A call was not answered."""
        self._fail(NOTHING)

    def _fail(self, why: str) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._fall(why)

    def _fall(self, why: str) -> None:
        self.why = f"venue is down: {why}"
        if not self.is_down:
            self.is_down = True
            self.counters["outages"] += 1
            self._on_down(self.why)

    def _rise(self) -> None:
        self.is_down = False
        self.why = ""
        self._on_up()

    def _hold(self, lane: str, response: HttpResponse) -> None:
        """429: nothing in this lane before the time the venue named, a little scattered."""
        self.counters["limited"] += 1
        asked_s = retry_after_s(response, DEFAULT_PAUSE_S)
        wait_s = asked_s + self._rng.uniform(0.0, min(1.0, asked_s))
        until_ns = self._clock.now_ns() + round(wait_s * NS)
        self._held_ns[lane] = max(until_ns, self._held_ns.get(lane, 0))
        self._on_limited(wait_s)
