from polybot._fast.state cimport MarketState
from polybot._fast.strategy cimport Signal, Strategy

cdef class StrikeMisalign(Strategy):
    cdef readonly double opening_s
    cdef readonly double opening_frac
    cdef readonly double opening_max_s
    cdef readonly double min_shift_edge
    cdef readonly double min_edge
    cdef readonly int order_type
    cdef readonly bint post_only
    cdef readonly double life_s
    cdef readonly double cancel_edge
    cdef readonly double size_cap_frac
    cdef readonly double confidence_scale_edge
    cdef readonly double confidence_min
    cdef readonly double confidence_max
    cdef double _opening_s(self, MarketState market) noexcept
    cdef bint _size(self, MarketState market, Signal signal, int outcome) noexcept
