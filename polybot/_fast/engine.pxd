# The engine: events in, commands out. One owner, no clock, no I/O.
from libc.stdint cimport int64_t

from polybot._fast.account cimport Account
from polybot._fast.event cimport CommandBuffer, Event, EventBuffer
from polybot._fast.flatten cimport Flattener
from polybot._fast.risk cimport Risk
from polybot._fast.state cimport MAX_STRATEGIES, MarketState, SpotState
from polybot._fast.strategy cimport Signal, Strategy

cdef class Engine:
    cdef readonly SpotState spot
    cdef readonly Risk risk
    cdef readonly list strategies
    cdef readonly dict markets
    cdef readonly int64_t now_ns
    cdef readonly Account account
    cdef readonly Flattener flattener
    cdef CommandBuffer out
    cdef list active                     # the live markets, in the order of opening
    cdef void** table                    # the same, borrowed from `markets`, by market index; NULL: none
    cdef Py_ssize_t n_table
    cdef MarketState touched             # of the message under way: the market whose book it changed ...
    cdef bint many_touched               # ... or more than one
    cdef list pool
    cdef int trigger_of[MAX_STRATEGIES]      # by strategy index: who is not asked is not touched
    cdef void* strategy_of[MAX_STRATEGIES]   # the strategies, borrowed
    cdef void* signal_of[MAX_STRATEGIES]     # the pool, borrowed
    cdef int64_t end_guard_ns
    cdef int64_t diagnostics_ns
    cdef int64_t next_diagnostic_ns
    cdef double house_confidence_min
    cdef double oracle_lag_s
    cdef double tau_shift_s
    cdef double market_shrink
    cdef int max_missing_s
    cdef int mismatch_limit
    cdef int64_t fresh_samples
    cdef bint wants_any_book             # some strategy looks at other windows' books

    cpdef CommandBuffer process(self, EventBuffer events)
    cdef MarketState find(self, int index)
    cdef int apply_all(self, const Event* ev, Py_ssize_t n) except -1
    cdef int apply(self, const Event* e) except -1
    cdef int reserve(self, int index) except -1
    cdef void touch(self, MarketState m) noexcept
    cdef int apply_rare(self, const Event* e) except -1
    cdef int on_spot_trade(self, const Event* e) except -1
    cdef Py_ssize_t on_book(self, const Event* ev, Py_ssize_t n) except -1
    cdef int on_message_end(self, int64_t now_ns) except -1
    cdef int on_book_end(self, MarketState m, int trigger, int64_t now_ns) except -1
    cdef int on_quote(self, const Event* e) except -1
    cdef int on_tick_size(self, const Event* e) except -1
    cdef int on_timer(self, int64_t now_ns) except -1
    cdef int on_strike(self, const Event* e) except -1
    cdef int tend_market(self, MarketState m, int64_t now_ns) except -1
    cdef int on_market_close(self, const Event* e) except -1
    cdef int on_order_news(self, const Event* e) except -1
    cdef int on_outcome(self, const Event* e) except -1
    cdef int on_feed_state(self, const Event* e) except -1
    cdef int on_operator(self, const Event* e) except -1
    cdef int pregate(self, MarketState m, int64_t now_ns) noexcept
    cdef int evaluate(self, MarketState m, int trigger, int64_t now_ns) except -1
    cdef int ask(self, MarketState m, int trigger) except -1
    cdef bint _passive(self, Signal s) noexcept
    cdef int decide(self, MarketState m, int n, int64_t now_ns) except -1
    cdef int settle_sides(self, MarketState m, int n) noexcept
    cdef int dispatch(self, MarketState m, Signal s, int64_t now_ns) except -1
