"""Windows of other intervals, followed and never traded: joined, priced, dropped after their end.

Theory of operation: per observed interval the window running now and every one after it has a task of its own:

    discover -> join (>= join_early_s before the start) -> capture strike -> follow -> close -> drop -> check strike

A window that already runs when we come is joined only if its strike can still be had from the venue (a candle's
open always can); else it is said once and the next one is waited for.  Each window has its own socket, no place in
the gateway (no order can name it) and none in telemetry's files.  Whatever fails here ends that window alone: it is
told and left, and the traded windows go on.  A contradiction in our own state still ends the run.
Must not trade, refuse or settle anything.  Called by polybot.trader.
"""

import asyncio
import math
from typing import TYPE_CHECKING

from polybot._fast.event import EventKind
from polybot.clock import Clock
from polybot.errors import MarketRefused, VenueError
from polybot.feeds.polymarket import MarketFeed
from polybot.following import JOIN_MARGIN_S, discover, is_contradiction, strike_of_running, witness
from polybot.market.resolution import Strike, StrikeCapture, kline_strike
from polybot.market.spec import MarketSpec
from polybot.market.window import Window, window_at

if TYPE_CHECKING:
    from polybot.trader import Trader

__all__ = ["ObservedWindow", "Observer"]

NS = 1_000_000_000
YEAR_S = 365.25 * 86_400.0


