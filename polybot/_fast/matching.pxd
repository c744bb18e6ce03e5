# Price-time priority matching of one market in Up terms: bids (BUY Up, SELL Down) against asks (SELL Up, BUY Down).
# Owns the resting queue; prices are ticks of 1e-4 (1..9999), sizes micro-shares. Knows no accounts, fees, tokens or time.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef enum:
    PRICE_END = 10000        # prices are 1..9999
    BITMAP_WORDS = 157       # 64 * 157 >= 10000

cpdef enum MatchResult:
    MATCH_RESTED = 0         # nothing crossed, the whole order rests
    MATCH_FILLED = 1         # filled completely
    MATCH_PARTIAL_RESTED = 2  # filled partly, the remainder rests
    MATCH_PARTIAL_KILLED = 3  # filled partly, the remainder is gone
    MATCH_KILLED = 4         # FAK that met nothing, FOK that could not be filled in full
    MATCH_CROSSES = 5        # post-only that would have taken
    MATCH_INVALID = 6        # price off 1..9999 or no size

ctypedef struct Resting:
    int64_t handle           # 0: free slot
    int64_t ushares
    int32_t owner
    int32_t price
    int32_t ahead            # slot before us in the queue of our level, -1: first
    int32_t behind           # slot after us, -1: last
    int32_t side

ctypedef struct Level:
    int64_t ushares
    int32_t first            # slot, -1: empty
    int32_t last

ctypedef struct Leg:
    int64_t handle           # of the resting order
    int64_t ushares
    int64_t left             # what still rests of it
    int32_t owner
    int32_t price

cdef class MatchBook:
    cdef Resting* orders
    cdef Py_ssize_t n_slots, slot_capacity
    cdef int32_t free_slot
    cdef int64_t serial
    cdef Level* level_of                     # [side * PRICE_END + price]
    cdef uint64_t occupied[2][BITMAP_WORDS]
    cdef int32_t best[2]                     # -1: empty
    cdef Leg* leg
    cdef Py_ssize_t n_legs, leg_capacity
    cdef int64_t* self_hit
    cdef Py_ssize_t n_self_hit, self_hit_capacity
    cdef int32_t* changed
    cdef uint8_t* is_changed
    cdef Py_ssize_t n_changed
    cdef dict ladders
    cdef readonly int64_t filled             # micro-shares matched by the last submit()
    cdef readonly int64_t rested             # handle of what the last submit() left in the book, 0: nothing
    cdef readonly int64_t live               # resting orders

    cdef int64_t add(self, int side, int price, int64_t ushares, int owner) except -1
    cdef int64_t remove(self, int64_t handle) noexcept
    cdef int match(self, int side, int price, int64_t ushares, int owner, int order_type, bint post_only) except -1
    cdef bint crosses(self, int side, int price) noexcept
    cdef int64_t reachable(self, int side, int price, int64_t ushares, int owner) noexcept
    cdef Resting* find(self, int64_t handle) noexcept

    cdef int64_t _take(self, int side, int limit, int64_t ushares, int owner) except -1
    cdef void _drop_slot(self, int32_t slot) noexcept
    cdef void _touch(self, int side, int price) noexcept
    cdef void _level_filled(self, int side, int price) noexcept
    cdef void _level_emptied(self, int side, int price) noexcept
    cdef int _worse(self, int side, int price) noexcept
    cdef int32_t _new_slot(self) except -2
    cdef Leg* _new_leg(self) except NULL
    cdef int _note_self_hit(self, int64_t handle) except -1
    cdef int _kept(self, int64_t handle, list quotes, bytearray used) except -1
