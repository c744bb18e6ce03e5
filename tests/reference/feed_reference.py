"""What the feeds' frames mean, in plain Python: json, Decimal and no care for speed.

Written from the wire formats, not from the decoders, to compare them with.  Events are tuples in
the field order of EVENT_DTYPE.  A frame ends as one of the outcomes below; every outcome but
OK and UNKNOWN_TOKEN leaves no events.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from polybot._fast import event as ev

OK = "ok"
IGNORED = "ignored"
WRONG_SYMBOL = "wrong symbol"
UNKNOWN_TOKEN = "unknown token"
BAD = "bad"  # malformed, or a number we refuse to round

Event = tuple[int, int, int, int, int, int, int, int, float, float, int, int]
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
INT_MAX = 2**63 - 1
TOP = 10_000
NO_MARKET = 65_535


class BadFrameError(Exception):
    """The frame cannot be what it claims."""


class TooFineError(Exception):
    """A number has more decimals than its unit."""


class Spelled(str):
    """A JSON number as it was spelled."""


def parse(payload: bytes) -> Any:
    """One JSON value, numbers as Spelled."""
    try:
        return json.loads(
            payload.decode("utf-8"), parse_float=Spelled, parse_int=Spelled, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:
        raise BadFrameError from error


def _refuse(name: str) -> None:
    raise ValueError(name)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Spelled)


def is_absent(value: Any) -> bool:
    return value is None or (is_text(value) and value == "")


def spelled(value: Any) -> str:
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise BadFrameError
    return str(value)


def decimal(value: Any) -> Decimal:
    """Exact value; exponents that no price needs are refused."""
    try:
        number = Decimal(spelled(value))
    except InvalidOperation as error:
        raise BadFrameError from error
    if number and "e" in value.lower() and abs(number.adjusted()) > 30:
        raise BadFrameError
    return number


def scaled(value: Any, decimals: int) -> int:
    """Exact value * 10**decimals."""
    exact = Fraction(decimal(value)) * 10**decimals
    if exact.denominator != 1:
        raise TooFineError
    if abs(exact) > INT_MAX:
        raise BadFrameError
    return int(exact)


def natural(value: Any) -> int:
    try:
        number = scaled(value, 0)
    except TooFineError as error:
        raise BadFrameError from error
    if number < 0:
        raise BadFrameError
    return number


def stamp(value: Any) -> int:
    """Nanoseconds; 0 when absent. Seconds, ms, us and ns differ by magnitude."""
    if is_absent(value):
        return 0
    number = natural(value)
    for first, last, unit in (
        (0, 9 * 10**9, 10**9),
        (10**11, 9 * 10**12, 10**6),
        (10**14, 9 * 10**15, 10**3),
        (10**17, 9 * 10**18, 1),
    ):
        if first <= number < last:
            return number * unit
    raise BadFrameError


def event(kind: int, recv_ns: int, **fields: Any) -> dict[str, Any]:
    blank = {
        "recv_ns": recv_ns,
        "venue_ns": 0,
        "kind": int(kind),
        "market": NO_MARKET,
        "outcome": 0,
        "side": 0,
        "flags": 0,
        "seq": 0,
        "x": 0.0,
        "y": 0.0,
        "i": 0,
        "j": 0,
    }
    assert fields.keys() <= blank.keys()
    return blank | fields


def finished(outcome: str, events: list[dict[str, Any]]) -> tuple[str, list[Event]]:
    if events:
        events[-1]["flags"] |= ev.F_END
    return outcome, [tuple(e.values()) for e in events]


# -- spot -------------------------------------------------------------------------------------


class SpotReference:
    """One symbol's trades and quotes."""

    def __init__(self, symbol: str, market: int = NO_MARKET) -> None:
        self.symbol = symbol.upper()
        self.market = market
        self.last_trade = -1
        self.last_quote = -1

    def feed(self, payload: bytes, recv_ns: int) -> tuple[str, list[Event]]:
        if not payload.strip(b" \t\r\n"):
            return finished(IGNORED, [])
        try:
            frame = parse(payload)
            if not isinstance(frame, dict):
                raise BadFrameError
            if isinstance(frame.get("data"), dict):
                frame = frame["data"]
            kind = frame.get("e")
            if "e" in frame:
                if is_text(kind) and kind in ("trade", "aggTrade"):
                    return self._trade(frame, kind == "aggTrade", recv_ns)
                return finished(IGNORED, [])
            if frame.keys() >= set("usbBaA") and is_text(frame["b"]):
                return self._quote(frame, recv_ns)
        except (BadFrameError, TooFineError):
            return finished(BAD, [])
        return finished(IGNORED, [])

    def _is_other(self, frame: dict[str, Any]) -> bool:
        if not is_text(frame.get("s")):
            raise BadFrameError
        return bool(frame["s"] != self.symbol)

    def _trade(self, frame: dict[str, Any], agg: bool, recv_ns: int) -> tuple[str, list[Event]]:
        if self._is_other(frame):
            return finished(WRONG_SYMBOL, [])
        first, last = (natural(frame.get(key)) for key in ("fl" if agg else "tt"))
        price, quantity = float(spelled(frame.get("p"))), float(spelled(frame.get("q")))
        sent_ns, traded_ns = stamp(frame.get("E")), stamp(frame.get("T"))
        if not (0 < price < float("inf") and 0 < quantity < float("inf")) or traded_ns == 0 or last < first:
            raise BadFrameError
        if not isinstance(frame.get("m"), bool):
            raise BadFrameError
        if last <= self.last_trade:
            return finished(IGNORED, [])
        flags = ev.F_AGG if agg else 0
        if self.last_trade >= 0 and first > self.last_trade + 1:
            flags |= ev.F_GAP
        self.last_trade = last
        side = ev.SELL if frame["m"] else ev.BUY
        made = event(
            ev.EV_SPOT_TRADE,
            recv_ns,
            venue_ns=traded_ns,
            market=self.market,
            side=int(side),
            flags=int(flags),
            seq=last,
            x=price,
            y=quantity,
            i=first,
            j=sent_ns,
        )
        return finished(OK, [made])

    def _quote(self, frame: dict[str, Any], recv_ns: int) -> tuple[str, list[Event]]:
        if self._is_other(frame):
            return finished(WRONG_SYMBOL, [])
        update = natural(frame["u"])
        bid, ask = float(spelled(frame["b"])), float(spelled(frame["a"]))
        bid_size, ask_size = scaled(frame["B"], 8), scaled(frame["A"], 8)
        if not (0 <= bid < float("inf") and 0 <= ask < float("inf")) or bid_size < 0 or ask_size < 0:
            raise BadFrameError
        if bid == 0 or ask == 0 or update <= self.last_quote:
            return finished(IGNORED, [])
        self.last_quote = update
        made = event(
            ev.EV_SPOT_QUOTE, recv_ns, market=self.market, seq=update, x=bid, y=ask, i=bid_size, j=ask_size
        )
        return finished(OK, [made])


