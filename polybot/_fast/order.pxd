# One order of ours and its booked fills; the one table of states.
from libc.stdint cimport int64_t

cpdef enum Move:
    MOVE_NONE = 0            # a repeat, or older than what is known
    MOVE_ON = 1              # the state moves
    MOVE_CONTRADICTION = 2   # both cannot be true: not applied, told
    MOVE_REVIVED = 3         # the venue shows what it had refused: the state moves, told

cdef class Order:
    cdef readonly int64_t seq
    cdef readonly int market
    cdef readonly int strategy
    cdef readonly int outcome
    cdef readonly int side
    cdef readonly int order_type
    cdef readonly int price_ticks
    cdef readonly int64_t shares         # wanted, micro-shares
    cdef readonly int64_t matched        # as the venue last told, micro-shares
    cdef readonly int64_t filled         # booked from fills, micro-shares
    cdef readonly int status
    cdef readonly int64_t dispatched_ns
    cdef readonly bint post_only
    cdef readonly int64_t expires_ns     # cancelled by us from then on, 0: never
    cdef readonly double cancel_edge     # cancelled by us when fair - price falls below it, NaN: never
    cdef int64_t cancel_ns               # not to be cancelled (again) before
    cdef readonly int64_t reserved_usd   # exposure this order still holds, micro-USD
    cdef int64_t unit_fee_ppm            # fee at the limit price, micro-USD per share
    cdef int64_t previous_dispatch_ns
    cdef bint counted                    # still counts as one of max_orders
    cdef dict trades                     # trade key -> Trade; None before the first
    cdef bint terminal(self) noexcept
    cdef int64_t outstanding(self) noexcept
    cdef bint rests(self) noexcept
    cdef int64_t reserve(self) noexcept
    cdef int64_t standing(self) noexcept

cdef class Trade:
    cdef readonly int status
    cdef readonly int price_ticks
    cdef readonly int64_t shares
    cdef readonly int64_t cost_usd       # with fee, micro-USD
    cdef readonly int64_t fee_usd
    cdef readonly bint maker
    cdef bint provisional(self) noexcept

cpdef bint is_terminal(int status) noexcept
cdef int step_order(int old, int new, bint matched) noexcept
cdef int step_trade(int old, int new) noexcept
