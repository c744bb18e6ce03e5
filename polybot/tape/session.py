"""One recording: the feeds all windows share, and a task per window that is recorded.

Owns the spot and oracle sockets, the tapes they go to (every window that is being recorded gets every frame), how many
windows of which intervals there are, and the order of the end.  Gets its sockets as `TapeWires`, so the same object
records from the network, from a venue on this machine, and in virtual time.
Must not trade, and needs no account: with one (`auth`) the second oracle channel is recorded too.
Called by polybot.tape.record; tests use it in virtual time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from polybot._fast.event import EVENT_DTYPE, EventBuffer, EventKind
from polybot.clock import Clock
from polybot.config import Config
from polybot.errors import PolybotError
from polybot.feeds.binance import SpotFeed
from polybot.feeds.oracle import OracleFeed, PolyBoltFeed
from polybot.following import JOIN_MARGIN_S, is_contradiction
from polybot.market.window import Window, window_at
from polybot.tape.packer import Packer
from polybot.tape.records import TapeFeed
from polybot.tape.taped import FeedTap, TapedFeed
from polybot.tape.taped_window import TapedWindow
from polybot.tape.writer import TapeWriter
from polybot.transport import Feed, HttpClient

__all__ = ["TapeSession", "TapeWires", "first_text", "run_inline"]

NS = 1_000_000_000
Auth = Callable[[], Mapping[str, str]]


async def run_inline(call: Callable[..., Any], *args: Any) -> Any:
    """Do it here and now: for virtual time, where nothing may wait for the wall."""
    return call(*args)


@dataclass(frozen=True, slots=True)
class TapeWires:
    """How a recording reaches the outside; `off_loop` does what touches the disk beside the loop."""

    http: HttpClient
    drive: Callable[[Feed, float], Coroutine[Any, Any, None]]
    off_loop: Callable[..., Awaitable[Any]]
    auth: Auth | None = None


class TapeSession:
    """Records windows of one asset until `cycles` of each interval are done, or stop()."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        wires: TapeWires,
        *,
        packer: Packer,
        source: Mapping[str, Any],
        notice: Callable[[str, str], None],
    ) -> None:
        """`source` tells in every manifest what was recorded; `notice(level, text)` is a line for the operator."""
        self.config = config
        self.clock = clock
        self.wires = wires
        self.packer = packer
        self.source = dict(source)
        self.notice = notice
        self.live: list[TapeWriter] = []  # tapes that get every shared frame
        self.windows: list[TapedWindow] = []  # joined and not closed
        self.recorded = 0
        self.failed = 0
        self.taps: list[FeedTap] = []
        self._lasting: list[tuple[TapedFeed, float]] = []
        self._make_feeds()
        self._stopping = asyncio.Event()

    @property
    def intervals(self) -> tuple[str, ...]:
        """Those recorded."""
        return self.config.record.intervals or (self.config.interval.name,)

    @property
    def is_stopping(self) -> bool:
        """Was stop() called?"""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End in order: close every tape as it is."""
        self._stopping.set()

    async def run(self) -> None:
        """Record; returns when all windows are done or after stop()."""
        async with asyncio.TaskGroup() as group:
            lasting = [group.create_task(self.wires.drive(feed, rollover_s)) for feed, rollover_s in self._lasting]
            windows = group.create_task(self._all_windows())
            stopped = group.create_task(self._wait_stopped())
            try:
                await asyncio.wait((windows, stopped), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (windows, stopped):
                    task.cancel()
                await asyncio.wait((windows,))
                for task in lasting:
                    task.cancel()

    def _make_feeds(self) -> None:
        config, wires = self.config, self.wires
        tap = self._tap(TapeFeed.SPOT)
        self.spot_feed = SpotFeed(config.venue.spot_ws_urls, config.asset.spot_symbol, config.feeds, sink=tap.sink)
        self._lasting.append((TapedFeed(self.spot_feed, tap), config.feeds.spot_rollover_h * 3600.0))
        tap = self._tap(TapeFeed.RTDS)
        oracle = OracleFeed(
            config.venue.rtds_url,
            config.asset.oracle_symbol,
            config.feeds,
            sink=tap.sink,
            on_tick=self._on_oracle_tick,
        )
        self._lasting.append((TapedFeed(oracle, tap), 0.0))
        if wires.auth is not None:
            tap = self._tap(TapeFeed.POLYBOLT)
            polybolt = PolyBoltFeed(
                config.venue.polybolt_url,
                config.asset.polybolt_symbol,
                config.feeds,
                auth=wires.auth,
                sink=tap.sink,
                on_tick=self._on_oracle_tick,
            )
            self._lasting.append((TapedFeed(polybolt, tap), 0.0))

    def _tap(self, feed: TapeFeed) -> FeedTap:
        tap = FeedTap(feed, self.live, self.packer.numbers)
        self.taps.append(tap)
        return tap

    def _on_oracle_tick(
        self, kind: int, value: float, venue_ns: int, recv_ns: int, *, window_s: int, sequenced: bool
    ) -> None:
        for window in self.windows:
            window.on_oracle_tick(kind, value, venue_ns, recv_ns, window_s=window_s, sequenced=sequenced)

    async def _wait_stopped(self) -> None:
        await self._stopping.wait()

    async def _all_windows(self) -> None:
        async with asyncio.TaskGroup() as group:
            for interval in self.intervals:
                group.create_task(self._follow(interval))

    async def _follow(self, interval: str) -> None:
        """Start a task per window, each early enough to be discovered and joined before it starts."""
        record, engine = self.config.record, self.config.engine
        now_ns = self.clock.now_ns()
        window = window_at(interval, window_at(interval, now_ns).end_ns)
        if window.start_ns - now_ns < JOIN_MARGIN_S * NS:
            window = window_at(interval, window.end_ns)
        started = 0
        async with asyncio.TaskGroup() as group:
            while record.cycles == 0 or started < record.cycles:
                ahead_s = max(record.join_early_s + JOIN_MARGIN_S, engine.observe_ahead_s)
                await self.sleep_until(window.start_ns - int(ahead_s * NS))
                group.create_task(self._record(window))
                started += 1
                window = window_at(interval, window.end_ns)

    async def _record(self, window: Window) -> None:
        taped = TapedWindow(self, window)
        try:
            if await taped.run():
                self.recorded += 1
            else:
                self.failed += 1
        except (OSError, PolybotError, BaseExceptionGroup) as error:  # this window ends alone
            if is_contradiction(error):
                raise
            self.failed += 1
            self.notice("ERROR", f"{taped.name}: not recorded to its end: {first_text(error)}")

    async def sleep_until(self, at_ns: int) -> None:
        """Sleep until venue time is at_ns; a loop timer that fires early is slept on."""
        while (wait_ns := at_ns - self.clock.now_ns()) > 0:
            await self.clock.sleep(wait_ns / NS)

    def tap_states(self) -> bytes:
        """The last state of every shared feed, as events stamped now: what a tape that begins now must be told."""
        now_ns, events = self.clock.now_ns(), EventBuffer(8)
        for tap in self.taps:
            if tap.state:
                row = _event_of(tap.state)
                events.add(
                    EventKind.EV_FEED_STATE, recv_ns=now_ns, market=row["market"], i=row["i"], j=row["j"]
                )
        return events.to_bytes()


def _event_of(raw: bytes) -> dict[str, int]:
    row = np.frombuffer(raw, EVENT_DTYPE)[0]
    return {name: int(row[name]) for name in ("market", "i", "j")}


def first_text(error: BaseException) -> str:
    """The first error of a group, in words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
