from polybot._fast.state cimport MarketState
from polybot._fast.strategy cimport Strategy

cdef class LpExtreme(Strategy):
    cdef readonly double min_abs_z
    cdef readonly double min_left_s
    cdef readonly double min_left_frac
    cdef readonly double max_ask_usd
    cdef readonly double min_edge
    cdef readonly int improve_ticks
    cdef readonly double life_s
    cdef readonly double cancel_edge
    cdef readonly double size_cap_frac
    cdef readonly double confidence_scale_edge
    cdef readonly double confidence_min
    cdef readonly double confidence_max
    cdef double _least_left_s(self, MarketState market) noexcept
