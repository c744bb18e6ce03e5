"""The spot exchange as a transport.Feed: trades and quotes of one symbol, and a warm start by REST.

Owns the subscription (it is in the URL: no message is ever sent), which host comes next, and the
liveness of spot data.  Numbers are read by _fast.decode_spot, the odd frame by feeds.fallback.
Its frames go through _fast.inlet; from a socket they never meet Python unless they are odd.
Must not know engines or strategies: events go to `sink`.  Several links of one SpotFeed may deliver
at once (rollover, spare socket): the first copy of a trade wins, the decoder drops the rest.
Facts of the wire as of 2026-07: connections are cut after 24 h, a `serverShutdown` notice promises no
lead time, silence can also be an exchange halt, which no reconnect cures.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import EventBuffer, EventFlag, EventKind, FeedId, Side, Special
from polybot._fast.inlet import Inlet
from polybot._fast.scan import DecodeResult
from polybot._fast.sink import as_sink
from polybot.config import FeedsConfig
from polybot.errors import VenueError
from polybot.feeds.fallback import SlowPath
from polybot.feeds.liveness import Liveness, Sink
from polybot.transport import HttpClient, SendText

__all__ = ["SpotFeed"]

NS = 1_000_000_000
DEC_UNSUPPORTED = int(DecodeResult.DEC_UNSUPPORTED)
# A shutdown notice is DEC_IGNORED, as are the doubles while two links deliver.
ODD = (DecodeResult.DEC_UNSUPPORTED, DecodeResult.DEC_IGNORED)
NO_MARKET = int(Special.NO_MARKET)
US_MAGNITUDE = 100_000_000_000_000  # stamps above this are us, below ms (1e14 ms is the year 5138)
SHUTDOWN_GRACE_NS = 5 * NS  # so long may a successor take after a serverShutdown notice
CANDLES = 1_000  # one-second candles read at start: about 17 minutes of history
NO_QUANTITY = 0.0  # a minute's volume at one price would distort the VWAP: such a trade tells a price alone
BACKFILL = int(EventFlag.F_SNAPSHOT | EventFlag.F_AGG)


class SpotFeed:
    """Feed of one symbol's trades and best quotes.

    `urls` are base addresses (wss://host:port), tried in turn; all times are venue ns.
    """

    def __init__(self, urls: Sequence[str], symbol: str, settings: FeedsConfig, *, sink: Sink) -> None:
        if not urls:
            raise ValueError("a spot feed needs at least one address")
        self.name = "spot"
        self.wants_reconnect: str | None = None
        self.wants_rollover: str | None = None
        self._symbol = symbol.upper()
        stream = symbol.lower()
        path = f"/stream?streams={stream}@trade/{stream}@bookTicker&timeUnit=MICROSECOND"
        self._urls = [url.rstrip("/") + path for url in urls]
        self._next_url = 0
        self._warm_trades = settings.warm_trades
        self._warm_minutes = round(60.0 * settings.warm_h)
        self._decoder = SpotDecoder(symbol)
        self._slow = SlowPath(self._decoder)
        self._live = Liveness(FeedId.FEED_SPOT, sink, silence_s=settings.spot_silence_s)
        self.inlet = Inlet(self._decoder, as_sink(sink), on_odd=self._on_odd, odd=ODD)
        self.inlet.follow(NO_MARKET, self._live)
        self._shutdowns = 0
        self._shutdown_ns = 0
        self._rejected = 0  # frames the decoder had held for old at the last silence
        self._silences = 0
        self._warm_errors = 0
        self.id_resets = 0  # times the decoder was told to forget its ids

    def url(self) -> str:
        """Next address; every call goes on to the next host."""
        url = self._urls[self._next_url % len(self._urls)]
        self._next_url += 1
        return url

    def on_open(self, send: SendText, now_ns: int) -> None:
        """Connected; the subscription is in the address."""
        self.wants_reconnect = None
        if self._live.links == 0:
            self.wants_rollover = None
        self._live.on_open(now_ns)

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        """Decode one frame and hand its events on."""
        self.inlet.feed(payload, recv_ns)

    def on_timer(self, now_ns: int) -> None:
        """Ask for a new socket when data is too old, or when a shutdown notice went unheeded."""
        was_stale = self._live.stale
        if self._live.is_silent(now_ns):
            self._on_silence(now_ns, was_stale)
        elif self.wants_rollover is not None and now_ns - self._shutdown_ns > SHUTDOWN_GRACE_NS:
            self.wants_reconnect = self.wants_rollover

    def on_close(self, reason: str, now_ns: int) -> None:
        """A socket is gone."""
        self._live.on_close(now_ns)

    def counters(self) -> dict[str, int]:
        """What happened so far, by name: decoder, slow path, silences."""
        return {
            **self._decoder.counters(),
            **self._slow.counters(),
            "silences": self._silences,
            "warm_errors": self._warm_errors,
        }

    async def warm_start(
        self, http: HttpClient, rest_urls: Sequence[str], now_ns: int, *, timeout_s: float = 5.0
    ) -> EventBuffer:
        """Read the recent past as EV_SPOT_TRADE with F_SNAPSHOT | F_AGG, oldest first.

        `feeds.warm_h` hours of one-minute candles (their close, at their end, quantity 0), then one-second
        candles up to the oldest of `feeds.warm_trades` aggregated trades, then those.  Do it before
        connecting.  recv_ns is now_ns, venue_ns the past.  A host that fails is left for the next; with
        none left the buffer is empty or short, and counted: a cold start is slower, not wrong.
        """
        events = EventBuffer(self._warm_minutes + CANDLES + self._warm_trades + 1)
        if self._warm_trades == 0:
            return events
        query = f"symbol={self._symbol}&limit={self._warm_trades}"
        trades = await self._rest(http, rest_urls, f"/api/v3/aggTrades?{query}", timeout_s)
        try:
            trade_ns = min((_stamp_ns(trade["T"]) for trade in trades), default=now_ns)
            path = self._candles_path("1s", trade_ns, CANDLES)
            seconds = await self._rest(http, rest_urls, path, timeout_s)
            second_ns = min((_stamp_ns(candle[0]) for candle in seconds), default=trade_ns)
            path = self._candles_path("1m", second_ns, self._warm_minutes)
            minutes = await self._rest(http, rest_urls, path, timeout_s) if self._warm_minutes else []
            _add_candles(minutes, second_ns, now_ns, events, priced_only=True)
            _add_candles(seconds, trade_ns, now_ns, events)
            _add_trades(trades, now_ns, events)
        except (LookupError, TypeError, ValueError):
            self._warm_errors += 1
            events.reset()
        return events

    async def _rest(
        self, http: HttpClient, rest_urls: Sequence[str], path: str, timeout_s: float
    ) -> list[Any]:
        """GET a list from the first host that gives one, [] when none does."""
        for host in rest_urls:
            try:
                answer = await http.request("GET", host.rstrip("/") + path, timeout_s=timeout_s)
                parsed = orjson.loads(answer.body) if answer.status == 200 else None
            except (VenueError, orjson.JSONDecodeError):
                parsed = None
            if isinstance(parsed, list):
                return parsed
            self._warm_errors += 1
        return []

    def _candles_path(self, interval: str, before_ns: int, limit: int) -> str:
        """Ask for the last `limit` candles that opened before before_ns."""
        end_ms = before_ns // 1_000_000 - 1
        query = f"symbol={self._symbol}&interval={interval}&endTime={end_ms}&limit={limit}"
        return f"/api/v3/klines?{query}"

    def _on_odd(self, result: int, payload: bytes, recv_ns: int, events: EventBuffer) -> None:
        """Read a frame the slow exact way, or see why it brought nothing."""
        if result == DEC_UNSUPPORTED:
            self._slow.feed(payload, recv_ns, events)
        if not len(events) and self._decoder.shutdowns != self._shutdowns:
            self._shutdowns = self._decoder.shutdowns
            self._shutdown_ns = recv_ns
            self.wants_rollover = "server_shutdown"

    def _on_silence(self, now_ns: int, was_stale: bool) -> None:
        rejected = self._decoder.duplicates + self._decoder.stale_quotes
        if was_stale and rejected > self._rejected:
            # Frames come, but their ids are behind ours: the other end started its sequence anew.
            self._decoder.reset_ids()
            self.id_resets += 1
        self._rejected = rejected
        self._silences += 1
        self._live.restart(now_ns)
        self.wants_reconnect = "silence"


def _add_candles(
    candles: list[Any], before_ns: int, now_ns: int, events: EventBuffer, *, priced_only: bool = False
) -> None:
    """Append the close of every candle with trades that ended before before_ns; priced_only: without quantity."""
    for candle in candles:
        end_ns, count = _stamp_ns(candle[6]), int(candle[8])
        if count and end_ns < before_ns:
            events.add(
                EventKind.EV_SPOT_TRADE,
                recv_ns=now_ns,
                venue_ns=end_ns,
                flags=BACKFILL,
                x=float(candle[4]),
                y=NO_QUANTITY if priced_only else float(candle[5]),
            )


def _add_trades(trades: list[Any], now_ns: int, events: EventBuffer) -> None:
    for trade in trades:
        events.add(
            EventKind.EV_SPOT_TRADE,
            recv_ns=now_ns,
            venue_ns=_stamp_ns(trade["T"]),
            side=Side.SELL if trade["m"] else Side.BUY,
            flags=BACKFILL,
            seq=int(trade["l"]),
            x=float(trade["p"]),
            y=float(trade["q"]),
            i=int(trade["f"]),
        )


def _stamp_ns(stamp: int) -> int:
    """Normalise a stamp in ms or us to ns."""
    return stamp * (1_000 if stamp >= US_MAGNITUDE else 1_000_000)
