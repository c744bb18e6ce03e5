# Timers of the embedded venue and of virtual time: one binary heap in C under both, equal times first come first served.
from libc.stdint cimport int64_t

ctypedef struct Due:
    int64_t at               # when: ns, or the bits of a non-negative double (they order as the numbers do)
    int64_t order            # of being pushed

cdef class TimerHeap:
    cdef Due* due
    cdef list what           # beside `due`, entry by entry
    cdef Py_ssize_t n, capacity
    cdef int64_t pushed

    cdef int push(self, int64_t at, object what) except -1
    cdef object pop(self)
    cdef void _set(self, Py_ssize_t at, Due due, void* what) noexcept
    cdef void _up(self, Py_ssize_t at) noexcept
    cdef void _down(self, Py_ssize_t at) noexcept

cdef class Timer:
    cdef readonly int64_t due_ns
    cdef object callback     # None: ran or cancelled
    cdef Scheduler owner

cdef class Scheduler:
    cdef readonly int64_t now_ns
    cdef TimerHeap heap
    cdef Py_ssize_t cancelled

    cpdef int advance(self, int64_t to_ns) except -1
    cdef int64_t _next_ns(self) except -2
    cdef int _compact(self) except -1

cdef class Plan:
    cdef object call
    cdef Line line           # None: call, else the parcel arrives there
    cdef list parcel
    cdef bint cancelled

cdef class LoopQueue:
    cdef readonly double now
    cdef TimerHeap heap
    cdef bint stopping

    cdef int _push(self, double when, object what) except -1
    cpdef bint jump(self, double when)
    cdef int _drop_cancelled(self) except -1
    cdef bint _jump(self) except -1
    cdef int _turn(self, ready) except -1
    cdef int _call(self, Plan plan) except -1

cdef class Line:
    cdef LoopQueue queue
    cdef double latency_s, sent_at
    cdef object arrive
    cdef list parcel

cdef class Pump:
    cdef LoopQueue queue
    cdef Scheduler world
    cdef object ready
    cdef int64_t epoch_ns, due_ns
    cdef Plan planned
    cdef object call         # run(), bound once
    cdef bint active

    cdef int64_t _now_ns(self) noexcept
    cdef double _due_s(self) except? -1.0
    cdef int _plan(self, double when) except -1
