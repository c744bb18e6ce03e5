"""Our end of the receiving benches: the daemon's parts from socket to inputs log, in a process of its own.

Owns one round a request: Connection, SpotFeed and MarketFeed on uvloop, the runner's C road, an engine with six
strategies that was fed two minutes of spot and a minute of a window, telemetry with its thread and files, the inputs
log with its thread.  What is not there is what comes after a decision (orders are counted, not sent) and the venue's
account (journal: asked for, never written, since market data moves no money).
Answers requests on stdin (bench/peers/serving.py); started by the benches through bench.peer.Peer.
"""

import asyncio
import io
import json
import os
import statistics
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import uvloop
from scenario import make_spec
from serving import serve

from bench.event_stream import START_NS, STRIKE, window_events
from bench.frame_stream import MARKET, TOKEN_DOWN, TOKEN_UP
from polybot._fast.event import (
    CommandBuffer,
    CommandKind,
    EventBuffer,
    EventFlag,
    EventKind,
    FeedId,
    FeedState,
    Side,
    Special,
)
from polybot._fast.ring import CommandRing
from polybot._fast.risk import Denial
from polybot.assembly import build_engine
from polybot.clock import SystemClock, wall_clock
from polybot.config import default_config
from polybot.feeds.binance import SpotFeed
from polybot.feeds.connection import Connection
from polybot.feeds.polymarket import MarketFeed
from polybot.loop_spin import BusySpin
from polybot.market.spec import MarketSpec
from polybot.recording import MONEY_MASK
from polybot.replay.recorder import InputsRecorder
from polybot.runner import Runner
from polybot.telemetry.console import Console
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.thread import TelemetryThread
from polybot.telemetry.writer import TelemetryWriter

__all__ = ["JOINED_NS", "World"]

NS = 1_000_000_000
JOINED_S = 60.0  # of the window, when the sockets are opened
JOINED_NS = START_NS + int(JOINED_S * NS)
STRATEGIES = ("certainty_capture", "convexity_fade", "cross_timeframe", "latency_arb", "lp_extreme", "strike_misalign")
END, LEVELS, SIZE_USHARES = int(EventFlag.F_END), 45, 200_000_000
QUIET_S, QUIET_NS = 0.1, 2_000_000
WARM_PIECE = 5_000  # events of the past in one batch


class NoMoney:
    """A journal to which nothing needs to be written once the window is joined."""

    kinds = MONEY_MASK

    def __init__(self) -> None:
        self.asked = 0

    def events(self, buffer: EventBuffer) -> None:
        self.asked += 1


