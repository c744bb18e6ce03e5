# Latency histogram: fixed log-linear buckets, 64 per power of two.
from libc.stdint cimport int64_t

cdef enum:
    SUB_BITS = 6
    SUB_COUNT = 64                        # 1 << SUB_BITS
    BUCKETS = 3712                        # (63 - SUB_BITS + 1) * SUB_COUNT: every int64 >= 0 has one

cdef class LatencyHistogram:
    cdef int64_t counts[BUCKETS]
    cdef readonly int64_t count
    cdef readonly int64_t negative
    cdef int64_t smallest
    cdef int64_t largest
    cdef double sum
    cdef void add(self, int64_t value_ns) noexcept nogil
