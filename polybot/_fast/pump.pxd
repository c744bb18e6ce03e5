# The pump of recorded data: events, timers and the simulated venue's answers to the engine in the order of time.
# Owns: what comes next, the commands and best prices kept for whoever asked for them.
from libc.stdint cimport int32_t, int64_t, uint16_t

from polybot._fast.engine cimport Engine
from polybot._fast.event cimport CommandBuffer, Event, EventBuffer
from polybot._fast.execution cimport SimExecution
from polybot._fast.sim_market cimport SimMarket
from polybot._fast.state cimport MarketState

ctypedef packed struct Quote:
    int64_t recv_ns
    uint16_t market
    int32_t bid_ticks        # of Up, 0: none
    int32_t ask_ticks

ctypedef struct Known:
    int32_t bid_ticks        # as last noted, -1: nothing noted yet
    int32_t ask_ticks
    int32_t tick_size        # as last told to the gateway, 0: nothing told yet

cdef class Pump:
    cdef readonly Engine engine
    cdef CommandBuffer out               # the engine's
    cdef readonly SimExecution venue
    cdef readonly int64_t now_ns
    cdef readonly int64_t messages       # venue messages so far
    cdef object on_actions, on_told, on_tick_size
    cdef int64_t timer_ns, next_timer_ns, balance_ns, next_balance_ns
    cdef unsigned int keep
    cdef bint note_quotes, busy
    cdef EventBuffer told                # by the venue, for the engine
    cdef EventBuffer waiting, spare      # told by the driver while the pump was at work
    cdef EventBuffer moved               # a message whose market index is being replaced
    cdef CommandBuffer kept
    cdef Quote* quotes
    cdef Py_ssize_t n_quotes, quote_capacity
    cdef Known* known                    # by market index
    cdef Py_ssize_t n_known

    cdef int pump(self, const Event* ev, Py_ssize_t n, int market) except -1
    cdef Py_ssize_t take(self, const Event* ev, Py_ssize_t n, Py_ssize_t most) except -1
    cdef Py_ssize_t take_book(self, const Event* ev, Py_ssize_t n, Py_ssize_t most) except -1
    cdef int share(self, MarketState m, SimMarket s, const Event* ev) except -1
    cdef int part(self, int market) except -1
    cdef int see(self, MarketState m, const Event* ev, Py_ssize_t n) except -1
    cdef int until(self, int64_t last_ns) except -1
    cdef int beat(self, int64_t at_ns) except -1
    cdef int answer(self) except -1
    cdef int step(self, const Event* ev, Py_ssize_t n) except -1
    cdef int finish(self, int64_t at_ns) except -1
    cdef int carry(self, CommandBuffer commands, int64_t at_ns) except -1
    cdef int drain(self) except -1
    cdef int note(self, const Event* ev, Py_ssize_t n) except -1
    cdef int note_market(self, MarketState m, int64_t at_ns) except -1
    cdef Known* known_of(self, int index) except NULL
    cdef const Event* moved_to(self, const Event* ev, Py_ssize_t n, int market) except NULL
    cdef void _blank(self, Known* known) noexcept
    cdef int _grow_quotes(self) except -1
