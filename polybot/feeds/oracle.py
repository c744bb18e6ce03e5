"""Oracle prices as transport.Feeds: RTDS (no account) and PolyBolt (needs CLOB credentials).

Owns both dialects' subscriptions, pings and errors, and the liveness of each price kind: a topic can
stop while its socket and the other topic go on.  `OraclePrices` is what both share: decoder, slow
path, events to `sink`, single ticks to `on_tick` (for the strike).
Must not know windows or strikes.  Called by a connection driver.
PolyBolt:  open --auth--> authed --subscribe--> prices; a sequence gap or dropped messages subscribe
again (its snapshot holds the last two minutes); refused credentials and policy closes end it for good.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from polybot._fast.decode_oracle import OracleDecoder
from polybot._fast.event import EventBuffer, EventKind, FeedId
from polybot._fast.scan import DecodeResult
from polybot.config import FeedsConfig
from polybot.feeds.fallback import SlowPath
from polybot.feeds.liveness import Liveness, Sink
from polybot.transport import SendText

__all__ = ["OracleFeed", "OraclePrices", "PolyBoltFeed", "TickListener"]

NS = 1_000_000_000
DEC_OK = int(DecodeResult.DEC_OK)
DEC_UNSUPPORTED = int(DecodeResult.DEC_UNSUPPORTED)
SPOT = int(EventKind.EV_ORACLE_SPOT)
TWAP = int(EventKind.EV_ORACLE_TWAP)
KIND_NAMES = {SPOT: "spot", TWAP: "twap"}

# Without filters: RTDS rejects some spellings of them, other assets are dropped by symbol here.
RTDS_SUBSCRIBE = orjson.dumps(
    {
        "action": "subscribe",
        "subscriptions": [
            {"topic": "crypto_prices_twap_sixty", "type": "update"},
            {"topic": "crypto_prices_chainlink", "type": "*"},
        ],
    }
).decode()

POLYBOLT_PING_NS = 30 * NS
POLYBOLT_STALE_NS = 90 * NS
POLYBOLT_RETRY_S = 10.0  # spread of the next attempt when the server drains or is short of something
RESUBSCRIBE_NS = NS  # least time between two subscriptions; the server allows 20 a second
MAX_AUTH_CLOSES = 3
FATAL_ERRORS = ("auth_invalid", "auth_attempts", "bad_op", "bad_channel", "bad_filter", "sub_limit")
CLOSE_AUTH, CLOSE_DRAINING, CLOSE_POLICY = "closed 4001", "closed 4003", "closed 4008"


class TickListener(Protocol):
    """Whoever wants single oracle ticks: `market.resolution.StrikeCapture` has this signature."""

    def __call__(
        self, kind: int, value: float, venue_ns: int, recv_ns: int, *, window_s: int, sequenced: bool
    ) -> object:
        """Take one tick; the result is not used."""
        ...


class OraclePrices:
    """One asset's prices from one dialect: decoding and liveness; all times venue ns."""

    def __init__(
        self,
        symbol: str,
        settings: FeedsConfig,
        *,
        sink: Sink,
        on_tick: TickListener | None,
        sequenced: bool,
        kinds: tuple[int, ...] = (TWAP, SPOT),
    ) -> None:
        """`kinds`: the events that must keep coming, each at least every oracle_silence_s."""
        self.decoder = OracleDecoder(symbol)
        self.live = Liveness(FeedId.FEED_ORACLE, sink, silence_s=settings.oracle_silence_s)
        self.silences = 0
        self._slow = SlowPath(self.decoder)
        self._sink = sink
        self._on_tick = on_tick
        self._sequenced = sequenced
        self._silence_ns = round(settings.oracle_silence_s * NS)
        self._kind_ns = dict.fromkeys(kinds, 0)
        self._events = EventBuffer()

    def on_open(self, now_ns: int) -> None:
        """A new socket: sequences and silences count anew."""
        self.decoder.new_connection()
        self._kind_ns = dict.fromkeys(self._kind_ns, now_ns)
        self.live.on_open(now_ns)

    def on_payload(self, payload: bytes, recv_ns: int) -> bool:
        """Decode one frame; True when it brought prices of ours (which were handed on)."""
        events = self._events
        events.reset()
        result = self.decoder.feed(payload, recv_ns, events)
        if result == DEC_UNSUPPORTED:
            result = self._slow.feed(payload, recv_ns, events)
        if result != DEC_OK:
            return False
        self._kind_ns[events.kind_at(0)] = recv_ns
        self.live.on_data(recv_ns)
        self._sink(events)
        if self._on_tick is not None:
            self._tell_ticks(events, self._on_tick)
        return True

    def silent(self, now_ns: int) -> str | None:
        """Name the kind that stopped coming, None when all are alive; counts each time."""
        self.live.is_silent(now_ns)
        for kind, last_ns in self._kind_ns.items():
            if now_ns - last_ns >= self._silence_ns:
                self.silences += 1
                self._kind_ns = dict.fromkeys(self._kind_ns, now_ns)
                return f"{KIND_NAMES[kind]} silence"
        return None

    def counters(self) -> dict[str, int]:
        """Decoder, slow path, silences."""
        return {**self.decoder.counters(), **self._slow.counters(), "silences": self.silences}

    def _tell_ticks(self, events: EventBuffer, on_tick: TickListener) -> None:
        for row in events.to_numpy():
            on_tick(
                int(row["kind"]),
                float(row["x"]),
                int(row["venue_ns"]),
                int(row["recv_ns"]),
                window_s=int(row["i"]),
                sequenced=self._sequenced,
            )


