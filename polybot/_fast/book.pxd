# One mirrored order book in Up terms on the 1e-4 price grid.
# Owns: micro-shares per price tick and side, occupancy bitmaps, best prices, the known tick size.
cimport cython
from libc.stdint cimport int64_t, uint64_t

from polybot._fast.event cimport Event

cdef enum:
    TOP = 10000              # price 1.0 in ticks; ticks run 0..TOP
    WORDS = 157              # 64-bit words that cover 0..TOP
    SUMMARY = 3              # 64-bit words that cover 0..WORDS-1

ctypedef struct Walk:
    int64_t filled           # micro-shares found, at most what was asked
    int64_t notional         # their cost or proceeds in micro-USD, half up where a lot is finer than 1e-4 USD
    int64_t worst_ticks      # last price touched, in ticks of the asked outcome (-1: nothing there)
    int64_t levels           # price levels touched


@cython.final
cdef class Book:
    # index 0: Up bids, 1: Up asks
    cdef int64_t size[2][TOP + 1]    # counts only where the tick is occupied
    cdef uint64_t occupied[2][WORDS]
    cdef uint64_t summary[2][SUMMARY]
    cdef int64_t best[2]             # best tick per side, -1: empty
    cdef readonly int64_t tick_size  # in ticks, 0: not known
    cdef uint64_t inverse            # of the tick size: says which ticks are multiples of it
    cdef int64_t shape               # another number whenever a level came or went; sizes alone do not change it
    cdef readonly int64_t off_tick   # levels written off the known tick grid (kept all the same)
    cdef readonly int64_t orphans    # deltas that came before a snapshot (not applied)
    cdef readonly int64_t level_count
    cdef readonly bint has_snapshot

    cdef bint apply(self, const Event* e) noexcept nogil
    cdef Py_ssize_t apply_run(self, const Event* ev, Py_ssize_t n) noexcept nogil
    cdef void take(self, int outcome, int side, int64_t ushares, int64_t limit_ticks, Walk* w) noexcept nogil
    cpdef void clear(self) noexcept nogil
    cpdef void begin_snapshot(self, int64_t tick_size=*) noexcept nogil
    cpdef void set_tick_size(self, int64_t ticks) noexcept nogil
    cpdef bint set_level(self, int outcome, int side, int64_t ticks, int64_t ushares) noexcept nogil
    cpdef int best_bid(self, int outcome) noexcept nogil
    cpdef int best_ask(self, int outcome) noexcept nogil
    cpdef int64_t size_at(self, int outcome, int side, int64_t ticks) noexcept nogil
    cpdef int64_t size_at_bid(self, int outcome, int64_t ticks) noexcept nogil
    cpdef int64_t size_at_ask(self, int outcome, int64_t ticks) noexcept nogil
    cdef void best_asks(self, int outcome, int* ticks, int n) noexcept nogil
    cpdef int next_bid(self, int outcome, int64_t ticks) noexcept nogil
    cpdef int next_ask(self, int outcome, int64_t ticks) noexcept nogil
    cpdef bint is_crossed(self) noexcept nogil
    cpdef bint equals(self, Book other)
    cpdef uint64_t content_hash(self) noexcept nogil
    cdef void _wipe(self) noexcept nogil
    cdef void _place(self, int k, int64_t ticks, int64_t ushares) noexcept nogil
    cdef void _occupy(self, int k, int64_t ticks, int64_t ushares) noexcept nogil
    cdef void _set_levels(self, const Event* ev, Py_ssize_t n) noexcept nogil
    cdef Py_ssize_t _fill(self, const Event* ev, Py_ssize_t n) noexcept nogil
    cdef Py_ssize_t _fill_side(self, const Event* ev, Py_ssize_t n) noexcept nogil
    cdef int64_t _at(self, int k, int64_t ticks) noexcept nogil
    cdef int _next(self, int outcome, int side, int64_t ticks) noexcept nogil
    cdef int _from_up(self, int outcome, int64_t ticks) noexcept nogil
    cdef int64_t _scan_down(self, int k, int64_t ticks) noexcept nogil
    cdef int64_t _scan_up(self, int k, int64_t ticks) noexcept nogil
