"""From an event that makes an order to its bytes in a real socket: engine, runner, journal, gateway, client.

Owns the wiring, as in the daemon, and one order at a time; the venue is bench/loopback_venue.py.  Every order is
killed by the venue, so the next one is like it.  Must not judge: the caller's gate does.
"""

import asyncio
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from scenario import NS, Scenario, make_risk, make_spec

from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.convexity_fade import ConvexityFade
from polybot._fast.cross_timeframe import CrossTimeframe
from polybot._fast.event import EventBuffer
from polybot._fast.latency_arb import LatencyArb
from polybot._fast.lp_extreme import LpExtreme
from polybot._fast.strike_misalign import StrikeMisalign
from polybot.clock import wall_clock
from polybot.config import GatewayConfig, VenueConfig
from polybot.gateway.clob import ClobGateway
from polybot.gateway.http import LaneClient, _Lane
from polybot.gateway.signer import Signer
from polybot.gateway.wire import Wire
from polybot.journal.journal import Journal
from polybot.journal.writer import JournalSettings
from polybot.recording import Recorder
from polybot.runner import Runner
from polybot.telemetry.inbox import TelemetryInbox

__all__ = ["KEY", "Cost", "SendDesk"]

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # public test key
WINDOW_S = 4 * 3600
WARM_S = 20.0  # the window's age when the first order is made
PATIENCE_S = 60.0
TRIES = 10
# Room for everything a bench writes: no segment is extended in the middle of a measurement.
ROOMY = JournalSettings(preallocate_bytes=256 << 20)


class Cost(NamedTuple):
    """ns of one order: wall and this thread's CPU up to its bytes in the socket, and CPU until its answer is booked."""

    wall_ns: int
    cpu_ns: int
    whole_cpu_ns: int


class SendDesk:
    """One trader's way out; a context is not needed, but `close` is."""

    def __init__(self, url: str, state_dir: Path) -> None:
        self._url = f"{url}/time"
        self.loop = uvloop.new_event_loop()
        self.clock = wall_clock()
        self.scenario = _market(self.clock.now_ns())
        self.http = LaneClient(GatewayConfig())
        self.inbox = TelemetryInbox()
        self.journal = Journal.open(
            state_dir,
            self.clock,
            account="0x" + "a1" * 20,
            venue_session="bench",
            config_digest="bench",
            software="0",
            settings=ROOMY,
        )
        self.journal.market_open(0, self.scenario.spec, order_seq_base=1_000)
        recorder = Recorder(self.journal, self.scenario.engine, on_problem=_fail)
        self._tasks: set[asyncio.Task[None]] = set()
        self.gateway = ClobGateway(
            self.http,
            self.clock,
            signer=Signer(KEY, VenueConfig()),
            venue=VenueConfig(clob_url=url, geoblock_url=f"{url}/geoblock"),
            # No order of a bench is refused for coming too fast.
            settings=GatewayConfig(place_per_s=1e6, place_burst=1_000_000),
            sink=self._sink,
            spawn=self._spawn,
            on_stage=self.inbox.on_stage,
            on_order_id=self.inbox.order_hash,
            on_reason=self.inbox.order_reason,
            intents=recorder,
        )
        self.runner = Runner(
            self.scenario.engine,
            clock=self.clock,
            inbox=self.inbox,
            gateway=self.gateway.execute,
            on_feed_command=lambda kind, market: None,
            journal=recorder,
        )
        self.written = 0
        self._written_ns = self._written_cpu_ns = 0
        self._event_ns = 0
        self._stamp_writes()
        self._price = 100_001.0
        self.loop.run_until_complete(self._start())

    def _stamp_writes(self) -> None:
        """Note after each order's write to the socket the time and the CPU used so far, as the peer does."""
        begin = _Lane.begin

        def stamped(lane: _Lane, wire: Wire, request: bytes) -> Any:
            waiter = begin(lane, wire, request)
            self._written_cpu_ns, self._written_ns = time.thread_time_ns(), time.perf_counter_ns()
            self.written += 1
            return waiter

        _Lane.begin = stamped  # type: ignore[method-assign]
        self._undo = lambda: setattr(_Lane, "begin", begin)

    async def _start(self) -> None:
        await self.gateway.start()
        self.gateway.register_market(0, self.scenario.spec)
        await self._warm()

    async def _warm(self) -> None:
        """See to it that an order finds a connection: the loop stands still while a peer is asked."""
        lane = self.http._lane("POST", self._url)
        async with asyncio.timeout(PATIENCE_S):
            while lane.free() is None:
                await self.http.warm(self._url, PATIENCE_S)

    def order(self, *, pause_s: float = 0.0) -> Cost:
        """One spot trade that makes latency_arb take: to the bytes in the socket, then to the end of the order."""
        time.sleep(pause_s)
        for _ in range(TRIES):
            cost = self._try()
            if cost is not None:
                return cost
        raise AssertionError(f"{TRIES} orders in a row did not leave on their call stack: {self.gateway.counters()}")

    def _try(self) -> Cost | None:
        """One order; None when it was refused or waited for a connection: this machine stood still for too long."""
        self.loop.run_until_complete(self._warm())
        self._price = 200_003.0 - self._price  # two prices in turn
        scenario, clock = self.scenario, self.clock
        # The engine takes 64 orders a second of the events' time: it runs ahead of the clock when orders come faster.
        now_ns = self._event_ns = max(clock.now_ns(), self._event_ns + NS // 32)
        scenario.trade((now_ns - scenario.spec.start_ns) / NS, self._price)
        before = self.written
        cost = self.loop.run_until_complete(self._order(before))
        scenario.events.reset()
        return cost

    async def _order(self, before: int) -> Cost | None:
        ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        self.runner.feed(self.scenario.events)
        has_left = self.written == before + 1
        async with asyncio.timeout(PATIENCE_S):
            while self.gateway.open_order_seqs():
                await asyncio.sleep(0)
        whole_cpu_ns = time.thread_time_ns() - cpu_ns
        if not has_left:
            return None
        return Cost(self._written_ns - ns, self._written_cpu_ns - cpu_ns, whole_cpu_ns)

    def close(self) -> None:
        """End loops, connections and journal."""
        self._undo()
        self.loop.run_until_complete(self._end())
        self.loop.close()
        self.journal.close()

    async def _end(self) -> None:
        await self.gateway.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.http.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _sink(self, events: EventBuffer) -> None:
        self.runner.feed(events)


def _fail(why: str) -> None:
    raise AssertionError(why)


def _market(now_ns: int) -> Scenario:
    """A market of four hours that is 20 s old now, all strategies on, where every spot trade makes an order."""
    start_ns = now_ns - round(WARM_S * NS)
    spec = make_spec(start_ns=start_ns, end_ns=start_ns + WINDOW_S * NS)
    strategies = [
        LatencyArb(require_move=False, edge_se_multiple=0.0),
        CertaintyCapture(),
        ConvexityFade(),
        StrikeMisalign(),
        LpExtreme(),
        CrossTimeframe(),
    ]
    age_ns = WINDOW_S * NS
    risk = make_risk(spot_max_age_ns=age_ns, stale_feed_ns=age_ns, oracle_max_age_ns=age_ns, orders_per_s=64.0)
    scenario = Scenario(strategies, risk=risk, spec=spec)
    risk.set_limits(0, per_trade_frac=0.02, total_frac=1.0, cooldown_ns=0, max_orders=1 << 30)
    scenario.warm(bid=3_900, ask=4_000)
    return scenario