class World:
    """Engine, runner, telemetry and inputs log of one round."""

    def __init__(self, folder: Path, clock: SystemClock) -> None:
        settings: dict[str, Any] = {f"strategy.{name}.enabled": True for name in STRATEGIES}
        settings |= {"telemetry.out_dir": str(folder), "telemetry.console": "off", "replay.keep_free_mb": 0}
        self.config = default_config(**settings)
        self.clock = clock
        self.orders = 0
        self.journal = NoMoney()
        self.engine = build_engine(self.config, environ={})
        self.inbox = TelemetryInbox(CommandRing(self.config.telemetry.queue_records))
        self.inputs: InputsRecorder | None = None
        self.runner = self._runner()
        self.thread = TelemetryThread(
            TelemetryWriter(
                self.config.telemetry,
                [strategy.name for strategy in self.engine.strategies],
                clock,
                source=self.inbox,
                console=Console(io.StringIO(), mode="off", environ={}, scrub=str),
                gates={strategy.name: strategy.gate_names for strategy in self.engine.strategies},
                denials=[denial.name for denial in Denial],
                scrub=str,
                on_error=self._on_error,
            ),
            on_error=self._on_error,
            every_s=self.config.telemetry.flush_ms / 1_000.0,
        )
        self.spec = _spec()

    def begin(self, *, is_logged: bool = True) -> None:
        """Two minutes of spot, a window joined, a minute of it; logged from here on, telemetry with its thread."""
        self.engine.open_market(0, self.spec, order_seq_base=1)
        for feed in (FeedId.FEED_ORACLE, FeedId.FEED_USER):
            self._tell(EventKind.EV_FEED_STATE, START_NS, market=Special.NO_MARKET, i=feed, j=FeedState.FS_CONNECTED)
        self._tell(EventKind.EV_BALANCE, START_NS, market=Special.NO_MARKET, j=1_000_000_000)
        events = _past()
        batch = EventBuffer()
        for at in range(0, len(events), WARM_PIECE):
            batch.reset()
            batch.extend(events[at : at + WARM_PIECE])
            self.runner.feed(batch)
        self._tell(EventKind.EV_STRIKE, JOINED_NS, market=0, x=STRIKE, venue_ns=START_NS, i=2)
        self.orders = self.journal.asked = 0
        if is_logged:
            self.inputs = InputsRecorder(self.config, self.clock, name="bench")
        self.runner = self._runner()
        self.thread.start()
        _rest()

    def freshen(self) -> None:
        """A price of the oracle, and a book about 0.50, one cent wide, as the frames of the market channel tell it."""
        now_ns, batch = self.clock.now_ns(), EventBuffer()
        self._tell(EventKind.EV_ORACLE_SPOT, now_ns, market=Special.NO_MARKET, x=STRIKE, venue_ns=now_ns, flags=END)
        batch.add(EventKind.EV_BOOK_SNAPSHOT, recv_ns=now_ns, market=0, i=100)
        for k in range(LEVELS):
            for side, ticks in ((Side.BUY, 5_000 - 100 * k), (Side.SELL, 5_100 + 100 * k)):
                last = END if k == LEVELS - 1 and side == Side.SELL else 0
                batch.add(
                    EventKind.EV_BOOK_LEVEL, recv_ns=now_ns, market=0, side=side, i=ticks, j=SIZE_USHARES, flags=last
                )
        self.runner.feed(batch)

    def close(self) -> None:
        """End both threads."""
        if self.inputs is not None:
            self.inputs.close()
            self.inputs.wait()
        self.thread.stop()

    def _runner(self) -> Runner:
        return Runner(
            self.engine,
            clock=self.clock,
            inbox=self.inbox,
            gateway=self._gateway,
            on_feed_command=self._on_feed_command,
            journal=self.journal,
            inputs=self.inputs,
        )

    def _tell(self, kind: int, at_ns: int, **fields: Any) -> None:
        events = EventBuffer(1)
        events.add(kind, recv_ns=at_ns, **fields)
        self.runner.feed(events)

    def _gateway(self, commands: CommandBuffer) -> None:
        for k in range(len(commands)):
            self.orders += commands.kind_at(k) == CommandKind.CMD_PLACE

    def _on_feed_command(self, kind: int, market: int) -> None:
        """A doubted book stays doubted."""

    @staticmethod
    def _on_error(error: Exception) -> None:
        raise AssertionError("telemetry failed") from error


class Hooked:
    """What a round wants to know of a feed: when it was connected, and that its link is gone."""

    def __init__(self, feed: Any, connected: asyncio.Event, gone: asyncio.Event) -> None:
        self.opened, self.closed = feed.on_open, feed.on_close
        self.is_connected, self.is_gone = connected, gone
        self.send: Any = None
        feed.on_open, feed.on_close = self.on_open, self.on_close

    def on_open(self, send: Any, now_ns: int) -> None:
        self.opened(send, now_ns)
        self.send = send
        self.is_connected.set()

    def on_close(self, reason: str, now_ns: int) -> None:
        self.closed(reason, now_ns)
        self.is_gone.set()


class PythonRoad:
    """A feed as something that stands before it (a tape) shows it; `objects`: each message is parsed by Python too."""

    def __init__(self, feed: Any, *, objects: bool) -> None:
        self.feed, self.objects = feed, objects
        self.name = feed.name
        self.wants_reconnect = None
        self.url, self.on_open, self.on_close, self.on_timer = feed.url, feed.on_open, feed.on_close, feed.on_timer

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        if self.objects:
            json.loads(payload)
        self.feed.on_payload(payload, recv_ns)


