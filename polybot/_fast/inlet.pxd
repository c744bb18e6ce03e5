# From the bytes of a frame to the sink of its events, for one feed, in C.
# Owns: when data came (Pulse), the feed's buffer, and which frames and events its Python must hear of.
from libc.stdint cimport int64_t, uint64_t

from polybot._fast.event cimport EventBuffer
from polybot._fast.scan cimport FrameDecoder
from polybot._fast.sink cimport EventSink

cdef enum:
    MAX_PULSES = 64          # markets of one feed, as many as a decoder takes

cdef class Pulse:
    cdef readonly int64_t data_ns        # last data, or the opening; venue ns
    cdef readonly bint stale             # told, and no data since

cdef class Inlet:
    cdef FrameDecoder decoder
    cdef EventBuffer events
    cdef EventSink sink
    cdef object on_odd                   # (result, payload, recv_ns)
    cdef object on_watched               # (events, recv_ns)
    cdef uint64_t odd                    # results Python hears of, one bit each
    cdef uint64_t watched                # kinds Python hears of, one bit each
    cdef bytes pong_text
    cdef list kept                       # keeps the pulses alive
    cdef int pulses
    cdef int market[MAX_PULSES]
    cdef void* pulse[MAX_PULSES]
    cdef readonly int64_t now_ns         # receive time of the last frame
    cdef readonly int64_t data_ns        # ... of the last one with events
    cdef readonly int64_t pong_ns        # ... of the last answer to a text ping
    cdef readonly int64_t pongs
    cdef readonly int64_t payloads       # frames, answers to pings not counted

    cdef int deliver(self, const char* p, Py_ssize_t n, int64_t recv_ns) except -1
    cdef int _hand_on(self, int64_t recv_ns) except -1
    cdef bint _is_pong(self, const char* p, Py_ssize_t n) noexcept
    cdef int _find(self, int market) noexcept
