# Command records the engine writes: one function per kind, so the meaning of each field stands in one place.
from libc.stdint cimport int64_t

from polybot._fast.event cimport Command, CommandBuffer
from polybot._fast.order cimport Order, Trade
from polybot._fast.risk cimport Risk
from polybot._fast.state cimport MarketState, SpotState
from polybot._fast.strategy cimport Signal

cdef Command* emit(CommandBuffer out, int kind, int market, int64_t now_ns) except NULL
cdef int record_signal(CommandBuffer out, MarketState m, Signal s, int kind, int64_t order_seq, int64_t now_ns) except -1
cdef int record_dispatch(CommandBuffer out, MarketState m, Signal s, int64_t order_seq, int64_t now_ns) except -1
cdef int record_order(CommandBuffer out, Order o, int64_t now_ns) except -1
cdef int record_fill(CommandBuffer out, Order o, Trade t, int64_t key, int64_t now_ns) except -1
cdef int record_settlement(CommandBuffer out, MarketState m, int strategy, int64_t now_ns, int64_t cost,
                           int64_t payout) except -1
cdef int record_diagnostic(CommandBuffer out, MarketState m, SpotState spot, list strategies, int64_t now_ns) except -1
cdef int record_portfolio(CommandBuffer out, MarketState m, Risk risk, int64_t now_ns) except -1
