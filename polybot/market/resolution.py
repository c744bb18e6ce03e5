"""What a market resolves against, and what it resolved to: strike capture, late check, outcome.

Owns three things.  `StrikeCapture` (sans I/O) picks the strike from the oracle ticks the feed already
delivers, and lets a task wait for it.  `kline_strike` asks the spot exchange for the candle a 1h market opens with.
`OutcomePoller` waits for the venue's own outcome and checks the strike against its late copy.
Must not estimate: a strike is the settlement source's own value stamped exactly at the start, or it
is unknown; an outcome is what the venue published, never our own average.

StrikeCapture, twap and point rules (venue notes 6.2):
    waiting --exact tick of PolyBolt, or of RTDS with a tick at most 1.5 s before it--> captured
    waiting --exact tick of RTDS with nothing adjacent before it--> gap (only PolyBolt heals it)
    waiting --ticks stamped after the start--> missed (an exact tick overtaken by them heals it)
"""

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from polybot._fast.event import EventKind, Outcome, StrikeSource
from polybot.clock import Clock
from polybot.config import EngineConfig, VenueConfig
from polybot.errors import MarketRefused, VenueError
from polybot.market.rest import GammaMarket, MarketRest
from polybot.market.spec import MarketSpec
from polybot.transport import HttpClient

__all__ = ["OutcomePoller", "OutcomeUnknown", "Strike", "StrikeCapture", "StrikeCheck", "kline_strike"]

NS = 1_000_000_000
# A stream without history proves that a tick is the first of its stamp only by an unbroken neighbour.
ADJACENT_NS = 1_500_000_000
# Both values are the same 18-decimals number; what differs is only how JSON prints a double.
VERIFY_RELATIVE = 1e-8
KLINE_POLL_S = 1.0

_SPOT = int(EventKind.EV_ORACLE_SPOT)
_TWAP = int(EventKind.EV_ORACLE_TWAP)


class OutcomeUnknown(VenueError):
    """The venue published no outcome in time, or one that is neither Up nor Down."""


@dataclass(frozen=True, slots=True)
class Strike:
    """Reference price of one window, USD; variance is that of ln(strike); source is a StrikeSource."""

    value: float
    source: int
    stamp_ns: int
    verified: bool = False
    variance: float = 0.0


@dataclass(frozen=True, slots=True)
class StrikeCheck:
    """The captured strike (verified or not) beside the venue's own, published late; USD."""

    strike: Strike
    published: float
    difference: float


class StrikeCapture:
    """Picks one market's strike out of the oracle ticks; feed it from a minute before the start."""

    def __init__(self, spec: MarketSpec, *, strike_sd: float = 0.0) -> None:
        """`strike_sd` is the sd of ln(strike) for ticks of the unsigned RTDS relay."""
        self._start_ns = spec.start_ns
        self._kind = {"twap": _TWAP, "point": _SPOT}.get(spec.rule)
        self._window_s = spec.twap_window_s
        self._variance = strike_sd * strike_sd
        self._before_ns = 0
        self._after_ns = 0
        self._gap = False
        self._captured = asyncio.Event()
        self.strike: Strike | None = None
        self.conflicts = 0  # later ticks of the same stamp with another value

    @property
    def status(self) -> str:
        """One of "captured", "gap", "missed", "waiting", "not_from_oracle"."""
        if self.strike is not None:
            return "captured"
        if self._kind is None:
            return "not_from_oracle"
        if self._gap:
            return "gap"
        return "missed" if self._after_ns else "waiting"

    def on_oracle_tick(
        self,
        kind: int,
        value: float,
        venue_ns: int,
        recv_ns: int,
        *,
        window_s: int = 0,
        sequenced: bool = False,
    ) -> Strike | None:
        """Take one tick; returns the strike at the tick that settles it, else None.

        `kind` is EV_ORACLE_SPOT or EV_ORACLE_TWAP, `venue_ns` the price time, `window_s` the averaging
        window of a TWAP tick; `sequenced`: from a channel with sequence numbers and history (PolyBolt).
        """
        if kind != self._kind or (kind == _TWAP and window_s != self._window_s):
            return None
        if not (math.isfinite(value) and value > 0.0):
            return None
        if venue_ns < self._start_ns:
            self._before_ns = max(self._before_ns, venue_ns)
            return None
        if venue_ns > self._start_ns:
            self._after_ns = venue_ns
            return None
        return self._on_exact_tick(kind, value, venue_ns, sequenced)

    def _on_exact_tick(self, kind: int, value: float, venue_ns: int, sequenced: bool) -> Strike | None:
        if self.strike is not None:
            self.conflicts += value != self.strike.value
            return None
        if not sequenced and venue_ns - self._before_ns > ADJACENT_NS:
            self._gap = True
        if self._gap and not sequenced:
            return None
        if kind == _SPOT:
            source = StrikeSource.STRIKE_RTDS_SPOT
        else:
            source = StrikeSource.STRIKE_POLYBOLT_TWAP if sequenced else StrikeSource.STRIKE_RTDS_TWAP
        variance = 0.0 if sequenced else self._variance
        self.strike = Strike(value, source, venue_ns, variance=variance)
        self._captured.set()
        return self.strike

    async def wait(self, clock: Clock, wait_s: float) -> Strike | None:
        """Wait for the strike; None when it has not come within wait_s venue seconds."""
        try:
            async with asyncio.timeout(clock.real_s(wait_s)):
                await self._captured.wait()
        except TimeoutError:
            return None
        return self.strike


