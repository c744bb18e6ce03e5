"""Market regime from the directions of recent price changes.

Owns a ring of the window's up and down changes (an unchanged price is no change).  Fewer than min_ticks:
Ambiguous; dominant fraction >= trend: Trend; < range: Range; between: Ambiguous.  A change exactly window_s old
stays; eviction by prices and by the clock.  The result is stored (regime, fraction): reading it costs nothing.
Must not read a clock.  Called by the engine on every spot trade and timer.
"""
from libc.math cimport NAN, isfinite
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

# Beyond this many changes in a window the oldest go early, counted in `overflowed`.
cdef int64_t MAX_ENTRIES = 1 << 20


cdef class RegimeClassifier:
    """Regime of the last window_s seconds."""

    def __cinit__(self, double window_s=30.0, int64_t min_ticks=10, double trend=0.75, double range_=0.60,
                  int64_t capacity=4096):
        if not (window_s > 0.0 and isfinite(window_s)):
            raise ValueError(f"window_s must be positive, not {window_s}")
        if min_ticks < 1:
            raise ValueError(f"min_ticks must be at least 1, not {min_ticks}")
        if not 0.5 <= range_ <= trend <= 1.0:
            raise ValueError(f"need 0.5 <= range_ <= trend <= 1, not {range_} and {trend}")
        if not 2 <= capacity <= MAX_ENTRIES or capacity & (capacity - 1):
            raise ValueError(f"capacity must be a power of two up to {MAX_ENTRIES}, not {capacity}")
        self._window_ns = <int64_t> (window_s * 1e9)
        self._min_ticks = min_ticks
        self._trend = trend
        self._range = range_
        self._capacity = capacity
        self.fraction = NAN
        self._ring = <RegimeEntry*> malloc(capacity * sizeof(RegimeEntry))
        if self._ring == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self._ring)

    cdef void on_price(self, double price, int64_t now_ns) noexcept nogil:
        cdef double last = self._last_price
        if not (price > 0.0 and isfinite(price)):
            return
        self._last_price = price
        if last > 0.0 and price != last:
            self._push(now_ns, price > last)
        self.evict(now_ns)
        self._classify()

    cdef void evict(self, int64_t now_ns) noexcept nogil:
        cdef int64_t before = self._tail
        while self._tail < self._head and now_ns - self._ring[self._tail & (self._capacity - 1)].ns > self._window_ns:
            self._drop_oldest()
        if self._tail != before:
            self._classify()

    def add(self, double price, int64_t now_ns) -> None:
        """Take one spot price (USD) at now_ns."""
        self.on_price(price, now_ns)

    def expire(self, int64_t now_ns) -> None:
        """Drop what is older than the window at now_ns and classify again."""
        self.evict(now_ns)

    cdef void _push(self, int64_t now_ns, bint is_up) noexcept nogil:
        if self._head - self._tail == self._capacity and not self._grow():
            self._drop_oldest()
            self.overflowed += 1
        self._ring[self._head & (self._capacity - 1)].ns = now_ns
        self._ring[self._head & (self._capacity - 1)].up = is_up
        self._head += 1
        if is_up:
            self.up += 1
        else:
            self.down += 1

    cdef void _drop_oldest(self) noexcept nogil:
        if self._ring[self._tail & (self._capacity - 1)].up:
            self.up -= 1
        else:
            self.down -= 1
        self._tail += 1

    cdef void _classify(self) noexcept nogil:
        cdef int64_t changes = self.up + self.down
        cdef int64_t dominant = self.up if self.up > self.down else self.down
        self.fraction = <double> dominant / <double> changes if changes else NAN
        if changes < self._min_ticks:
            self.regime = AMBIGUOUS
        elif self.fraction >= self._trend:
            self.regime = TREND
        elif self.fraction < self._range:
            self.regime = RANGE
        else:
            self.regime = AMBIGUOUS

    cdef bint _grow(self) noexcept nogil:
        """Double the ring; False at MAX_ENTRIES or without memory."""
        cdef int64_t k
        cdef RegimeEntry* grown
        if self._capacity >= MAX_ENTRIES:
            return False
        grown = <RegimeEntry*> malloc(2 * self._capacity * sizeof(RegimeEntry))
        if grown == NULL:
            return False
        for k in range(self._tail, self._head):
            grown[k & (2 * self._capacity - 1)] = self._ring[k & (self._capacity - 1)]
        free(self._ring)
        self._ring = grown
        self._capacity *= 2
        return True
