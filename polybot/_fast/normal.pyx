"""Standard normal density, distribution and quantile.

Owns the three functions every probability of the bot goes through.  erfc, not a polynomial:
prices near 0 and 1 live in the tails, where polynomials are off by percents while erfc keeps
14 digits (measured: abs <= 2e-16, rel <= 2e-14 for |x| <= 8).
Must not guess: what has no answer (NaN in, p outside (0, 1)) is NaN.  Called by pricing and strategies.
"""
from libc.math cimport NAN, erf, erfc, exp, log, sqrt

cdef double SQRT_HALF = 0.70710678118654752440
cdef double INV_SQRT_2PI = 0.39894228040143267794
# Acklam's rational start of the quantile (relative error 1.15e-9); below TAIL_P the tail form is used.
cdef double TAIL_P = 0.02425
# Below this phi(x) is subnormal and a refining step would lose digits instead of winning them.
cdef double MIN_REFINED_P = 1e-300


cpdef double norm_pdf(double x) noexcept nogil:
    """Density of N(0, 1) at x."""
    return INV_SQRT_2PI * exp(-0.5 * x * x)


cpdef double norm_cdf(double x) noexcept nogil:
    """P(N(0, 1) <= x)."""
    return 0.5 * erfc(-x * SQRT_HALF)


cpdef double norm_ppf(double p) noexcept nogil:
    """Inverse of norm_cdf on (0, 1), relative error about 1e-15; NaN elsewhere."""
    cdef double x
    if not 0.0 < p < 1.0:
        return NAN
    if p < TAIL_P:
        return _lower_tail(p)
    if p > 1.0 - TAIL_P:
        return -_lower_tail(1.0 - p)
    # r is exact in the middle, and erf keeps relative accuracy around 0: so does the root
    x = _middle_start(p - 0.5)
    return _halley(x, 0.5 * erf(x * SQRT_HALF) - (p - 0.5))


cdef double _lower_tail(double p) noexcept nogil:
    cdef double x = _tail_start(p)
    if p < MIN_REFINED_P:
        return x
    return _halley(x, norm_cdf(x) - p)


cdef inline double _halley(double x, double error) noexcept nogil:
    """One Halley step (cubic: 1e-9 becomes rounding) for norm_cdf(x) - p = error."""
    cdef double step = error / norm_pdf(x)
    return x - step / (1.0 + 0.5 * x * step)


cdef double _middle_start(double r) noexcept nogil:
    cdef double t = r * r
    cdef double top = (((((-3.969683028665376e+01 * t + 2.209460984245205e+02) * t - 2.759285104469687e+02) * t
                         + 1.383577518672690e+02) * t - 3.066479806614716e+01) * t + 2.506628277459239e+00)
    cdef double bottom = (((((-5.447609879822406e+01 * t + 1.615858368580409e+02) * t - 1.556989798598866e+02) * t
                            + 6.680131188771972e+01) * t - 1.328068155288572e+01) * t + 1.0)
    return r * top / bottom


cdef double _tail_start(double p) noexcept nogil:
    cdef double t = sqrt(-2.0 * log(p))
    cdef double top = (((((-7.784894002430293e-03 * t - 3.223964580411365e-01) * t - 2.400758277161838e+00) * t
                         - 2.549732539343734e+00) * t + 4.374664141464968e+00) * t + 2.938163982698783e+00)
    cdef double bottom = ((((7.784695709041462e-03 * t + 3.224671290700398e-01) * t + 2.445134137142996e+00) * t
                           + 3.754408661907416e+00) * t + 1.0)
    return top / bottom
