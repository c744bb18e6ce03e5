"""Slow, obvious S1 and S2: what they should propose, written from model.md with math.erfc and Fractions.

Independent of polybot: no import from it.  Prices in USD, sizes in shares.
"""

import math
from dataclasses import dataclass

FEE_RATE = 0.07


def norm_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def norm_pdf(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def fee(price: float) -> float:
    return FEE_RATE * price * (1.0 - price)


@dataclass
class Priced:
    fair_up: float
    z: float
    se: float

    def q(self, outcome: int) -> float:
        return self.fair_up if outcome == 0 else 1.0 - self.fair_up


def price_twap(
    spot: float,
    strike: float,
    sigma: float,
    tau: float,
    *,
    var_basis: float,
    se_ln_sigma: float,
    window: float = 60.0,
    lag: float = 3.0,
) -> Priced:
    """Before the averaging window: mean spot, variance sigma^2 (u - 2w/3) plus the basis."""
    u = tau - lag
    assert u >= window
    t_eff = u - 2.0 * window / 3.0
    v = math.sqrt(sigma * sigma * t_eff + var_basis)
    d2 = (math.log(spot / strike) - v * v / 2.0) / v
    se = norm_pdf(d2) * abs(v + d2) * (sigma * sigma * t_eff / v**2) * se_ln_sigma
    return Priced(norm_cdf(d2), math.log(spot / strike) / v, se)


def half_kelly(q: float, cost: float, cap: float) -> float:
    if q <= cost or cost >= 1.0:
        return 0.0
    return min(0.5 * (q - cost) / (1.0 - cost), cap)


@dataclass
class Proposal:
    outcome: int
    limit_ticks: int
    shares: float
    price: float
    edge: float
    frac: float


def take(
    q: float, asks: list[tuple[int, float]], *, bankroll: float, cap: float, min_edge: float, outcome: int
) -> Proposal | None:
    """Walk the asks (ticks of 1e-4, shares), best first, as far as each level keeps min_edge."""
    if not asks:
        return None
    best = asks[0][0] / 1e4
    frac = half_kelly(q, best + fee(best), cap)
    want = math.floor(frac * bankroll / (best + fee(best)) * 100.0 + 1e-9) / 100.0
    taken, cost, worst = 0.0, 0.0, 0
    for ticks, size in asks:
        price = ticks / 1e4
        if taken >= want or q - price - fee(price) < min_edge:
            break
        here = min(size, want - taken)
        taken, cost, worst = taken + here, cost + here * price, ticks
    if taken <= 0.0:
        return None
    price = cost / taken
    return Proposal(outcome, worst, taken, price, q - price - fee(price), frac)
