# Selling out on the operator's word: what is held, at the best bids, until nothing is.
from libc.stdint cimport int64_t

from polybot._fast.account cimport Account
from polybot._fast.event cimport CommandBuffer
from polybot._fast.risk cimport Risk
from polybot._fast.state cimport MarketState
from polybot._fast.strategy cimport Signal

cdef class Flattener:
    cdef readonly bint on                # between OP_FLATTEN and OP_RESUME
    cdef readonly int64_t sales          # orders placed
    cdef Account account
    cdef Risk risk
    cdef CommandBuffer out
    cdef Signal sale
    cdef int64_t end_guard_ns
    cdef dict again_ns                   # market index -> no sale before

    cdef void begin(self) noexcept
    cdef int run(self, list markets, int64_t now_ns) except -1
    cdef bint may_sell(self, MarketState m, int64_t now_ns) noexcept
    cdef int sell_market(self, MarketState m, int64_t now_ns) except -1
    cdef bint propose(self, MarketState m, int strategy, int outcome, int64_t offered) noexcept
