# How far a market's mid moved beyond what the model says it should have, and how unusual that is.
cimport cython
from libc.stdint cimport int64_t

cdef enum:
    MAX_SAMPLES = 1024       # history kept; at SPACING_NS apart this covers the longest lookback twice

ctypedef struct Sample:
    int64_t ns
    double gap               # mid of Up minus model fair of Up


@cython.final
cdef class MoveTracker:
    cdef readonly int64_t lookback_ns        # 0: nothing is tracked
    cdef readonly int64_t samples            # moves that the deviation is made of
    cdef readonly double half_life_s
    cdef readonly int64_t min_samples
    cdef Sample _ring[MAX_SAMPLES]
    cdef int64_t _head, _tail, _move_ns
    cdef int64_t _found                      # by the last search: the next one begins there
    cdef double _sum, _weight
    cdef void on_sample(self, double mid, double fair, int64_t now_ns) noexcept nogil
    cdef void restart(self) noexcept nogil
    cdef double move(self, double mid, double fair, int64_t now_ns) noexcept nogil
    cdef int64_t _younger(self, int64_t then_ns) noexcept nogil
    cdef double sd(self) noexcept nogil
