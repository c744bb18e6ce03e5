from polybot._fast.strategy cimport Strategy

cdef class LatencyArb(Strategy):
    cdef readonly double min_edge
    cdef readonly bint require_move
    cdef readonly double require_move_edge
    cdef readonly double size_cap_frac
    cdef readonly double confidence_scale_edge
    cdef readonly double confidence_min
    cdef readonly int order_type
