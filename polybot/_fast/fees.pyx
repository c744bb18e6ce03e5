"""Taker fee and notional, exact in integers.

fee = shares * rate * (p (1 - p))^exponent USD, rounded half up to 5 decimals of a USD (the venue's
rule, docs of 2026), and 0 below 0.00001 USD; makers pay nothing and never come here.
Owns every rounding of money that is not a plain sum.  128-bit integers inside, 64 where that is enough (a division
is ten times cheaper): no float touches money.
Invalid input is FEE_INVALID (-1) in C and ValueError in Python.  Called by the engine, risk, the gateway and the venue.
"""
from libc.math cimport NAN
from libc.stdint cimport int64_t

cdef extern from *:
    ctypedef long long int128 "__int128_t"
    bint __builtin_mul_overflow(int64_t a, int64_t b, int64_t* product) noexcept nogil

# 1e9 shares: with it every product below stays under 2^127.
cdef int64_t MAX_USHARES = 1_000_000_000_000_000
# Compile-time constants: a division by one is a multiplication.
cdef enum:
    TICKS_PER_USD = 10_000
    PPM = 1_000_000
    FEE_STEP_MICRO_USD = 10              # the venue books fees on a grid of 0.00001 USD


cdef int64_t taker_fee_micro_usd(int64_t ushares, int64_t price_ticks, int64_t rate_ppm, int exponent) noexcept nogil:
    """Fee in micro-USD for ushares micro-shares at price_ticks (1e-4 USD); FEE_INVALID outside the limits.

    With N / D the fee in steps of 0.00001 USD, round half up is (floor(2 N / D) + 1) / 2.  For exponents above 2
    the product passes 128 bits, so the division goes in two stages, which floors to the same number.
    """
    cdef int low = exponent if exponent < 2 else 2
    cdef int64_t narrow
    cdef int128 top, bottom, rest_top, rest_bottom, doubled
    if not _is_size(ushares, price_ticks) or not 0 <= rate_ppm <= MAX_RATE_PPM or not 0 <= exponent <= MAX_FEE_EXPONENT:
        return FEE_INVALID
    if exponent == 1 and not __builtin_mul_overflow(price_ticks * (TICKS_PER_USD - price_ticks) * rate_ppm * 2, ushares, &narrow):
        narrow //= <int64_t> 1_000_000_000_000_000     # TICKS_PER_USD^2 PPM FEE_STEP_MICRO_USD
        return 0 if narrow < 2 else (narrow + 1) // 2 * FEE_STEP_MICRO_USD
    top = _power(price_ticks * (TICKS_PER_USD - price_ticks), low) * rate_ppm * 2 * ushares
    bottom = _power(TICKS_PER_USD * TICKS_PER_USD, low) * PPM * FEE_STEP_MICRO_USD
    rest_top = _power(price_ticks * (TICKS_PER_USD - price_ticks), exponent - low)
    rest_bottom = _power(TICKS_PER_USD * TICKS_PER_USD, exponent - low)
    doubled = ((top / bottom) * rest_top + (top % bottom) * rest_top / bottom) / rest_bottom
    if doubled < 2:
        return 0
    return <int64_t> ((doubled + 1) / 2) * FEE_STEP_MICRO_USD


cdef int64_t notional_micro_usd(int64_t ushares, int64_t price_ticks) noexcept nogil:
    """price x shares in micro-USD, half up where it is not exact; FEE_INVALID outside the limits."""
    if not _is_size(ushares, price_ticks):
        return FEE_INVALID
    if ushares <= <int64_t> 900_000_000_000_000:       # times TICKS_PER_USD fits 64 bits
        return (ushares * price_ticks + TICKS_PER_USD // 2) // TICKS_PER_USD
    return <int64_t> ((<int128> ushares * price_ticks + TICKS_PER_USD / 2) / TICKS_PER_USD)


cdef int64_t leg_micro_usd(int outcome, int64_t ushares, int64_t price_ticks) noexcept nogil:
    """What `outcome` (0 Up, 1 Down) pays for its side of a match at its own price: Up half up, Down the rest of 1 USD.

    A pair is exactly 1 USD of collateral, so of a half micro-USD only one side can get the better.
    """
    if outcome == 0 or not _is_size(ushares, price_ticks):
        return notional_micro_usd(ushares, price_ticks)
    return ushares - notional_micro_usd(ushares, TICKS_PER_USD - price_ticks)


cpdef double fee_per_share(double p, double rate, int exponent) noexcept nogil:
    """Taker fee of one share at price p in USD, unrounded; NaN for input that is no price, rate or exponent."""
    cdef double fee = rate
    cdef int _
    if not 0.0 <= p <= 1.0 or not 0.0 <= rate <= 1.0 or not 0 <= exponent <= MAX_FEE_EXPONENT:
        return NAN
    for _ in range(exponent):
        fee *= p * (1.0 - p)
    return fee


def _taker_fee_or_raise(int64_t ushares, int64_t price_ticks, int64_t rate_ppm, int exponent) -> int:
    """Fee in micro-USD for micro-shares at price ticks (1e-4 USD); ValueError outside the limits."""
    cdef int64_t fee = taker_fee_micro_usd(ushares, price_ticks, rate_ppm, exponent)
    if fee == FEE_INVALID:
        raise ValueError(f"no fee for {ushares=} {price_ticks=} {rate_ppm=} {exponent=}")
    return fee


def _notional_or_raise(int64_t ushares, int64_t price_ticks) -> int:
    """price x shares in micro-USD, half up; ValueError outside the limits."""
    cdef int64_t notional = notional_micro_usd(ushares, price_ticks)
    if notional == FEE_INVALID:
        raise ValueError(f"no notional for {ushares=} {price_ticks=}")
    return notional


def _leg_or_raise(int outcome, int64_t ushares, int64_t price_ticks) -> int:
    """Micro-USD of an outcome's side of a match; ValueError outside the limits."""
    cdef int64_t usd = leg_micro_usd(outcome, ushares, price_ticks)
    if usd == FEE_INVALID or not 0 <= outcome <= 1:
        raise ValueError(f"no amount for {outcome=} {ushares=} {price_ticks=}")
    return usd


# Python sees the functions under their C names, raising where those return FEE_INVALID.
globals().update(taker_fee_micro_usd=_taker_fee_or_raise, notional_micro_usd=_notional_or_raise, leg_micro_usd=_leg_or_raise)


cdef inline bint _is_size(int64_t ushares, int64_t price_ticks) noexcept nogil:
    return 0 <= ushares <= MAX_USHARES and 0 <= price_ticks <= TICKS_PER_USD


cdef inline int128 _power(int64_t base, int exponent) noexcept nogil:
    cdef int128 value = 1
    cdef int _
    for _ in range(exponent):
        value *= base
    return value
