# Where events go, as C sees it: one virtual call per venue message, no Python object made.
from polybot._fast.event cimport EventBuffer

cdef class EventSink:
    cdef int take(self, EventBuffer events) except -1

cdef class CallableSink(EventSink):
    cdef object consumer
