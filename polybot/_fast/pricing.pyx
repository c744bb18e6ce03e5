"""Fair probability, Greeks and standard error of "settlement price >= strike" under each resolution rule.

Owns the pricing formulas, their inversion (implied_deviation), half-Kelly and the settlement
comparison (winner).  The settlement price is log-normal with mean m and total log-deviation v:
    v^2 = sigma^2 t_eff + var_basis (dm_ds s / m)^2 + var_strike + var_locked,  p_up = Phi(d2)
    point, candle: m = s, t_eff = u      twap, u >= w: m = s, t_eff = u - 2w/3
    twap, u < w: m = (locked_sum + u s) / w, t_eff = u^3 / (3 w^2)
Must not invent: bad input gives a status and NaN, never 0.5.  Greeks hold v while s moves
(exact except for the basis term inside the averaging window, where it is a 1e-3 matter).
Called by the engine, the strategies, backtest and analysis.
"""
from libc.math cimport NAN, fabs, isfinite, log, sqrt

from polybot._fast.normal cimport norm_cdf, norm_pdf, norm_ppf

# Below this the Greeks would overflow; the last millisecond of a twap still has 1e-22.
cdef double MIN_TOTAL_VARIANCE = 1e-60
# The mean of what is locked lies this close to spot (no asset here moves so far in a window);
# further away the sum lacks seconds, and the error of m would dwarf every edge.
cdef double LOCKED_MEAN_TOLERANCE = 0.10
# Rounding of w - u next to nothing locked, as a part of w s.
cdef double LOCKED_ROUNDING = 1e-9


cdef int price_binary(const PricingInput* a, Pricing* out) noexcept nogil:
    """Price one market; returns and stores the status (PriceStatus)."""
    out.status = _check(a)
    if out.status == PRICE_OK:
        out.status = _forward(a, out)
    if out.status == PRICE_OK:
        out.status = _deviation(a, out)
    if out.status != PRICE_OK:
        _clear_numbers(out)
        return out.status
    _greeks(a, out)
    return PRICE_OK


cdef double price_up(const PricingInput* a) noexcept nogil:
    """Probability of Up alone, to the bit as price_binary has it; NaN where that has no price."""
    cdef Pricing out
    if _check(a) != PRICE_OK or _forward(a, &out) != PRICE_OK or _deviation(a, &out) != PRICE_OK:
        return NAN
    return norm_cdf(out.d2)


cpdef double implied_deviation(double p, double m, double k) noexcept nogil:
    """Total log-deviation v at which the mean m prices Up at p; NaN when no v does.

    Roots of v^2 + 2 y v - 2 x = 0 with x = ln(m/k), y = Phi^-1(p), written without cancellation.
    Where two roots are positive (x < 0) the smaller one, with |x| >= v^2/2, is returned.
    """
    cdef double y = norm_ppf(p)
    cdef double x, disc, v
    if not (0.0 < m and isfinite(m) and 0.0 < k and isfinite(k)) or not isfinite(y):
        return NAN
    x = log(m / k)
    if x > 0.0:
        disc = sqrt(y * y + 2.0 * x)
        v = 2.0 * x / (y + disc) if y > 0.0 else disc - y
    elif y >= 0.0:
        return NAN
    elif x == 0.0:
        v = -2.0 * y
    else:
        disc = y * y + 2.0 * x
        if disc < 0.0:
            return NAN
        v = -2.0 * x / (sqrt(disc) - y)
    return v if v > 0.0 and isfinite(v) else NAN


cpdef double half_kelly(double q, double cost, double cap) noexcept nogil:
    """Fraction of bankroll for probability q at cost (price + fee, USD per share), in [0, cap].

    0.5 (q - cost) / (1 - cost); 0 without an edge, at cost >= 1 and for anything that is no probability.
    """
    cdef double f
    if not (0.0 <= cost < 1.0 and cost < q <= 1.0 and cap > 0.0):
        return 0.0
    f = 0.5 * (q - cost) / (1.0 - cost)
    return f if f < cap else cap


cpdef int winner(double final, double strike) noexcept nogil:
    """Outcome that the final price settles: 0 Up (a tie is Up), 1 Down, -1 when a price is no price."""
    if not (0.0 < final and isfinite(final) and 0.0 < strike and isfinite(strike)):
        return -1
    return 0 if final >= strike else 1


cdef class PricingResult:
    """Outcome of price(): the fields of the C struct Pricing as attributes."""

    cdef readonly int status
    cdef readonly double u, m, dm_ds, t_eff, v, d2, z, p_up, phi_d2, delta, gamma, vega, se_q

    def __repr__(self) -> str:
        return (f"PricingResult(status={self.status}, p_up={self.p_up:.6f}, z={self.z:.6f}, d2={self.d2:.6f}, "
                f"m={self.m!r}, t_eff={self.t_eff!r}, v={self.v!r}, se_q={self.se_q:.6f})")


