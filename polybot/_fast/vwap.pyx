"""Rolling volume-weighted average price.

Owns a ring of the window's trades and two running sums.  An entry exactly window_s old stays, an older
one goes, by trades as well as by the clock (evict).  Adding and subtracting doubles drifts, so the sums are
recomputed from the ring each time it wraps and are exactly 0 when it empties.
Must not read a clock.  Called by the engine on every spot trade and timer.
"""
from libc.math cimport NAN, isfinite
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

# One million trades in a window is ten times any burst seen; beyond it the oldest go early, counted in `overflowed`.
cdef int64_t MAX_ENTRIES = 1 << 20


cdef class RollingVwap:
    """VWAP of the last window_s seconds."""

    def __cinit__(self, double window_s=60.0, int64_t capacity=4096):
        if not (window_s > 0.0 and isfinite(window_s)):
            raise ValueError(f"window_s must be positive, not {window_s}")
        if not 2 <= capacity <= MAX_ENTRIES or capacity & (capacity - 1):
            raise ValueError(f"capacity must be a power of two up to {MAX_ENTRIES}, not {capacity}")
        self._window_ns = <int64_t> (window_s * 1e9)
        self._capacity = capacity
        self._ring = <VwapEntry*> malloc(capacity * sizeof(VwapEntry))
        if self._ring == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self._ring)

    cdef void on_trade(self, double price, double qty, int64_t now_ns) noexcept nogil:
        cdef VwapEntry* entry
        if not (price > 0.0 and qty > 0.0 and isfinite(price) and isfinite(qty)):
            self.rejected += 1
            return
        self.evict(now_ns)
        if self._head - self._tail == self._capacity and not self._grow():
            self._drop_oldest()
            self.overflowed += 1
        entry = &self._ring[self._head & (self._capacity - 1)]
        entry.ns = now_ns
        entry.price = price
        entry.qty = qty
        self._sum_pq += price * qty
        self._sum_q += qty
        self._head += 1
        if self._head & (self._capacity - 1) == 0:
            self._recompute()

    cdef void evict(self, int64_t now_ns) noexcept nogil:
        while self._tail < self._head and now_ns - self._ring[self._tail & (self._capacity - 1)].ns > self._window_ns:
            self._drop_oldest()

    cdef double value(self) noexcept nogil:
        return self._sum_pq / self._sum_q if self._head > self._tail else NAN

    cdef int64_t count(self) noexcept nogil:
        return self._head - self._tail

    def add(self, double price, double qty, int64_t now_ns) -> None:
        """Take one trade: price in USD, qty in units of the asset."""
        self.on_trade(price, qty, now_ns)

    def expire(self, int64_t now_ns) -> None:
        """Drop what is older than the window at now_ns."""
        self.evict(now_ns)

    @property
    def mean(self) -> float:
        """VWAP in USD, NaN when the window is empty."""
        return self.value()

    def __len__(self) -> int:
        return self.count()

    cdef void _drop_oldest(self) noexcept nogil:
        cdef VwapEntry* entry = &self._ring[self._tail & (self._capacity - 1)]
        self._sum_pq -= entry.price * entry.qty
        self._sum_q -= entry.qty
        self._tail += 1
        if self._tail == self._head:
            self._sum_pq = 0.0
            self._sum_q = 0.0

    cdef void _recompute(self) noexcept nogil:
        cdef int64_t k
        cdef VwapEntry* entry
        self._sum_pq = 0.0
        self._sum_q = 0.0
        for k in range(self._tail, self._head):
            entry = &self._ring[k & (self._capacity - 1)]
            self._sum_pq += entry.price * entry.qty
            self._sum_q += entry.qty

    cdef bint _grow(self) noexcept nogil:
        """Double the ring; False at MAX_ENTRIES or without memory."""
        cdef int64_t k
        cdef VwapEntry* grown
        if self._capacity >= MAX_ENTRIES:
            return False
        grown = <VwapEntry*> malloc(2 * self._capacity * sizeof(VwapEntry))
        if grown == NULL:
            return False
        for k in range(self._tail, self._head):
            grown[k & (2 * self._capacity - 1)] = self._ring[k & (self._capacity - 1)]
        free(self._ring)
        self._ring = grown
        self._capacity *= 2
        return True
