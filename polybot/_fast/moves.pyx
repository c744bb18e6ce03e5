"""Market moves beyond model moves: how far the mid of Up ran away from fair over a lookback.

Theory of operation: the engine's timer feeds (mid, fair) of one market while it can be priced and its book has two
sides.  move() is (mid now - mid then) - (fair now - fair then), "then" being the last sample at least lookback_s
old: what the market did and the model did not.  Every sample's move also feeds an exponentially decayed mean square
(half-life in seconds, so the timer's rate does not matter); its root is sd(), NaN before min_samples moves.  The
mean is taken as 0: an overreaction is a departure from the model, and a mean over few minutes would hide one.

A hole in the sampling (restart(), or no sample for MAX_GAP_NS) starts the lookback anew: prices from before it are
not "then".  The mean square stays.  Only what has been fed is looked at.  Must not read a clock.
"""
from libc.math cimport NAN, exp2, isfinite, sqrt
from libc.stdint cimport int64_t

# Samples closer together are skipped, so that MAX_SAMPLES always covers the longest lookback.
cdef int64_t SPACING_NS = 50_000_000
# Twice the slowest timer a configuration may ask for; above it the samples are no history of one stretch.
cdef int64_t MAX_GAP_NS = 2_000_000_000
cdef double MAX_LOOKBACK_S = 25.0


cdef class MoveTracker:
    """Overreaction of one market; probabilities are USD per share of Up."""

    def __cinit__(self):
        self.half_life_s = 1.0

    def configure(self, *, double lookback_s, double half_life_s, int64_t min_samples) -> None:
        """Begin to track moves over lookback_s (s); ValueError for numbers out of range."""
        if not 0.1 <= lookback_s <= MAX_LOOKBACK_S:
            raise ValueError(f"lookback_s must lie in [0.1, {MAX_LOOKBACK_S:g}], not {lookback_s}")
        if not (half_life_s > 0.0 and isfinite(half_life_s)):
            raise ValueError(f"half_life_s must be positive, not {half_life_s}")
        if min_samples < 1:
            raise ValueError(f"min_samples must be at least 1, not {min_samples}")
        self.lookback_ns = <int64_t> (lookback_s * 1e9)
        self.half_life_s = half_life_s
        self.min_samples = min_samples

    cdef void on_sample(self, double mid, double fair, int64_t now_ns) noexcept nogil:
        """Take one sample; a mid or fair that is no number is a hole."""
        cdef double moved, dt_s
        if self.lookback_ns == 0:
            return
        if not (isfinite(mid) and isfinite(fair)):
            self.restart()
            return
        if self._head > self._tail:
            if now_ns - self._ring[(self._head - 1) % MAX_SAMPLES].ns < SPACING_NS:
                return
        moved = self.move(mid, fair, now_ns)
        if isfinite(moved):
            dt_s = (now_ns - self._move_ns) * 1e-9 if self.samples > 0 else 0.0
            self._weight *= exp2(-dt_s / self.half_life_s)
            self._sum *= exp2(-dt_s / self.half_life_s)
            self._weight += 1.0
            self._sum += moved * moved
            self._move_ns = now_ns
            self.samples += 1
        if self._head > self._tail and now_ns - self._ring[(self._head - 1) % MAX_SAMPLES].ns > MAX_GAP_NS:
            self.restart()
        if self._head - self._tail == MAX_SAMPLES:
            self._tail += 1
        self._ring[self._head % MAX_SAMPLES].ns = now_ns
        self._ring[self._head % MAX_SAMPLES].gap = mid - fair
        self._head += 1

    cdef void restart(self) noexcept nogil:
        """Forget the history of prices: there was a hole."""
        self._tail = self._head

    cdef double move(self, double mid, double fair, int64_t now_ns) noexcept nogil:
        """Move of Up's mid beyond fair's since the lookback; NaN while the history does not reach so far."""
        cdef int64_t low = self._younger(now_ns - self.lookback_ns)
        if low == self._tail or now_ns - self._ring[(self._head - 1) % MAX_SAMPLES].ns > MAX_GAP_NS:
            return NAN
        return (mid - fair) - self._ring[(low - 1) % MAX_SAMPLES].gap

    cdef int64_t _younger(self, int64_t then_ns) noexcept nogil:
        """Number of the first sample younger than then_ns; time goes forward, so it is found from the last answer on."""
        cdef int64_t low = self._tail, high = self._head, middle
        if self._found > low and self._ring[(self._found - 1) % MAX_SAMPLES].ns <= then_ns:
            low = self._found
            while low < high and self._ring[low % MAX_SAMPLES].ns <= then_ns:
                low += 1
            high = low
        while low < high:
            middle = (low + high) // 2
            if self._ring[middle % MAX_SAMPLES].ns <= then_ns:
                low = middle + 1
            else:
                high = middle
        self._found = low
        return low

    cdef double sd(self) noexcept nogil:
        """Root of the decayed mean square of moves, USD per share; NaN before min_samples of them."""
        return sqrt(self._sum / self._weight) if self.samples >= self.min_samples and self.samples > 0 else NAN

    def add(self, double mid, double fair, int64_t now_ns) -> None:
        """Take one sample of Up: mid of the book and model fair, USD per share."""
        self.on_sample(mid, fair, now_ns)

    def reset(self) -> None:
        """Begin the lookback anew: there was a hole in the sampling."""
        self.restart()

    def move_beyond_model(self, double mid, double fair, int64_t now_ns) -> float:
        """Move of Up's mid beyond fair's since the lookback, USD per share; NaN when not known."""
        return self.move(mid, fair, now_ns)

    @property
    def deviation(self) -> float:
        """Standard deviation of such moves, USD per share; NaN when not known."""
        return self.sd()
