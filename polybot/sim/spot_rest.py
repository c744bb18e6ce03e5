"""REST of the embedded spot exchange: ping, time, exchangeInfo, klines, aggTrades, trades, bookTicker.

Owns the JSON of the answers and the exchange's error codes; the numbers are sim.spot's.  Times are
milliseconds unless the request has the header `X-MBX-TIME-UNIT: MICROSECOND`; time parameters are
accepted in either unit, told apart by magnitude.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import orjson

from polybot.sim.path import E8, Trade, price_step_e8
from polybot.sim.spot import SpotMarket, decimal8
from polybot.sim.spot_history import SECONDS, Candle
from polybot.transport import HttpResponse

__all__ = ["SpotRest"]

LIMIT_MAX = 1_000
MICRO_FROM = 10**14
HEADERS = {"Content-Type": "application/json;charset=UTF-8", "X-MBX-USED-WEIGHT-1M": "1"}


class _Refused(Exception):
    """A request the exchange answers with 400 and a code."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.body = {"code": code, "msg": msg}


class SpotRest:
    """Answers GET requests under /api/v3."""

    def __init__(self, market: SpotMarket) -> None:
        self._market = market

    def handle(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], now_ns: int
    ) -> HttpResponse:
        """Answer one GET; header names in lower case."""
        micro = headers.get("x-mbx-time-unit", "").upper() == "MICROSECOND"
        unit_ns = 1_000 if micro else 1_000_000
        try:
            body = self._answer(path.removeprefix("/api/v3/"), query, unit_ns, now_ns)
        except _Refused as refused:
            return HttpResponse(400, HEADERS, orjson.dumps(refused.body))
        if body is None:
            return HttpResponse(404, {"Content-Type": "text/html"}, b"<html>404 Not Found</html>")
        return HttpResponse(200, HEADERS, orjson.dumps(body))

    def _answer(self, name: str, query: Mapping[str, str], unit_ns: int, now_ns: int) -> Any:
        if name == "ping":
            return {}
        if name == "time":
            return {"serverTime": now_ns // unit_ns}
        if name in ("exchangeInfo", "klines", "aggTrades", "trades", "ticker/bookTicker"):
            if query.get("symbol", "").upper() != self._market.symbol:
                raise _Refused(-1121, "Invalid symbol.")
            if name == "exchangeInfo":
                return self._exchange_info(now_ns // unit_ns)
            if name == "klines":
                return self._klines(query, unit_ns)
            if name == "aggTrades":
                return self._agg_trades(query, unit_ns)
            return self._trades(query, unit_ns) if name == "trades" else self._book_ticker()
        return None

    def _klines(self, query: Mapping[str, str], unit_ns: int) -> list[list[Any]]:
        interval = query.get("interval", "")
        if interval not in SECONDS:
            raise _Refused(-1120, "Invalid interval.")
        start_ns, end_ns = _stamp_ns(query, "startTime"), _stamp_ns(query, "endTime")
        start_s = None if start_ns is None else -(-start_ns // 1_000_000_000)
        end_s = None if end_ns is None else end_ns // 1_000_000_000
        candles = self._market.history.klines(interval, start_s, end_s, _limit(query))
        length_units = SECONDS[interval] * 1_000_000_000 // unit_ns
        return [_kline(candle, length_units, unit_ns) for candle in candles]

    def _agg_trades(self, query: Mapping[str, str], unit_ns: int) -> list[dict[str, Any]]:
        start_ns, end_ns = _stamp_ns(query, "startTime"), _stamp_ns(query, "endTime")
        limit = _limit(query)
        groups = self._market.history.aggregated()
        if "fromId" in query:
            first = _integer(query, "fromId")
            found = [group for group in groups if group[0].agg_id >= first][::-1][:limit]
        elif start_ns is None and end_ns is None:
            found = list(islice(groups, limit))[::-1]
        else:
            low_us, high_us = (start_ns or 0) // 1_000, (end_ns or 1 << 62) // 1_000
            found = [group for group in groups if low_us <= group[0].at_us <= high_us][::-1][:limit]
        return [_agg_trade(group, unit_ns // 1_000) for group in found]

    def _trades(self, query: Mapping[str, str], unit_ns: int) -> list[dict[str, Any]]:
        newest = list(islice(reversed(self._market.history.trades), _limit(query)))[::-1]
        return [_trade(trade, unit_ns // 1_000) for trade in newest]

    def _book_ticker(self) -> dict[str, Any]:
        quote = self._market.last_quote
        if quote is None:
            raise _Refused(-1000, "No quote yet.")
        return {
            "symbol": self._market.symbol,
            "bidPrice": decimal8(quote.bid_e8),
            "bidQty": decimal8(quote.bid_qty_e8),
            "askPrice": decimal8(quote.ask_e8),
            "askQty": decimal8(quote.ask_qty_e8),
        }

    def _exchange_info(self, server_time: int) -> dict[str, Any]:
        step = decimal8(price_step_e8(self._market.price))
        base = self._market.symbol.removesuffix("USDT")
        limits = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
        ]
        symbol = {
            "symbol": self._market.symbol,
            "status": "TRADING",
            "baseAsset": base,
            "baseAssetPrecision": 8,
            "quoteAsset": "USDT",
            "quotePrecision": 8,
            "isSpotTradingAllowed": True,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": step, "maxPrice": "1000000.00000000",
                 "tickSize": step},
                {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000",
                 "stepSize": "0.00001000"},
            ],
            "permissions": ["SPOT"],
        }  # fmt: skip
        return {
            "timezone": "UTC",
            "serverTime": server_time,
            "rateLimits": limits,
            "exchangeFilters": [],
            "symbols": [symbol],
        }


def _kline(candle: Candle, length_units: int, unit_ns: int) -> list[Any]:
    open_at = candle.open_s * (1_000_000_000 // unit_ns)
    return [
        open_at,
        decimal8(candle.open_e8),
        decimal8(candle.high_e8),
        decimal8(candle.low_e8),
        decimal8(candle.close_e8),
        decimal8(candle.base_e8),
        open_at + length_units - 1,
        f"{candle.quote:.8f}",
        candle.count,
        decimal8(candle.taker_base_e8),
        f"{candle.taker_quote:.8f}",
        "0",
    ]


def _agg_trade(group: list[Trade], unit_us: int) -> dict[str, Any]:
    first = group[0]
    return {
        "a": first.agg_id,
        "p": decimal8(first.price_e8),
        "q": decimal8(sum(trade.qty_e8 for trade in group)),
        "f": first.trade_id,
        "l": group[-1].trade_id,
        "T": first.at_us // unit_us,
        "m": first.buyer_is_maker,
        "M": True,
    }


def _trade(trade: Trade, unit_us: int) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": decimal8(trade.price_e8),
        "qty": decimal8(trade.qty_e8),
        "quoteQty": decimal8(trade.price_e8 * trade.qty_e8 // E8),
        "time": trade.at_us // unit_us,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def _integer(query: Mapping[str, str], key: str) -> int:
    try:
        return int(query[key])
    except ValueError:
        raise _Refused(-1100, f"Illegal characters found in parameter '{key}'.") from None


def _limit(query: Mapping[str, str]) -> int:
    return max(1, min(_integer(query, "limit"), LIMIT_MAX)) if "limit" in query else 500


def _stamp_ns(query: Mapping[str, str], key: str) -> int | None:
    if key not in query:
        return None
    stamp = _integer(query, key)
    return stamp * (1_000 if stamp > MICRO_FROM else 1_000_000)
