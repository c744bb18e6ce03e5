"""One mirrored order book of a market, in Up terms, on the 1e-4 price grid 0..10000.

Up and Down share one book on this venue: a Down bid at p is an Up ask at 10000 - p.  Owns the
micro-shares at every tick, a two-level occupancy bitmap per side (best prices by one ctz/clz) and the
known tick size.  The bitmap says which sizes count: clearing wipes its 2.5 KB, not the 160 KB of sizes,
and a size is read only where its bit is set.  A level off the tick grid is kept exactly and counted.  A snapshot of either token replaces the whole book.
Must not decide whether a book may be traded on: it only tells (`is_crossed`, `has_snapshot`).
Called by the engine for every book event, by the matching core and by the feed's REST witness.
"""
cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from polybot._fast.event cimport (
    BUY,
    EV_BOOK_DELTA,
    EV_BOOK_LEVEL,
    EV_BOOK_SNAPSHOT,
    EV_TICK_SIZE,
    F_END,
    SELL,
    UP,
    Event,
    EventBuffer,
)


cdef extern from * nogil:
    int __builtin_ctzll(unsigned long long)
    int __builtin_clzll(unsigned long long)
    void __builtin_prefetch(const void*)


cdef enum:
    AHEAD = 24                       # events are asked for so far ahead: about what memory takes to bring them


ctypedef struct Filled:
    int64_t levels           # prices where there was no level before
    int64_t off_tick         # levels told off the known tick grid


cdef inline int _index(int outcome, int side) noexcept nogil:
    """Row of a side: Up bids 0, Up asks 1; Down's are the other way round."""
    return (side ^ outcome) & 1


cdef inline int64_t _up(int outcome, int64_t ticks) noexcept nogil:
    """Ticks of an outcome in Up terms (and back)."""
    return ticks if outcome == UP else TOP - ticks


cdef inline uint64_t _inverse(int64_t grid) noexcept nogil:
    """2**64 // grid, rounded up (modulo 2**64): what _is_off multiplies by; 0 without a grid and for a grid of 1."""
    return ~(<uint64_t> 0) // <uint64_t> grid + 1 if grid > 0 else 0


cdef inline bint _is_off(int64_t ticks, uint64_t inverse) noexcept nogil:
    """True for ticks (0..TOP) that are no multiple of the grid (Lemire, Kaser, Kurz 2019); nothing is off without one."""
    return <uint64_t> ticks * inverse > inverse - 1


cdef inline uint64_t _head(const Event* e) noexcept nogil:
    """kind, market, outcome, side and flags of an event as one number, kind in the lowest bits."""
    cdef uint64_t head
    memcpy(&head, &e.kind, sizeof(head))
    return head


cdef inline Py_ssize_t _fill_levels(const Event* ev, Py_ssize_t n, bint is_down, int64_t* size, uint64_t* occupied,
                                    uint64_t* summary, uint64_t inverse, Filled* told) noexcept nogil:
    """Set the levels at ev[0] and after it as long as they are of one message, outcome and side, and sound; how many."""
    cdef const Event* e = ev
    cdef const Event* end = ev + n
    cdef int64_t recv_ns = ev.recv_ns, t, w, levels = 0, off_tick = 0, here = 0
    cdef uint64_t want = _head(ev) & ~(<uint64_t> F_END << 48), differs = 0, word, words = 0
    while e != end and not differs and e.recv_ns == recv_ns:
        differs = (_head(e) ^ want) << 15        # the flags but F_END are shifted out, it is the highest bit now
        t = e.i
        if differs << 1 or e.j <= 0 or <uint64_t> t > TOP:
            break
        __builtin_prefetch(&e[AHEAD])
        off_tick += _is_off(t, inverse)
        if is_down:
            t = TOP - t
        w = t >> 6
        word, size[t] = occupied[w], e.j
        e += 1
        levels += not word >> (t & 63) & 1
        occupied[w] = word | (<uint64_t> 1) << (t & 63)
        if t >> 12 != here:
            summary[here] |= words
            here, words = t >> 12, 0
        words |= (<uint64_t> 1) << (w & 63)
    summary[here] |= words
    told.levels, told.off_tick = levels, off_tick
    return e - ev