class OracleFeed:
    """RTDS: about one tick a second per topic, stamps whole seconds, many duplicates, no history."""

    def __init__(
        self,
        url: str,
        symbol: str,
        settings: FeedsConfig,
        *,
        sink: Sink,
        on_tick: TickListener | None = None,
    ) -> None:
        """`symbol` as in btc/usd."""
        self.name = "oracle"
        self.wants_reconnect: str | None = None
        self._url = url
        self._prices = OraclePrices(symbol, settings, sink=sink, on_tick=on_tick, sequenced=False)
        self._ping_ns = round(settings.oracle_ping_s * NS)
        self._pinged_ns = 0
        self._send: SendText | None = None
        self._payloads = 0
        self._texts = 0

    def url(self) -> str:
        """Address of the service."""
        return self._url

    def on_open(self, send: SendText, now_ns: int) -> None:
        """Connected: subscribe both topics, all symbols."""
        self.wants_reconnect = None
        self._send = send
        self._pinged_ns = now_ns
        self._prices.on_open(now_ns)
        send(RTDS_SUBSCRIBE)

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        """Decode one frame; PONG and other bare texts only count."""
        self._payloads += 1
        if payload.startswith((b"{", b"[")):
            self._prices.on_payload(payload, recv_ns)
        else:
            self._texts += 1

    def on_timer(self, now_ns: int) -> None:
        """Ping; ask for a new socket when one of the topics fell silent."""
        if self._send is None or self.wants_reconnect is not None:
            return
        if now_ns - self._pinged_ns >= self._ping_ns:
            self._pinged_ns = now_ns
            self._send("PING")
        self.wants_reconnect = self._prices.silent(now_ns)

    def on_close(self, reason: str, now_ns: int) -> None:
        """The socket is gone."""
        self._prices.live.on_close(now_ns)
        if self._prices.live.links == 0:
            self._send = None

    def counters(self) -> dict[str, int]:
        """What happened so far, by name."""
        return {**self._prices.counters(), "payloads": self._payloads, "texts": self._texts}


