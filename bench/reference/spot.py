"""The asset's spot price, its estimators, and the oracle: VWAP, regime, basis, oracle seconds.

Written from docs/STRATEGIES.md: windows are deques that forget by time, the basis is the median of simultaneous
oracle minus spot, the regime counts price changes.  All prices USD, all times ns as the events carry them.
Must not price anything.  Called by `engine.ReferenceEngine`.
"""

import math
import statistics
from bisect import bisect_right
from collections import deque

from bench.reference.volatility import MultiVol

__all__ = ["Basis", "Regime", "Spot", "Vwap"]

NS = 1_000_000_000
NAN = math.nan
MAX_ORACLE_LEAD_NS = 10 * NS  # a stamp further ahead is a wrong one
ORACLE_DELAY_S = 3  # the newest seconds cannot have come yet
MAD_TO_SD = 1.482602218505602  # of a normal distribution


class Vwap:
    """Volume-weighted average price of the last window_ns; a trade exactly so old stays."""

    def __init__(self, window_s: float) -> None:
        self.window_ns = int(window_s * NS)
        self.trades: deque[tuple[int, float, float]] = deque()
        self.volume = self.turnover = 0.0

    def add(self, price: float, quantity: float, now_ns: int) -> None:
        if not quantity > 0.0:
            return
        self.forget(now_ns)
        self.trades.append((now_ns, price, quantity))
        self.turnover += price * quantity
        self.volume += quantity

    def forget(self, now_ns: int) -> None:
        while self.trades and now_ns - self.trades[0][0] > self.window_ns:
            _, price, quantity = self.trades.popleft()
            self.turnover -= price * quantity
            self.volume -= quantity

    def mean(self) -> float:
        return self.turnover / self.volume if self.trades else NAN


class Regime:
    """Which way the price changes of the last window went."""

    def __init__(self, window_s: float, min_changes: int, trend: float) -> None:
        self.window_ns = int(window_s * NS)
        self.min_changes, self.trend = min_changes, trend
        self.changes: deque[tuple[int, bool]] = deque()
        self.ups = 0
        self.last = NAN

    def add(self, price: float, now_ns: int) -> None:
        if price != self.last and self.last > 0.0:
            self.changes.append((now_ns, price > self.last))
            self.ups += price > self.last
        self.last = price
        self.forget(now_ns)

    def forget(self, now_ns: int) -> None:
        while self.changes and now_ns - self.changes[0][0] > self.window_ns:
            self.ups -= self.changes.popleft()[1]

    @property
    def is_trend(self) -> bool:
        count = len(self.changes)
        return count >= self.min_changes and max(self.ups, count - self.ups) / count >= self.trend


class Basis:
    """Oracle minus spot: median over the window, with a robust deviation; and where spot was at a venue time."""

    BUCKET_NS = 20_000_000  # spot prices closer together count as one, the last
    MAX_BUCKETS = 1_024
    MAX_AGE_NS = 2 * NS  # an older spot price is not simultaneous

    def __init__(self, window_s: float, lag_s: float, min_pairs: int) -> None:
        self.window_ns, self.lag_ns, self.min_pairs = int(window_s * NS), int(lag_s * NS), min_pairs
        self.times: list[int] = []
        self.spots: list[float] = []
        self.pairs: deque[tuple[int, float]] = deque()
        self.last_oracle_ns = -1
        self.beta = self.var_ln = NAN

    def on_spot(self, price: float, at_ns: int) -> None:
        if self.times and at_ns - self.times[-1] < self.BUCKET_NS:
            self.spots[-1] = price
            return
        self.times.append(at_ns)
        self.spots.append(price)
        if len(self.times) > 4 * self.MAX_BUCKETS:
            del self.times[: -self.MAX_BUCKETS], self.spots[: -self.MAX_BUCKETS]

    def spot_at(self, at_ns: int) -> float:
        """Last spot price at or before at_ns; NaN when it is too old or not remembered."""
        place = bisect_right(self.times, at_ns) - 1
        if place < max(0, len(self.times) - self.MAX_BUCKETS) or at_ns - self.times[place] > self.MAX_AGE_NS:
            return NAN
        return self.spots[place]

    def on_oracle(self, price: float, at_ns: int) -> None:
        if at_ns <= self.last_oracle_ns or (self.times and at_ns - self.times[-1] > MAX_ORACLE_LEAD_NS):
            return
        self.last_oracle_ns = at_ns
        then = self.spot_at(at_ns - self.lag_ns)
        if not math.isnan(then):
            self.pairs.append((at_ns, price - then))
            self.last_oracle = price
        while self.pairs and at_ns - self.pairs[0][0] > self.window_ns:
            self.pairs.popleft()
        if len(self.pairs) < self.min_pairs:
            self.beta = self.var_ln = NAN
            return
        differences = [difference for _, difference in self.pairs]
        self.beta = statistics.median(differences)
        sd = MAD_TO_SD * statistics.median(abs(difference - self.beta) for difference in differences)
        self.var_ln = sd * sd / (self.last_oracle * self.last_oracle)


class Spot:
    """What is known of the asset; never paused between windows."""

    def __init__(self, vol: MultiVol, vwap: Vwap, regime: Regime, basis: Basis) -> None:
        self.vol, self.vwap, self.regime, self.basis = vol, vwap, regime, basis
        self.last = self.bid = self.ask = NAN
        self.sigma = self.se_ln_sigma = NAN
        self.sigma_ns = self.trade_ns = self.data_ns = self.oracle_ns = self.lag_ns = 0
        self.prints: dict[int, float] = {}  # second -> oracle price
        self.newest_print = 0

    def on_trade(self, price: float, quantity: float, venue_ns: int, recv_ns: int) -> None:
        self.last = price
        self.vol.add(price, recv_ns)
        self.vwap.add(price, quantity, recv_ns)
        self.regime.add(price, recv_ns)
        self.basis.on_spot(price, venue_ns)
        self.trade_ns = self.data_ns = recv_ns
        self.lag_ns = recv_ns - venue_ns
        if recv_ns - self.sigma_ns >= NS or math.isnan(self.sigma):  # read once a second
            self.sigma, self.se_ln_sigma = self.vol.sigma, self.vol.se_ln_sigma
            self.sigma_ns = recv_ns

    def on_quote(self, bid: float, ask: float, recv_ns: int) -> None:
        self.bid, self.ask, self.data_ns = bid, ask, recv_ns

    def on_oracle(self, price: float, venue_ns: int, recv_ns: int) -> None:
        if venue_ns - recv_ns > MAX_ORACLE_LEAD_NS or not price > 0.0:
            return
        second = venue_ns // NS
        self.prints[second] = price
        self.newest_print = max(self.newest_print, second)
        self.basis.on_oracle(price, venue_ns)
        self.oracle_ns = recv_ns

    def on_timer(self, now_ns: int) -> None:
        self.vwap.forget(now_ns)
        self.regime.forget(now_ns)

    def locked(self, first: int, last: int, fill: float) -> tuple[float, int]:
        """(sum of the oracle's seconds first..last, how many of them were never seen).

        A second that was skipped takes the price before it; seconds after the newest one take `fill`, and count as
        unseen only when they should have come by now.
        """
        total, missing, value = 0.0, 0, NAN
        for second in range(first, last + 1):
            if second in self.prints:
                value = self.prints[second]
                total += value
            elif second > self.newest_print:
                total += fill
                missing += last - second >= ORACLE_DELAY_S
            else:
                total += fill if math.isnan(value) else value
                missing += 1
        return total, missing
