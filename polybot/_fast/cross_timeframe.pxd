# S6 cross_timeframe: one window against what all the others of the asset imply.
from libc.stdint cimport int64_t

from polybot._fast.pairs cimport PairFinder
from polybot._fast.state cimport MarketState, SpotState
from polybot._fast.strategy cimport Strategy
from polybot._fast.surface cimport Surface

cdef class CrossTimeframe(Strategy):
    cdef readonly int others_count
    cdef readonly double max_fair_sd
    cdef readonly double min_edge
    cdef readonly double min_edge_sd
    cdef readonly double size_cap_frac
    cdef readonly double confidence_scale_sd
    cdef readonly double confidence_min
    cdef readonly double confidence_max
    cdef readonly double min_left_s
    cdef readonly double book_max_age_s
    cdef readonly double pair_report_s
    cdef readonly Surface surface
    cdef readonly PairFinder pairs
    cdef int64_t max_age_ns
    cdef double recent_move(self, SpotState spot, int64_t now_ns) noexcept
    cdef void collect(self, MarketState market, SpotState spot) noexcept
    cdef int add_window(self, MarketState m, SpotState spot, bint quoted) noexcept
    cdef void note_pairs(self, MarketState market)
    cdef double needed(self) noexcept
    cdef double edge_of(self, MarketState market, int outcome) noexcept
    cdef double weakest(self, MarketState market, int outcome) noexcept
