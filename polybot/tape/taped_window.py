"""One window on tape: from discovery to the venue's late figures.

Theory of operation (each step starts the next; what fails ends this window alone):

    discover -> open tape -> warm start -> take shared frames, own socket -> strike -> close -> linger
             -> outcome -> published strike -> close the tape

Everything an engine was told of the window goes on the tape when it was told: feed states, strike, close, outcome, as
events; REST answers as received.  A tape that ends early says so and what it lacks.
Must not trade.  Called by session.
"""

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from polybot._fast.book import Book
from polybot._fast.event import EventBuffer, EventKind
from polybot.errors import MarketRefused, VenueError
from polybot.feeds.polymarket import MarketFeed
from polybot.following import JOIN_MARGIN_S, discover, witness
from polybot.market.discovery import Discovery
from polybot.market.resolution import OutcomePoller, OutcomeUnknown, Strike, StrikeCapture, kline_strike
from polybot.market.spec import MarketSpec
from polybot.market.window import Window, slug
from polybot.tape.decoding import MARKET_INDEX
from polybot.tape.manifest import new_manifest
from polybot.tape.records import EntryKind, TapeFeed
from polybot.tape.taped import FeedTap, TapedFeed, TapedHttp
from polybot.tape.writer import TapeWriter

if TYPE_CHECKING:
    from polybot.tape.session import TapeSession
    from polybot.trader import Trader

__all__ = ["TapedWindow"]

NS = 1_000_000_000
DISK_S = 60.0  # wall; so long the end of a window waits for its tape to be on disk