@cython.final
cdef class Book:
    """Depth of one market. Prices in ticks of 1e-4, sizes in micro-shares; tick_size 0: not known.

    Final, so its cpdef methods are plain C calls for the core and Python methods for the shell.
    """

    def __cinit__(self, int64_t tick_size=0):
        self.set_tick_size(tick_size)
        self.best[0] = -1
        self.best[1] = -1

    # -- writing ------------------------------------------------------------------------------

    cdef void _wipe(self) noexcept nogil:
        """Drop all levels; the tick size stays."""
        memset(self.occupied, 0, sizeof(self.occupied))
        memset(self.summary, 0, sizeof(self.summary))
        self.best[0] = self.best[1] = -1
        self.level_count = 0
        self.shape += 1

    cpdef void clear(self) noexcept nogil:
        """Drop all levels and wait for a snapshot; tick size and counters stay."""
        self._wipe()
        self.has_snapshot = False

    cpdef void begin_snapshot(self, int64_t tick_size=0) noexcept nogil:
        """Drop all levels; those set next are the whole book. tick_size in ticks, 0: not told."""
        self._wipe()
        self.has_snapshot = True
        if tick_size > 0 and tick_size != self.tick_size:
            self.tick_size = tick_size
            self.inverse = _inverse(tick_size)

    cpdef void set_tick_size(self, int64_t ticks) noexcept nogil:
        """Set the known tick size in ticks (anything not within 1..10000: not known); levels stay."""
        self.tick_size = ticks if 0 < ticks <= TOP else 0
        self.inverse = _inverse(self.tick_size)

    cpdef bint set_level(self, int outcome, int side, int64_t ticks, int64_t ushares) noexcept nogil:
        """Set a level to an absolute size, 0 removes it; False for a price or size that cannot be."""
        if ticks < 0 or ticks > TOP or ushares < 0:
            return False
        if ushares > 0 and _is_off(ticks, self.inverse):
            self.off_tick += 1
        self._place(_index(outcome, side), _up(outcome, ticks), ushares)
        return True

    cdef void _place(self, int k, int64_t ticks, int64_t ushares) noexcept nogil:
        cdef int64_t w = ticks >> 6
        if ushares != 0:
            if self.occupied[k][w] >> (ticks & 63) & 1:
                self.size[k][ticks] = ushares
            else:
                self._occupy(k, ticks, ushares)
            return
        if not self.occupied[k][w] >> (ticks & 63) & 1:
            return
        self.occupied[k][w] &= ~((<uint64_t> 1) << (ticks & 63))
        if self.occupied[k][w] == 0:
            self.summary[k][w >> 6] &= ~((<uint64_t> 1) << (w & 63))
        self.level_count -= 1
        self.shape += 1
        if ticks == self.best[k]:
            self.best[k] = self._scan_down(0, ticks - 1) if k == 0 else self._scan_up(1, ticks + 1)

    cdef bint apply(self, const Event* e) noexcept nogil:
        """Apply one book event; False when it did not change the book (other kind, orphan, bad level).

        A new tick size drops the book until the next snapshot, as levels of the old grid may be gone.
        """
        if e.kind == EV_BOOK_LEVEL:
            return self.set_level(e.outcome, e.side, e.i, e.j)
        if e.kind == EV_BOOK_DELTA:
            if not self.has_snapshot:
                self.orphans += 1
                return False
            return self.set_level(e.outcome, e.side, e.i, e.j)
        if e.kind == EV_BOOK_SNAPSHOT:
            self.begin_snapshot(e.i)
            return True
        if e.kind == EV_TICK_SIZE and e.i > 0 and e.i != self.tick_size:
            self.clear()
            self.set_tick_size(e.i)
            return True
        return False

    cdef Py_ssize_t apply_run(self, const Event* ev, Py_ssize_t n) noexcept nogil:
        """Apply the first event and those after it that belong to the same message, kind and market; how many.

        A snapshot takes its levels with it.  The run ends after F_END.
        """
        cdef Py_ssize_t k = 1
        cdef int kind = ev.kind
        if kind == EV_BOOK_SNAPSHOT:
            self.begin_snapshot(ev.i)
            return self._fill(ev, n)
        self.apply(ev)
        if kind != EV_BOOK_LEVEL and kind != EV_BOOK_DELTA:
            return 1
        while (k < n and not ev[k - 1].flags & F_END and ev[k].kind == kind and ev[k].market == ev.market
               and ev[k].recv_ns == ev.recv_ns):
            k += 1
        if kind == EV_BOOK_LEVEL or self.has_snapshot:
            self._set_levels(&ev[1], k - 1)
        else:
            self.orphans += k - 1
        return k

    cdef void _set_levels(self, const Event* ev, Py_ssize_t n) noexcept nogil:
        """set_level for each event."""
        cdef Py_ssize_t e
        for e in range(n):
            self.set_level(ev[e].outcome, ev[e].side, ev[e].i, ev[e].j)

    cdef Py_ssize_t _fill(self, const Event* ev, Py_ssize_t n) noexcept nogil:
        """set_level for the levels of the snapshot at ev[0], the book being empty; how many events that were.

        The hottest loop of a replay: taken side by side, best prices and counters are told once at the end.
        """
        cdef const Event* e = ev
        cdef const Event* last = ev + n - 1
        while e != last and not e.flags & F_END:
            if e[1].kind != EV_BOOK_LEVEL or e[1].market != ev.market or e[1].recv_ns != ev.recv_ns:
                break
            e += self._fill_side(&e[1], last - e)
        self.best[0], self.best[1] = self._scan_down(0, TOP), self._scan_up(1, 0)
        return e - ev + 1

    cdef Py_ssize_t _fill_side(self, const Event* ev, Py_ssize_t n) noexcept nogil:
        """The levels at ev[0] and after it of one outcome and side, of one message; how many they are, at least one."""
        cdef int k = _index(ev.outcome, ev.side)
        cdef Filled told
        if ev.j <= 0 or <uint64_t> ev.i > TOP:
            if ev.j == 0 and <uint64_t> ev.i <= TOP:         # says nothing, or takes back what this message told
                self._place(k, _up(ev.outcome, ev.i), 0)
            return 1
        told.levels = told.off_tick = 0
        if ev.outcome == UP:
            n = _fill_levels(ev, n, False, self.size[k], self.occupied[k], self.summary[k], self.inverse, &told)
        else:
            n = _fill_levels(ev, n, True, self.size[k], self.occupied[k], self.summary[k], self.inverse, &told)
        self.off_tick += told.off_tick
        self.level_count += told.levels
        return n

    cdef inline void _occupy(self, int k, int64_t ticks, int64_t ushares) noexcept nogil:
        """A level where there was none."""
        cdef int64_t w = ticks >> 6
        if self.occupied[k][w] == 0:
            self.summary[k][w >> 6] |= (<uint64_t> 1) << (w & 63)
        self.size[k][ticks] = ushares
        self.occupied[k][w] |= (<uint64_t> 1) << (ticks & 63)
        self.level_count += 1
        self.shape += 1
        if self.best[k] < 0 or (ticks > self.best[k] if k == 0 else ticks < self.best[k]):
            self.best[k] = ticks

    # -- reading ------------------------------------------------------------------------------

    cpdef int best_bid(self, int outcome) noexcept nogil:
        """Best bid of an outcome in its own ticks, -1 if there is none."""
        return self._from_up(outcome, self.best[_index(outcome, BUY)])

    cpdef int best_ask(self, int outcome) noexcept nogil:
        """Best ask of an outcome in its own ticks, -1 if there is none."""
        return self._from_up(outcome, self.best[_index(outcome, SELL)])

    cpdef int64_t size_at(self, int outcome, int side, int64_t ticks) noexcept nogil:
        """Micro-shares resting at one price: side BUY reads the bids, SELL the asks."""
        if ticks < 0 or ticks > TOP:
            return 0
        return self._at(_index(outcome, side), _up(outcome, ticks))

    cdef inline int64_t _at(self, int k, int64_t ticks) noexcept nogil:
        return self.size[k][ticks] if self.occupied[k][ticks >> 6] >> (ticks & 63) & 1 else 0

    cpdef int64_t size_at_bid(self, int outcome, int64_t ticks) noexcept nogil:
        """Micro-shares bid for an outcome at one price."""
        return self.size_at(outcome, BUY, ticks)

    cpdef int64_t size_at_ask(self, int outcome, int64_t ticks) noexcept nogil:
        """Micro-shares of an outcome offered at one price."""
        return self.size_at(outcome, SELL, ticks)

    cpdef int next_bid(self, int outcome, int64_t ticks) noexcept nogil:
        """Next bid below `ticks` in the outcome's ticks (-1: the best one), -1 if there is none."""
        return self._next(outcome, BUY, ticks)

    cpdef int next_ask(self, int outcome, int64_t ticks) noexcept nogil:
        """Next ask above `ticks` in the outcome's ticks (-1: the best one), -1 if there is none."""
        return self._next(outcome, SELL, ticks)

    cdef void best_asks(self, int outcome, int* ticks, int n) noexcept nogil:
        """The n best asks of an outcome in its own ticks, best first; -1 where there is none."""
        cdef int k = _index(outcome, SELL), level
        cdef int64_t t = self.best[k]
        for level in range(n):
            ticks[level] = self._from_up(outcome, t)
            if t >= 0:
                t = self._scan_down(0, t - 1) if k == 0 else self._scan_up(1, t + 1)

    cdef int _next(self, int outcome, int side, int64_t ticks) noexcept nogil:
        cdef int k = _index(outcome, side)
        cdef int64_t t
        if ticks < 0:
            return self._from_up(outcome, self.best[k])
        if ticks > TOP:
            return -1
        t = _up(outcome, ticks)
        return self._from_up(outcome, self._scan_down(0, t - 1) if k == 0 else self._scan_up(1, t + 1))

    cdef int _from_up(self, int outcome, int64_t ticks) noexcept nogil:
        return -1 if ticks < 0 else <int> _up(outcome, ticks)

    cdef void take(self, int outcome, int side, int64_t ushares, int64_t limit_ticks, Walk* w) noexcept nogil:
        """Walk the book as a taker: BUY lifts the outcome's asks, SELL hits its bids.

        Stops after `ushares` micro-shares or past `limit_ticks` (-1: no limit).  The notional is
        the exact sum, rounded half up once at the end.  Overflow-free: it never exceeds `ushares`.
        """
        cdef int rest = SELL if side == BUY else BUY
        cdef int64_t t = self._next(outcome, rest, -1)
        cdef int64_t part = 0, fine = 0
        w.filled = 0
        w.notional = 0
        w.worst_ticks = -1
        w.levels = 0
        while t >= 0 and w.filled < ushares:
            if limit_ticks >= 0 and (t > limit_ticks if side == BUY else t < limit_ticks):
                break
            part = min(self.size_at(outcome, rest, t), ushares - w.filled)
            w.filled += part
            w.notional += part // TOP * t
            fine += part % TOP * t
            w.worst_ticks = t
            w.levels += 1
            t = self._next(outcome, rest, t)
        w.notional += (fine + TOP // 2) // TOP

    cpdef bint is_crossed(self) noexcept nogil:
        """True when the best bid is above the best ask (a locked book is not crossed)."""
        return self.best[0] >= 0 and self.best[1] >= 0 and self.best[0] > self.best[1]

    cpdef bint equals(self, Book other):
        """True when both hold the same size at every price (the REST witness)."""
        cdef int k
        cdef int64_t t
        if self.level_count != other.level_count:
            return False
        if memcmp(self.occupied, other.occupied, sizeof(self.occupied)) != 0:
            return False
        for k in range(2):
            t = self._scan_up(k, 0)
            while t >= 0:
                if self.size[k][t] != other.size[k][t]:
                    return False
                t = self._scan_up(k, t + 1)
        return True

    cpdef uint64_t content_hash(self) noexcept nogil:
        """FNV-1a over (side, tick, size) of every level: equal books have equal hashes, in any process."""
        cdef uint64_t h = <uint64_t> 14695981039346656037
        cdef int k
        cdef int64_t t
        for k in range(2):
            t = self._scan_up(k, 0)
            while t >= 0:
                h = (h ^ <uint64_t> (k * (TOP + 1) + t)) * <uint64_t> 1099511628211
                h = (h ^ <uint64_t> self.size[k][t]) * <uint64_t> 1099511628211
                t = self._scan_up(k, t + 1)
        return h

    cdef int64_t _scan_down(self, int k, int64_t ticks) noexcept nogil:
        """Highest occupied Up tick <= ticks, -1 if none."""
        cdef int64_t w, s
        cdef uint64_t bits
        if ticks < 0:
            return -1
        w = ticks >> 6
        bits = self.occupied[k][w] & ((~(<uint64_t> 0)) >> (63 - (ticks & 63)))
        if bits:
            return (w << 6) + 63 - __builtin_clzll(bits)
        s = w >> 6
        bits = self.summary[k][s] & (((<uint64_t> 1) << (w & 63)) - 1)
        while bits == 0:
            if s == 0:
                return -1
            s -= 1
            bits = self.summary[k][s]
        w = (s << 6) + 63 - __builtin_clzll(bits)
        return (w << 6) + 63 - __builtin_clzll(self.occupied[k][w])

    cdef int64_t _scan_up(self, int k, int64_t ticks) noexcept nogil:
        """Lowest occupied Up tick >= ticks, -1 if none."""
        cdef int64_t w, s
        cdef uint64_t bits
        if ticks > TOP:
            return -1
        w = ticks >> 6
        bits = self.occupied[k][w] & ((~(<uint64_t> 0)) << (ticks & 63))
        if bits:
            return (w << 6) + __builtin_ctzll(bits)
        s = w >> 6
        # shifted in two steps: a shift by 64 is undefined
        bits = self.summary[k][s] & (((~(<uint64_t> 0)) << (w & 63)) << 1)
        while bits == 0:
            s += 1
            if s == SUMMARY:
                return -1
            bits = self.summary[k][s]
        w = (s << 6) + __builtin_ctzll(bits)
        return (w << 6) + __builtin_ctzll(self.occupied[k][w])

    # -- Python only --------------------------------------------------------------------------

    def apply_events(self, EventBuffer events not None) -> int:
        """Apply every book event of a buffer, whatever its market; the number that changed the book."""
        cdef Py_ssize_t k
        cdef int changed = 0
        for k in range(events.n):
            changed += self.apply(&events.ev[k])
        return changed

    def walk(self, int outcome, int side, int64_t ushares, int64_t limit_ticks=-1) -> tuple[int, int, int]:
        """Take `ushares` as BUY or SELL: (filled micro-shares, notional micro-USD, worst ticks or -1)."""
        cdef Walk w
        self.take(outcome, side, ushares, limit_ticks, &w)
        return w.filled, w.notional, w.worst_ticks

    def levels(self, int outcome, int side, int n=-1) -> list[tuple[int, int]]:
        """First n levels (-1: all) of a resting side, best first: (ticks, micro-shares)."""
        cdef int64_t t = self._next(outcome, side, -1)
        found = []
        while t >= 0 and n != 0:
            found.append((t, self.size_at(outcome, side, t)))
            t = self._next(outcome, side, t)
            n -= 1
        return found
