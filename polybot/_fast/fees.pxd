# Exact taker fee and notional in integer micro-USD, and the fee per share as a double for edges.
from libc.stdint cimport int64_t

cpdef enum FeeLimit:
    FEE_INVALID = -1             # returned for input outside the limits below: never book it
    MAX_FEE_EXPONENT = 4
    MAX_RATE_PPM = 1_000_000     # 100 %

cdef int64_t taker_fee_micro_usd(int64_t ushares, int64_t price_ticks, int64_t rate_ppm, int exponent) noexcept nogil
cdef int64_t notional_micro_usd(int64_t ushares, int64_t price_ticks) noexcept nogil
cdef int64_t leg_micro_usd(int outcome, int64_t ushares, int64_t price_ticks) noexcept nogil
cpdef double fee_per_share(double p, double rate, int exponent) noexcept nogil