def price(*, int rule, double s, double k, double sigma, double tau_s, double w_s=0.0, double lag_s=0.0,
          double locked_sum=0.0, double var_basis=0.0, double var_strike=0.0, double var_locked=0.0,
          double se_ln_sigma=0.0, double sd_x=0.0) -> PricingResult:
    """Price one market from Python; never raises for bad numbers: look at ``status``.

    Units: see PricingInput in pricing.pxd.
    """
    cdef PricingInput a
    cdef Pricing out
    a.rule, a.w_s, a.lag_s, a.s, a.k, a.sigma, a.tau_s = rule, w_s, lag_s, s, k, sigma, tau_s
    a.locked_sum, a.var_basis, a.var_strike, a.var_locked = locked_sum, var_basis, var_strike, var_locked
    a.se_ln_sigma, a.sd_x = se_ln_sigma, sd_x
    price_binary(&a, &out)
    cdef PricingResult result = PricingResult.__new__(PricingResult)
    result.status = out.status
    result.u, result.m, result.dm_ds, result.t_eff, result.v = out.u, out.m, out.dm_ds, out.t_eff, out.v
    result.d2, result.z, result.p_up, result.phi_d2 = out.d2, out.z, out.p_up, out.phi_d2
    result.delta, result.gamma, result.vega, result.se_q = out.delta, out.gamma, out.vega, out.se_q
    return result


cdef int _check(const PricingInput* a) noexcept nogil:
    """First bad scalar of the input, as PriceStatus."""
    if a.rule != RULE_POINT and a.rule != RULE_CANDLE and a.rule != RULE_TWAP:
        return BAD_RULE
    if not (a.sigma > 0.0 and isfinite(a.sigma)):
        return BAD_SIGMA
    if not (a.s > 0.0 and isfinite(a.s)):
        return BAD_SPOT
    if not (a.k > 0.0 and isfinite(a.k)):
        return BAD_STRIKE
    if not (a.tau_s >= 0.0 and isfinite(a.tau_s)):
        return BAD_TAU
    if a.rule == RULE_TWAP and not (a.w_s > 0.0 and isfinite(a.w_s) and a.lag_s >= 0.0 and isfinite(a.lag_s)):
        return BAD_WINDOW
    if not (a.var_basis >= 0.0 and a.var_strike >= 0.0 and a.var_locked >= 0.0):
        return BAD_VARIANCE
    if not (a.se_ln_sigma >= 0.0 and isfinite(a.se_ln_sigma) and a.sd_x >= 0.0 and isfinite(a.sd_x)):
        return BAD_SE
    return PRICE_OK


cdef int _forward(const PricingInput* a, Pricing* out) noexcept nogil:
    """Fill u, m, dm_ds and t_eff by the resolution rule."""
    cdef double locked_s
    out.u = a.tau_s
    out.m = a.s
    out.dm_ds = 1.0
    out.t_eff = a.tau_s
    if a.rule != RULE_TWAP:
        return PRICE_OK
    out.u = a.tau_s - a.lag_s if a.tau_s > a.lag_s else 0.0
    if out.u >= a.w_s:
        out.t_eff = out.u - 2.0 * a.w_s / 3.0
        return PRICE_OK
    locked_s = a.w_s - out.u
    if not fabs(a.locked_sum - locked_s * a.s) <= a.s * (LOCKED_MEAN_TOLERANCE * locked_s + LOCKED_ROUNDING * a.w_s):
        return BAD_LOCKED
    out.m = (a.locked_sum + out.u * a.s) / a.w_s
    out.dm_ds = out.u / a.w_s
    out.t_eff = out.u * out.u * out.u / (3.0 * a.w_s * a.w_s)
    return PRICE_OK


cdef int _deviation(const PricingInput* a, Pricing* out) noexcept nogil:
    """Fill v, z and d2."""
    cdef double x = log(out.m / a.k)
    cdef double reach = out.dm_ds * a.s / out.m
    cdef double v2 = a.sigma * a.sigma * out.t_eff + a.var_basis * reach * reach + a.var_strike + a.var_locked
    if not isfinite(x):
        return BAD_STRIKE
    if not (v2 >= MIN_TOTAL_VARIANCE and isfinite(v2)):
        return BAD_VARIANCE
    out.v = sqrt(v2)
    out.z = x / out.v
    out.d2 = out.z - 0.5 * out.v
    return PRICE_OK


cdef void _greeks(const PricingInput* a, Pricing* out) noexcept nogil:
    """Fill the probability and its derivatives from m, dm_ds, v and d2."""
    cdef double slope, share, from_sigma, from_x
    out.p_up = norm_cdf(out.d2)
    out.phi_d2 = norm_pdf(out.d2)
    slope = out.dm_ds / (out.m * out.v)
    out.delta = out.phi_d2 * slope
    out.gamma = -out.phi_d2 * slope * slope * (out.v + out.d2)
    share = a.sigma * out.t_eff / (out.v * out.v)
    out.vega = -out.phi_d2 * (out.v + out.d2) * share
    from_sigma = out.vega * a.sigma * a.se_ln_sigma
    from_x = out.phi_d2 / out.v * a.sd_x
    out.se_q = sqrt(from_sigma * from_sigma + from_x * from_x)


cdef void _clear_numbers(Pricing* out) noexcept nogil:
    out.u = out.m = out.dm_ds = out.t_eff = out.v = out.d2 = out.z = NAN
    out.p_up = out.phi_d2 = out.delta = out.gamma = out.vega = out.se_q = NAN
