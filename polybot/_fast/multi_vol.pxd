# Volatility from several horizons at once, robust to jumps, with the error of its own estimate.
cimport cython
from libc.stdint cimport int64_t

from polybot._fast.vol cimport Volatility

cdef enum:
    MAX_HORIZONS = 6
    DAY_MINUTES = 1_440

ctypedef struct Horizon:
    double rate              # 1 / mean age, per s
    double weight            # in the combination; the weights sum to 1
    double sum               # decayed sum of truncated variance, per s, the prior's share included
    double mass              # decayed weight behind sum: 1 when old
    double unseen            # part of the horizon from before the first price: 1 when new, 0 when old


@cython.final
cdef class MultiVol(Volatility):
    cdef readonly int64_t samples            # returns taken so far
    cdef readonly double continuous          # combined variance per s without jumps, hour of day taken out
    cdef readonly double jump                # variance per s that came in jumps, hour of day taken out
    cdef readonly double kurtosis            # of truncated standardised returns
    cdef int _count
    cdef Horizon _horizons[MAX_HORIZONS]
    cdef double _pairs[MAX_HORIZONS][MAX_HORIZONS]   # decayed sums of products of sample weights
    cdef double _hours[DAY_MINUTES]          # variance by minute of the UTC day relative to the day's mean
    cdef double _jump_rate, _jump_sum, _jump_mass, _jump_squares
    cdef double _second, _fourth             # decayed moments of truncated standardised returns
    cdef double _cap, _prior_ln_var, _forecast_ln_var, _floor
    cdef double _last_price, _sigma, _se
    cdef int64_t _sample_ns, _last_ns, _warmup
    cdef void _take(self, double r, double dt_s, double season) noexcept nogil
    cdef double _reference(self) noexcept nogil
    cdef void _take_jump(self, double excess, double dt_s) noexcept nogil
    cdef void _combine(self) noexcept nogil
    cdef double _relative_variance(self) noexcept nogil
    cdef double _unseen(self) noexcept nogil
    cdef double _season(self, int64_t now_ns) noexcept nogil
    cdef void _fill_hours(self, hour_variance_frac) except *
