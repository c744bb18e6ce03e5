# The socket's end of the C road: a picows listener that hands payloads to a feed's inlet where they lie.
# Owns: the receive stamp of one link's messages, and what it must leave to Python.
from libc.stdint cimport int64_t
from picows.picows cimport WSFrame, WSListener, WSTransport

from polybot._fast.inlet cimport Inlet
from polybot._fast.stamp cimport VenueStamp

cdef class FrameListener(WSListener):
    cdef object link
    cdef Inlet inlet                     # None: every message is Python's
    cdef VenueStamp stamp                # None: now_ns is asked
    cdef object now_ns
    cdef readonly int64_t first_ns       # when the first message came, 0: none yet
    cdef readonly int64_t last_ns        # when the last one came

    cpdef on_ws_connected(self, WSTransport transport)
    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame)
    cdef int _take(self, const char* p, Py_ssize_t n, bytes payload) except -1
