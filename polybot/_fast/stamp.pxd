# Venue time read in C: the same numbers as clock.SystemClock, without a Python object.
# Owns: the one place of the core that reads a clock; whoever decides gets its time as an argument.
from libc.stdint cimport int64_t

cdef class VenueStamp:
    cdef readonly int64_t epoch_ns           # venue time at the anchor
    cdef readonly int64_t mono_anchor_ns     # monotonic
    cdef readonly double speed               # venue seconds per wall second

    cdef int64_t now(self) noexcept nogil
    cdef int64_t mono(self) noexcept nogil
    cdef int64_t venue_ns(self, int64_t mono_ns) noexcept nogil
