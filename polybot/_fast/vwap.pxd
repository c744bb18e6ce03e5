# Volume-weighted mean price of the trades of a rolling window.
cimport cython
from libc.stdint cimport int64_t

ctypedef struct VwapEntry:
    int64_t ns
    double price
    double qty


@cython.final
cdef class RollingVwap:
    cdef readonly int64_t rejected           # trades without a price or quantity
    cdef readonly int64_t overflowed         # trades dropped before their time because the ring was full
    cdef VwapEntry* _ring
    cdef int64_t _capacity, _head, _tail, _window_ns
    cdef double _sum_pq, _sum_q
    cdef void on_trade(self, double price, double qty, int64_t now_ns) noexcept nogil
    cdef void evict(self, int64_t now_ns) noexcept nogil
    cdef double value(self) noexcept nogil   # USD, NaN when the window is empty
    cdef int64_t count(self) noexcept nogil
    cdef void _drop_oldest(self) noexcept nogil
    cdef void _recompute(self) noexcept nogil
    cdef bint _grow(self) noexcept nogil