class PolyBoltFeed:
    """PolyBolt: as RTDS, with sequence numbers and two minutes of history on subscribing.

    `gives_up` is set when the venue will not have us; the driver then stops.
    """

    def __init__(
        self,
        url: str,
        symbol: str,
        settings: FeedsConfig,
        *,
        auth: Callable[[], Mapping[str, str]],
        sink: Sink,
        on_tick: TickListener | None = None,
        twap_window_s: int = 60,
    ) -> None:
        """`symbol` as in btcusd; `auth` is asked at each connect for apiKey, secret, passphrase."""
        self.name = "polybolt"
        self.wants_reconnect: str | None = None
        self.gives_up: str | None = None
        self.retry_after_s = 0.0
        self._url = url
        self._auth = auth
        self._subscriptions = [
            {"channel": "price.crypto.twap", "filter": {"symbol": symbol, "window_seconds": twap_window_s}},
            {"channel": "price.crypto", "filter": {"symbol": symbol, "provider": "chainlink"}},
        ]
        self._prices = OraclePrices(symbol, settings, sink=sink, on_tick=on_tick, sequenced=True)
        self._send: SendText | None = None
        self._rid = 0
        self._authed = False
        self._heard_ns = 0
        self._pinged_ns = 0
        self._subscribed_ns = 0
        self._auth_closes = 0
        self._gaps = 0
        self._counters = {"payloads": 0, "subscriptions": 0, "dropped": 0, "errors": 0, "malformed_texts": 0}

    def url(self) -> str:
        """Address of the service."""
        return self._url

    def on_open(self, send: SendText, now_ns: int) -> None:
        """Connected: log in; the subscription follows the answer."""
        self.wants_reconnect = None
        self.retry_after_s = 0.0
        self._send = send
        self._authed = False
        self._heard_ns = self._pinged_ns = now_ns
        self._gaps = self._prices.decoder.gaps
        self._prices.on_open(now_ns)
        self._send_op("auth", auth=dict(self._auth()))

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        """Prices go to the decoder, answers are acted on."""
        self._heard_ns = recv_ns
        self._counters["payloads"] += 1
        try:
            message = orjson.loads(payload)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            self._counters["malformed_texts"] += 1
            return
        if "op" in message:
            self._on_answer(message, recv_ns)
            return
        self._prices.on_payload(payload, recv_ns)
        dropped = message.get("dropped")
        lost = isinstance(dropped, int) and dropped > 0
        self._counters["dropped"] += lost
        gaps = self._prices.decoder.gaps
        if lost or gaps != self._gaps:
            self._gaps = gaps
            self._subscribe(recv_ns)

    def on_timer(self, now_ns: int) -> None:
        """Ping; ask for a new socket when it is mute or a channel fell silent."""
        if self._send is None or self.wants_reconnect is not None:
            return
        if now_ns - self._heard_ns >= POLYBOLT_STALE_NS:
            self.wants_reconnect = "no answer"
            return
        if now_ns - self._pinged_ns >= POLYBOLT_PING_NS:
            self._pinged_ns = now_ns
            self._send('{"op":"ping"}')
        self.wants_reconnect = self._prices.silent(now_ns)

    def on_close(self, reason: str, now_ns: int) -> None:
        """The socket is gone; the close code says whether to come back, and when."""
        self._send = None
        self._prices.live.on_close(now_ns)
        if reason.startswith(CLOSE_DRAINING):
            self.retry_after_s = POLYBOLT_RETRY_S
        elif reason.startswith(CLOSE_POLICY):
            self.gives_up = "closed by policy (4008)"
        elif reason.startswith(CLOSE_AUTH):
            self._auth_closes += 1
            if self._auth_closes >= MAX_AUTH_CLOSES:
                self.gives_up = "credentials refused (4001)"

    def counters(self) -> dict[str, int]:
        """What happened so far, by name."""
        return {**self._prices.counters(), **self._counters}

    def _on_answer(self, message: Mapping[str, Any], now_ns: int) -> None:
        operation = message["op"]
        if operation == "authed":
            self._authed = True
            self._auth_closes = 0
            self._subscribed_ns = 0
            self._subscribe(now_ns)
        elif operation == "error":
            self._counters["errors"] += 1
            code = str(message.get("code"))
            if code in FATAL_ERRORS:
                self.gives_up = code
            else:
                self.retry_after_s = POLYBOLT_RETRY_S
            self.wants_reconnect = f"error {code}"

    def _subscribe(self, now_ns: int) -> None:
        """Subscribe (again): brings the snapshot; at most one in RESUBSCRIBE_NS."""
        if not self._authed or now_ns - self._subscribed_ns < RESUBSCRIBE_NS:
            return
        self._subscribed_ns = now_ns
        self._counters["subscriptions"] += 1
        self._send_op("subscribe", subscriptions=self._subscriptions)

    def _send_op(self, operation: str, **fields: object) -> None:
        assert self._send is not None
        self._rid += 1
        self._send(orjson.dumps({"op": operation, "rid": f"r{self._rid}", **fields}).decode())
