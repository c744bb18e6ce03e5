"""What the spot exchange remembers: recent trades, and candles of one second, minute and hour.

Owns the numbers behind REST aggTrades, trades and klines, and the candle that settles 1h markets,
so that what REST shows and what settles are one value.  A bucket without trades repeats the last
close with volume 0.  Past candles come from one close per second (sim.path.history_closes).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from polybot.sim.path import E8, Trade

__all__ = ["Candle", "SpotHistory"]

SECONDS = {"1s": 1, "1m": 60, "1h": 3_600}
KEEP = {"1s": 7_200, "1m": 10_080, "1h": 1_000}  # candles kept per interval
TRADES_KEPT = 20_000  # about twelve minutes
PAST_TRADES_PER_S = 28
PAST_QTY_E8 = 60_000_000  # per second of the past: 0.6 of the asset


@dataclass(slots=True)
class Candle:
    """One candle; prices and base volumes in 1e-8 units, quote volumes in whole currency."""

    open_s: int
    open_e8: int
    high_e8: int
    low_e8: int
    close_e8: int
    base_e8: int = 0
    quote: float = 0.0
    count: int = 0
    taker_base_e8: int = 0
    taker_quote: float = 0.0


class SpotHistory:
    """Trades and candles, newest last."""

    def __init__(
        self, closes: NDArray[np.float64], end_s: int, step_e8: int, *, traded: bool = True
    ) -> None:
        """Start from the close of each second before end_s; not traded: candles of silence at those prices."""
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self._candles: dict[str, deque[Candle]] = {}
        prices = np.round(closes * E8 / step_e8).astype(np.int64) * step_e8
        for name, length_s in SECONDS.items():
            part = prices[-KEEP["1s"] :] if length_s == 1 else prices
            self._candles[name] = deque(
                _past_candles(part, end_s, length_s, traded), maxlen=KEEP[name]
            )

    def add(self, trades: Sequence[Trade]) -> None:
        """Book trades of one burst, in time order."""
        self.trades.extend(trades)
        if trades[0].at_us // 1_000_000 == trades[-1].at_us // 1_000_000:
            self._add_second(trades[0].at_us // 1_000_000, trades)
            return
        for second, group in groupby(trades, key=lambda trade: trade.at_us // 1_000_000):
            self._add_second(second, list(group))

    def candle(self, interval: str, open_s: int) -> Candle | None:
        """The candle that opened at open_s, None when nothing traded since (or it is forgotten)."""
        for candle in reversed(self._candles[interval]):
            if candle.open_s <= open_s:
                return candle if candle.open_s == open_s else None
        return None

    def klines(self, interval: str, start_s: int | None, end_s: int | None, limit: int) -> list[Candle]:
        """Candles opening in [start_s, end_s]: the first `limit` with a start, else the last ones."""
        found = [
            candle
            for candle in self._candles[interval]
            if (start_s is None or candle.open_s >= start_s) and (end_s is None or candle.open_s <= end_s)
        ]
        return found[:limit] if start_s is not None else found[-limit:]

    def aggregated(self) -> Iterator[list[Trade]]:
        """Remembered trades by taker order, newest first."""
        group: list[Trade] = []
        for trade in reversed(self.trades):
            if group and group[0].agg_id != trade.agg_id:
                yield group[::-1]
                group = []
            group.append(trade)
        if group:
            yield group[::-1]

    def _add_second(self, second: int, trades: Sequence[Trade]) -> None:
        first = high = low = trades[0].price_e8
        base = turnover = taker_base = 0
        for _, _, price, quantity, _, buyer_is_maker in trades:
            if price > high:
                high = price
            elif price < low:
                low = price
            base += quantity
            turnover += price * quantity
            if not buyer_is_maker:
                taker_base += quantity
        quote = turnover / (E8 * E8)
        taker_quote = quote * taker_base / base if base else 0.0
        for name, length_s in SECONDS.items():
            candle = self._bucket(name, second - second % length_s, first)
            candle.high_e8 = max(candle.high_e8, high)
            candle.low_e8 = min(candle.low_e8, low)
            candle.close_e8 = price
            candle.base_e8 += base
            candle.quote += quote
            candle.count += len(trades)
            candle.taker_base_e8 += taker_base
            candle.taker_quote += taker_quote

    def _bucket(self, name: str, open_s: int, price_e8: int) -> Candle:
        """The newest candle, opened now if its time has come; silent buckets before it are filled."""
        candles, length_s = self._candles[name], SECONDS[name]
        last = candles[-1]
        if last.open_s >= open_s:
            return last
        first = max(last.open_s + length_s, open_s - (KEEP[name] - 1) * length_s)
        close = last.close_e8
        for silent_s in range(first, open_s, length_s):
            candles.append(Candle(silent_s, close, close, close, close))
        candles.append(Candle(open_s, price_e8, price_e8, price_e8, price_e8))
        return candles[-1]


def _past_candles(prices: NDArray[np.int64], end_s: int, length_s: int, traded: bool) -> list[Candle]:
    """Candles from one close per second; the last one may be incomplete and is continued by trades."""
    stamps = np.arange(end_s - len(prices), end_s)
    opens = np.concatenate([prices[:1], prices[:-1]])
    starts = np.flatnonzero(np.diff(stamps // length_s, prepend=-1))
    ends = np.append(starts[1:], len(prices))
    highs = np.maximum.reduceat(np.maximum(opens, prices), starts)
    lows = np.minimum.reduceat(np.minimum(opens, prices), starts)
    candles = []
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        seconds, close = int(end - start) if traded else 0, int(prices[end - 1])
        base = seconds * PAST_QTY_E8
        quote = base / E8 * close / E8
        candles.append(
            Candle(
                int(stamps[start]) // length_s * length_s, int(opens[start]), int(highs[i]), int(lows[i]),
                close, base, quote, seconds * PAST_TRADES_PER_S, base // 2, quote / 2,
            )
        )  # fmt: skip
    return candles
