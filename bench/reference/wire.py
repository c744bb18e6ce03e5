"""Frames of the spot exchange, the market channel and the oracle as plain tuples, read with orjson.

Owns what the core's decoders own: ids already seen are dropped, ms and us are told by magnitude, prices are ticks of
1e-4 and sizes micro-shares, Down is told in terms of Up.  Must not know books or windows.  Frames are well formed
here: what to do with damaged ones is the decoders' own tests' matter.  Called by `engine.ReferenceEngine`.
"""

from collections import deque
from typing import Any

import orjson

__all__ = ["ClobReader", "OracleReader", "SpotReader"]

TOP = 10_000
NS = 1_000_000_000
US_MAGNITUDE = 100_000_000_000_000  # stamps above this are us, below ms
SEEN = 256  # oracle stamps remembered
Message = tuple[Any, ...]


def stamp_ns(text: str | int) -> int:
    """Nanoseconds of a stamp in ms or us."""
    stamp = int(text)
    return stamp * 1_000 if stamp >= US_MAGNITUDE else stamp * 1_000_000


def to_ticks(text: str) -> int:
    return round(float(text) * 10_000)


def to_ushares(text: str) -> int:
    return round(float(text) * 1_000_000)


class SpotReader:
    """Trades and best quotes of one symbol."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol.upper()
        self.last_trade = -1
        self.last_quote = -1

    def read(self, payload: bytes) -> Message | None:
        """("trade", price, quantity, venue ns), ("quote", bid, ask), or None for what is old or not ours."""
        frame = orjson.loads(payload)
        data = frame.get("data", frame)
        if data.get("s") != self.symbol:
            return None
        if data.get("e") == "trade":
            if data["t"] <= self.last_trade:
                return None
            self.last_trade = data["t"]
            return "trade", float(data["p"]), float(data["q"]), stamp_ns(data["T"])
        if "u" not in data or data["u"] <= self.last_quote:
            return None
        bid, ask = float(data["b"]), float(data["a"])
        if bid == 0.0 or ask == 0.0:
            return None
        self.last_quote = data["u"]
        return "quote", bid, ask


class ClobReader:
    """The market channel for the markets that were added."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[int, bool]] = {}  # token_id -> (market, is it Down)

    def add_market(self, index: int, token_up: str, token_down: str) -> None:
        self.tokens[token_up] = (index, False)
        self.tokens[token_down] = (index, True)

    def remove_market(self, index: int) -> None:
        self.tokens = {token: found for token, found in self.tokens.items() if found[0] != index}

    def read(self, payload: bytes) -> list[Message]:
        """Messages of one frame, in order.

        ("book", market, venue ns, tick size or 0, bids of Up, asks of Up), both as {ticks: micro-shares};
        ("changes", market, venue ns, [(is it a bid of Up, ticks of Up, micro-shares)]); ("quote", market).
        """
        frame = orjson.loads(payload)
        found = []
        for item in frame if isinstance(frame, list) else [frame]:
            kind = item.get("event_type")
            if kind == "price_change":
                found += self._changes(item)
            elif kind in ("book", "best_bid_ask") and item["asset_id"] in self.tokens:
                market, is_down = self.tokens[item["asset_id"]]
                if kind == "book":
                    found.append(_book(item, market, is_down=is_down))
                else:
                    found.append(("quote", market))
        return found

    def _changes(self, item: dict[str, Any]) -> list[Message]:
        changes, market = [], -1
        for change in item["price_changes"]:
            if change["asset_id"] not in self.tokens:
                continue
            market, is_down = self.tokens[change["asset_id"]]
            ticks = to_ticks(change["price"])
            is_bid = (change["side"] == "BUY") != is_down
            changes.append((is_bid, TOP - ticks if is_down else ticks, to_ushares(change["size"])))
        return [("changes", market, stamp_ns(item["timestamp"]), changes)] if changes else []


def _book(item: dict[str, Any], market: int, *, is_down: bool) -> Message:
    bids = {to_ticks(level["price"]): to_ushares(level["size"]) for level in item["bids"]}
    asks = {to_ticks(level["price"]): to_ushares(level["size"]) for level in item["asks"]}
    if is_down:
        bids, asks = (
            {TOP - ticks: size for ticks, size in asks.items()},
            {TOP - ticks: size for ticks, size in bids.items()},
        )
    tick = to_ticks(item["tick_size"]) if item.get("tick_size") else 0
    return "book", market, stamp_ns(item["timestamp"]), tick, bids, asks


class OracleReader:
    """Spot prices of one asset as the oracle publishes them; averages are for display and not read here."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.seen: deque[int] = deque(maxlen=SEEN)

    def read(self, payload: bytes) -> list[tuple[float, int]]:
        """(price, venue ns) of every new price of the frame."""
        frame = orjson.loads(payload)
        if frame.get("topic") != "crypto_prices_chainlink" or frame["payload"]["symbol"] != self.symbol:
            return []
        found = []
        for entry in frame["payload"].get("data") or [frame["payload"]]:
            at_ns = stamp_ns(entry["timestamp"])
            if at_ns in self.seen:
                continue
            self.seen.append(at_ns)
            exact = entry.get("full_accuracy_value")
            found.append((int(exact) / 10**18 if exact else float(entry["value"]), at_ns))
        return found