class TapedWindow:
    """One window's life; `tape` and `tap` exist once it is joined."""

    def __init__(self, session: "TapeSession", window: Window) -> None:
        self._session = session
        self._clock = session.clock
        self._window = window
        self._http = TapedHttp(session.wires.http, session.clock)
        self._capture: StrikeCapture | None = None
        self._closing: StrikeCapture | None = None
        self.name = slug(session.config.asset, window.interval, window.start_ns)
        self.tape: TapeWriter | None = None
        self.tap: FeedTap | None = None

    async def run(self) -> bool:
        """Record the window; False when it could not be, or lacks something."""
        session = self._session
        try:
            spec = await discover(
                cast("Trader", _Asker(self)), self._window, rule=self._rule(), until_ns=self._window.start_ns
            )
        except (MarketRefused, VenueError) as error:
            reason = getattr(error, "code", type(error).__name__)
            session.notice("WARNING", f"{self.name}: not recorded, {reason}: {error}")
            return False
        await session.sleep_until(spec.start_ns - int((session.config.record.join_early_s + JOIN_MARGIN_S) * NS))
        tape = await self._open(spec)
        missing = ["strike", "outcome"]
        try:
            await self._begin(tape)
            await self._follow(spec, tape, missing)
        finally:
            session.windows.remove(self)
            self._leave(tape)
            self._http.take(tape)
            tape.save(missing=[*missing, *self._always_missing()])
            tape.close(self._clock.now_ns(), state="stopped" if missing else "complete")
        await session.wires.off_loop(tape.done.wait, DISK_S)
        return not missing

    def on_oracle_tick(
        self, kind: int, value: float, venue_ns: int, recv_ns: int, *, window_s: int, sequenced: bool
    ) -> None:
        """Offer one oracle tick to the captures of the strike and of the final price."""
        for capture in (self._capture, self._closing):
            if capture is not None:
                capture.on_oracle_tick(kind, value, venue_ns, recv_ns, window_s=window_s, sequenced=sequenced)

    def tell(self, kind: int, **fields: Any) -> None:
        """Put one event of our own on the tape, stamped now."""
        assert self.tape is not None
        now_ns, events = self._clock.now_ns(), EventBuffer(1)
        events.add(kind, recv_ns=now_ns, **fields)
        self.tape.own(now_ns, EntryKind.EVENTS, events.to_bytes())

    # -- steps ------------------------------------------------------------------------------------------------

    async def _open(self, spec: MarketSpec) -> TapeWriter:
        """Make the tape; its first entry says what it is of."""
        session, config = self._session, self._session.config
        asset = config.asset
        manifest = new_manifest(
            kind="market",
            name=spec.slug,
            created_ns=self._clock.now_ns(),
            source=session.source,
            symbols={"spot": asset.spot_symbol, "oracle": asset.oracle_symbol, "polybolt": asset.polybolt_symbol},
            spec=spec,
            missing=("strike", "outcome", *self._always_missing()),
        )
        tape: TapeWriter = await session.wires.off_loop(session.packer.open, spec.slug, manifest)
        self.tape = tape
        session.windows.append(self)
        tape.own(self._clock.now_ns(), EntryKind.META, json.dumps(manifest).encode())
        return tape

    async def _begin(self, tape: TapeWriter) -> None:
        """Put on the tape what comes before the first frame, then let it have frames."""
        session, config = self._session, self._session.config
        self._http.take(tape)
        warm = await session.spot_feed.warm_start(
            self._http, config.venue.spot_rest_urls, self._clock.now_ns(), timeout_s=config.venue.request_timeout_s
        )
        self._http.take(tape)
        if len(warm):
            tape.own(self._clock.now_ns(), EntryKind.EVENTS, warm.to_bytes())
        states = session.tap_states()
        if states:
            tape.own(self._clock.now_ns(), EntryKind.EVENTS, states)
        session.live.append(tape)

    async def _follow(self, spec: MarketSpec, tape: TapeWriter, missing: list[str]) -> None:
        """From joining to the late figures; what was got is taken from `missing`."""
        session = self._session
        record = session.config.record
        book = _Watched()
        self.tap = tap = FeedTap(TapeFeed.MARKET, [tape], session.packer.numbers, on_data=book.on_data)
        feed = MarketFeed(session.config.venue.market_ws_url, session.config.feeds, sink=tap.sink)
        feed.add_market(MARKET_INDEX, spec)
        self._capture = StrikeCapture(spec, strike_sd=session.config.model.strike_sd_bps * 1e-4)
        self._closing = StrikeCapture(replace(spec, start_ns=spec.end_ns, end_ns=2 * spec.end_ns - spec.start_ns))
        async with asyncio.TaskGroup() as group:
            socket = group.create_task(session.wires.drive(TapedFeed(feed, tap), 0.0))
            asker = cast("Trader", _Asker(self, book))
            check = group.create_task(witness(asker, spec, MARKET_INDEX, feed))
            try:
                strike = await self._find_strike(spec, tape, missing)
                await session.sleep_until(spec.end_ns)
                self.tell(EventKind.EV_MARKET_CLOSE, market=MARKET_INDEX)
                await session.sleep_until(spec.end_ns + int(record.linger_s * NS))
            finally:
                self._leave(tape)
                socket.cancel()
                check.cancel()
        final = self._closing.strike
        tape.save(final=None if final is None else final.value)
        await self._find_outcome(spec, tape, strike, missing)

    def _leave(self, tape: TapeWriter) -> None:
        """No more frames for this tape; gaps that are open are marked."""
        if tape not in self._session.live:
            return
        self._session.live.remove(tape)
        now_ns = self._clock.now_ns()
        for tap in (*self._session.taps, self.tap):
            if tap is not None:
                tap.mark_gap(tape, now_ns)

    async def _find_strike(self, spec: MarketSpec, tape: TapeWriter, missing: list[str]) -> Strike | None:
        session = self._session
        await session.sleep_until(spec.start_ns)
        strike: Strike | None = None
        wait_s = session.config.engine.strike_wait_s
        try:
            if spec.rule == "candle":
                strike = await kline_strike(
                    self._http,
                    self._clock,
                    session.config.venue,
                    symbol=session.config.asset.spot_symbol,
                    start_ns=spec.start_ns,
                    wait_s=wait_s,
                )
            else:
                assert self._capture is not None
                strike = await self._capture.wait(self._clock, wait_s)
        except VenueError as error:
            session.notice("WARNING", f"{spec.slug}: {error}")
        if strike is None:
            session.notice("WARNING", f"{spec.slug}: its strike was not seen, the tape goes on without")
            return None
        stamp_ns, x, y, i = strike.stamp_ns, strike.value, strike.variance, strike.source
        self.tell(EventKind.EV_STRIKE, market=MARKET_INDEX, venue_ns=stamp_ns, x=x, y=y, i=i)
        missing.remove("strike")
        tape.save(strike=_told(strike), missing=[*missing, *self._always_missing()])
        return strike

    async def _find_outcome(
        self, spec: MarketSpec, tape: TapeWriter, strike: Strike | None, missing: list[str]
    ) -> None:
        """The venue's outcome, then its own figure of the strike, which shows minutes later."""
        session = self._session
        poller = OutcomePoller(self._http, self._clock, session.config.venue, session.config.engine)
        try:
            outcome = await poller.wait(spec)
        except OutcomeUnknown as error:
            session.notice("WARNING", f"{spec.slug}: {error}")
            return
        self.tell(EventKind.EV_OUTCOME, market=MARKET_INDEX, outcome=outcome)
        missing.remove("outcome")
        tape.save(outcome=outcome, missing=[*missing, *self._always_missing()])
        if strike is None:
            return
        check = await poller.verify_late(spec, strike)
        if check is None:
            return
        tape.save(strike={**_told(strike), "published": check.published, "verified": check.strike.verified})
        if not check.strike.verified:
            text = f"{spec.slug}: the strike seen, {strike.value}, is not the venue's {check.published}"
            session.notice("WARNING", text)

    def _rule(self) -> str:
        config = self._session.config
        if self._window.interval == config.interval.name:
            return config.interval.rule_expected
        return config.engine.observe_rules[self._window.interval]

    def _always_missing(self) -> list[str]:
        return [] if self._session.wires.auth is not None else ["polybolt"]


def _told(strike: Strike) -> dict[str, Any]:
    return {
        "value": strike.value,
        "source": int(strike.source),
        "stamp_ns": strike.stamp_ns,
        "variance": strike.variance,
    }


class _Watched:
    """The market's book as its frames tell it, for the witness: what polybot.following reads of an engine."""

    def __init__(self) -> None:
        self.book = Book()
        self.book_ns = 0
        self.markets = {MARKET_INDEX: self}

    def on_data(self, events: EventBuffer) -> None:
        """Apply one message."""
        self.book.apply_events(events)
        self.book_ns = events.recv_ns_at(0)


class _Asker:
    """What polybot.following asks of a trader, answered for one window on tape."""

    def __init__(self, window: TapedWindow, book: _Watched | None = None) -> None:
        session = window._session
        self.config = session.config
        self.clock = session.clock
        self.wires = self
        self.http = window._http
        self.engine = book
        self.discovery = Discovery(window._http, session.clock, session.config.venue)
        self._window = window

    def notice(self, level: str, text: str) -> None:
        """Pass a line on."""
        self._window._session.notice(level, text)

    def tell(self, kind: int, **fields: Any) -> None:
        """Put an event on the tape."""
        self._window.tell(kind, **fields)
