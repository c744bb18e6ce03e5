# Our orders, fills and settlements: what became of everything the engine dispatched.
from libc.stdint cimport int64_t

from polybot._fast.event cimport CommandBuffer, Event
from polybot._fast.order cimport Order, Trade
from polybot._fast.risk cimport Risk
from polybot._fast.state cimport MarketState
from polybot._fast.strategy cimport Signal

cdef class Account:
    cdef readonly Risk risk
    cdef dict filed                      # order_seq -> Order: all but the one made last, perhaps
    cdef readonly list alerts            # what a person should read; the runner takes them
    cdef readonly int64_t strays         # events for markets or orders we do not know
    cdef readonly int64_t duplicates     # fills and updates that told nothing new
    cdef readonly int64_t overfills
    cdef readonly int64_t contradictions  # news that cannot be true beside what is known
    cdef readonly int64_t broken         # our own books did not add up
    cdef int64_t now_ns
    cdef CommandBuffer out
    cdef Order unfiled                   # made last and not asked for yet: filed when the send does not wait for it

    cdef Order open_order(self, MarketState m, Signal s, int64_t now_ns)
    cdef Order restore_order(self, MarketState m, Signal s, int64_t seq, int64_t dispatched_ns, int64_t expires_ns)
    cdef void retire(self, int strategy) noexcept
    cdef int forget_market(self, MarketState m) except -1
    cdef void note_cancel(self, MarketState m, int64_t now_ns) noexcept
    cdef int cancel_resting(self, MarketState m, int64_t now_ns, bint all_of_them) except -1
    cdef int on_order_update(self, MarketState m, Order o, const Event* e) except -1
    cdef int on_fill(self, MarketState m, Order o, const Event* e) except -1
    cdef int on_outcome(self, MarketState m, int outcome) except -1
    cdef Trade _new_trade(self, MarketState m, Order o, const Event* e)
    cdef int finish_order(self, MarketState m, Order o) except -1
    cdef int free_sale(self, MarketState m, Order o, Trade t) except -1
    cdef int contradict(self, Order o, str what) except -1
    cdef int broke(self, Order o, str what) except -1
    cdef int book_trade(self, MarketState m, Order o, Trade t, int sign) except -1
    cdef int settle_delta(self, MarketState m, int strategy, int64_t cost, int64_t payout, int64_t exposed) except -1
    cdef dict known(self)
