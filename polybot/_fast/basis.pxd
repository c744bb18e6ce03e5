# Oracle minus spot: what to add to the exchange's price to stand in the oracle's own units.
cimport cython
from libc.stdint cimport int64_t

cdef enum BasisLimit:
    MAX_PAIRS = 1024         # 90 s of 1 Hz stamps is 90; above it the oldest pair goes
    MAX_SPOTS = 1024         # buckets of 20 ms: 20 s of history

ctypedef struct Stamped:
    int64_t ns
    double value


@cython.final
cdef class OracleBasis:
    cdef readonly double beta                # rolling median of oracle - spot, USD; NaN below min_pairs
    cdef readonly double sd                  # robust sd of one difference, USD
    cdef readonly double variance            # sd^2, USD^2
    cdef readonly double var_ln              # variance of ln(spot + beta): PricingInput.var_basis
    cdef readonly int64_t pairs              # in the window
    cdef readonly int64_t min_pairs          # below it there is no beta
    cdef readonly int64_t unpaired           # oracle prices without a spot price close enough in time
    cdef readonly int64_t ignored            # oracle prices repeated, out of order, far ahead of spot or no price
    cdef Stamped _spots[MAX_SPOTS]
    cdef Stamped _pairs[MAX_PAIRS]
    cdef double _sorted[MAX_PAIRS]
    cdef int64_t _spot_head, _spot_tail, _pair_head, _pair_tail, _window_ns, _lag_ns, _last_oracle_ns
    cdef double _last_oracle
    cdef void on_spot(self, double price, int64_t now_ns) noexcept nogil
    cdef void on_oracle(self, double price, int64_t venue_ns) noexcept nogil
    cdef void evict(self, int64_t now_ns) noexcept nogil
    cdef void set_lag_ns(self, int64_t lag_ns) noexcept nogil
    cdef double spot_at(self, int64_t ns) noexcept nogil
    cdef bint _is_ahead(self, int64_t venue_ns) noexcept nogil
    cdef Py_ssize_t _rank(self, double value) noexcept nogil
    cdef void _add_pair(self, double difference, int64_t ns) noexcept nogil
    cdef void _drop_oldest(self) noexcept nogil
    cdef void _summarise(self) noexcept nogil
    cdef double _median_deviation(self) noexcept nogil
