"""The market cycle: feeds, gateway and engine wired together, window after window.

Owns everything that lives as long as the account trades: one engine with its runner, the persistent feeds,
the gateway, and a task per window (polybot.cycle).  Gets its sockets as `Wires`, so the very same object runs
on the network and in the virtual-time harness.  Must not know hydra, processes or signals.
Called by polybot.daemon and polybot.harness.

Whether new orders may leave is polybot.entries' to say; here it is only asked on every beat.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from polybot import crashpoints, recovering
from polybot._fast.event import CommandKind, EventBuffer, EventKind, OperatorCode
from polybot._fast.path import MarketPath
from polybot._fast.risk import Denial
from polybot._fast.sink import EventSink
from polybot.assembly import build_engine
from polybot.clock import Clock
from polybot.config import Config, observed_intervals
from polybot.cycle import WindowCycle
from polybot.entries import EntryGate
from polybot.errors import InvariantBroken, VenueError
from polybot.feeds.binance import SpotFeed
from polybot.feeds.oracle import OracleFeed, PolyBoltFeed
from polybot.feeds.tally import FeedTally
from polybot.feeds.user import UserFeed
from polybot.following import is_contradiction
from polybot.gateway.auth import Login
from polybot.gateway.clob import ClobGateway
from polybot.gateway.protocol import GatewayHooks, OrderGateway
from polybot.gateway.signer import Signer
from polybot.journal.journal import Journal
from polybot.journal.losses import JournalStore
from polybot.journal.recovery import RecoveredMarket
from polybot.latches import LossKeeper
from polybot.market.discovery import Discovery
from polybot.market.resolution import OutcomePoller
from polybot.market.window import Window, window_at
from polybot.observer import ObservedWindow, Observer
from polybot.recording import Recorder
from polybot.replay.calls import EngineDoor
from polybot.replay.recorder import InputsRecorder
from polybot.runner import Runner
from polybot.telemetry.console import Console
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.recent import RecentEvents
from polybot.telemetry.writer import TelemetryWriter
from polybot.telling import Teller
from polybot.transport import Feed, HttpClient

__all__ = ["RunSummary", "Trader", "Wires"]

NS = 1_000_000_000
# Market indices are given in turn and come round again after months (records hold 16 bits).
MAX_INDEX = 65_000
Drive = Callable[[Feed, float], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Wires:
    """How this run reaches the outside: `drive(feed, rollover_s)` keeps a feed connected until cancelled.

    `login` is how the account logs in.
    """

    http: HttpClient
    drive: Drive
    login: Login | None = None


@dataclass(slots=True)
class RunSummary:
    """What a run came to; money in micro-USD."""

    windows: int = 0
    settled: int = 0
    refused: int = 0
    pnl_usd: dict[str, int] = field(default_factory=dict)  # by slug
    orders_may_be_open: bool = False


class Trader:
    """One account trading one asset and interval."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        wires: Wires,
        *,
        signer: Signer | None,
        inbox: TelemetryInbox,
        session_nonce: bytes = b"",
        journal: Journal | None = None,
        make_gateway: Callable[[GatewayHooks], OrderGateway] | None = None,
        inputs: InputsRecorder | None = None,
    ) -> None:
        """Take up what the journal recovered; without one everything ends with the process.

        Everything that changes the engine is written to `inputs`.

        `make_gateway` makes another gateway than the venue's, which alone needs a signer.
        """
        self.config = config
        self.clock = clock
        self.wires = wires
        self.inbox = inbox
        self.summary = RunSummary()
        self.engine = build_engine(config)
        self._inputs = inputs
        self.door = EngineDoor(self.engine, clock, inputs)
        store = None if journal is None else JournalStore(journal)
        self.losses = LossKeeper(
            self.engine.risk, store, notice=self.notice, put_back=self.door.restore_losses
        )
        self.recorder = Recorder(journal, self.engine, on_problem=self._on_journal_problem)
        self.discovery = Discovery(wires.http, clock, config.venue)
        self.outcomes = OutcomePoller(wires.http, clock, config.venue, config.engine)
        self.gateway: OrderGateway = (
            self._venue_gateway(signer, session_nonce) if make_gateway is None else make_gateway(self._hooks())
        )
        self.entries = EntryGate(
            self.gateway,
            clock,
            close_entries=self._close_entries,
            problem=lambda: self.recorder.problem or self.losses.problem,
            notice=self.notice,
            spawn=self.spawn,
            reconcile_s=config.gateway.reconcile_s,
        )
        self._runner = Runner(
            self.engine,
            clock=clock,
            inbox=inbox,
            gateway=self.gateway.execute,
            on_feed_command=self._on_feed_command,
            journal=self.recorder if self.recorder.is_recording else None,
            inputs=inputs,
        )
        self.tally = FeedTally()
        lost_after_s = config.service.data_age_s / clock.real_s(1.0)
        self._teller = Teller(self.engine, inbox, self.tally, notice=self.notice, lost_after_s=lost_after_s)
        self._make_feeds()
        self._cycles: dict[int, WindowCycle | ObservedWindow] = {}
        self.observer = Observer(self, observed_intervals(config))
        self._next_index = 0
        self._group: asyncio.TaskGroup | None = None
        self._spawned: dict[asyncio.Task[None], None] = {}  # a dict keeps their order
        self._stopping = asyncio.Event()
        self.on_beat: Callable[[], None] | None = None  # the operator's look at every heartbeat
        self._scratch = EventBuffer(8)
        self._recovered: list[RecoveredMarket] = []
        if journal is not None:
            self._recover(journal)

    def _hooks(self) -> GatewayHooks:
        return GatewayHooks(
            http=self.wires.http,
            clock=self.clock,
            sink=self.feed_events,
            spawn=self.spawn,
            notice=self.notice,
            on_stage=self.inbox.on_stage,
            on_order_id=self.inbox.order_hash,
            on_reason=self.inbox.order_reason,
            intents=self.recorder if self.recorder.is_recording else None,
        )

    def _venue_gateway(self, signer: Signer | None, session_nonce: bytes) -> ClobGateway:
        """Make the gateway that sends orders to the venue."""
        assert signer is not None, "orders at a venue need a signer"
        hooks = self._hooks()
        return ClobGateway(
            hooks.http,
            hooks.clock,
            signer=signer,
            venue=self.config.venue,
            settings=self.config.gateway,
            sink=hooks.sink,
            spawn=hooks.spawn,
            on_stage=hooks.on_stage,
            on_order_id=hooks.on_order_id,
            on_reason=hooks.on_reason,
            session_nonce=session_nonce,
            login=self.wires.login,
            intents=hooks.intents,
        )

    def _recover(self, journal: Journal) -> None:
        """Take up where the last process ended; the venue is asked later."""
        state = journal.recovered
        self._recovered = recovering.restore(self, state)
        self._next_index = state.next_index % MAX_INDEX
        if journal.finding is not None:
            level = "INFO" if journal.finding.damage.is_torn else "ERROR"
            self.notice(level, f"the journal was cut where it made no sense: {journal.finding.text()}")
        if state.session is not None:
            self.notice("INFO" if state.is_clean else "WARNING", recovering.restored_words(state))
        self.losses.restore(resume=self.config.run.resume)
        recovering.check_sound(self, state)

    def _make_feeds(self) -> None:
        config = self.config
        self.spot_feed = SpotFeed(
            config.venue.spot_ws_urls, config.asset.spot_symbol, config.feeds, sink=self._runner.path
        )
        self.oracle_feed = OracleFeed(
            config.venue.rtds_url,
            config.asset.oracle_symbol,
            config.feeds,
            sink=self._runner.path,
            on_tick=self._on_oracle_tick,
        )
        self.polybolt_feed = PolyBoltFeed(
            config.venue.polybolt_url,
            config.asset.polybolt_symbol,
            config.feeds,
            auth=self.gateway.user_channel_auth,
            sink=self._runner.path,
            on_tick=self._on_oracle_tick,
        )
        self._user_feed = UserFeed(
            config.venue.user_ws_url,
            config.feeds,
            auth=self.gateway.user_channel_auth,
            sink=self._on_user_state,
            on_user_event=self.gateway.on_user_event,
            on_connected=self.entries.on_user_connected,
        )
        for feed in (self.spot_feed, self.oracle_feed, self.polybolt_feed, self._user_feed):
            self.tally.add(feed.name, feed.counters)

    # -- the pump ---------------------------------------------------------------------------------------------

    def feed_events(self, events: EventBuffer) -> None:
        """Everything that becomes an event goes this way; feeds go it from C (`event_sink`, `market_sink`)."""
        self._runner.feed(events)

    @property
    def event_sink(self) -> EventSink:
        """The same way as C sees it."""
        return self._runner.path

    def market_sink(self, index: int) -> EventSink:
        """Make the sink of a market's book feed: the gateway looks first, a new tick size also binds its orders."""
        is_venue = isinstance(self.gateway, ClobGateway)  # the venue matches by itself
        return MarketPath(
            self._runner.path,
            self.engine,
            index,
            before=None if is_venue else self.gateway.on_market_events,
            on_tick_size=self.gateway.set_tick_size,
        )

    def tell(self, kind: int, **fields: Any) -> None:
        """Make one event of our own (market, strike, outcome, operator) and feed it, stamped now."""
        events = EventBuffer(1)
        events.add(kind, recv_ns=self.clock.now_ns(), **fields)
        self._runner.feed(events)

    def _on_oracle_tick(
        self, kind: int, value: float, venue_ns: int, recv_ns: int, *, window_s: int, sequenced: bool
    ) -> None:
        for cycle in self._cycles.values():
            cycle.on_oracle_tick(kind, value, venue_ns, recv_ns, window_s=window_s, sequenced=sequenced)

    def _on_feed_command(self, kind: int, market: int) -> None:
        cycle = self._cycles.get(market)
        if cycle is None or cycle.feed is None:
            return
        if kind == CommandKind.CMD_REFETCH_TICK:
            cycle.feed.request_tick_refetch(market)
        else:
            cycle.feed.request_resync(market)

    def build_writer(
        self,
        console: Console,
        scrub: Callable[[str], str],
        *,
        on_error: Callable[[Exception], None] | None,
        recent: RecentEvents | None = None,
    ) -> TelemetryWriter:
        """Make the writer of this run's telemetry, with the engine's own names; on_error None lets it raise."""
        strategies = self.engine.strategies
        return TelemetryWriter(
            self.config.telemetry,
            [strategy.name for strategy in strategies],
            self.clock,
            source=self.inbox,
            console=console,
            gates={strategy.name: strategy.gate_names for strategy in strategies},
            denials=[denial.name for denial in Denial],
            scrub=scrub,
            on_error=on_error,
            recent=recent,
        )

    # -- life -------------------------------------------------------------------------------------------------

    async def run(self) -> RunSummary:
        """Trade until the configured number of windows has settled or stop() was called.

        Raises VenueError when the venue refuses this account or place, InvariantBroken when our own state
        contradicts itself; what rests is cancelled before, as far as the venue answers.
        """
        try:
            await self._run()
        except Exception:  # the guard of the whole run: no order may outlive the daemon unsaid
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await self._wind_down()
                finally:
                    self._keep_losses()
                    self._end_spawned()
            self.tell_counts()
            raise
        self.tell_counts()  # no task is left that could bring another event
        return self.summary

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            lasting: list[asyncio.Task[None]] = []
            try:
                await self._start(lasting)
                windows = group.create_task(self._run_windows())
                stopped = group.create_task(self._wait_stopped())
                await asyncio.wait((windows, stopped), return_when=asyncio.FIRST_COMPLETED)
                windows.cancel()
                stopped.cancel()
                await self._wind_down()
            finally:
                for task in lasting:
                    task.cancel()
                await self.gateway.close()
                self._keep_losses()
                self._end_spawned()
                for line in self.tally.lines() if lasting else ():
                    self.notice("INFO", line)

    def _keep_losses(self) -> None:
        """The last save of this run; a disk that fails is said."""
        if not self.losses.flush():
            self.notice("ERROR", f"RESULTS AND HALTS NOT SAVED: {self.losses.problem}")

    def _end_spawned(self) -> None:
        """Nobody waits for the gateway's tasks any more: what they had not found out is said to be open."""
        for task in tuple(self._spawned):
            task.cancel()

    def stop(self) -> None:
        """Ask for an orderly end: no new orders, cancel what rests, then return from run()."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """True once stop() was called."""
        return self._stopping.is_set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work of the gateway in the daemon's task group; a failure halts entries instead of ending the daemon."""
        assert self._group is not None
        task = self._group.create_task(self._guarded(work))
        self._spawned[task] = None
        task.add_done_callback(lambda done: self._spawned.pop(done, None))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except InvariantBroken:
            raise
        except Exception as error:  # the guard of a gateway task: fail closed, tell, go on
            text = f"gateway task failed, entries halted: {type(error).__name__}: {error}"
            self.notice("ERROR", text)
            self.losses.explain(text, "polybot")
            self.tell(EventKind.EV_OPERATOR, i=OperatorCode.OP_HALT)

    async def _start(self, lasting: list[asyncio.Task[None]]) -> None:
        assert self._group is not None
        create = self._group.create_task
        crashpoints.reach("mid_start")
        await self.gateway.start()
        self.gateway.resume()
        await self._warm_up()
        rollover_s = self.config.feeds.spot_rollover_h * 3600.0
        lasting.append(create(self.wires.drive(self.spot_feed, rollover_s)))
        lasting.append(create(self.wires.drive(self.oracle_feed, 0.0)))
        if self.gateway.has_account:
            lasting.append(create(self.wires.drive(self.polybolt_feed, 0.0)))
            lasting.append(create(self.wires.drive(self._user_feed, 0.0)))
        else:
            self.entries.on_user_connected()  # nobody tells of our orders but the gateway itself
        lasting.append(create(self._beat()))
        lasting.append(create(self._tell_seconds()))
        lasting.append(create(self.entries.reconcile_regularly()))
        lasting.append(create(self.observer.run()))

    def _on_journal_problem(self, why: str) -> None:
        """Nothing may be sent that is not written: the gate closes, what rests is cancelled at once."""
        self.notice("ERROR", f"ORDERS STOPPED: {why}")
        if self._group is not None:
            self.spawn(self._cancel_everything())

    async def _cancel_everything(self) -> None:
        try:
            await self.gateway.cancel_all()
        except VenueError as error:  # the engine goes on asking for each of them
            self.notice("ERROR", f"ORDERS MAY BE OPEN: {error}")

    async def _warm_up(self) -> None:
        """Fill the estimators from the exchange's recent past; without it they warm up live."""
        assert self._group is not None
        venue = self.config.venue
        asked = self._group.create_task(
            self.spot_feed.warm_start(
                self.wires.http, venue.spot_rest_urls, self.clock.now_ns(), timeout_s=venue.request_timeout_s
            )
        )
        stopped = self._group.create_task(self._wait_stopped())
        await asyncio.wait((asked, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not asked.done():  # a stop does not wait for hosts that do not answer
            asked.cancel()
            return
        events = asked.result()
        if len(events):
            self.feed_events(events)
        else:
            self.notice("WARNING", "no warm start: the estimators warm up live")

    async def _wait_stopped(self) -> None:
        await self._stopping.wait()

    async def _wind_down(self) -> None:
        """No new orders; cancel what rests; wait for ends within the limit; say so when they are unknown."""
        self.losses.freeze_manual()
        self._stopping.set()  # from here on nothing resumes
        try:
            self.tell(EventKind.EV_OPERATOR, i=OperatorCode.OP_HALT)
            self._close_entries(True)  # also for the sales of a flatten
        except Exception as error:  # the guard of the stop: a broken pump must not keep what rests at the venue
            self.notice("ERROR", f"the engine could not be halted: {type(error).__name__}: {error}")
        if not self.gateway.open_order_seqs():
            crashpoints.reach("mid_stop")
            return
        limit_s = self.config.engine.stop_wait_s
        try:
            async with asyncio.timeout(limit_s):
                await self.gateway.cancel_all()
                crashpoints.reach("mid_stop")
                while self.gateway.open_order_seqs():
                    await self.clock.sleep(0.1)
        except (VenueError, TimeoutError) as error:
            self.summary.orders_may_be_open = True
            self.notice("ERROR", f"ORDERS MAY BE OPEN: {str(error) or 'no final word in time'}")

    # -- windows ----------------------------------------------------------------------------------------------

    async def _run_windows(self) -> None:
        """Start one task per window, each early enough to be discovered; wait until all are finished."""
        limit = self.config.run.markets
        window = self._first_window()
        async with asyncio.TaskGroup() as group:
            started = 0
            for recovered in self._recovered:
                spec = recovered.opened.spec
                started += self.clock.now_ns() < spec.end_ns
                known = window_at(spec.interval, spec.start_ns)
                group.create_task(self._run_window(WindowCycle(self, known, recovered)))
                if spec.interval == window.interval and spec.start_ns >= window.start_ns:
                    window = window_at(window.interval, spec.end_ns)  # joined before it began
            self.summary.windows = started
            while limit == 0 or started < limit:
                await self.sleep_until(self._discover_at_ns(window))
                started += 1
                self.summary.windows = started
                group.create_task(self._run_window(WindowCycle(self, window)))
                window = window_at(window.interval, window.end_ns)

    async def _run_window(self, cycle: WindowCycle) -> None:
        try:
            await cycle.run()
        except Exception as error:  # the guard of a window: it ends alone, unless we contradict ourselves
            if is_contradiction(error):
                raise
            self.notice("ERROR", f"a window broke and is not traded on: {type(error).__name__}: {error}")
            if cycle.index is not None:
                self.tell(EventKind.EV_MARKET_CLOSE, market=cycle.index)
                await self._settle_broken(cycle)
        finally:
            if cycle.index is not None:
                self.unregister(cycle.index)

    async def _settle_broken(self, cycle: WindowCycle) -> None:
        """What a broken window holds is a result like any other; when that fails too, the next start settles it."""
        try:
            await cycle.settle_only()
        except Exception as error:  # the guard of a window, as above
            if is_contradiction(error):
                raise
            self.notice("ERROR", f"a broken window cannot be settled: {type(error).__name__}: {error}")

    def _first_window(self) -> Window:
        """The next window that can still be joined before it starts."""
        now_ns = self.clock.now_ns()
        return window_at(self.config.interval.name, window_at(self.config.interval.name, now_ns).end_ns)

    def _discover_at_ns(self, window: Window) -> int:
        ahead = self.config.engine.discover_ahead * self.config.interval.duration_s
        return window.start_ns - ahead * NS

    def register(self, cycle: WindowCycle | ObservedWindow) -> int:
        """Give a window its market index; oracle ticks and feed commands reach it from now on."""
        index = self._next_index
        while index in self.engine.markets:
            index = (index + 1) % MAX_INDEX
        self._next_index = (index + 1) % MAX_INDEX
        self._cycles[index] = cycle
        return index

    def register_at(self, index: int, cycle: WindowCycle) -> None:
        """Reach a recovered window under the index it always had."""
        self._cycles[index] = cycle

    def unregister(self, index: int) -> None:
        """Nothing reaches this window any more."""
        self._cycles.pop(index, None)
        self._teller.forget(index)

    # -- regular work -----------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """The engine's heartbeat every timer_ms of venue time; also tells what changed since the last one."""
        period_ns = self.config.engine.timer_ms * 1_000_000
        events = self._scratch
        while True:
            await self._next_multiple(period_ns)
            if self.on_beat is not None:
                self.on_beat()
            self.entries.check()
            now_ns = self.clock.now_ns()
            events.reset()
            events.add(EventKind.EV_TIMER, recv_ns=now_ns)
            self._runner.feed(events)
            self._teller.changes(is_stopping=self.stopping)
            self.losses.note()
            self.recorder.tend()
            self._teller.freshness(now_ns)
            for level, text in () if self._inputs is None else self._inputs.news():
                self.notice(level, text)

    def _close_entries(self, is_closed: bool) -> None:
        self.tell(EventKind.EV_VENUE, i=int(is_closed or self.stopping))

    async def _tell_seconds(self) -> None:
        while True:
            self._teller.feeds(await self._next_multiple(NS))

    async def reconcile(self) -> None:
        """Compare with the venue; an incomplete comparison closes entries until one succeeds."""
        await self.entries.reconcile()

    def _on_user_state(self, events: EventBuffer) -> None:
        self.entries.on_user_state(events)
        self._runner.feed(events)

    def tell_counts(self, index: int | None = None) -> None:
        """The final counts of one window, or of all at the end of the run."""
        self._teller.counts(self.clock.now_ns(), only=index, is_final=True)

    def notice(
        self, level: str, text: str, *, kind: str = "notice", data: Mapping[str, Any] | None = None
    ) -> None:
        """A line for the operator; kind and data for those who watch."""
        self.inbox.notice(level, text, now_ns=self.clock.now_ns(), kind=kind, data=data)

    async def _next_multiple(self, period_ns: int) -> int:
        """Sleep to the next multiple of a period; returns now, which is never before it."""
        await self.sleep_until((self.clock.now_ns() // period_ns + 1) * period_ns)
        return self.clock.now_ns()

    async def sleep_until(self, at_ns: int) -> None:
        """Sleep until venue time is at_ns; a loop timer that fires early is slept on."""
        while (wait_ns := at_ns - self.clock.now_ns()) > 0:
            await self.clock.sleep(wait_ns / NS)
