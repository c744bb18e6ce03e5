"""The true probability of Up, as the embedded venue's makers know it.

Owns the market's honest price: the mean and variance of what will settle the market, given every
spot price so far, the true volatility and the true basis, under the market's own rule.  The formula
is written here a second time on purpose (slow, math.erfc), so that an error in the engine's own
pricing shows as a loss and not as agreement.  Jumps: the number of jumps left is Poisson, and given
their number the log of (end value / strike) is normal, so fair is a mixture of normal tails.

Before the strike is fixed, a TWAP market is priced on the part of the strike's average already
known: with r seconds of it missing, var = sigma^2 (D - 2w/3 + w/3 (1 - (1 - r/w)^3)), D the length
of the window; with nothing known that is D - w/3 and fair is one half.
"""

import math
from typing import NamedTuple

from polybot.sim.oracle import Oracle
from polybot.sim.path import E8, NS
from polybot.sim.spot import SpotMarket

__all__ = ["FairModel", "Terms"]

JUMPS_MAX = 12  # terms of the mixture
NEGLIGIBLE = 1e-7  # weight of the terms not worth computing
NORMAL_FROM = 12.0  # expected jumps above which the mixture is as good as normal
ROOT2 = math.sqrt(2.0)


class Terms(NamedTuple):
    """What decides a market: its rule, its window in whole seconds, the averaging window."""

    rule: str  # "twap" | "point" | "candle"
    start_s: int
    end_s: int
    twap_s: int = 60


class FairModel:
    """Prices any market at the scheduler's present state of spot and oracle."""

    def __init__(self, spot: SpotMarket, oracle: Oracle) -> None:
        self._spot = spot
        self._oracle = oracle
        path = spot.path
        self._jumps_per_s = path.jumps_per_s if path else 0.0
        self._jump_frac = path.jump_frac if path else 0.0

    def strike(self, terms: Terms) -> float | None:
        """The strike, once it is determined (a TWAP strike: some seconds before it is published)."""
        if terms.rule == "twap":
            return self._oracle.twap_at(terms.start_s)
        if terms.rule == "point":
            return self._oracle.print_at(terms.start_s)
        candle = self._spot.history.candle("1h", terms.start_s)
        return None if candle is None else candle.open_e8 / E8

    def up(self, terms: Terms, now_ns: int) -> float:
        """Probability that the market ends Up, given all spot prices up to now_ns."""
        strike = self.strike(terms)
        if terms.rule == "twap":
            if strike is None:
                return self._before_twap(terms, now_ns)
            return self._within_twap(terms, strike, now_ns)
        if strike is None:
            return 0.5
        if terms.rule == "point":
            spot = self._oracle.usd(self._spot.price)
            left_s = self._oracle.seconds_to_print(terms.end_s, now_ns)
            settled = self._oracle.print_at(terms.end_s)
        else:
            spot, left_s, settled = self._spot.price, terms.end_s - now_ns / NS, None
        if settled is not None or left_s <= 0.0:
            return 1.0 if (spot if settled is None else settled) >= strike else 0.0
        return self._tail(math.log(spot / strike), left_s, left_s, now_ns)

    def _within_twap(self, terms: Terms, strike: float, now_ns: int) -> float:
        """The strike is fixed; part of the end's average may be."""
        window = float(terms.twap_s)
        outlook = self._oracle.outlook(terms.end_s)
        spot = self._oracle.usd(self._spot.price)
        left = window - outlook.known
        mean = (outlook.known_sum + left * spot) / window
        if left <= 1e-9:
            return 1.0 if mean >= strike else 0.0
        if outlook.known > 0.0:
            horizon_s, effective_s = left, left**3 / (3.0 * window**2)
        else:
            horizon_s = max(self._oracle.seconds_to_average(terms.end_s, now_ns), window)
            effective_s = horizon_s - 2.0 * window / 3.0
        return self._tail(math.log(mean / strike), effective_s, horizon_s, now_ns)

    def _before_twap(self, terms: Terms, now_ns: int) -> float:
        """The strike itself is still being averaged, or not even that."""
        window = float(terms.twap_s)
        outlook = self._oracle.outlook(terms.start_s)
        if outlook.known <= 0.0:
            return 0.5
        spot = self._oracle.usd(self._spot.price)
        missing = window - outlook.known
        strike_mean = (outlook.known_sum + missing * spot) / window
        length_s = float(terms.end_s - terms.start_s)
        effective_s = length_s - 2.0 * window / 3.0 + window / 3.0 * (1.0 - (1.0 - missing / window) ** 3)
        return self._tail(math.log(spot / strike_mean), effective_s, missing + length_s, now_ns)

    def _tail(self, distance: float, effective_s: float, horizon_s: float, now_ns: int) -> float:
        """P(end >= strike) for a log distance, variance over effective_s within the next horizon_s."""
        variance = self._spot.variance_rate(now_ns, horizon_s) * effective_s
        jumps = self._jumps_per_s * horizon_s
        if jumps <= 0.0 or jumps > NORMAL_FROM:
            return _normal_up(distance, variance)
        plain, each = variance * (1.0 - self._jump_frac), variance * self._jump_frac / jumps
        weight, left, total = math.exp(-jumps), 1.0, 0.0
        for count in range(JUMPS_MAX):
            total += weight * _normal_up(distance, plain + count * each)
            left -= weight
            if left < NEGLIGIBLE:
                return total
            weight *= jumps / (count + 1)
        return total + left * _normal_up(distance, plain + JUMPS_MAX * each)


def _normal_up(distance: float, variance: float) -> float:
    """P(exp(distance + N(-variance/2, variance)) >= 1)."""
    if variance <= 0.0:
        return 1.0 if distance >= 0.0 else 0.0
    sd = math.sqrt(variance)
    return 0.5 * math.erfc(-(distance / sd - 0.5 * sd) / ROOT2)
