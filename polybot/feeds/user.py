"""The venue's user channel as a transport.Feed: our own orders and trades, pushed.

Owns login, text pings and the liveness of this socket.  It does not interpret orders: every parsed
object goes to `on_user_event`.  The channel never replays, so after each connect `on_connected` is
called and the daemon reconciles by REST.  A quiet account is quiet here: liveness is the PONG alone.
Must not know the gateway (the daemon wires both).  Called by a connection driver.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from polybot._fast.event import EventBuffer, EventKind, FeedId, FeedState, Special
from polybot.config import FeedsConfig
from polybot.transport import SendText

__all__ = ["UserFeed"]

EV_FEED_STATE = int(EventKind.EV_FEED_STATE)
FEED_USER = int(FeedId.FEED_USER)
NO_MARKET = int(Special.NO_MARKET)
NS = 1_000_000_000
# Closed so soon after the login: most likely the login was refused (the venue does not say so).
LOGIN_REFUSED_WITHIN_NS = 2 * NS
EVENT_TYPES = ("order", "trade")


class UserFeed:
    """Feed of one account's user channel, all markets.

    `auth` is asked at each connect for {"apiKey","secret","passphrase"}; times are venue ns.
    """

    def __init__(
        self,
        url: str,
        settings: FeedsConfig,
        *,
        auth: Callable[[], Mapping[str, str]],
        sink: Callable[[EventBuffer], None],
        on_user_event: Callable[[dict[str, Any], int], None],
        on_connected: Callable[[], None],
    ) -> None:
        self.name = "user"
        self.wants_reconnect: str | None = None
        self._url = url
        self._auth = auth
        self._sink = sink
        self._on_user_event = on_user_event
        self._on_connected = on_connected
        self._ping_ns = round(settings.user_ping_s * NS)
        self._pong_timeout_ns = round(settings.pong_timeout_s * NS)
        self._send: SendText | None = None
        self._opened_ns = 0
        self._pinged_ns = 0
        self._heard_ns = 0
        self._events = EventBuffer(1)
        self._counters = {
            "connects": 0,
            "messages": 0,
            "orders": 0,
            "trades": 0,
            "pongs": 0,
            "other": 0,
            "malformed": 0,
            "pong_timeouts": 0,
            "closed_after_login": 0,
        }

    def __repr__(self) -> str:
        return f"UserFeed(url={self._url!r})"

    def url(self) -> str:
        """URL of the channel."""
        return self._url

    def counters(self) -> dict[str, int]:
        """Copy of all counters."""
        return dict(self._counters)

    def on_open(self, send: SendText, now_ns: int) -> None:
        """Log in, tell the engine, and have the daemon reconcile."""
        self.wants_reconnect = None
        self._send = send
        self._opened_ns = self._pinged_ns = self._heard_ns = now_ns
        self._counters["connects"] += 1
        send(orjson.dumps({"type": "user", "auth": dict(self._auth())}).decode())
        again = self._counters["connects"] > 1
        self._tell(FeedState.FS_RECONNECTED if again else FeedState.FS_CONNECTED, now_ns)
        self._on_connected()

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        """Hand on one message: an object or an array of objects."""
        self._heard_ns = recv_ns
        if payload == b"PONG":
            self._counters["pongs"] += 1
            return
        self._counters["messages"] += 1
        try:
            parsed = orjson.loads(payload)
        except orjson.JSONDecodeError:
            self._counters["malformed"] += 1
            return
        for item in parsed if isinstance(parsed, list) else [parsed]:
            self._on_object(item, recv_ns)

    def on_timer(self, now_ns: int) -> None:
        """Send the text ping; ask for a new socket when nothing came back for too long."""
        if self._send is None or self.wants_reconnect is not None:
            return
        if now_ns - self._heard_ns >= self._pong_timeout_ns:
            self._counters["pong_timeouts"] += 1
            self.wants_reconnect = "no pong"
            self._tell(FeedState.FS_STALE, now_ns)
            return
        if now_ns - self._pinged_ns >= self._ping_ns:
            self._pinged_ns = now_ns
            self._send("PING")

    def on_close(self, reason: str, now_ns: int) -> None:
        """The channel is gone: from here on fills can be missed until the next reconcile."""
        if self._send is not None and now_ns - self._opened_ns < LOGIN_REFUSED_WITHIN_NS:
            self._counters["closed_after_login"] += 1
        self._send = None
        self._tell(FeedState.FS_DISCONNECTED, now_ns)

    def _on_object(self, item: object, recv_ns: int) -> None:
        if not isinstance(item, dict):
            self._counters["malformed"] += 1
            return
        kind = item.get("event_type")
        if kind not in EVENT_TYPES:
            self._counters["other"] += 1
            return
        self._counters["orders" if kind == "order" else "trades"] += 1
        self._on_user_event(item, recv_ns)

    def _tell(self, state: FeedState, now_ns: int) -> None:
        self._events.reset()
        self._events.add(EV_FEED_STATE, recv_ns=now_ns, market=NO_MARKET, i=FEED_USER, j=int(state))
        self._sink(self._events)