class OutcomePoller:
    """Asks the venue how a market resolved; nothing but the venue's answer counts."""

    def __init__(self, http: HttpClient, clock: Clock, venue: VenueConfig, engine: EngineConfig) -> None:
        self._rest = MarketRest(http, venue)
        self._clock = clock
        self._poll_s = engine.outcome_poll_s
        self._wait_s = engine.outcome_wait_s
        self.polls = 0
        self.errors = 0

    async def wait(self, spec: MarketSpec) -> int:
        """Poll until the venue says who won: UP or DOWN.

        Raises OutcomeUnknown after engine.outcome_wait_s venue seconds past the end, and at once when
        the venue resolved to something else than one winner.
        """
        deadline_ns = max(spec.end_ns, self._clock.now_ns()) + int(self._wait_s * NS)
        while True:
            outcome = await self._poll(spec)
            if outcome is not None:
                return outcome
            if self._clock.now_ns() >= deadline_ns:
                raise OutcomeUnknown(f"{spec.slug}: no outcome {self._wait_s:g} s after its end")
            await self._clock.sleep(self._poll_s)

    async def verify_late(self, spec: MarketSpec, strike: Strike) -> StrikeCheck | None:
        """Compare a strike with the venue's priceToBeat, which shows minutes late; None if it never does."""
        deadline_ns = max(spec.end_ns, self._clock.now_ns()) + int(self._wait_s * NS)
        while True:
            market = await self._gamma(spec)
            published = None if market is None else market.price_to_beat
            if published is not None:
                difference = strike.value - published
                verified = abs(difference) <= VERIFY_RELATIVE * abs(published)
                return StrikeCheck(replace(strike, verified=verified), published, difference)
            if self._clock.now_ns() >= deadline_ns:
                return None
            await self._clock.sleep(self._poll_s)

    async def _poll(self, spec: MarketSpec) -> int | None:
        """Ask once: the CLOB's winner flag, then Gamma's final prices."""
        self.polls += 1
        try:
            winners = await self._rest.winners(spec.condition_id)
        except (VenueError, MarketRefused):
            self.errors += 1
            winners = ()
        if winners:
            return _outcome_of_tokens(spec, winners)
        market = await self._gamma(spec)
        return None if market is None else _outcome_of_prices(spec, market)

    async def _gamma(self, spec: MarketSpec) -> GammaMarket | None:
        try:
            markets = await self._rest.event(spec.slug) or ()
        except (VenueError, MarketRefused):
            self.errors += 1
            return None
        ours = [market for market in markets if market.condition_id == spec.condition_id]
        return ours[0] if ours else None


async def kline_strike(
    http: HttpClient,
    clock: Clock,
    venue: VenueConfig,
    *,
    symbol: str,
    start_ns: int,
    wait_s: float,
) -> Strike:
    """Return the open of the spot exchange's 1h candle that starts exactly at start_ns.

    The exchange's database lags its stream, so it is asked every second, host after host; raises
    VenueError when the candle is not there wait_s venue seconds after the start (or the call).
    """
    query = urlencode({"symbol": symbol, "interval": "1h", "startTime": start_ns // 1_000_000, "limit": 1})
    deadline_ns = max(start_ns, clock.now_ns()) + int(wait_s * NS)
    reason = "no hosts"
    attempt = 0
    while venue.spot_rest_urls:
        host = venue.spot_rest_urls[attempt % len(venue.spot_rest_urls)].rstrip("/")
        attempt += 1
        try:
            answer = await http.request(
                "GET", f"{host}/api/v3/klines?{query}", timeout_s=venue.request_timeout_s
            )
            if answer.status != 200:
                raise VenueError(f"{host}: status {answer.status}")
            price = _kline_open(answer.body, start_ns)
            if price is not None:
                return Strike(price, StrikeSource.STRIKE_KLINE, start_ns)
            reason = f"{host}: candle not there yet"
        except VenueError as error:
            reason = str(error)
        if clock.now_ns() >= deadline_ns:
            break
        await clock.sleep(KLINE_POLL_S)
    raise VenueError(f"no 1h candle of {symbol} at {start_ns}: {reason}")


def _kline_open(body: bytes, start_ns: int) -> float | None:
    """Open of the first candle if it starts at start_ns, else None; raises VenueError for nonsense."""
    try:
        klines: Sequence[Sequence[object]] = json.loads(body)
        if not klines:
            return None
        opened, price = int(str(klines[0][0])), float(str(klines[0][1]))
    except (ValueError, TypeError, LookupError) as error:
        raise VenueError(f"klines: {error}") from error
    if not (math.isfinite(price) and price > 0.0):
        raise VenueError(f"klines: open {price}")
    return price if opened * 1_000_000 == start_ns else None


def _outcome_of_tokens(spec: MarketSpec, winners: Sequence[str]) -> int:
    if list(winners) == [spec.token_up]:
        return int(Outcome.UP)
    if list(winners) == [spec.token_down]:
        return int(Outcome.DOWN)
    raise OutcomeUnknown(f"{spec.slug}: the CLOB names {len(winners)} winners that are not one of ours")


def _outcome_of_prices(spec: MarketSpec, market: GammaMarket) -> int | None:
    """Outcome by Gamma: closed, resolved and prices exactly 1 and 0; None while it is not final."""
    if not (market.closed and market.resolved):
        return None
    if len(market.token_ids) != len(market.outcome_prices):
        raise OutcomeUnknown(f"{spec.slug}: resolved without prices")
    price_of = dict(zip(market.token_ids, market.outcome_prices, strict=True))
    prices = (price_of.get(spec.token_up), price_of.get(spec.token_down))
    if prices == ("1", "0"):
        return int(Outcome.UP)
    if prices == ("0", "1"):
        return int(Outcome.DOWN)
    raise OutcomeUnknown(f"{spec.slug}: resolved to {prices}")
