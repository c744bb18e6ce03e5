# Volatility estimators behind one interface, fed by every spot price.
cimport cython
from libc.stdint cimport int64_t


cdef class Volatility:
    cdef void on_price(self, double price, int64_t now_ns) noexcept nogil
    cdef double sigma(self) noexcept nogil           # per sqrt(s), NaN until warm
    cdef double se_ln_sigma(self) noexcept nogil     # standard error of ln(sigma), NaN until warm
    cdef bint is_warm(self) noexcept nogil


@cython.final
cdef class SampledEwmaVol(Volatility):
    cdef readonly int64_t samples                    # squared returns taken so far
    cdef readonly double var                         # EWMA as it runs (starts at 0, not corrected), per s
    cdef double _lambda, _floor, _decay, _last_price, _sigma
    cdef int64_t _sample_ns, _warmup, _last_ns
    cdef bint _bias_correct
    cdef double _current(self) noexcept nogil


@cython.final
cdef class TickEwmaVol(Volatility):
    cdef readonly int64_t samples                    # returns taken so far, one per price
    cdef readonly double var                         # EWMA of squared returns, per tick
    cdef double _lambda, _floor, _decay, _last_price, _mean_dt_s
    cdef int64_t _warmup, _last_ns
