"""Oracle prices on the wire: the RTDS socket, and PolyBolt, its replacement.

Owns both protocols: subscriptions, the backfill or snapshot a new subscriber gets, the text of every
update, PING and auth.  RTDS writes keys as in frames captured in 2026-02 (alphabetical) and
`full_accuracy_value` as an 18-decimals integer on oracle topics, as a decimal on the exchange topic;
PolyBolt writes a decimal everywhere and numbers its messages per connection and channel.
The prices are sim.oracle's, and once a second the spot exchange's own.
"""

import base64
from collections.abc import Callable
from typing import Any

import orjson

from polybot.sim.oracle import E18, Oracle, OracleTick
from polybot.sim.path import E8, NS
from polybot.sim.scheduler import Scheduler
from polybot.sim.seeds import digest
from polybot.sim.spot import SpotMarket, decimal8
from polybot.transport import SendText

__all__ = ["OracleWire", "PolyBoltSession", "RtdsSession"]

TOPICS = {"crypto_prices_chainlink": "spot", "crypto_prices_twap_sixty": "twap", "crypto_prices": "exchange"}
CHANNELS = {"price.crypto": "spot", "price.crypto.twap": "twap"}
MAX_SUBSCRIPTIONS = 64
MAX_AUTH = 8
MS = 1_000_000

CheckKey = Callable[[str, str, str], bool]  # api key, secret, passphrase