class Observer:
    """Follows the windows of some intervals for as long as it runs; `live` holds those that are joined."""

    def __init__(self, trader: "Trader", intervals: tuple[str, ...]) -> None:
        self._trader = trader
        self._intervals = intervals
        self.live: dict[int, ObservedWindow] = {}  # by market index

    async def run(self) -> None:
        """Follow until cancelled; raises only for a contradiction in our own state."""
        async with asyncio.TaskGroup() as group:
            for interval in self._intervals:
                group.create_task(self._follow(interval, group))
            group.create_task(self._report())

    async def _follow(self, interval: str, group: asyncio.TaskGroup) -> None:
        engine = self._trader.config.engine
        window = window_at(interval, self._trader.clock.now_ns())
        while True:
            group.create_task(self._watch(window))
            window = window_at(interval, window.end_ns)
            ahead_s = min(engine.observe_ahead_s, engine.discover_ahead * window.duration_s)
            await self._trader.sleep_until(window.start_ns - int(ahead_s * NS))

    async def _watch(self, window: Window) -> None:
        observed = ObservedWindow(self._trader, window)
        try:
            await observed.run(self.live)
        except (
            Exception
        ) as error:  # the guard of an observed window: it ends alone, unless we contradict ourselves
            if is_contradiction(error):
                raise
            text = f"{observed.name}: observing it failed, it is left: {_first_text(error)}"
            self._trader.notice("WARNING", text)

    async def _report(self) -> None:
        """Now and then one line per observed window: what its price implies beside what we think."""
        trader = self._trader
        period_ns = int(trader.config.engine.observe_report_s * NS)
        while True:
            await trader.sleep_until((trader.clock.now_ns() // period_ns + 1) * period_ns)
            now_ns = trader.clock.now_ns()
            for index in sorted(self.live):
                market = trader.engine.markets[index]
                if not market.start_ns <= now_ns < market.end_ns:
                    continue
                mid, fair, sigma = trader.door.look(index, now_ns)
                text = (
                    f"{self.live[index].name}: observed, {(market.end_ns - now_ns) // NS} s left, mid {_shown(mid)}, "
                    f"fair {_shown(fair)}, volatility implied {_annual(sigma)} forecast "
                    f"{_annual(trader.engine.spot.sigma)} a year"
                )
                trader.notice("INFO", text)


class ObservedWindow:
    """One window's life under observation; `index` and `feed` exist once it is joined."""

    def __init__(self, trader: "Trader", window: Window) -> None:
        self._trader = trader
        self._clock: Clock = trader.clock
        self._window = window
        self._capture: StrikeCapture | None = None
        self.name = f"{trader.config.asset.name} {window.interval} window of {window.start_ns // NS}"
        self.index: int | None = None
        self.feed: MarketFeed | None = None

    async def run(self, live: "dict[int, ObservedWindow]") -> None:
        """Follow the window to its end, in `live` while it is joined; then check its strike."""
        strike: Strike | None = None
        try:
            rule = self._trader.config.engine.observe_rules[self._window.interval]
            spec = await discover(self._trader, self._window, rule=rule, until_ns=self._window.end_ns)
            self.name = spec.slug
            if self._clock.now_ns() >= spec.start_ns:
                strike = await self._strike_of_running(spec)
                if strike is None:
                    self._trader.notice(
                        "INFO",
                        f"{spec.slug}: already running and its strike not to be had any more: the next is observed",
                    )
                    return
        except (MarketRefused, VenueError) as error:
            reason = getattr(error, "code", type(error).__name__)
            self._trader.notice("WARNING", f"{self.name}: cannot be observed, {reason}: {error}")
            return
        strike = await self._observe(spec, strike, live)
        if strike is not None:
            await self._verify(spec, strike)

    def on_oracle_tick(
        self, kind: int, value: float, venue_ns: int, recv_ns: int, *, window_s: int, sequenced: bool
    ) -> None:
        """Offer one oracle tick to the capture of the strike."""
        if self._capture is not None:
            self._capture.on_oracle_tick(kind, value, venue_ns, recv_ns, window_s=window_s, sequenced=sequenced)

    async def _observe(
        self, spec: MarketSpec, strike: Strike | None, live: "dict[int, ObservedWindow]"
    ) -> Strike | None:
        """Join, follow to the end, leave; returns the strike that was used."""
        trader, engine = self._trader, self._trader.config.engine
        await trader.sleep_until(spec.start_ns - int((engine.join_early_s + JOIN_MARGIN_S) * NS))
        index = trader.register(self)
        self.index = index
        try:
            trader.recorder.market_open(index, spec, order_seq_base=0, observed=True)
            trader.door.open_market(index, spec, order_seq_base=0, observed=True)
            live[index] = self
            self._capture = StrikeCapture(spec, strike_sd=trader.config.model.strike_sd_bps * 1e-4)
            feed = MarketFeed(trader.config.venue.market_ws_url, trader.config.feeds, sink=trader.event_sink)
            feed.add_market(index, spec)
            self.feed = feed
            trader.tally.add("observed", feed.counters)
            async with asyncio.TaskGroup() as group:
                socket = group.create_task(trader.wires.drive(feed, 0.0))
                check = group.create_task(witness(trader, spec, index, feed))
                try:
                    strike = await self._follow(spec, index, strike)
                finally:
                    socket.cancel()
                    check.cancel()
                    trader.tally.remove("observed", feed.counters)
        finally:
            live.pop(index, None)
            if index in trader.engine.markets:
                trader.door.drop_market(index)
                trader.recorder.market_drop(index)
            trader.unregister(index)
        return strike

    async def _follow(self, spec: MarketSpec, index: int, strike: Strike | None) -> Strike | None:
        """From the strike to the end; a window whose strike stays unknown is left at once."""
        trader = self._trader
        if strike is None:
            strike = await self._strike_at_start(spec)
        if strike is None:
            trader.notice("WARNING", f"{spec.slug}: observed in vain, its strike is unknown")
            return None
        trader.tell(
            EventKind.EV_STRIKE,
            market=index,
            venue_ns=strike.stamp_ns,
            x=strike.value,
            y=strike.variance,
            i=strike.source,
        )
        trader.notice("INFO", f"{spec.slug}: observed, never traded; strike {strike.value:.10g}")
        await trader.sleep_until(spec.end_ns)
        trader.tell(EventKind.EV_MARKET_CLOSE, market=index)
        return strike

    # -- strike -----------------------------------------------------------------------------------------------

    async def _strike_at_start(self, spec: MarketSpec) -> Strike | None:
        """Capture the strike from the resolution source as a traded window does."""
        trader, wait_s = self._trader, self._trader.config.engine.strike_wait_s
        await trader.sleep_until(spec.start_ns)
        if spec.rule == "candle":
            return await self._candle(spec, wait_s)
        assert self._capture is not None
        return await self._capture.wait(self._clock, wait_s)

    async def _strike_of_running(self, spec: MarketSpec) -> Strike | None:
        """Strike of a window that runs already: the candle's open, else the venue's own figure if it shows one."""
        if spec.rule == "candle":
            return await self._candle(spec, 0.0)
        return await strike_of_running(self._trader, spec)

    async def _candle(self, spec: MarketSpec, wait_s: float) -> Strike | None:
        trader = self._trader
        try:
            return await kline_strike(
                trader.wires.http,
                self._clock,
                trader.config.venue,
                symbol=trader.config.asset.spot_symbol,
                start_ns=spec.start_ns,
                wait_s=wait_s,
            )
        except VenueError as error:
            trader.notice("WARNING", f"{spec.slug}: {error}")
            return None

    async def _verify(self, spec: MarketSpec, strike: Strike) -> None:
        """Compare with the venue's late figure: a wrong one has misled whoever used this window."""
        trader = self._trader
        try:
            async with asyncio.timeout(self._clock.real_s(trader.config.engine.outcome_wait_s)):
                check = await trader.outcomes.verify_late(spec, strike)
        except TimeoutError:
            return
        if check is not None and not check.strike.verified:
            text = f"{spec.slug}: our strike {strike.value} is not the venue's {check.published}"
            trader.notice("ERROR", text)


def _first_text(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _annual(sigma: float) -> str:
    """Volatility per sqrt(s) as percent a year."""
    return "-" if math.isnan(sigma) else f"{sigma * math.sqrt(YEAR_S):.0%}"
