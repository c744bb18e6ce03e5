"""The venue's market channel as a transport.Feed: books, changes and prints of a few markets.

Owns the subscription, the text pings, and three watchdogs, because this channel has no sequence
numbers and is known to stall while it still answers pings:
    no first book FIRST_BOOK_NS after subscribing   -> subscribe again, each time waiting twice as long
    a market without data for market_silence_s      -> STALE, subscribe again (brings a new book)
    nothing at all a little longer, or no PONG      -> new socket
A changed or doubted tick size, and a book the engine found wrong (`request_resync`), subscribe again
too: only a snapshot says what is true.  Frames go through _fast.inlet; from a socket they meet Python only
when they are odd.  Must not keep a book.  Called by a connection driver; the daemon adds and removes markets.
"""

from dataclasses import dataclass

import orjson

from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.event import EventBuffer, EventKind, FeedId
from polybot._fast.inlet import Inlet
from polybot._fast.scan import DecodeResult
from polybot._fast.sink import as_sink
from polybot.config import FeedsConfig
from polybot.feeds.fallback import SlowPath
from polybot.feeds.liveness import Liveness, Sink
from polybot.market.spec import MarketSpec
from polybot.transport import SendText

__all__ = ["MarketFeed"]

NS = 1_000_000_000
FIRST_BOOK_NS = 3 * NS
FIRST_BOOK_MAX_NS = 30 * NS
ASK_AGAIN_NS = 2 * NS  # least time between two subscriptions of one market
DEAD_AFTER_NS = 5 * NS  # beyond market_silence_s, for all markets: the socket is dead
MAX_ASKS = 4  # vain subscriptions of a market that once had a book, then a new socket
SNAPSHOT_BIT = 1 << EventKind.EV_BOOK_SNAPSHOT
TICK_SIZE_BIT = 1 << EventKind.EV_TICK_SIZE
SNAPSHOT = int(EventKind.EV_BOOK_SNAPSHOT)
TICK_SIZE = int(EventKind.EV_TICK_SIZE)


@dataclass(slots=True)
class _Market:
    """One market's subscription."""

    tokens: tuple[str, str]
    live: Liveness
    asked_ns: int = 0  # last subscription
    wait_ns: int = FIRST_BOOK_NS
    asks: int = 0  # subscriptions since the last book
    waiting: bool = False  # for a first book
    had_book: bool = False
    doubted: bool = False  # a new snapshot is wanted


