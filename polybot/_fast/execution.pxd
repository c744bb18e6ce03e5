# Simulated execution: our orders filled against observed market data (paper now, backtest with the same core).
# Owns: orders on their simulated way, what is due when, the account's cash.
from libc.stdint cimport int64_t

from polybot._fast.event cimport Event, EventBuffer
from polybot._fast.sim_market cimport SimMarket, SimOrder

cpdef enum ExecutionReason:  # codes of gateway.reasons.RejectReason that the venue gives
    REASON_NONE = 0
    REASON_TICK_SIZE = 207
    REASON_MIN_SIZE = 208
    REASON_MIN_NOTIONAL = 209
    REASON_CROSSES_BOOK = 213
    REASON_KILLED = 214
    REASON_BALANCE = 215
    REASON_NOT_READY = 219

ctypedef struct Action:
    int64_t due_ns
    int64_t serial           # first come first served among equals
    int64_t seq              # order_seq; market index for ACT_CLOSE
    int kind
    int item                 # number of the fill for ACT_CONFIRM

cdef class SimExecution:
    cdef readonly int64_t now_ns, cash_usd, held_usd
    cdef int64_t n_placed, n_fills, n_killed, n_rejected, n_self_hits, n_cancels_late, n_blind
    cdef dict markets                # market index -> SimMarket
    cdef void** table                # the same, borrowed from there, by market index; NULL: none
    cdef Py_ssize_t n_table
    cdef dict orders                 # order_seq -> SimOrder, until its last fill is confirmed
    cdef Action* heap
    cdef Py_ssize_t n_actions, heap_capacity
    cdef int64_t serial, next_key, confirm_ns
    cdef int64_t cancel_ns           # of a cancel that waits for its order to arrive
    cdef int queue_model, extra_ticks
    cdef EventBuffer out             # of the call under way

    cpdef int process(self, EventBuffer events, EventBuffer out) except -1
    cpdef int advance(self, int64_t now_ns, EventBuffer out) except -1

    cdef int apply_all(self, const Event* ev, Py_ssize_t n) except -1
    cdef Py_ssize_t apply(self, const Event* ev, Py_ssize_t n) except -1
    cdef int reserve(self, int index) except -1
    cdef SimMarket find(self, int64_t index)
    cdef int on_message_end(self, SimMarket m) except -1
    cdef int on_print(self, SimMarket m, const Event* e) except -1
    cdef int on_feed_state(self, const Event* e) except -1
    cdef int64_t match_print(self, SimMarket m, SimOrder o, int64_t left, bint is_through) except -1
    cdef int run_until(self, int64_t last_ns) except -1
    cdef int act(self, const Action* a) except -1
    cdef int on_arrival(self, SimOrder o) except -1
    cdef int check_terms(self, SimMarket m, SimOrder o) noexcept
    cdef int execute(self, SimMarket m, SimOrder o) except -1
    cdef int64_t walk(self, SimMarket m, SimOrder o, int64_t want, int64_t before_ticks, bint is_fill) except -1
    cdef bint crosses(self, SimMarket m, SimOrder o) noexcept
    cdef int cancel_self_hits(self, SimMarket m, SimOrder o) except -1
    cdef int rest(self, SimMarket m, SimOrder o) except -1
    cdef int on_cancel(self, SimOrder o) except -1
    cdef int on_close(self, int64_t index, int64_t due_ns) except -1
    cdef int confirm(self, SimOrder o, int item) except -1
    cdef int fill(self, SimMarket m, SimOrder o, int64_t ticks, int64_t ushares, bint is_maker) except -1
    cdef int tell_fill(self, SimOrder o, int item, int status) except -1
    cdef int finish(self, SimMarket m, SimOrder o, int status, int reason) except -1
    cdef int update(self, SimOrder o, int status, int64_t matched, int reason) except -1
    cdef int64_t needed(self, SimMarket m, SimOrder o, bint as_taker) noexcept
    cdef bint hold(self, SimMarket m, SimOrder o, int64_t amount) noexcept
    cdef int forget(self, SimOrder o) except -1
    cdef int schedule(self, int64_t due_ns, int kind, int64_t seq, int item) except -1
    cdef void pop(self, Action* first) noexcept
