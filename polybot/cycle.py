"""One window from discovery to settlement.

Theory of operation (each step starts the next; a refusal ends the window, never the daemon):

    discover -> join (>= join_early_s before the start) -> capture strike -> trade -> close -> mark -> settle

Windows overlap: settlement of one runs while the next trades.  The strike comes from the market's own
resolution source or the market is not traded; the booked outcome comes from the venue alone, our own oracle
record only marks.  A window that the last process left is gone on with where it stood: traded to its end, or
only settled.  Called by polybot.trader, one task per window.
"""

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from polybot import crashpoints
from polybot._fast.event import EventKind
from polybot._fast.pricing import winner
from polybot.errors import MarketRefused, SigningError, VenueError
from polybot.feeds.polymarket import MarketFeed
from polybot.following import JOIN_MARGIN_S, discover, strike_of_running, witness
from polybot.journal.recovery import RecoveredMarket
from polybot.market.resolution import OutcomeUnknown, Strike, StrikeCapture, kline_strike
from polybot.market.spec import MarketSpec
from polybot.market.window import Window, slug

if TYPE_CHECKING:
    from polybot.trader import Trader

__all__ = ["WindowCycle"]

NS = 1_000_000_000
# How long after the end the book feed and the oracle's end tick are still listened to.
LINGER_S = 10.0
# Trades are confirmed on chain within seconds; after that long a market is settled without the last word.
CONFIRM_WAIT_S = 60.0
ORDERS_PER_MARKET = 100_000  # order_seq space of one market