def receive(url: str, paths: list[str], *, objects: bool = False, log: bool = True) -> dict[str, Any]:
    """Receive everything from every path; `objects`: the planted fault, every message becomes a Python object.

    log=False leaves the inputs log out, as `replay.record=false` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), SystemClock(JOINED_NS, wall_clock().mono_ns()))
        world.begin(is_logged=log)
        before_ns = time.process_time_ns()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                told = runner.run(_receive(world, url, paths, is_burdened=objects))
        finally:
            world.close()
        all_ns = time.process_time_ns() - before_ns
    assert world.journal.asked == 0, "market data moves no money"
    dropped = 0 if world.inputs is None else world.inputs.dropped
    return told | {"orders": world.orders, "dropped": dropped, "all_ns": all_ns}


async def _receive(world: World, url: str, paths: list[str], *, is_burdened: bool) -> dict[str, Any]:
    feeds: list[Any] = []
    if "spot" in paths:
        feeds.append(SpotFeed([url], "BTCUSDT", world.config.feeds, sink=world.runner.path))
        feeds[-1].url = lambda: f"{url}/spot"
    if "market" in paths:
        feeds.append(MarketFeed(f"{url}/market", world.config.feeds, sink=world.runner.path))
        feeds[-1].add_market(0, world.spec)
    connected, gone = [asyncio.Event() for _ in feeds], [asyncio.Event() for _ in feeds]
    hooks = [Hooked(feed, up, down) for feed, up, down in zip(feeds, connected, gone, strict=True)]
    driven = [PythonRoad(feed, objects=True) if is_burdened else feed for feed in feeds]
    connections = [Connection(feed, world.clock, world.config.feeds) for feed in driven]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(connection.run()) for connection in connections]
        for event in connected:
            await event.wait()
        world.freshen()
        start_ns, start_cpu_ns, start_loop_ns = time.perf_counter_ns(), time.process_time_ns(), time.thread_time_ns()
        for hooked in hooks:
            hooked.send("go")
        for event, task in zip(gone, tasks, strict=True):
            group.create_task(_cancel_after(event, task))
        for event in gone:
            await event.wait()
        loop_ns, ns = time.thread_time_ns() - start_loop_ns, time.perf_counter_ns() - start_ns
        _rest()  # what the threads have put off (full tails to pack, rows to write) counts as well
        cpu_ns = time.process_time_ns() - start_cpu_ns
    counts = [feed.counters() for feed in feeds]
    frames = sum(count["frames"] for count in counts)
    assert not any(count[name] for count in counts for name in ("ignored", "unsupported", "malformed")), counts
    errors = sum(connection.callback_errors for connection in connections)
    return {"ns": ns, "cpu_ns": cpu_ns, "loop_ns": loop_ns, "frames": frames, "errors": errors}


async def _cancel_after(gone: asyncio.Event, task: asyncio.Task[None]) -> None:
    """A link that is gone must not come back while another still receives: the server would take it for the next."""
    await gone.wait()
    task.cancel()


def one_way(url: str, epoch_ns: int, mono_ns: int, *, spin: bool = False, python_road: bool = False) -> dict[str, Any]:
    """Nanoseconds from a frame's sending to the stamp of its receipt: median and 99th percentile of all frames."""
    clock, late, used = SystemClock(epoch_ns, mono_ns), [], []

    def sink(events: EventBuffer) -> None:
        if events.kind_at(0) == EventKind.EV_SPOT_TRADE:
            late.append(events.recv_ns_at(0) - events.venue_ns_at(0))

    async def scenario() -> None:
        config = default_config()
        feed: Any = SpotFeed([url], "BTCUSDT", config.feeds, sink=sink)
        feed.url = lambda: f"{url}/spot"
        gone = asyncio.Event()
        connected = asyncio.Event()
        hooked = Hooked(feed, connected, gone)
        connection = Connection(PythonRoad(feed, objects=False) if python_road else feed, clock, config.feeds)
        spinner = BusySpin()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(connection.run())
            await connected.wait()
            if spin:
                spinner.start()
            start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
            hooked.send("go")
            await gone.wait()
            used.append((time.process_time_ns() - start_cpu_ns) / (time.perf_counter_ns() - start_ns))
            spinner.stop()
            task.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
    late = late[len(late) // 20 :]  # the first ones warm the caches
    cuts = statistics.quantiles(late, n=100)
    return {"p50_ns": cuts[49], "p99_ns": cuts[98], "frames": len(late), "cpu_frac": used[0]}


@cache
def _past() -> Any:
    return window_events(JOINED_S)


def _rest() -> None:
    """Until what the threads have to do (files made ahead, full tails to pack) is done: QUIET_NS of CPU in QUIET_S."""
    while True:
        before_ns = time.process_time_ns()
        time.sleep(QUIET_S)
        if time.process_time_ns() - before_ns <= QUIET_NS:
            return


def _spec() -> MarketSpec:
    return make_spec(
        slug=f"btc-updown-5m-{START_NS // NS}",
        condition_id=MARKET,
        token_up=TOKEN_UP,
        token_down=TOKEN_DOWN,
        start_ns=START_NS,
        end_ns=START_NS + 300 * NS,
    )


if __name__ == "__main__":
    serve(receive=receive, one_way=one_way, bind=lambda cores: os.sched_setaffinity(0, cores))
