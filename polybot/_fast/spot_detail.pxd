# The detail of the generated spot price: trades of a burst, and top-of-book quotes.
from libc.stdint cimport int64_t

from polybot._fast.draws cimport Draws

cdef class SpotDetail:
    cdef Draws rng
    cdef type trade_type, quote_type
    cdef object make         # tuple.__new__
    cdef int64_t step_e8, lot_e8, event_delay_us
    cdef double burst_scale, ln_qty, quiet_per_s, quiet_carry
    cdef double trade_ln_sd, burst_ln_sd, quote_ln_sd, quote_scale, new_taker, wide_share, wide_steps, wide_ln_sd
    cdef int64_t burst_max, wide_max
    cdef int64_t trade_id, agg_id, update_id, last_trade_us
    cdef object last_quote

    cdef int64_t _quantity(self, double ln_sd, double scale) noexcept
