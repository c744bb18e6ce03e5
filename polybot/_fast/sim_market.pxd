# One market of the simulated execution: our resting orders' places in the queues, and the depth our fills took.
cimport cython
from libc.stdint cimport int64_t

from polybot._fast.book cimport Book

cpdef enum QueueModel:
    QUEUE_PESSIMISTIC = 0    # only trades move us ahead; whoever cancels stood behind us
    QUEUE_PROPORTIONAL = 1   # cancels come evenly from before and behind us

ctypedef struct Taken:
    int64_t ushares          # of the shown size, already ours
    int64_t ticks            # Up ticks
    int k                    # 0 bids of Up, 1 asks of Up


@cython.final
cdef class SimOrder:
    cdef readonly int64_t seq, price_ticks, ushares, asked, usd, filled
    cdef readonly int market, outcome, side, order_type, status
    cdef readonly bint post_only
    cdef readonly int64_t ahead      # micro-shares before us in the queue, as far as the data tell
    cdef int64_t up_ticks            # price in Up terms
    cdef int k                       # where it rests: 0 bids of Up, 1 asks of Up
    cdef int64_t reserve             # micro-USD (BUY) or micro-shares (SELL) held for it
    cdef int64_t expires_ns
    cdef int64_t seen                # size shown at our price at the last message
    cdef int64_t pending             # printed at our price and not yet seen in the book
    cdef int64_t credit              # gone from the book and not yet explained by a print
    cdef int64_t cut                 # how much of that moved us ahead
    cdef int64_t lag_ns              # when pending or credit last changed
    cdef bint is_lost                # joined while no book was known: the queue is told by the next one
    cdef bint cancel_wanted
    cdef list fills                  # (key, price_ticks, micro-shares, flags)
    cdef int confirmed
    cdef bint terminal(self) noexcept
    cdef void follow(self, int64_t shown, int64_t now_ns, int queue_model) noexcept
    cdef int64_t reached(self, int64_t left, int64_t now_ns) noexcept
    cdef void _expire(self, int64_t now_ns) noexcept


@cython.final
cdef class SimMarket:
    cdef readonly int index
    cdef readonly Book book
    cdef readonly bint is_blind      # the socket was lost: nothing is known until the next snapshot
    cdef readonly int64_t end_ns, hold_ns, min_size_ushares, cost_usd, fees_usd, prints
    cdef bint fees_enabled
    cdef int fee_exponent
    cdef int64_t fee_rate_ppm        # -1: schedule unknown
    cdef int64_t shares[2]
    cdef int64_t held_shares[2]
    cdef list bids, asks             # SimOrder resting in Up terms, best price first, then first come
    cdef Py_ssize_t n_resting
    cdef Taken* taken
    cdef Py_ssize_t n_taken, taken_capacity
    cdef bint is_open                # false once the window ended
    cdef int64_t taken_at(self, int k, int64_t ticks) noexcept nogil
    cdef list side(self, int k)
    cdef int enter(self, SimOrder o) except -1
    cdef int leave(self, SimOrder o) except -1
    cdef int note_taken(self, int k, int64_t ticks, int64_t ushares) except -1
    cdef void refresh_taken(self) noexcept nogil
