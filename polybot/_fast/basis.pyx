"""Online basis between the resolution oracle and the exchange's spot price.

Owns a short history of spot, the pairs (oracle - spot at the oracle's stamp minus lag) of a rolling window, and
their median (beta) with a robust deviation (1.4826 x median absolute deviation): one late or wild print moves neither.
Beta is NaN until min_pairs pairs are there.  Oracle prices come once a second, so O(window) per price is free.
Must not read a clock: spot and oracle stamps are compared as given, both in venue time.  Called by the engine.
"""
from libc.math cimport NAN, fabs, isfinite, isnan
from libc.stdint cimport int64_t
from libc.string cimport memmove

# Spot prices closer together than this share a bucket (the last one counts): bounds the history in bursts.
cdef int64_t BUCKET_NS = 20_000_000
# A spot price older than this at the wanted instant is not simultaneous any more.
cdef int64_t MAX_SPOT_AGE_NS = 2_000_000_000
# An oracle stamp this far ahead of spot is a wrong stamp; taking it would shut out every true one after it.
cdef int64_t MAX_ORACLE_LEAD_NS = 10_000_000_000
# Median absolute deviation to standard deviation for a normal distribution: 1 / Phi^-1(3/4).
cdef double MAD_TO_SD = 1.482602218505602


