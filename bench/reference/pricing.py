"""Fair probability of Up by resolution rule, its standard error, half-Kelly and the taker's fee, by the formulas.

With m the forward mean, v^2 its variance in logs: z = ln(m/K) / v, d2 = z - v/2, p = Phi(d2), Phi by math.erfc.
    point, candle: m = S, T = tau        twap, u >= w: m = S, T = u - 2w/3        (u = tau - lag)
    twap, u < w: m = (locked + u S) / w, T = u^3 / (3 w^2)
What cannot be priced is None, never 0.5.  Called by `engine`, `strategies` and `cross`.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

__all__ = [
    "Inputs",
    "Priced",
    "fee_micro_usd",
    "fee_per_share",
    "half_kelly",
    "implied_v",
    "norm_cdf",
    "price",
]

NORMAL = NormalDist()
LOCKED_TOLERANCE = 0.10  # the locked mean lies this near spot, or the sum lacks seconds
LOCKED_ROUNDING = 1e-9
TOP = 10_000
FEE_STEP = 10  # the venue's grid of 0.00001 USD, in micro-USD


def norm_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x * math.sqrt(0.5))


def norm_pdf(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


@dataclass(slots=True)
class Inputs:
    """What a price depends on: USD, seconds, per sqrt(s); `locked` is the averaged part's sum, USD s."""

    rule: str
    spot: float
    strike: float
    sigma: float
    se_ln_sigma: float
    tau_s: float
    window_s: float
    lag_s: float
    locked: float
    var_basis: float
    var_strike: float
    var_locked: float


@dataclass(slots=True)
class Priced:
    """A price and what led to it."""

    p_up: float
    se: float
    z: float
    d2: float
    v: float
    m: float
    dm_ds: float
    t_eff: float
    u: float
    phi: float


def price(a: Inputs) -> Priced | None:
    """Price one market, None when anything needed is missing or wrong."""
    if not (0.0 < a.sigma < math.inf and 0.0 < a.spot < math.inf and 0.0 < a.strike < math.inf):
        return None
    if not (
        a.tau_s >= 0.0 and a.var_basis >= 0.0 and a.var_locked >= 0.0 and 0.0 <= a.se_ln_sigma < math.inf
    ):
        return None
    u, m, dm_ds, t_eff = a.tau_s, a.spot, 1.0, a.tau_s
    if a.rule == "twap":
        u = max(0.0, a.tau_s - a.lag_s)
        w = a.window_s
        if u >= w:
            t_eff = u - 2.0 * w / 3.0
        else:
            over = w - u
            allowed = a.spot * (LOCKED_TOLERANCE * over + LOCKED_ROUNDING * w)
            if not abs(a.locked - over * a.spot) <= allowed:
                return None
            m, dm_ds, t_eff = (a.locked + u * a.spot) / w, u / w, u**3 / (3.0 * w * w)
    reach = dm_ds * a.spot / m
    v2 = a.sigma**2 * t_eff + a.var_basis * reach**2 + a.var_strike + a.var_locked
    if not 0.0 < v2 < math.inf:
        return None
    v = math.sqrt(v2)
    z = math.log(m / a.strike) / v
    d2 = z - 0.5 * v
    phi = norm_pdf(d2)
    se = abs(phi * (v + d2) * (a.sigma**2 * t_eff / v2) * a.se_ln_sigma)
    return Priced(norm_cdf(d2), se, z, d2, v, m, dm_ds, t_eff, u, phi)


def implied_v(p: float, m: float, k: float) -> float:
    """Deviation at which p is the price: v^2 + 2 y v - 2 x = 0; NaN where there is none."""
    if not (0.0 < p < 1.0 and m > 0.0 and k > 0.0):
        return math.nan
    x, y = math.log(m / k), NORMAL.inv_cdf(p)
    if x > 0.0:
        return math.sqrt(y * y + 2.0 * x) - y
    if y >= 0.0 or y * y + 2.0 * x < 0.0:
        return math.nan
    return -y - math.sqrt(y * y + 2.0 * x)


def half_kelly(q: float, cost: float) -> float:
    """Fraction of bankroll: half of (q - cost) / (1 - cost), 0 without an edge."""
    if not (0.0 <= cost < 1.0 and cost < q <= 1.0):
        return 0.0
    return 0.5 * (q - cost) / (1.0 - cost)


def fee_per_share(p: float, rate: float, exponent: int) -> float:
    """Taker's fee of one share at p, USD."""
    fee = rate
    for _ in range(exponent):
        fee *= p * (1.0 - p)
    return fee


def fee_micro_usd(ushares: int, ticks: int, rate_ppm: int, exponent: int) -> int:
    """The same for a size, in micro-USD, rounded half up to the venue's grid; below one step it is 0."""
    top = (ticks * (TOP - ticks)) ** exponent * rate_ppm * ushares
    bottom = (TOP * TOP) ** exponent * 1_000_000 * FEE_STEP
    return (2 * top + bottom) // (2 * bottom) * FEE_STEP if top >= bottom else 0
