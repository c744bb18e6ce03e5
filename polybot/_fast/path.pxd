# The road of one batch: events -> journal -> engine -> commands out -> inputs log, on one C call stack.
from libc.stdint cimport int64_t, uint64_t

from polybot._fast.engine cimport Engine
from polybot._fast.event cimport CommandBuffer, EventBuffer
from polybot._fast.ring cimport CommandRing
from polybot._fast.samples cimport SampleRing
from polybot._fast.sink cimport EventSink
from polybot._fast.stamp cimport VenueStamp
from polybot._fast.tail cimport InputsTap

cdef class HotPath(EventSink):
    cdef Engine engine               # None: something that stands in for it, asked in Python
    cdef object any_engine
    cdef VenueStamp stamp            # None: the clock is asked in Python
    cdef object clock
    cdef object gateway
    cdef object on_feed_command
    cdef object inbox
    cdef CommandRing ring            # None: the inbox is told in Python
    cdef object journal
    cdef uint64_t journal_kinds
    cdef object inputs
    cdef InputsTap tap               # None: the log is told in Python
    cdef EventBuffer waiting, spare, at_work
    cdef SampleRing samples
    cdef readonly int64_t messages   # batches so far
    cdef int64_t sample_every
    cdef int64_t sample_in           # batches until the next one that is timed
    cdef bint busy
    cdef bint deciding               # the engine is at work

    cdef int64_t mono(self) except? -1
    cdef int64_t now(self) except? -1
    cdef int wait(self, EventBuffer events) except -1
    cdef int step(self, EventBuffer events) except -1
    cdef CommandBuffer process(self, EventBuffer events)
    cdef int log(self, EventBuffer events, CommandBuffer commands) except -1
    cdef int act(self, EventBuffer events, CommandBuffer commands, int64_t decoded, bint timed) except -1
    cdef int hand_out(self, EventBuffer events, CommandBuffer commands, int64_t decoded, int64_t decided) except -1
    cdef int64_t receipt(self, int64_t recv_ns) except? -1
    cdef int note_decisions(self, EventBuffer events, CommandBuffer commands, int64_t decoded, int64_t decided) except -1
    cdef int note_sample(self, EventBuffer events, int64_t decoded, int64_t decided) except -1
    cdef int halt(self) except -1

cdef class MarketPath(EventSink):
    cdef EventSink path
    cdef Engine engine
    cdef int market
    cdef int64_t tick_size           # as told last, 0: nothing yet
    cdef object before               # None: nobody looks at market data before the engine
    cdef object on_tick_size
