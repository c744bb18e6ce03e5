"""The embedded spot exchange: its price over time and its websocket streams.

Owns the current true price (listeners hear of every change at once), the remembered trades and
candles, and the wire text of `@trade`, `@aggTrade` and `@bookTicker`, raw and combined, in
milliseconds or microseconds.  The price comes from a generated path or from a tape; a tape's frames
are served verbatim.  Frames leave at their event time, a little after the price moved.
Subscriptions to other streams are accepted and stay silent, as for a symbol that never trades.
Driven by the scheduler; sim.spot_rest answers REST from the same numbers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from polybot._fast.wire_text import SpotText, decimal8
from polybot.config_sim import SpotConfig
from polybot.sim.path import E8, NS, Burst, Quote, SpotPath, Trade, history_closes, price_step_e8
from polybot.sim.scheduler import Scheduler, Timer
from polybot.sim.spot_history import SpotHistory
from polybot.sim.tape import SpotTape, TapeFrame
from polybot.transport import SendText

__all__ = ["PriceListener", "SpotMarket", "SpotSession", "decimal8"]

PriceListener = Callable[[int, float], None]  # venue time, new price
SHUTDOWN_NOTICE_NS = 5 * NS  # serverShutdown is sent so long before a socket is cut
CLOSE_CUT = 1001
# (combined, stamps in us), the text of that form, where to send it.
_Outlets = list[tuple[tuple[bool, bool], SpotText, list[SendText]]]


class SpotSession:
    """One websocket connection."""

    def __init__(self, market: "SpotMarket", send: SendText, path_qs: str) -> None:
        self._market = market
        self.send = send
        self.close_reason: str | None = None
        self.timers: list[Timer] = []
        parts = urlsplit(path_qs)
        query = parse_qs(parts.query)
        self.micro = query.get("timeUnit", [""])[0].upper() == "MICROSECOND"
        self.combined = parts.path.startswith("/stream")
        named = query.get("streams", [""])[0] if self.combined else parts.path.removeprefix("/ws").strip("/")
        self.streams = [name for name in named.split("/") if name]

    def on_text(self, text: str, now_ns: int) -> None:
        """Answer SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY and GET_PROPERTY."""
        del now_ns
        try:
            message: Any = orjson.loads(text)
            method, params, rid = message["method"], message.get("params", []), message.get("id")
        except (ValueError, KeyError, TypeError, AttributeError):
            self._reply({"code": 2, "msg": "Invalid request: not a request object", "id": None})
            return
        result: Any = None
        if method == "SUBSCRIBE":
            self._change([*self.streams, *(name for name in params if name not in self.streams)])
        elif method == "UNSUBSCRIBE":
            self._change([name for name in self.streams if name not in params])
        elif method == "LIST_SUBSCRIPTIONS":
            result = self.streams
        elif method == "SET_PROPERTY" and len(params) == 2 and params[0] == "combined":
            self._market.remove(self)
            self.combined = bool(params[1])
            self._market.add(self)
        elif method == "GET_PROPERTY":
            result = self.combined
        else:
            self._reply({"code": 2, "msg": f"Invalid request: unknown method {method}", "id": rid})
            return
        self._reply({"result": result, "id": rid})

    def close(self) -> None:
        """The connection is gone."""
        for timer in self.timers:
            timer.cancel()
        self._market.remove(self)

    def _change(self, streams: list[str]) -> None:
        self._market.remove(self)
        self.streams = streams
        self._market.add(self)

    def _reply(self, message: dict[str, Any]) -> None:
        self.send(orjson.dumps(message).decode())


class SpotMarket:
    """Price, streams and memory of one symbol."""

    def __init__(
        self,
        config: SpotConfig,
        scheduler: Scheduler,
        *,
        symbol: str,
        start_price: float,
        vol_annual: float,
        seed: int,
        epoch_ns: int,
        tape: SpotTape | None = None,
        cut_s: float = 86_400.0,
    ) -> None:
        self.symbol = symbol
        self.tape = tape
        self.updates = 0  # bursts, or tape frames, so far
        self._config = config
        self._scheduler = scheduler
        self._lower = symbol.lower()
        self._delay_ns = config.event_delay_us * 1_000
        self._cut_ns = int(cut_s * NS)
        self._listeners: list[PriceListener] = []
        self._sinks: dict[str, dict[tuple[bool, bool], list[SpotSession]]] = {}
        self._outlets: dict[str, _Outlets] = {}  # by kind of stream; made anew when a session comes or goes
        self._past: list[tuple[int, float]] = []
        self.last_quote: Quote | None = None
        self.path: SpotPath | None = None
        if tape is None:
            self._start_path(start_price, vol_annual, seed, epoch_ns)
        else:
            self._start_tape(tape, epoch_ns)

    def listen(self, listener: PriceListener) -> None:
        """Call `listener(now_ns, price)` at every change of the true price."""
        self._listeners.append(listener)

    def past_prices(self) -> list[tuple[int, float]]:
        """(time, price) changes before the epoch, oldest first: one a second, then burst by burst."""
        return self._past

    def sigma(self, at_ns: int) -> float:
        """True volatility per sqrt(second); on a tape the whole recording's realised one."""
        if self.path is not None:
            return self.path.sigma(at_ns)
        assert self.tape is not None
        return self.tape.sigma

    def variance_rate(self, at_ns: int, horizon_s: float) -> float:
        """Expected variance per second over the horizon."""
        return self.path.variance_rate(at_ns, horizon_s) if self.path else self.sigma(at_ns) ** 2

    def open(self, path_qs: str, send: SendText, now_ns: int) -> SpotSession:
        """A websocket connected to `/ws/...` or `/stream?streams=...`."""
        session = SpotSession(self, send, path_qs)
        self.add(session)
        cut_ns = now_ns + self._cut_ns
        session.timers = [
            self._scheduler.at(cut_ns - SHUTDOWN_NOTICE_NS, partial(self._announce_cut, session, cut_ns)),
            self._scheduler.at(cut_ns, partial(setattr, session, "close_reason", f"{CLOSE_CUT} 24 h")),
        ]
        return session

    def add(self, session: SpotSession) -> None:
        """Start sending a session its streams."""
        self._outlets.clear()
        for name in session.streams:
            self._sinks.setdefault(name, {}).setdefault((session.combined, session.micro), []).append(session)

    def remove(self, session: SpotSession) -> None:
        """Stop sending to a session."""
        self._outlets.clear()
        for name in session.streams:
            group = self._sinks.get(name, {}).get((session.combined, session.micro), [])
            if session in group:
                group.remove(session)

    def _announce_cut(self, session: SpotSession, cut_ns: int) -> None:
        stamp = (cut_ns - SHUTDOWN_NOTICE_NS) // (1_000 if session.micro else 1_000_000)
        raw = f'{{"e":"serverShutdown","E":{stamp}}}'
        session.send(f'{{"stream":"!serverShutdown","data":{raw}}}' if session.combined else raw)

    # The generated path

    def _start_path(self, start_price: float, vol_annual: float, seed: int, epoch_ns: int) -> None:
        """Make the past, then go on with the same path."""
        warm_ns = epoch_ns - self._config.warm_s * NS
        warm_ns -= warm_ns % NS
        self.path = SpotPath(
            self._config, price=start_price, vol_annual=vol_annual, seed=seed, start_ns=warm_ns
        )
        closes = history_closes(
            self._config,
            price=start_price,
            vol_annual=vol_annual,
            seed=seed,
            end_ns=warm_ns,
            ln_vol=self.path.ln_vol,
        )
        end_s = warm_ns // NS
        self.history = SpotHistory(closes, end_s, price_step_e8(start_price))
        self._past = [((end_s - len(closes) + 1 + i) * NS, float(close)) for i, close in enumerate(closes)]
        self.price = start_price
        burst = self.path.next_burst()
        while burst.at_ns <= epoch_ns:
            self.history.add(burst.trades)
            self._past.append((burst.at_ns, burst.price))
            self.price = burst.price
            self.last_quote = burst.quote
            burst = self.path.next_burst()
        self._arm(burst)

    def _arm(self, burst: Burst) -> None:
        for quote in burst.quiet:
            self._scheduler.at(quote.at_ns + self._delay_ns, partial(self._publish_quote, quote))
        self._scheduler.at(burst.at_ns, partial(self._on_burst, burst))

    def _on_burst(self, burst: Burst) -> None:
        assert self.path is not None
        self.updates += 1
        coming = self.path.next_burst()  # first: volatility until then is part of what makers may know
        self._move(burst.at_ns, burst.price)
        self._scheduler.at(burst.at_ns + self._delay_ns, partial(self._publish_burst, burst))
        self._arm(coming)

    def _publish_burst(self, burst: Burst) -> None:
        self.history.add(burst.trades)
        event_us = (burst.at_ns + self._delay_ns) // 1_000
        for _, text, sends in self._groups("trade"):
            for trade in burst.trades:
                message = text.trade(trade, event_us)
                for send in sends:
                    send(message)
        for (combined, micro), _, sends in self._groups("aggTrade"):
            for group in _taker_orders(burst.trades):
                raw = self._agg_json(group, event_us, micro)
                message = f'{{"stream":"{self._lower}@aggTrade","data":{raw}}}' if combined else raw
                for send in sends:
                    send(message)
        self._publish_quote(burst.quote)

    def _publish_quote(self, quote: Quote) -> None:
        self.last_quote = quote
        for _, text, sends in self._groups("bookTicker"):
            message = text.quote(quote)
            for send in sends:
                send(message)

    # The tape

    def _start_tape(self, tape: SpotTape, epoch_ns: int) -> None:
        """Before the first frame the price was always the first price: the tape knows no other past."""
        step = price_step_e8(tape.first_price)
        end_s = epoch_ns // NS
        seconds = round(self._config.history_h * 3_600)
        closes = history_closes(self._config, price=tape.first_price, vol_annual=0.0, seed=0, end_ns=epoch_ns)
        assert len(closes) == seconds
        self.history = SpotHistory(closes, end_s, step, traded=False)
        self._past = [((end_s - seconds) * NS, tape.first_price)]
        self.price = tape.first_price
        self._tape_at = 0
        self._arm_tape()

    def _arm_tape(self) -> None:
        assert self.tape is not None
        if self._tape_at < len(self.tape.frames):
            self._scheduler.at(self.tape.frames[self._tape_at].due_ns, self._on_tape)

    def _on_tape(self) -> None:
        """Serve every frame that is due."""
        assert self.tape is not None
        frames, now_ns = self.tape.frames, self._scheduler.now_ns
        while self._tape_at < len(frames) and frames[self._tape_at].due_ns <= now_ns:
            self._serve(frames[self._tape_at], now_ns)
            self._tape_at += 1
            self.updates += 1
        self._arm_tape()

    def _serve(self, frame: TapeFrame, now_ns: int) -> None:
        if frame.trade is not None:
            self.history.add([frame.trade])
            self._move(now_ns, frame.trade.price_e8 / E8)
        if frame.quote is not None:
            self.last_quote = frame.quote
        for (combined, _), sessions in list(self._sinks.get(frame.stream, {}).items()):
            text = frame.text if combined else frame.text[frame.raw_at : -1]
            for session in list(sessions):
                session.send(text)

    # Wire text

    def _move(self, now_ns: int, price: float) -> None:
        self.price = price
        for listener in self._listeners:
            listener(now_ns, price)

    def _groups(self, kind: str) -> _Outlets:
        """Who gets a kind of stream, by form."""
        found = self._outlets.get(kind)
        if found is None:
            sinks = self._sinks.get(f"{self._lower}@{kind}", {})
            found = self._outlets[kind] = [
                (
                    (combined, micro),
                    SpotText(self.symbol, combined=combined, micro=micro),
                    [session.send for session in sessions],
                )
                for (combined, micro), sessions in sinks.items()
                if sessions
            ]
        return found

    def _agg_json(self, group: list[Trade], event_us: int, micro: bool) -> str:
        unit, first = 1 if micro else 1_000, group[0]
        qty_e8 = sum(trade.qty_e8 for trade in group)
        return (
            f'{{"e":"aggTrade","E":{event_us // unit},"s":"{self.symbol}","a":{first.agg_id},'
            f'"p":"{decimal8(first.price_e8)}","q":"{decimal8(qty_e8)}","f":{first.trade_id},'
            f'"l":{group[-1].trade_id},"T":{first.at_us // unit},'
            f'"m":{"true" if first.buyer_is_maker else "false"},"M":true}}'
        )


def _taker_orders(trades: list[Trade]) -> list[list[Trade]]:
    groups: list[list[Trade]] = []
    for trade in trades:
        if groups and groups[-1][0].agg_id == trade.agg_id:
            groups[-1].append(trade)
        else:
            groups.append([trade])
    return groups
