from polybot._fast.state cimport MarketState
from polybot._fast.strategy cimport Strategy

cdef class ConvexityFade(Strategy):
    cdef readonly double max_distance_frac
    cdef readonly double min_left_s
    cdef readonly double lookback_s
    cdef readonly double overreaction_min_sd
    cdef readonly double overreaction_z
    cdef readonly double overreaction_half_life_s
    cdef readonly int overreaction_min_samples
    cdef readonly double min_edge
    cdef readonly double life_s
    cdef readonly double cancel_buffer_edge
    cdef readonly double swing_s
    cdef readonly double size_cap_frac
    cdef readonly double confidence_min
    cdef readonly double confidence_max
    cdef double _cheapness(self, MarketState market, int outcome) noexcept
    cdef double _least_left_s(self, MarketState market) noexcept
