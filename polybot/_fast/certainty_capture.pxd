from polybot._fast.strategy cimport Strategy

cdef class CertaintyCapture(Strategy):
    cdef readonly double min_abs_z
    cdef readonly double min_edge
    cdef readonly int order_type
    cdef readonly double size_cap_frac
    cdef readonly double size_cap_mid_frac
    cdef readonly double size_cap_mid_abs_z
    cdef readonly double size_cap_high_frac
    cdef readonly double size_cap_high_abs_z
    cdef readonly double confidence_scale_z
    cdef readonly double confidence_min
    cdef readonly double confidence_max
    cdef double _cap(self, double abs_z) noexcept
