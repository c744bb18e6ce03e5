"""Slow references of the numeric core, written from the formulas alone.

Pricing in 50-digit arithmetic (Greeks by numeric differentiation, so that an algebra slip in the
closed forms cannot hide), windows as plain lists, money as fractions.  Called by tests only.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from mpmath import mp, mpf

mp.dps = 50
NS = 1_000_000_000
MIN_PAIRS = 5
MAX_SPOT_AGE_NS = 2 * NS


def norm_cdf(x: float | mpf) -> mpf:
    return mp.erfc(-mpf(x) / mp.sqrt(2)) / 2


def norm_pdf(x: float | mpf) -> mpf:
    return mp.exp(-(mpf(x) ** 2) / 2) / mp.sqrt(2 * mp.pi)


def norm_ppf(p: float, start: float) -> mpf:
    """Newton from a start that is good to a few digits."""
    x = mpf(start)
    for _ in range(8):
        x -= (norm_cdf(x) - mpf(p)) / norm_pdf(x)
    return x


@dataclass(frozen=True)
class Case:
    """Arguments of pricing.price(), all valid."""

    rule: int
    s: float
    k: float
    sigma: float
    tau_s: float
    w_s: float = 0.0
    lag_s: float = 0.0
    locked_sum: float = 0.0
    var_basis: float = 0.0
    var_strike: float = 0.0
    var_locked: float = 0.0
    se_ln_sigma: float = 0.0
    sd_x: float = 0.0

    @property
    def u(self) -> mpf:
        return max(mpf(0), mpf(self.tau_s) - mpf(self.lag_s)) if self.rule == 2 else mpf(self.tau_s)

    def mean(self, s: float | mpf) -> mpf:
        if self.rule != 2 or self.u >= self.w_s:
            return mpf(s)
        return (mpf(self.locked_sum) + self.u * mpf(s)) / mpf(self.w_s)

    def t_eff(self) -> mpf:
        if self.rule != 2:
            return self.u
        if self.u >= self.w_s:
            return self.u - 2 * mpf(self.w_s) / 3
        return self.u**3 / (3 * mpf(self.w_s) ** 2)

    def deviation(self, sigma: float | mpf) -> mpf:
        share = mp.diff(self.mean, self.s) * self.s / self.mean(self.s)
        total = mpf(sigma) ** 2 * self.t_eff() + mpf(self.var_basis) * share**2
        return mp.sqrt(total + mpf(self.var_strike) + mpf(self.var_locked))

    def z(self) -> mpf:
        return mp.log(self.mean(self.s) / self.k) / self.deviation(self.sigma)

    def p_at(self, s: float | mpf, v: mpf) -> mpf:
        return norm_cdf(mp.log(self.mean(s) / self.k) / v - v / 2)

    def p_up(self) -> mpf:
        return self.p_at(self.s, self.deviation(self.sigma))

    def delta(self) -> mpf:
        v = self.deviation(self.sigma)
        return mp.diff(lambda s: self.p_at(s, v), self.s)

    def gamma(self) -> mpf:
        v = self.deviation(self.sigma)
        return mp.diff(lambda s: self.p_at(s, v), self.s, 2)

    def vega(self) -> mpf:
        return mp.diff(lambda sigma: self.p_at(self.s, self.deviation(sigma)), self.sigma)

    def full_delta(self) -> mpf:
        """Delta with v moving along with s."""
        return mp.diff(lambda s: replace(self, s=s).p_up(), self.s)

    def se_q(self) -> mpf:
        v = self.deviation(self.sigma)
        from_x = mp.diff(lambda x: norm_cdf(x / v - v / 2), v * self.z()) * self.sd_x
        return mp.sqrt((self.vega() * self.sigma * self.se_ln_sigma) ** 2 + from_x**2)


def fee_micro_usd(ushares: int, price_ticks: int, rate_ppm: int, exponent: int) -> int:
    p = Fraction(price_ticks, 10_000)
    steps = Fraction(ushares, 10**6) * Fraction(rate_ppm, 10**6) * (p * (1 - p)) ** exponent * 100_000
    return 10 * math.floor(steps + Fraction(1, 2)) if steps >= 1 else 0


def notional_micro_usd(ushares: int, price_ticks: int) -> int:
    return math.floor(Fraction(ushares * price_ticks, 10_000) + Fraction(1, 2))


def sampled_ewma(prices: Sequence[tuple[float, int]], lambda_: float, sample_ns: int) -> tuple[float, int]:
    """(variance without bias correction, samples): explicit weights instead of a recursion."""
    squares: list[float] = []
    price_0, ns_0 = prices[0]
    for price, ns in prices[1:]:
        if ns - ns_0 >= sample_ns:
            squares.append(math.log(price / price_0) ** 2 / ((ns - ns_0) / NS))
            price_0, ns_0 = price, ns
    weights = [(1 - lambda_) * lambda_**age for age in range(len(squares))]
    return math.fsum(w * x for w, x in zip(weights, reversed(squares), strict=True)), len(squares)


def tick_ewma(prices: Sequence[float], lambda_: float) -> float:
    squares = [math.log(b / a) ** 2 for a, b in itertools.pairwise(prices)]
    return math.fsum((1 - lambda_) * lambda_**age * x for age, x in enumerate(reversed(squares)))


def vwap(trades: Sequence[tuple[float, float, int]], now_ns: int, window_ns: int) -> float:
    kept = [(price, qty) for price, qty, ns in trades if now_ns - ns <= window_ns]
    if not kept:
        return math.nan
    return math.fsum(price * qty for price, qty in kept) / math.fsum(qty for _, qty in kept)


def direction_counts(prices: Sequence[tuple[float, int]], now_ns: int, window_ns: int) -> tuple[int, int]:
    """(up, down) changes at most window_ns old."""
    signs = [
        later > earlier
        for (earlier, _), (later, ns) in itertools.pairwise(prices)
        if later != earlier and now_ns - ns <= window_ns
    ]
    return sum(signs), len(signs) - sum(signs)


def regime(up: int, down: int) -> int:
    """0 Ambiguous, 1 Range, 2 Trend with the default thresholds, in exact arithmetic."""
    if up + down < 10:
        return 0
    fraction = Fraction(max(up, down), up + down)
    return 2 if fraction >= Fraction(3, 4) else 1 if fraction < Fraction(3, 5) else 0


def basis(
    spots: Sequence[tuple[float, int]], oracles: Sequence[tuple[float, int]], window_ns: int, lag_ns: int
) -> tuple[float, float]:
    """(median, 1.4826 x median absolute deviation) of oracle - spot after the last oracle price."""
    now_ns = oracles[-1][1]
    differences = []
    for price, ns in oracles:
        before = [(s, t) for s, t in spots if t <= ns - lag_ns]
        if now_ns - ns <= window_ns and before and ns - lag_ns - before[-1][1] <= MAX_SPOT_AGE_NS:
            differences.append(price - before[-1][0])
    if len(differences) < MIN_PAIRS:
        return math.nan, math.nan
    beta = statistics.median(differences)
    return beta, 1.482602218505602 * statistics.median(abs(x - beta) for x in differences)