class MarketFeed:
    """Feed of the market channel for the markets added to it; all times are venue ns."""

    def __init__(self, url: str, settings: FeedsConfig, *, sink: Sink) -> None:
        self.name = "market"
        self.wants_reconnect: str | None = None
        self._url = url
        self._sink = sink
        self._settings = settings
        self._ping_ns = round(settings.market_ping_s * NS)
        self._pong_timeout_ns = round(settings.pong_timeout_s * NS)
        self._dead_ns = round(settings.market_silence_s * NS) + DEAD_AFTER_NS
        self._decoder = ClobDecoder()
        self._slow = SlowPath(self._decoder)
        self.inlet = Inlet(
            self._decoder,
            as_sink(sink),
            on_odd=self._on_odd,
            odd=(DecodeResult.DEC_UNSUPPORTED,),
            on_watched=self._on_rare,
            pong=b"PONG",
        )
        self.inlet.watch(TICK_SIZE_BIT)
        self._markets: dict[int, _Market] = {}
        self._send: SendText | None = None
        self._links = 0
        self._subscribed = False  # the first frame of this connection was sent
        self._pinged_ns = 0
        self._counters = {
            "pong_timeouts": 0,
            "silences": 0,
            "no_first_book": 0,
            "subscriptions": 0,
            "resync_requests": 0,
            "tick_refetch_requests": 0,
            "tick_changes": 0,
        }

    def url(self) -> str:
        """Address of the channel."""
        return self._url

    def add_market(self, index: int, spec: MarketSpec) -> None:
        """Subscribe a market's two tokens, now or at the next connect; index as in the events."""
        self._decoder.add_market(
            index, spec.token_up.encode(), spec.token_down.encode(), spec.condition_id.encode()
        )
        live = Liveness(
            FeedId.FEED_MARKET, self._sink, silence_s=self._settings.market_silence_s, market=index
        )
        market = _Market((spec.token_up, spec.token_down), live)
        self._markets[index] = market
        self.inlet.follow(index, live)
        if self._send is not None:
            live.on_open(self.inlet.now_ns)
            if len(self._markets) == 1:
                self.inlet.on_data(self.inlet.now_ns)
            self._subscribe([market], first=not self._subscribed)

    def remove_market(self, index: int) -> None:
        """Unsubscribe a market; one never added is no error."""
        market = self._markets.pop(index, None)
        self._decoder.remove_market(index)
        self.inlet.leave(index)
        if market is not None and self._send is not None:
            self._send_json({"operation": "unsubscribe", "assets_ids": list(market.tokens)})
        self._count_waiting()

    def request_resync(self, index: int) -> None:
        """The book of this market is doubted: get a new snapshot (at most one per ASK_AGAIN_NS)."""
        self._counters["resync_requests"] += 1
        self._doubt(index)

    def request_tick_refetch(self, index: int) -> None:
        """The tick size of this market is doubted: a new snapshot carries it."""
        self._counters["tick_refetch_requests"] += 1
        self._doubt(index)

    def on_witness(self, index: int, *, equal: bool, now_ns: int) -> None:
        """A REST book was compared with ours: equal proves a quiet book fresh, else get a new snapshot."""
        market = self._markets.get(index)
        if market is None:
            return
        if equal:
            market.live.on_data(now_ns)
            self.inlet.on_data(now_ns)
        else:
            self.request_resync(index)

    def on_open(self, send: SendText, now_ns: int) -> None:
        """Connected: subscribe everything anew."""
        self.wants_reconnect = None
        self._links += 1
        self._send = send
        self._subscribed = False
        self._pinged_ns = now_ns
        self.inlet.on_open(now_ns)
        for market in self._markets.values():
            market.live.on_open(now_ns)
        if self._markets:
            self._subscribe(list(self._markets.values()), first=True)

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        """Decode one frame, hand its events on, keep track of who is alive."""
        self.inlet.feed(payload, recv_ns)

    def on_timer(self, now_ns: int) -> None:
        """Ping, and look after every market."""
        self.inlet.on_time(now_ns)
        if self._send is None or self.wants_reconnect is not None:
            return
        if now_ns - self.inlet.pong_ns >= self._pong_timeout_ns:
            self._counters["pong_timeouts"] += 1
            self.wants_reconnect = "no pong"
            return
        if now_ns - self._pinged_ns >= self._ping_ns:
            self._pinged_ns = now_ns
            self._send("PING")
        for market in self._markets.values():
            self._watch(market, now_ns)
        if self._markets and now_ns - self.inlet.data_ns >= self._dead_ns:
            self.wants_reconnect = "silence"

    def on_close(self, reason: str, now_ns: int) -> None:
        """The socket is gone; books are worth nothing until the next snapshot."""
        self._links -= 1
        if self._links == 0:
            self._send = None
        for market in self._markets.values():
            if market.live.links:
                market.live.on_close(now_ns)

    def counters(self) -> dict[str, int]:
        """What happened so far, by name: decoder, slow path, watchdogs."""
        heard = {"payloads": self.inlet.payloads, "pongs": self.inlet.pongs}
        return {**self._decoder.counters(), **self._slow.counters(), **heard, **self._counters}

    def _on_odd(self, result: int, payload: bytes, recv_ns: int, events: EventBuffer) -> None:
        """Read a frame the slow exact way."""
        self._slow.feed(payload, recv_ns, events)

    def _watch(self, market: _Market, now_ns: int) -> None:
        since_ns = now_ns - market.asked_ns
        was_stale = market.live.stale
        silent = market.live.is_silent(now_ns)
        self._counters["silences"] += silent and not was_stale
        if market.waiting:
            if since_ns < market.wait_ns:
                return
            self._counters["no_first_book"] += 1
            if market.had_book and market.asks >= MAX_ASKS:
                self.wants_reconnect = "no book"
                return
            market.wait_ns = min(2 * market.wait_ns, FIRST_BOOK_MAX_NS)
            self._ask_again(market)
        elif (silent or market.doubted) and since_ns >= ASK_AGAIN_NS:
            self._ask_again(market)

    def _on_rare(self, events: EventBuffer, recv_ns: int) -> None:
        """Take note of first books and of tick sizes, frames of several markets included."""
        rows = events.to_numpy()
        for index in {int(row) for row in rows["market"][rows["kind"] == SNAPSHOT]}:
            market = self._markets.get(index)
            if market is not None:
                market.live.on_data(recv_ns)
                market.waiting = market.doubted = False
                market.had_book = True
                market.asks = 0
                market.wait_ns = FIRST_BOOK_NS
        for index in {int(row) for row in rows["market"][rows["kind"] == TICK_SIZE]}:
            self._counters["tick_changes"] += 1
            self._doubt(index)
        self._count_waiting()

    def _doubt(self, index: int) -> None:
        """Ask for a new snapshot now, or as soon as the last request is old enough."""
        market = self._markets.get(index)
        if market is None:
            return
        market.doubted = True
        if self._send is not None and self.inlet.now_ns - market.asked_ns >= ASK_AGAIN_NS:
            self._ask_again(market)

    def _ask_again(self, market: _Market) -> None:
        self._send_json({"operation": "unsubscribe", "assets_ids": list(market.tokens)})
        self._subscribe([market], first=False)

    def _subscribe(self, markets: list[_Market], *, first: bool) -> None:
        """Subscribe markets and wait for their books; `first`: the frame that opens the channel."""
        tokens = [token for market in markets for token in market.tokens]
        head = {"type": "market"} if first else {"operation": "subscribe"}
        self._send_json({**head, "assets_ids": tokens, "custom_feature_enabled": True})
        self._subscribed = True
        self._counters["subscriptions"] += len(markets)
        for market in markets:
            market.asked_ns = self.inlet.now_ns
            market.asks += 1
            market.waiting = True
            market.doubted = False
        self._count_waiting()

    def _send_json(self, message: dict[str, object]) -> None:
        assert self._send is not None
        self._send(orjson.dumps(message).decode())

    def _count_waiting(self) -> None:
        """Hear of snapshots only while a market waits for its first book."""
        is_waiting = any(market.waiting for market in self._markets.values())
        self.inlet.watch(TICK_SIZE_BIT | (SNAPSHOT_BIT if is_waiting else 0))