# -- market channel ---------------------------------------------------------------------------


class ClobReference:
    """Market channel of the markets given as {index: (token_up, token_down, condition_id)}."""

    def __init__(self, markets: dict[int, tuple[str, str, str]]) -> None:
        self.tokens = {
            token: (index, outcome, condition)
            for index, (up, down, condition) in markets.items()
            for outcome, token in enumerate((up, down))
        }

    def feed(self, payload: bytes, recv_ns: int) -> tuple[str, list[Event]]:
        if not payload.strip(b" \t\r\n"):
            return finished(IGNORED, [])
        self.recv_ns = recv_ns
        self.unknown = False
        events: list[dict[str, Any]] = []
        try:
            frame = parse(payload)
            for item in frame if isinstance(frame, list) else [frame]:
                if not isinstance(item, dict):
                    raise BadFrameError
                events += self._object(item)
        except BadFrameError:
            return finished(BAD, [])
        if self.unknown:
            return finished(UNKNOWN_TOKEN, events)
        return finished(OK if events else IGNORED, events)

    def _object(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        kind = item.get("event_type")
        if "event_type" not in item and item.keys() >= {"bids", "asks", "asset_id"}:
            kind = "book"
        if not is_text(kind) or kind not in (
            "book",
            "price_change",
            "best_bid_ask",
            "last_trade_price",
            "tick_size_change",
            "market_resolved",
        ):
            return []
        if kind == "price_change":
            return self._price_change(item)
        found = self._find(item, item.get("winning_asset_id" if kind == "market_resolved" else "asset_id"))
        if found is None:
            return []
        index, outcome, _ = found
        self.off_grid = False
        venue_ns = stamp(item.get("timestamp"))
        events: list[dict[str, Any]] = getattr(self, f"_{kind}")(item)
        if self.off_grid:
            events = [e for e in events if kind == "book"] + [event(ev.EV_TICK_SIZE, self.recv_ns)]
        for e in events:
            e.update(venue_ns=venue_ns, market=index, outcome=outcome)
        return events

    def _find(self, item: dict[str, Any], token: Any) -> tuple[int, int, str] | None:
        if not is_text(token):
            raise BadFrameError
        found = self.tokens.get(token)
        if found is None or not self._same_market(item, found[2]):
            self.unknown = True
            return None
        return found

    @staticmethod
    def _same_market(item: dict[str, Any], condition: str) -> bool:
        named = item.get("market")
        if not is_text(named) or not named or not condition:
            return True
        return bool(named.lower() == condition.lower())

    def _ticks(self, value: Any) -> int | None:
        """Ticks of a price, None when it is finer than the grid."""
        try:
            ticks = scaled(value, 4)
        except TooFineError:
            self.off_grid = True
            return None
        if not 0 <= ticks <= TOP:
            raise BadFrameError
        return ticks

    def _best(self, value: Any) -> int:
        ticks = None if is_absent(value) else self._ticks(value)
        return -1 if ticks is None else ticks

    def _tick_size(self, value: Any) -> int:
        if is_absent(value):
            return 0
        ticks = self._ticks(value)
        if ticks == 0:
            raise BadFrameError
        return ticks or 0

    @staticmethod
    def _shares(value: Any) -> int:
        try:
            shares = scaled(value, 6)
        except TooFineError as error:
            raise BadFrameError from error
        if shares < 0:
            raise BadFrameError
        return shares

    @staticmethod
    def _side(value: Any) -> int:
        if not is_text(value) or value not in ("BUY", "SELL"):
            raise BadFrameError
        return int(ev.BUY if value == "BUY" else ev.SELL)

    def _book(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        events = [event(ev.EV_BOOK_SNAPSHOT, self.recv_ns, i=self._tick_size(item.get("tick_size")))]
        if not item.keys() >= {"bids", "asks"}:
            raise BadFrameError
        for name in [key for key in item if key in ("bids", "asks")]:
            side = ev.BUY if name == "bids" else ev.SELL
            if not isinstance(item[name], list):
                raise BadFrameError
            for level in item[name]:
                if not isinstance(level, dict):
                    raise BadFrameError
                ticks, shares = self._ticks(level.get("price")), self._shares(level.get("size"))
                if ticks is not None:
                    events.append(event(ev.EV_BOOK_LEVEL, self.recv_ns, side=int(side), i=ticks, j=shares))
        return events

    def _price_change(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        self.off_grid = False
        venue_ns = stamp(item.get("timestamp"))
        if not isinstance(item.get("price_changes"), list):
            raise BadFrameError
        events, touched = [], []
        for change in item["price_changes"]:
            if not isinstance(change, dict) or not is_text(change.get("asset_id")):
                raise BadFrameError
            found = self.tokens.get(change["asset_id"])
            if found is None:
                self.unknown = True
                continue
            touched.append(found)
            fields = {
                "side": self._side(change.get("side")),
                "j": self._shares(change.get("size")),
                "x": float(self._best(change.get("best_bid"))),
                "y": float(self._best(change.get("best_ask"))),
            }
            ticks = self._ticks(change.get("price"))
            if ticks is not None:
                delta = event(ev.EV_BOOK_DELTA, self.recv_ns, i=ticks, venue_ns=venue_ns, **fields)
                events.append(delta | {"market": found[0], "outcome": found[1]})
        named = item.get("market")
        mixed = len({index for index, _, _ in touched}) > 1 and is_text(named) and named
        if touched and (mixed or not self._same_market(item, touched[0][2])):
            self.unknown = True
            return []
        if self.off_grid:
            market = touched[0][0]
            events.append(event(ev.EV_TICK_SIZE, self.recv_ns, market=market, venue_ns=venue_ns))
        return events

    def _best_bid_ask(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        bid, ask = self._best(item.get("best_bid")), self._best(item.get("best_ask"))
        x, y = (-1 if bid == 0 else bid), (-1 if ask == TOP else ask)
        return [event(ev.EV_PUBLIC_QUOTE, self.recv_ns, x=float(x), y=float(y))]

    def _last_trade_price(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        ticks, shares = self._ticks(item.get("price")), self._shares(item.get("size"))
        return [event(ev.EV_PUBLIC_TRADE, self.recv_ns, side=self._side(item.get("side")), i=ticks, j=shares)]

    def _tick_size_change(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        ticks = self._tick_size(item.get("new_tick_size"))
        if ticks == 0 and not self.off_grid:
            raise BadFrameError
        return [event(ev.EV_TICK_SIZE, self.recv_ns, i=ticks)]

    def _market_resolved(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        return [event(ev.EV_RESOLVED, self.recv_ns)]


# -- oracle -----------------------------------------------------------------------------------


class OracleReference:
    """One asset's oracle prices."""

    def __init__(self, symbol: str, market: int = NO_MARKET, twap_window_s: int = 60) -> None:
        self.symbols = (symbol, symbol.replace("/", ""))
        self.market = market
        self.window_s = twap_window_s
        self.seen: dict[str, list[int]] = {"spot": [], "twap": []}
        self.last_seq: dict[str, int] = {}

    def feed(self, payload: bytes, recv_ns: int) -> tuple[str, list[Event]]:
        if not payload.strip(b" \t\r\n"):
            return finished(IGNORED, [])
        try:
            frame = parse(payload)
            if not isinstance(frame, dict):
                raise BadFrameError
            return self._frame(frame, recv_ns)
        except BadFrameError:
            return finished(BAD, [])

    def _frame(self, frame: dict[str, Any], recv_ns: int) -> tuple[str, list[Event]]:
        topic = frame["topic"] if is_text(frame.get("topic")) else ""
        channel = frame["channel"] if is_text(frame.get("channel")) else ""
        legacy = topic in ("crypto_prices_chainlink", "crypto_prices_twap_sixty")
        if not legacy and channel not in ("price.crypto", "price.crypto.twap"):
            return finished(IGNORED, [])
        name = "twap" if "twap" in (topic if legacy else channel) else "spot"
        sent_ns = stamp(frame.get("timestamp" if legacy else "ts"))
        if not isinstance(frame.get("payload"), dict):
            raise BadFrameError
        seq = natural(frame["seq"]) if "seq" in frame else None
        outcome, events = self._payload(frame["payload"], name, legacy)
        gap = False
        if seq is not None:
            gap = name in self.last_seq and seq > self.last_seq[name] + 1
            self.last_seq[name] = seq
        fresh = []
        for made in events:
            if made["venue_ns"] not in self.seen[name]:
                self.seen[name] = [*self.seen[name], made["venue_ns"]][-256:]
                fresh.append(made | {"recv_ns": recv_ns, "seq": seq or 0, "j": sent_ns})
        if gap and fresh:
            fresh[0]["flags"] |= ev.F_GAP
        return finished(IGNORED if outcome == OK and not fresh else outcome, fresh)

    def _payload(self, payload: dict[str, Any], name: str, legacy: bool) -> tuple[str, list[dict[str, Any]]]:
        if not is_text(payload.get("symbol")):
            raise BadFrameError
        if payload["symbol"] not in self.symbols:
            return WRONG_SYMBOL, []
        if not is_absent(payload.get("source")) and payload["source"] != "chainlink":
            return IGNORED, []
        window_s = 0
        if name == "twap":
            windows = [payload[key] for key in ("window_s", "window_seconds") if key in payload]
            if len(windows) > 1:
                raise BadFrameError
            told = windows[0] if windows else None
            window_s = (60 if legacy else 0) if is_absent(told) else self._window(told)
            if window_s != self.window_s:
                return IGNORED, []
        if "data" not in payload:
            return OK, [self._price(payload, name, legacy, window_s)]
        if not isinstance(payload["data"], list):
            raise BadFrameError
        events = []
        for entry in payload["data"]:
            if not isinstance(entry, dict):
                raise BadFrameError
            events.append(self._price(entry, name, legacy, window_s) | {"flags": int(ev.F_SNAPSHOT)})
        return OK, events

    @staticmethod
    def _window(value: Any) -> int:
        try:
            return scaled(value, 0)
        except TooFineError as error:
            raise BadFrameError from error

    def _price(self, entry: dict[str, Any], name: str, legacy: bool, window_s: int) -> dict[str, Any]:
        venue_ns = stamp(entry.get("timestamp"))
        accurate, rounded = entry.get("full_accuracy_value"), entry.get("value")
        if is_absent(accurate):
            price = float(spelled(rounded))
        elif not is_text(accurate):
            raise BadFrameError
        else:
            text = f"{decimal(accurate):f}"
            price = int(text) / 10**18 if legacy and "." not in text else float(text)
            if not is_absent(rounded):
                told = float(spelled(rounded))
                if not abs(told) < float("inf") or abs(price - told) > 1e-6 * abs(told):
                    raise BadFrameError
        if not 0 < price < float("inf") or venue_ns == 0:
            raise BadFrameError
        kind = ev.EV_ORACLE_TWAP if name == "twap" else ev.EV_ORACLE_SPOT
        return event(kind, 0, venue_ns=venue_ns, market=self.market, x=price, i=window_s)
