# Strategy base and the Signal a strategy fills in. Cython and plain-Python subclasses use the same hooks.
from libc.stdint cimport int32_t, int64_t

from polybot._fast.state cimport Gate, MarketState, SpotState

cpdef enum Trigger:
    ON_SPOT_TRADE = 1
    ON_BOOK = 2
    ON_ANY_BOOK = 4              # a book of any live window of the asset, observed ones included

cdef class Signal:
    cdef public int outcome
    cdef public int side
    cdef public int order_type
    cdef public bint post_only
    cdef public int price_ticks          # limit: the worst level needed
    cdef public double price             # average price expected, USD per share
    cdef public int64_t shares           # wanted, micro-shares
    cdef public double fair              # probability of the outcome
    cdef public double edge              # fair - price - fee, per share
    cdef public double confidence
    cdef public double size_frac         # of bankroll
    cdef public int64_t life_ns          # a resting order is cancelled by us after so long, 0: at the end of the window
    cdef public double cancel_edge       # ... and as soon as fair - price falls below this, NaN: never
    cdef int strategy
    cdef int reason
    cdef void copy_from(self, Signal other) noexcept
    cdef double score(self) noexcept
    cdef void clear(self) noexcept
    cdef int check(self) except -1

cdef class Strategy:
    cdef readonly str name
    cdef readonly tuple gate_names
    cdef readonly int triggers
    cdef readonly bint passive
    cdef readonly bint enabled
    cdef readonly int index
    cdef readonly double edge_se_multiple
    cdef readonly double kelly_frac          # of the full Kelly bet
    cdef readonly double kelly_cap_frac      # of bankroll
    cdef Gate* _gates                        # of the market under evaluation, NULL outside one
    cdef int _stopped_by                     # the gate that failed last in this evaluation, -1: none did
    cdef int _reached                        # 1 << gate of those tested in this evaluation
    # A Python override may return -1 by mistake: that is an answer to check, not an exception.
    cpdef int evaluate(self, MarketState market, SpotState spot, Signal signal) except? -1
    cdef int run(self, MarketState market, SpotState spot, Signal signal) except -1
    cdef int require_gate(self, int number) except -1
    cdef bint gate(self, int number, double value, double threshold) noexcept
    cdef bint gate_most(self, int number, double value, double threshold) noexcept
    cdef bint gate_flag(self, int number, bint ok) noexcept
    cdef int prepare(self, MarketState market) except -1
    cdef int rest_at(self, MarketState market, int outcome, int most_ticks, int improve_ticks) noexcept
    cdef bint size_taker(self, MarketState market, Signal signal, int outcome, double cap, double min_edge) noexcept
    cdef bint size_taker_at(self, MarketState market, Signal signal, double q, int outcome, double cap,
                            double min_edge) noexcept
    cdef double taker_edge(self, MarketState market, int outcome) noexcept
    cdef bint size_maker(self, MarketState market, Signal signal, int outcome, int price_ticks, double cap) noexcept
