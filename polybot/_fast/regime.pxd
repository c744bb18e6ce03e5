# Trend or range: how one-sided the last price changes were.
cimport cython
from libc.stdint cimport int64_t

cpdef enum Regime:
    AMBIGUOUS = 0
    RANGE = 1
    TREND = 2

ctypedef struct RegimeEntry:
    int64_t ns
    int64_t up               # 1 up, 0 down


@cython.final
cdef class RegimeClassifier:
    cdef readonly int regime                 # Regime
    cdef readonly double fraction            # share of the dominant direction, NaN without changes
    cdef readonly int64_t up, down           # changes in the window
    cdef readonly int64_t overflowed         # changes dropped before their time because the ring was full
    cdef RegimeEntry* _ring
    cdef int64_t _capacity, _head, _tail, _window_ns, _min_ticks
    cdef double _trend, _range, _last_price
    cdef void on_price(self, double price, int64_t now_ns) noexcept nogil
    cdef void evict(self, int64_t now_ns) noexcept nogil
    cdef void _push(self, int64_t now_ns, bint is_up) noexcept nogil
    cdef void _drop_oldest(self) noexcept nogil
    cdef void _classify(self) noexcept nogil
    cdef bint _grow(self) noexcept nogil
