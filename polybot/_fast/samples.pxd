# Timed batches of market data on their way to the latency table.
from libc.stdint cimport int64_t, uint16_t

cdef enum:
    SOURCE_SPOT = 1
    SOURCE_MARKET = 2

ctypedef struct Sample:
    int64_t ts_ns            # receive time, venue ns
    int64_t wire_ns          # receive time less the sender's stamp; INT64_MIN: there was no stamp
    int64_t decode_ns
    int64_t decide_ns
    uint16_t market
    uint16_t source

cdef class SampleRing:
    cdef Sample* slots
    cdef int64_t capacity
    cdef int64_t head        # oldest, counts up for ever
    cdef int64_t tail        # next free place, counts up for ever
    cdef readonly int64_t dropped
    cdef int push(self, const Sample* sample) noexcept
