"""One market of the simulated execution: the places of our resting orders, and the depth our fills took.

Two things the data do not show, because our orders are not in them:
- who stands before us.  Joining means standing behind all that is shown at the price; public trades serve those
  ahead first; what leaves the book otherwise stood behind us (pessimistic) or around us (proportional).
- what of the shown depth is ours already.  It stays ours until the level shrinks below it or vanishes.
Must not know money, time or other markets.  Called by polybot._fast.execution.
"""
cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

from polybot._fast.book cimport Book
from polybot._fast.event cimport BUY, OS_CANCELED, OS_EXPIRED, OS_FILLED, OS_REJECTED, SELL, UP

cdef extern from *:
    ctypedef long long int128 "__int128_t"

cdef int64_t NS_PER_MS = 1_000_000
# A print and the book without what it took are two messages: so long they are held for the two sides of one trade.
cdef int64_t PRINT_LAG_NS = 1_000_000_000


@cython.final
cdef class SimOrder:
    """One order on its simulated way; micro-shares, ticks of its own outcome."""

    cdef bint terminal(self) noexcept:
        return self.status in (OS_FILLED, OS_CANCELED, OS_EXPIRED, OS_REJECTED)

    cdef void follow(self, int64_t shown, int64_t now_ns, int queue_model) noexcept:
        """After a message: `shown` rests at our price now.  Never more ahead of us than is shown.

        By the proportional model cancels move us ahead, too.  What a print already explained is no cancel, and what
        left the book before its print came must not move us ahead twice: `credit` holds it for PRINT_LAG_NS, `cut`
        tells how far we moved for it.
        """
        cdef int64_t gone = self.seen - shown, explained, moved = 0
        if self.is_lost:
            self.is_lost = False
            self.ahead = shown
        elif gone > 0:
            self._expire(now_ns)
            explained = min(gone, self.pending)
            self.pending -= explained
            gone -= explained
            if queue_model == QUEUE_PROPORTIONAL and gone > 0:
                moved = <int64_t> (<int128> self.ahead * gone / self.seen)
            moved = max(moved, self.ahead - shown)
            self.ahead -= moved
            self.credit += gone
            self.cut = min(self.cut + moved, self.credit)
            if gone > 0:
                self.lag_ns = now_ns
        self.seen = shown

    cdef int64_t reached(self, int64_t left, int64_t now_ns) noexcept:
        """A print of `left` micro-shares at our price: what of it comes to us once those ahead are served."""
        cdef int64_t known, back, passed
        self._expire(now_ns)
        known = min(left, self.credit)
        back = min(self.cut, known)
        self.credit -= known
        self.cut -= back
        self.pending += left - known
        self.lag_ns = now_ns
        passed = min(left - back, self.ahead)
        self.ahead -= passed
        return left - back - passed

    cdef void _expire(self, int64_t now_ns) noexcept:
        if now_ns - self.lag_ns > PRINT_LAG_NS:
            self.pending = self.credit = self.cut = 0


@cython.final
cdef class SimMarket:
    """One market as the data show it, our resting orders in it, and our position."""

    def __init__(self, int index, spec):
        self.index = index
        self.book = Book(spec.tick_size_ticks)
        self.end_ns = spec.end_ns
        self.hold_ns = spec.taker_delay_ms * NS_PER_MS
        self.min_size_ushares = spec.min_size_ushares
        self.fees_enabled = spec.fees_enabled
        self.fee_rate_ppm = -1 if spec.fee_rate_ppm is None else spec.fee_rate_ppm
        self.fee_exponent = spec.fee_exponent
        self.bids, self.asks = [], []
        self.is_open = True

    def __dealloc__(self):
        free(self.taken)

    cdef list side(self, int k):
        return self.asks if k else self.bids

    cdef int enter(self, SimOrder o) except -1:
        """Stand in line: behind better prices and whoever came before at ours."""
        cdef list line = self.side(o.k)
        cdef SimOrder other
        cdef Py_ssize_t at = 0
        for other in line:
            if other.up_ticks > o.up_ticks if o.k else other.up_ticks < o.up_ticks:
                break
            at += 1
        line.insert(at, o)
        self.n_resting += 1
        return 0

    cdef int leave(self, SimOrder o) except -1:
        cdef list line = self.side(o.k)
        if o in line:
            line.remove(o)
            self.n_resting -= 1
        return 0

    cdef int64_t taken_at(self, int k, int64_t ticks) noexcept nogil:
        """Micro-shares of the shown level that our fills took already."""
        cdef Py_ssize_t n
        for n in range(self.n_taken):
            if self.taken[n].ticks == ticks and self.taken[n].k == k:
                return self.taken[n].ushares
        return 0

    cdef int note_taken(self, int k, int64_t ticks, int64_t ushares) except -1:
        cdef Py_ssize_t n
        cdef void* grown
        for n in range(self.n_taken):
            if self.taken[n].ticks == ticks and self.taken[n].k == k:
                self.taken[n].ushares += ushares
                return 0
        if self.n_taken == self.taken_capacity:
            self.taken_capacity = self.taken_capacity * 2 if self.taken_capacity else 16
            grown = realloc(self.taken, self.taken_capacity * sizeof(Taken))
            if grown == NULL:
                raise MemoryError()
            self.taken = <Taken*> grown
        self.taken[self.n_taken].k, self.taken[self.n_taken].ticks = k, ticks
        self.taken[self.n_taken].ushares = ushares
        self.n_taken += 1
        return 0

    cdef void refresh_taken(self) noexcept nogil:
        """After a message: we cannot hold more of a level than is shown; a level that vanished is forgotten."""
        cdef Py_ssize_t n = 0
        cdef int64_t shown
        while n < self.n_taken:
            shown = self.book.size_at(UP, SELL if self.taken[n].k else BUY, self.taken[n].ticks)
            if shown < self.taken[n].ushares:
                self.taken[n].ushares = shown
            if self.taken[n].ushares == 0:
                self.n_taken -= 1
                self.taken[n] = self.taken[self.n_taken]
            else:
                n += 1
