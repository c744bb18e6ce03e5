# Command records on their way from the engine to the telemetry writer: two lanes, one order.
from libc.stdint cimport int64_t

from polybot._fast.event cimport Command

cdef enum:
    KIND_SLOTS = 16                       # counters per CommandKind; larger kinds share the last slot

ctypedef struct Slot:
    int64_t serial                        # position in the whole stream, over both lanes
    int64_t eval_ns                       # how long the engine call that made it took (0: not measured)
    Command cmd

ctypedef struct Lane:
    Slot* slots
    int64_t capacity                      # power of two
    int64_t head                          # oldest record, counts up for ever
    int64_t tail                          # next free position, counts up for ever

cdef class CommandRing:
    cdef Lane keep
    cdef Lane loose
    cdef int64_t serial
    cdef int64_t keep_max
    cdef readonly int64_t drained
    cdef readonly int64_t lost
    cdef int64_t dropped_by_kind[KIND_SLOTS]
    cdef int push(self, const Command* cmd, int64_t eval_ns) noexcept
    cdef int _grow_keep(self) noexcept
    cdef Slot* _oldest(self) noexcept