cdef class OracleBasis:
    """Rolling median of oracle minus spot over window_s seconds of oracle stamps."""

    def __cinit__(self, double window_s=90.0, double lag_s=0.0, int64_t min_pairs=5):
        if not (window_s > 0.0 and isfinite(window_s)):
            raise ValueError(f"window_s must be positive, not {window_s}")
        if not isfinite(lag_s):
            raise ValueError(f"lag_s must be finite, not {lag_s}")
        if not 1 <= min_pairs <= MAX_PAIRS:
            raise ValueError(f"min_pairs must lie in [1, {<int> MAX_PAIRS}], not {min_pairs}")
        self.min_pairs = min_pairs
        self._window_ns = <int64_t> (window_s * 1e9)
        self._lag_ns = <int64_t> (lag_s * 1e9)
        self._last_oracle_ns = -1
        self._summarise()

    cdef void on_spot(self, double price, int64_t now_ns) noexcept nogil:
        """Remember one spot price; an older stamp than the last is filed under the last."""
        cdef Stamped* last
        if not (price > 0.0 and isfinite(price)):
            return
        if self._spot_head > self._spot_tail:
            last = &self._spots[(self._spot_head - 1) % MAX_SPOTS]
            if now_ns - last.ns < BUCKET_NS:
                last.value = price
                return
        if self._spot_head - self._spot_tail == MAX_SPOTS:
            self._spot_tail += 1
        self._spots[self._spot_head % MAX_SPOTS].ns = now_ns
        self._spots[self._spot_head % MAX_SPOTS].value = price
        self._spot_head += 1

    cdef void on_oracle(self, double price, int64_t venue_ns) noexcept nogil:
        """Pair one oracle price stamped venue_ns with spot at venue_ns - lag."""
        cdef double spot
        if not (price > 0.0 and isfinite(price)) or venue_ns <= self._last_oracle_ns or self._is_ahead(venue_ns):
            self.ignored += 1
            return
        self._last_oracle_ns = venue_ns
        spot = self.spot_at(venue_ns - self._lag_ns)
        if isnan(spot):
            self.unpaired += 1
        else:
            self._last_oracle = price
            self._add_pair(price - spot, venue_ns)
        self.evict(venue_ns)
        self._summarise()

    cdef void evict(self, int64_t now_ns) noexcept nogil:
        """Drop pairs older than the window at now_ns, so that a silent oracle leaves no beta behind."""
        cdef int64_t before = self._pair_tail
        while self._pair_tail < self._pair_head and now_ns - self._pairs[self._pair_tail % MAX_PAIRS].ns > self._window_ns:
            self._drop_oldest()
        if self._pair_tail != before:
            self._summarise()

    cdef void set_lag_ns(self, int64_t lag_ns) noexcept nogil:
        """Change the oracle's own lag; pairs of the old lag leave with the window."""
        self._lag_ns = lag_ns

    cdef double spot_at(self, int64_t ns) noexcept nogil:
        """Last spot price at or before ns; NaN when there is none or it is too old."""
        cdef int64_t high = self._spot_head
        cdef int64_t low = high, middle, back = 1
        while low > self._spot_tail and self._spots[(low - 1) % MAX_SPOTS].ns > ns:      # asked for is the recent past
            high = low - 1
            back *= 2
            low = high - back if high - back > self._spot_tail else self._spot_tail
        while low < high:
            middle = (low + high) // 2
            if self._spots[middle % MAX_SPOTS].ns <= ns:
                low = middle + 1
            else:
                high = middle
        if low == self._spot_tail or ns - self._spots[(low - 1) % MAX_SPOTS].ns > MAX_SPOT_AGE_NS:
            return NAN
        return self._spots[(low - 1) % MAX_SPOTS].value

    def add_spot(self, double price, int64_t now_ns) -> None:
        """Take one spot price (USD) at now_ns."""
        self.on_spot(price, now_ns)

    def add_oracle(self, double price, int64_t venue_ns) -> None:
        """Take one oracle price (USD) with its own stamp."""
        self.on_oracle(price, venue_ns)

    def expire(self, int64_t now_ns) -> None:
        """Drop pairs older than the window at now_ns."""
        self.evict(now_ns)

    def set_lag(self, double lag_s) -> None:
        """Set the oracle's own lag in seconds."""
        if not isfinite(lag_s):
            raise ValueError(f"lag_s must be finite, not {lag_s}")
        self.set_lag_ns(<int64_t> (lag_s * 1e9))

    cdef bint _is_ahead(self, int64_t venue_ns) noexcept nogil:
        if self._spot_head == self._spot_tail:
            return False
        return venue_ns - self._spots[(self._spot_head - 1) % MAX_SPOTS].ns > MAX_ORACLE_LEAD_NS

    cdef Py_ssize_t _rank(self, double value) noexcept nogil:
        """Index of the first sorted difference >= value."""
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.pairs
        cdef Py_ssize_t middle
        while low < high:
            middle = (low + high) // 2
            if self._sorted[middle] < value:
                low = middle + 1
            else:
                high = middle
        return low

    cdef void _add_pair(self, double difference, int64_t ns) noexcept nogil:
        cdef Py_ssize_t rank
        if self._pair_head - self._pair_tail == MAX_PAIRS:
            self._drop_oldest()
        self._pairs[self._pair_head % MAX_PAIRS].ns = ns
        self._pairs[self._pair_head % MAX_PAIRS].value = difference
        self._pair_head += 1
        rank = self._rank(difference)
        memmove(&self._sorted[rank + 1], &self._sorted[rank], (self.pairs - rank) * sizeof(double))
        self._sorted[rank] = difference
        self.pairs += 1

    cdef void _drop_oldest(self) noexcept nogil:
        cdef Py_ssize_t rank = self._rank(self._pairs[self._pair_tail % MAX_PAIRS].value)
        self._pair_tail += 1
        self.pairs -= 1
        memmove(&self._sorted[rank], &self._sorted[rank + 1], (self.pairs - rank) * sizeof(double))

    cdef void _summarise(self) noexcept nogil:
        cdef int64_t n = self.pairs
        if n < self.min_pairs:
            self.beta = self.sd = self.variance = self.var_ln = NAN
            return
        self.beta = 0.5 * (self._sorted[(n - 1) // 2] + self._sorted[n // 2])
        self.sd = MAD_TO_SD * self._median_deviation()
        self.variance = self.sd * self.sd
        self.var_ln = self.variance / (self._last_oracle * self._last_oracle)

    cdef double _median_deviation(self) noexcept nogil:
        """Median of |difference - beta|: merge outwards from beta, both sides being sorted already."""
        cdef int64_t n = self.pairs
        cdef int64_t right = self._rank(self.beta)
        cdef int64_t left = right - 1
        cdef int64_t _
        cdef double below = 0.0
        cdef double current = 0.0
        for _ in range(n // 2 + 1):
            below = current
            if left < 0 or (right < n and self._sorted[right] - self.beta < self.beta - self._sorted[left]):
                current = fabs(self._sorted[right] - self.beta)
                right += 1
            else:
                current = fabs(self.beta - self._sorted[left])
                left -= 1
        return current if n % 2 else 0.5 * (below + current)