class OracleWire:
    """Hands publications to the sessions that want them."""

    def __init__(
        self,
        oracle: Oracle,
        spot: SpotMarket,
        scheduler: Scheduler,
        *,
        oracle_symbol: str,
        polybolt_symbol: str,
        twap_window_s: int,
        check_key: CheckKey,
        seed: int,
        epoch_ns: int,
    ) -> None:
        self.oracle = oracle
        self.spot = spot
        self.oracle_symbol = oracle_symbol
        self.polybolt_symbol = polybolt_symbol
        self.twap_window_s = twap_window_s
        self.check_key = check_key
        self._scheduler = scheduler
        self._seed = seed
        self._opened = 0
        self._sessions: list[RtdsSession | PolyBoltSession] = []
        oracle.listen(self._on_tick)
        scheduler.at((epoch_ns // NS + 1) * NS, self._on_second)

    def open_rtds(self, send: SendText, now_ns: int) -> "RtdsSession":
        """A websocket connected to RTDS."""
        del now_ns
        self._opened += 1
        name = base64.b64encode(digest(self._seed, f"rtds/{self._opened}")[:10]).decode()
        session = RtdsSession(self, send, name)
        self._sessions.append(session)
        return session

    def open_polybolt(self, send: SendText, now_ns: int) -> "PolyBoltSession":
        """A websocket connected to PolyBolt."""
        del now_ns
        session = PolyBoltSession(self, send)
        self._sessions.append(session)
        return session

    def remove(self, session: "RtdsSession | PolyBoltSession") -> None:
        """The connection is gone."""
        if session in self._sessions:
            self._sessions.remove(session)

    def _on_tick(self, tick: OracleTick, now_ns: int) -> None:
        for session in list(self._sessions):
            session.on_tick(tick, now_ns)

    def _on_second(self) -> None:
        now_ns = self._scheduler.now_ns
        for session in list(self._sessions):
            if isinstance(session, RtdsSession):
                session.on_exchange_price(now_ns)
        self._scheduler.at(now_ns + NS, self._on_second)


class RtdsSession:
    """One RTDS connection."""

    def __init__(self, wire: OracleWire, send: SendText, connection_id: str) -> None:
        self.close_reason: str | None = None
        self._wire = wire
        self._send = send
        self._connection_id = connection_id
        self._topics: list[str] = []

    def on_text(self, text: str, now_ns: int) -> None:
        """PING, subscribe and unsubscribe; anything else is ignored, as the real one does."""
        if text == "PING":
            self._send("PONG")
            return
        try:
            message: Any = orjson.loads(text)
            action, wanted = message["action"], message["subscriptions"]
            topics = [(item["topic"], item.get("filters", "")) for item in wanted]
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        for topic, filters in topics:
            if topic not in TOPICS or not self._matches(topic, filters):
                continue
            if action == "subscribe" and topic not in self._topics:
                self._topics.append(topic)
                if topic == "crypto_prices_chainlink":
                    self._backfill(topic, now_ns)
            elif action == "unsubscribe" and topic in self._topics:
                self._topics.remove(topic)

    def on_tick(self, tick: OracleTick, now_ns: int) -> None:
        """An oracle publication."""
        topic = "crypto_prices_chainlink" if tick.kind == "spot" else "crypto_prices_twap_sixty"
        if topic not in self._topics:
            return
        window = f',"window_s":{self._wire.twap_window_s}' if tick.kind == "twap" else ""
        self._update(
            topic,
            f'{{"full_accuracy_value":"{tick.value_e18}","symbol":"{self._wire.oracle_symbol}",'
            f'"timestamp":{tick.stamp_s * 1_000},"value":{tick.value_e18 / E18!r}{window}}}',
            now_ns,
        )

    def on_exchange_price(self, now_ns: int) -> None:
        """The spot exchange's own price, once a second."""
        if "crypto_prices" not in self._topics:
            return
        value_e8 = int(self._wire.spot.price * E8)
        symbol = self._wire.spot.symbol.lower()
        self._update(
            "crypto_prices",
            f'{{"full_accuracy_value":"{decimal8(value_e8)}","symbol":"{symbol}",'
            f'"timestamp":{now_ns // MS},"value":{value_e8 / E8!r}}}',
            now_ns,
        )

    def close(self) -> None:
        """The connection is gone."""
        self._wire.remove(self)

    def _update(self, topic: str, payload: str, now_ns: int) -> None:
        self._send(
            f'{{"connection_id":"{self._connection_id}","payload":{payload},'
            f'"timestamp":{now_ns // MS},"topic":"{topic}","type":"update"}}'
        )

    def _backfill(self, topic: str, now_ns: int) -> None:
        data = [
            {"timestamp": tick.stamp_s * 1_000, "value": tick.value_e18 / E18}
            for tick in self._wire.oracle.history("spot")
        ]
        message = {
            "topic": topic,
            "type": "subscribe",
            "timestamp": now_ns // MS,
            "payload": {"symbol": self._wire.oracle_symbol, "data": data},
        }
        self._send(orjson.dumps(message).decode())

    def _matches(self, topic: str, filters: str) -> bool:
        """A filter is JSON with one symbol; a comma-joined list or another symbol matches nothing."""
        if not filters:
            return True
        try:
            wanted: Any = orjson.loads(filters)
            symbol = str(wanted["symbol"]).lower()
        except (ValueError, KeyError, TypeError):
            return False
        if TOPICS[topic] == "exchange":
            return symbol == self._wire.spot.symbol.lower()
        return symbol == self._wire.oracle_symbol


class PolyBoltSession:
    """One PolyBolt connection; subscribing needs auth with a CLOB API key first."""

    def __init__(self, wire: OracleWire, send: SendText) -> None:
        self.close_reason: str | None = None
        self._wire = wire
        self._send = send
        self._authed = False
        self._auth_tries = 0
        self._channels: list[str] = []
        self._seq: dict[str, int] = {}

    def on_text(self, text: str, now_ns: int) -> None:
        """auth, subscribe, unsubscribe, ping."""
        try:
            message: Any = orjson.loads(text)
            op, rid = message["op"], message.get("rid")
        except (ValueError, KeyError, TypeError, AttributeError):
            self._error("bad_op", None)
            return
        if op == "ping":
            self._reply({"op": "pong"})
        elif op == "auth":
            self._on_auth(message.get("auth"), rid)
        elif op in ("subscribe", "unsubscribe"):
            if not self._authed:
                self._error("auth_required", rid)
                return
            for item in message.get("subscriptions") or []:
                self._on_subscription(op, item, rid, now_ns)
        else:
            self._error("bad_op", rid)

    def on_tick(self, tick: OracleTick, now_ns: int) -> None:
        """An oracle publication."""
        channel = "price.crypto" if tick.kind == "spot" else "price.crypto.twap"
        if channel in self._channels:
            payload = {"symbol": self._wire.polybolt_symbol, **_priced(tick), **self._about(channel)}
            self._publish(channel, payload, now_ns)

    def close(self) -> None:
        """The connection is gone."""
        self._wire.remove(self)

    def _on_auth(self, auth: Any, rid: Any) -> None:
        self._auth_tries += 1
        if self._auth_tries > MAX_AUTH:
            self._error("auth_attempts", rid)
            self.close_reason = "4001 auth"
            return
        parts = [str(auth.get(key, "")) if isinstance(auth, dict) else "" for key in _AUTH_KEYS]
        self._authed = self._wire.check_key(*parts)
        if self._authed:
            self._reply({"op": "authed", "rid": rid})
        else:
            self._error("auth_invalid", rid)

    def _on_subscription(self, op: str, item: Any, rid: Any, now_ns: int) -> None:
        channel = item.get("channel", "") if isinstance(item, dict) else ""
        if channel not in CHANNELS:
            self._error("bad_channel", rid)
            return
        wanted = item.get("filter") or {}
        symbol = wanted.get("symbol", self._wire.polybolt_symbol)
        window_s = wanted.get("window_seconds", self._wire.twap_window_s)
        if symbol != self._wire.polybolt_symbol or (
            CHANNELS[channel] == "twap" and window_s != self._wire.twap_window_s
        ):
            self._error("bad_filter", rid)
            return
        if op == "unsubscribe":
            if channel in self._channels:
                self._channels.remove(channel)
            self._reply({"op": "unsubscribed", "channel": channel, "rid": rid})
            return
        if len(self._channels) >= MAX_SUBSCRIPTIONS:
            self._error("sub_limit", rid)
            return
        if channel not in self._channels:
            self._channels.append(channel)
        self._seq.setdefault(channel, 1)
        self._reply({"op": "subscribed", "channel": channel, "rid": rid})
        history = self._wire.oracle.history(CHANNELS[channel])
        payload = {
            "symbol": symbol,
            **self._about(channel),
            "data": [_priced(tick) for tick in history],
        }
        self._publish(channel, payload, now_ns, is_snapshot=True)

    def _about(self, channel: str) -> dict[str, Any]:
        if CHANNELS[channel] == "twap":
            return {"window_seconds": self._wire.twap_window_s, "source": "chainlink"}
        return {"source": "chainlink"}

    def _publish(
        self, channel: str, payload: dict[str, Any], now_ns: int, *, is_snapshot: bool = False
    ) -> None:
        self._seq[channel] += 1
        message: dict[str, Any] = {"v": 1, "channel": channel, "seq": self._seq[channel], "ts": now_ns // MS}
        if is_snapshot:
            message["snapshot"] = True
        self._reply({**message, "payload": payload})

    def _reply(self, message: dict[str, Any]) -> None:
        self._send(orjson.dumps(message).decode())

    def _error(self, code: str, rid: Any) -> None:
        self._reply({"op": "error", "code": code, "rid": rid})


_AUTH_KEYS = ("apiKey", "secret", "passphrase")


def _priced(tick: OracleTick) -> dict[str, Any]:
    whole, part = divmod(tick.value_e18, E18)
    return {
        "timestamp": tick.stamp_s * 1_000,
        "value": tick.value_e18 / E18,
        "full_accuracy_value": f"{whole}.{part:018d}",
    }
