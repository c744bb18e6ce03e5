# Pairs of windows that end together on the same source: Up of the lower strike and Down of the higher pay 1 at least.
from libc.stdint cimport int64_t

from polybot._fast.state cimport MarketState

cdef enum:
    MAX_REPORTED = 32        # pairs whose last report is remembered
    MAX_NOTES = 32           # reports waiting to be told

ctypedef struct Reported:
    int first                # market indices, as told
    int second
    int64_t ns               # when; 0: never

cdef class PairFinder:
    cdef readonly int64_t found          # reports, told or not
    cdef readonly list notes             # of which waiting to be told
    cdef int64_t report_ns
    cdef int64_t max_age_ns
    cdef Reported reported[MAX_REPORTED]
    cdef int next_reported
    cdef double scan(self, list markets, int64_t now_ns)
    cdef bint is_quoted(self, MarketState m, int64_t now_ns) noexcept
    cdef double compare(self, MarketState a, MarketState b, int64_t now_ns)
    cdef double cost_of(self, MarketState low, MarketState high) noexcept
    cdef bint is_due(self, MarketState low, MarketState high, int64_t now_ns) noexcept
    cdef int report(self, MarketState low, MarketState high, double cost, int64_t now_ns) except -1