class WindowCycle:
    """One market's life; `index` and `feed` exist once it is joined."""

    def __init__(self, trader: "Trader", window: Window, recovered: RecoveredMarket | None = None) -> None:
        """`recovered` is what the last process left of this window; the engine has it already."""
        self._recovered = recovered
        self._trader = trader
        self._window = window
        self._clock = trader.clock
        self._slug = slug(trader.config.asset, window.interval, window.start_ns)
        self._opening: StrikeCapture | None = None
        self._closing: StrikeCapture | None = None
        self.index: int | None = None
        self.feed: MarketFeed | None = None

    async def run(self) -> None:
        """Live the window; returns when it is settled or refused."""
        if self._recovered is not None:
            await self._go_on(self._recovered)
            return
        try:
            rule = self._trader.config.interval.rule_expected
            spec = await discover(self._trader, self._window, rule=rule, until_ns=self._window.end_ns)
            index = await self._join(spec)
        except (MarketRefused, SigningError, VenueError) as error:
            self._refuse(getattr(error, "code", type(error).__name__), str(error))
            return
        await self._settle(spec, index, await self._live(spec, index, None))

    async def settle_only(self) -> None:
        """After the window broke: no more trading, but what it holds is settled by the venue's outcome."""
        market = None if self.index is None else self._trader.engine.markets.get(self.index)
        if self.index is None or market is None:
            return
        await self._trader.sleep_until(market.end_ns)
        await self._settle(market.spec, self.index, None)

    async def _live(self, spec: MarketSpec, index: int, strike: Strike | None) -> Strike | None:
        """From the join to the end of the window; returns the strike, known before or captured."""
        async with asyncio.TaskGroup() as group:
            assert self.feed is not None
            socket = group.create_task(self._trader.wires.drive(self.feed, 0.0))
            check = group.create_task(witness(self._trader, spec, index, self.feed))
            try:
                if strike is None:
                    strike = await self._find_strike(spec, index)
                await self._trader.sleep_until(spec.end_ns)
                self._trader.tell(EventKind.EV_MARKET_CLOSE, market=index)
                await self._mark(spec, index, strike)
            finally:
                socket.cancel()
                check.cancel()
                self._trader.tally.remove("market", self.feed.counters)
        return strike

    async def _go_on(self, recovered: RecoveredMarket) -> None:
        """Take up a window of the last process: trade it to its end when it still runs, then settle it."""
        trader, spec, index = self._trader, recovered.opened.spec, recovered.opened.index
        self.index = index
        trader.register_at(index, self)
        trader.inbox.market_opened(index, spec, now_ns=self._clock.now_ns(), is_resumed=True)
        for order in recovered.orders.values():
            trader.inbox.order_hash(order.intent.order_seq, order.intent.order_id)
        strike = self._known_strike(index)
        is_ours = (spec.asset, spec.interval) == (trader.config.asset.name, trader.config.interval.name)
        if is_ours and not recovered.is_closed and self._clock.now_ns() < spec.end_ns:
            self._attach(spec, index)
            strike = await self._live(spec, index, strike)
        else:
            if not recovered.is_closed:
                trader.tell(EventKind.EV_MARKET_CLOSE, market=index)
            await trader.sleep_until(spec.end_ns)
        await self._settle(spec, index, strike)

    def _known_strike(self, index: int) -> Strike | None:
        """The strike the journal gave the engine, told to telemetry too."""
        market = self._trader.engine.markets[index]
        if math.isnan(market.strike):
            return None
        self._trader.inbox.strike_captured(
            index,
            market.strike,
            source=market.strike_source,
            stamp_ns=market.strike_stamp_ns,
            now_ns=self._clock.now_ns(),
        )
        return Strike(
            market.strike, market.strike_source, market.strike_stamp_ns, variance=market.strike_var
        )

    def on_oracle_tick(
        self, kind: int, value: float, venue_ns: int, recv_ns: int, *, window_s: int, sequenced: bool
    ) -> None:
        """Offer one oracle tick to the captures of start and end."""
        for capture in (self._opening, self._closing):
            if capture is not None:
                capture.on_oracle_tick(kind, value, venue_ns, recv_ns, window_s=window_s, sequenced=sequenced)

    # -- discover, join ---------------------------------------------------------------------------------------

    async def _join(self, spec: MarketSpec) -> int:
        trader, engine = self._trader, self._trader.config.engine
        await trader.sleep_until(spec.start_ns - int((engine.join_early_s + JOIN_MARGIN_S) * NS))
        index = trader.register(self)
        self.index = index
        order_seq_base = spec.start_ns // NS * ORDERS_PER_MARKET
        trader.gateway.register_market(index, spec)
        trader.recorder.market_open(index, spec, order_seq_base=order_seq_base)
        trader.door.open_market(index, spec, order_seq_base=order_seq_base)
        trader.inbox.market_opened(index, spec, now_ns=self._clock.now_ns())
        self._attach(spec, index)
        return index

    def _attach(self, spec: MarketSpec, index: int) -> None:
        """What listens to this window: the captures of its ends, the feed of its book."""
        trader = self._trader
        strike_sd = trader.config.model.strike_sd_bps * 1e-4
        self._opening = StrikeCapture(spec, strike_sd=strike_sd)
        self._closing = StrikeCapture(_at_end(spec))
        self.feed = MarketFeed(
            trader.config.venue.market_ws_url, trader.config.feeds, sink=trader.market_sink(index)
        )
        self.feed.add_market(index, spec)
        trader.tally.add("market", self.feed.counters)

    def _refuse(self, code: str, detail: str) -> None:
        trader = self._trader
        trader.summary.refused += 1
        trader.inbox.market_refused(self._slug, code, detail, now_ns=self._clock.now_ns())

    # -- strike, end ------------------------------------------------------------------------------------------

    async def _find_strike(self, spec: MarketSpec, index: int) -> Strike | None:
        """Capture the strike from the resolution source, or say that the market is not traded."""
        trader = self._trader
        await self._trader.sleep_until(spec.start_ns)
        strike: Strike | None = None
        wait_s = trader.config.engine.strike_wait_s
        try:
            if spec.rule == "candle":
                strike = await kline_strike(
                    trader.wires.http,
                    self._clock,
                    trader.config.venue,
                    symbol=trader.config.asset.spot_symbol,
                    start_ns=spec.start_ns,
                    wait_s=wait_s,
                )
            else:
                assert self._opening is not None
                strike = await self._opening.wait(self._clock, wait_s)
                if strike is None and self._recovered is not None:
                    strike = await strike_of_running(trader, spec)  # its tick may have come while nobody listened
        except VenueError as error:
            trader.notice("ERROR", f"{spec.slug}: {error}")
        if strike is None:
            status = "no candle" if self._opening is None else self._opening.status
            trader.notice("ERROR", f"{spec.slug}: STRIKE UNKNOWN ({status}), this market is not traded")
            self._refuse("strike_unknown", status)
            return None
        trader.tell(
            EventKind.EV_STRIKE,
            market=index,
            venue_ns=strike.stamp_ns,
            x=strike.value,
            y=strike.variance,
            i=strike.source,
        )
        trader.inbox.strike_captured(
            index, strike.value, source=strike.source, stamp_ns=strike.stamp_ns, now_ns=self._clock.now_ns()
        )
        return strike

    async def _mark(self, spec: MarketSpec, index: int, strike: Strike | None) -> None:
        """Our own view of the outcome, before the venue's: a mark, never a booking."""
        final: float | None = None
        if spec.rule == "candle":
            final = self._trader.engine.spot.last
        else:
            assert self._closing is not None
            ended = await self._closing.wait(self._clock, LINGER_S)
            final = None if ended is None else ended.value
        if strike is None or final is None:
            return
        outcome = winner(final, strike.value)
        if outcome >= 0:
            self._trader.inbox.market_marked(index, outcome, now_ns=self._clock.now_ns())

    # -- settlement -------------------------------------------------------------------------------------------

    async def _settle(self, spec: MarketSpec, index: int, strike: Strike | None) -> None:
        """Book the venue's outcome once every order of ours has had its last word."""
        trader = self._trader
        market = trader.engine.markets[index]
        outcome = market.outcome if market.settled else await self._wait_for_outcome(spec)
        if outcome is None:
            return
        await self._wait_for_last_words(index, CONFIRM_WAIT_S)
        trader.inbox.outcome_known(index, outcome, source="venue", now_ns=self._clock.now_ns())
        if not market.settled:  # else the last process booked it
            trader.tell(EventKind.EV_OUTCOME, market=index, outcome=outcome)
            trader.gateway.on_outcome(index, outcome)
        trader.recorder.settled()
        crashpoints.reach("mid_settle")
        if strike is not None:
            await self._verify(spec, index, strike)
        await self._wait_for_last_words(index, trader.config.engine.outcome_wait_s)
        while trader.config.run.markets == 0 and self._has_open_orders(index):  # a fill may still come: it must count
            await self._wait_for_last_words(index, trader.config.engine.outcome_wait_s)
        self._finish(spec, index)

    async def _wait_for_outcome(self, spec: MarketSpec) -> int | None:
        """The venue's outcome; an endless run asks for ever, since the position stays exposure until it comes."""
        trader = self._trader
        while True:
            try:
                return await trader.outcomes.wait(spec)
            except OutcomeUnknown as error:
                trader.notice("ERROR", f"{spec.slug}: {error}; position stays open in the books")
            if trader.config.run.markets > 0:
                return None
            await self._clock.sleep(trader.config.engine.outcome_wait_s)

    async def _wait_for_last_words(self, index: int, limit_s: float) -> None:
        """Until no order of this market is open and every trade is confirmed or failed, at most limit_s."""
        trader = self._trader
        deadline_ns = self._clock.now_ns() + int(limit_s * NS)
        while self._clock.now_ns() < deadline_ns:
            ours = [order for order in trader.engine.orders.values() if order.market == index]
            if not any(order.is_open or order.unsettled_trades for order in ours):
                return
            await trader.reconcile()
            await self._clock.sleep(2.0)
        trader.notice("WARNING", f"{self._slug}: settled with trades not yet confirmed")

    def _has_open_orders(self, index: int) -> bool:
        return any(order.market == index and order.is_open for order in self._trader.engine.orders.values())

    async def _verify(self, spec: MarketSpec, index: int, strike: Strike) -> None:
        """Compare the strike we traded on with the venue's late figure."""
        trader = self._trader
        try:
            async with asyncio.timeout(self._clock.real_s(trader.config.engine.outcome_wait_s)):
                check = await trader.outcomes.verify_late(spec, strike)
        except TimeoutError:
            check = None
        if check is None:
            trader.notice("WARNING", f"{spec.slug}: the venue published no strike to compare with")
            return
        if not check.strike.verified:
            trader.notice(
                "ERROR", f"{spec.slug}: our strike {strike.value} is not the venue's {check.published}"
            )
        trader.inbox.strike_captured(
            index,
            strike.value,
            source=strike.source,
            stamp_ns=strike.stamp_ns,
            now_ns=self._clock.now_ns(),
            verified=check.strike.verified,
        )

    def _finish(self, spec: MarketSpec, index: int) -> None:
        trader = self._trader
        market = trader.engine.markets[index]
        payout = market.position()[market.outcome]
        trader.summary.settled += 1
        trader.summary.pnl_usd[spec.slug] = payout - sum(market.cost_usd)
        trader.tell_counts(index)
        trader.inbox.market_finished(index, now_ns=self._clock.now_ns())
        trader.gateway.forget_market(index)
        trader.door.drop_market(index)
        trader.recorder.market_drop(index)


def _at_end(spec: MarketSpec) -> MarketSpec:
    """The spec of the window that would start where this one ends: its strike is our final price."""
    return replace(spec, start_ns=spec.end_ns, end_ns=spec.end_ns + (spec.end_ns - spec.start_ns))
