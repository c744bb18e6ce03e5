# Numbers and repeated shapes of the embedded venue's wire text, written in C: what it sends thousands of times a second.
from libc.stdint cimport int64_t

cdef class SpotText:
    cdef bytes quote_open, quote_symbol, trade_open, trade_symbol, tail
    cdef int64_t unit_us

cdef char* put_int(char* at, int64_t value) noexcept
cdef char* put_decimal(char* at, int64_t value, int64_t one) noexcept
cdef char* put_fixed(char* at, int64_t value_e8) noexcept
cdef char* put_price(char* at, int ticks) noexcept
