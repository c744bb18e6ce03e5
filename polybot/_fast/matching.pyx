"""Price-time priority matching of one market, both outcomes on one mirrored book in Up terms.

Owns the resting queue of a market: FIFO per level, partial fills, FAK/FOK/GTC/GTD, post-only, and
self-trade prevention (a taker cancels its owner's resting orders it would hit and goes on, the
mode the venue documents as CancelMaker).  A BUY of Down at p is an ask at 1-p and a SELL of Down
at p a bid at 1-p: whether a match transfers, mints or merges shares is the caller's book-keeping.
Knows no accounts, balances, fees or time: GTC and GTD are the same here.  Called by the embedded
venue's exchange, by paper fills and by the backtest.
"""
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from polybot._fast.event cimport BUY, FAK, FOK, GTC, SELL

cdef extern from *:
    int __builtin_ctzll(unsigned long long) noexcept nogil
    int __builtin_clzll(unsigned long long) noexcept nogil

MAX_ORDERS = 1 << 20     # resting orders of one market; more is a caller that forgot to cancel
MAX_LADDER = 512         # quotes of one owner in one replace_ladder()
cdef int64_t SLOT_BITS = 20

assert MAX_ORDERS == 1 << SLOT_BITS
assert BUY == 0 and SELL == 1


cdef class MatchBook:
    """One market.  Sides are BUY (bid) and SELL (ask) in Up terms, prices 1..9999 ticks of 1e-4."""

    def __cinit__(self):
        self.level_of = <Level*> calloc(2 * PRICE_END, sizeof(Level))
        self.changed = <int32_t*> calloc(2 * PRICE_END, sizeof(int32_t))
        self.is_changed = <uint8_t*> calloc(2 * PRICE_END, 1)
        if self.level_of == NULL or self.changed == NULL or self.is_changed == NULL:
            raise MemoryError()
        cdef Py_ssize_t k
        for k in range(2 * PRICE_END):
            self.level_of[k].first = self.level_of[k].last = -1
        memset(self.occupied, 0, sizeof(self.occupied))
        self.best[0] = self.best[1] = -1
        self.free_slot = -1
        self.ladders = {}

    def __dealloc__(self):
        free(self.level_of)
        free(self.changed)
        free(self.is_changed)
        free(self.orders)
        free(self.leg)
        free(self.self_hit)

    # ---- the core, for Cython callers

    cdef int64_t add(self, int side, int price, int64_t ushares, int owner) except -1:
        """Rest an order at the end of its level without matching; returns its handle (> 0)."""
        assert 0 < price < PRICE_END and ushares > 0
        cdef int32_t slot = self._new_slot()
        cdef Resting* o = &self.orders[slot]
        cdef Level* level = &self.level_of[side * PRICE_END + price]
        self.serial += 1
        o.handle = (self.serial << SLOT_BITS) | slot
        o.ushares = ushares
        o.owner = owner
        o.price = price
        o.side = side
        o.behind = -1
        o.ahead = level.last
        if level.last >= 0:
            self.orders[level.last].behind = slot
        else:
            level.first = slot
            self._level_filled(side, price)
        level.last = slot
        level.ushares += ushares
        self.live += 1
        self._touch(side, price)
        return o.handle

    cdef int64_t remove(self, int64_t handle) noexcept:
        """Take an order out; returns the micro-shares that rested, 0 when it is not there."""
        cdef Resting* o = self.find(handle)
        if o == NULL:
            return 0
        cdef int64_t rested = o.ushares
        self._drop_slot(<int32_t> (o - self.orders))
        return rested

    cdef int match(self, int side, int price, int64_t ushares, int owner, int order_type, bint post_only) except -1:
        """Match, then rest or kill the remainder as the type says; returns a MatchResult."""
        self.n_legs = self.n_self_hit = 0
        self.filled = self.rested = 0
        if price <= 0 or price >= PRICE_END or ushares <= 0:
            return MATCH_INVALID
        cdef bint taking = self.crosses(side, price)
        if post_only and taking:
            return MATCH_CROSSES
        if order_type == FOK and self.reachable(side, price, ushares, owner) < ushares:
            return MATCH_KILLED
        if taking:
            self.filled = self._take(side, price, ushares, owner)
        if self.filled == ushares:
            return MATCH_FILLED
        if order_type == FAK or order_type == FOK:
            return MATCH_PARTIAL_KILLED if self.filled else MATCH_KILLED
        self.rested = self.add(side, price, ushares - self.filled, owner)
        return MATCH_PARTIAL_RESTED if self.filled else MATCH_RESTED

    cdef bint crosses(self, int side, int price) noexcept:
        cdef int32_t opposite = self.best[1 - side]
        if opposite < 0:
            return False
        return opposite <= price if side == BUY else opposite >= price

    cdef int64_t reachable(self, int side, int price, int64_t ushares, int owner) noexcept:
        """Micro-shares of other owners a taker could get within its limit, counted up to ushares."""
        cdef int64_t got = 0
        cdef int p = self.best[1 - side]
        cdef int32_t slot
        while p >= 0 and got < ushares and (p <= price if side == BUY else p >= price):
            slot = self.level_of[(1 - side) * PRICE_END + p].first
            while slot >= 0:
                if self.orders[slot].owner != owner:
                    got += self.orders[slot].ushares
                slot = self.orders[slot].behind
            p = self._worse(1 - side, p)
        return got if got < ushares else ushares

    cdef Resting* find(self, int64_t handle) noexcept:
        cdef int64_t slot = handle & ((<int64_t> 1 << SLOT_BITS) - 1)
        if handle <= 0 or slot >= self.n_slots or self.orders[slot].handle != handle:
            return NULL
        return &self.orders[slot]

    # ---- inner steps

    cdef int64_t _take(self, int side, int limit, int64_t ushares, int owner) except -1:
        cdef int64_t want = ushares
        cdef int against = 1 - side
        cdef Resting* o
        cdef Leg* leg
        cdef int32_t slot
        while want > 0 and self.crosses(side, limit):
            slot = self.level_of[against * PRICE_END + self.best[against]].first
            o = &self.orders[slot]
            if o.owner == owner:
                self._note_self_hit(o.handle)
                self._drop_slot(slot)
                continue
            leg = self._new_leg()
            leg.handle = o.handle
            leg.owner = o.owner
            leg.price = o.price
            leg.ushares = want if want < o.ushares else o.ushares
            leg.left = o.ushares - leg.ushares
            want -= leg.ushares
            if leg.left == 0:
                self._drop_slot(slot)
            else:
                o.ushares = leg.left
                self.level_of[against * PRICE_END + o.price].ushares -= leg.ushares
                self._touch(against, o.price)
        return ushares - want

    cdef void _drop_slot(self, int32_t slot) noexcept:
        cdef Resting* o = &self.orders[slot]
        cdef Level* level = &self.level_of[o.side * PRICE_END + o.price]
        level.ushares -= o.ushares
        if o.ahead >= 0:
            self.orders[o.ahead].behind = o.behind
        else:
            level.first = o.behind
        if o.behind >= 0:
            self.orders[o.behind].ahead = o.ahead
        else:
            level.last = o.ahead
        self._touch(o.side, o.price)
        if level.first < 0:
            self._level_emptied(o.side, o.price)
        o.handle = 0
        o.behind = self.free_slot
        self.free_slot = slot
        self.live -= 1

    cdef void _touch(self, int side, int price) noexcept:
        cdef int32_t key = side * PRICE_END + price
        if not self.is_changed[key]:
            self.is_changed[key] = 1
            self.changed[self.n_changed] = key
            self.n_changed += 1

    cdef void _level_filled(self, int side, int price) noexcept:
        cdef int32_t best = self.best[side]
        self.occupied[side][price >> 6] |= <uint64_t> 1 << (price & 63)
        if best < 0 or (price > best if side == BUY else price < best):
            self.best[side] = price

    cdef void _level_emptied(self, int side, int price) noexcept:
        self.occupied[side][price >> 6] &= ~(<uint64_t> 1 << (price & 63))
        if self.best[side] == price:
            self.best[side] = self._worse(side, price)

    cdef int _worse(self, int side, int price) noexcept:
        """Next occupied price behind this one, -1 when there is none."""
        cdef uint64_t* words = self.occupied[side]
        cdef int w = price >> 6
        cdef uint64_t rest
        if side == BUY:
            rest = words[w] & ((<uint64_t> 1 << (price & 63)) - 1)
            while rest == 0 and w > 0:
                w -= 1
                rest = words[w]
            return (w << 6) + 63 - __builtin_clzll(rest) if rest else -1
        rest = words[w] & ~(((<uint64_t> 1 << (price & 63)) - 1) | <uint64_t> 1 << (price & 63))
        while rest == 0 and w < BITMAP_WORDS - 1:
            w += 1
            rest = words[w]
        return (w << 6) + __builtin_ctzll(rest) if rest else -1

    cdef int32_t _new_slot(self) except -2:
        cdef int32_t slot = self.free_slot
        cdef void* grown
        if slot >= 0:
            self.free_slot = self.orders[slot].behind
            return slot
        if self.n_slots == self.slot_capacity:
            if self.slot_capacity == MAX_ORDERS:
                raise MemoryError("more resting orders in one market than any venue holds")
            self.slot_capacity = self.slot_capacity * 2 if self.slot_capacity else 256
            grown = realloc(self.orders, self.slot_capacity * sizeof(Resting))
            if grown == NULL:
                raise MemoryError()
            self.orders = <Resting*> grown
        self.n_slots += 1
        return <int32_t> self.n_slots - 1

    cdef Leg* _new_leg(self) except NULL:
        cdef void* grown
        if self.n_legs == self.leg_capacity:
            self.leg_capacity = self.leg_capacity * 2 if self.leg_capacity else 64
            grown = realloc(self.leg, self.leg_capacity * sizeof(Leg))
            if grown == NULL:
                raise MemoryError()
            self.leg = <Leg*> grown
        self.n_legs += 1
        return &self.leg[self.n_legs - 1]

    cdef int _note_self_hit(self, int64_t handle) except -1:
        cdef void* grown
        if self.n_self_hit == self.self_hit_capacity:
            self.self_hit_capacity = self.self_hit_capacity * 2 if self.self_hit_capacity else 16
            grown = realloc(self.self_hit, self.self_hit_capacity * sizeof(int64_t))
            if grown == NULL:
                raise MemoryError()
            self.self_hit = <int64_t*> grown
        self.self_hit[self.n_self_hit] = handle
        self.n_self_hit += 1
        return 0

    # ---- what Python sees

    def submit(self, side: int, price: int, ushares: int, owner: int, order_type: int = GTC,
               post_only: bool = False) -> int:
        """Match an order; returns a MatchResult, details in filled, rested, legs() and self_hits()."""
        if side != BUY and side != SELL:
            raise ValueError("side is 0 (bid) or 1 (ask)")
        return self.match(side, price, ushares, owner, order_type, post_only)

    def cancel(self, handle: int) -> int:
        """Take an order out; returns the micro-shares that rested, 0 when it is not there."""
        return self.remove(handle)

    def cancel_owner(self, owner: int) -> list:
        """Take out every order of one owner; returns their handles, oldest slot first."""
        cdef Py_ssize_t slot
        cdef list gone = []
        for slot in range(self.n_slots):
            if self.orders[slot].handle and self.orders[slot].owner == owner:
                gone.append(self.orders[slot].handle)
                self._drop_slot(<int32_t> slot)
        self.ladders.pop(owner, None)
        return gone

    def legs(self) -> list:
        """(handle, owner, price, micro-shares, left) per resting order hit by the last submit()."""
        return [(self.leg[k].handle, self.leg[k].owner, self.leg[k].price, self.leg[k].ushares, self.leg[k].left)
                for k in range(self.n_legs)]

    def self_hits(self) -> list:
        """Handles of the taker's own resting orders the last submit() cancelled."""
        return [self.self_hit[k] for k in range(self.n_self_hit)]

    def would_cross(self, side: int, price: int) -> bool:
        """Whether an order at this price would take something now."""
        return self.crosses(side, price)

    def fillable(self, side: int, price: int, ushares: int, owner: int) -> int:
        """Micro-shares of other owners within the limit, counted up to ushares."""
        return self.reachable(side, price, ushares, owner)

    def replace_ladder(self, owner: int, quotes: list) -> int:
        """Make `quotes` [(side, price, micro-shares)] this owner's ladder; returns how many were refused.

        Orders of the previous ladder with the same side, price and remaining size keep their place
        in the queue, the others are cancelled first; a quote that would take is refused.
        """
        if len(quotes) > MAX_LADDER:
            raise ValueError(f"a ladder has at most {MAX_LADDER} quotes")
        cdef list kept = []
        cdef bytearray used = bytearray(len(quotes))
        cdef Py_ssize_t k
        cdef int side, price, refused = 0
        cdef int64_t ushares, handle
        for handle in self.ladders.get(owner, ()):
            if self._kept(handle, quotes, used):
                kept.append(handle)
            else:
                self.remove(handle)
        for k in range(len(quotes)):
            if used[k]:
                continue
            side, price, ushares = quotes[k]
            if price <= 0 or price >= PRICE_END or ushares <= 0 or self.crosses(side, price):
                refused += 1
            else:
                kept.append(self.add(side, price, ushares, owner))
        self.ladders[owner] = kept
        return refused

    cdef int _kept(self, int64_t handle, list quotes, bytearray used) except -1:
        cdef Resting* o = self.find(handle)
        cdef Py_ssize_t k
        cdef tuple quote
        if o == NULL:
            return 0
        for k in range(len(quotes)):
            quote = quotes[k]
            if not used[k] and <int64_t> quote[1] == o.price and <int> quote[0] == o.side and <int64_t> quote[2] == o.ushares:
                used[k] = 1
                return 1
        return 0

    def best_bid(self) -> int:
        """Highest bid in ticks, -1 when there is none."""
        return self.best[0]

    def best_ask(self) -> int:
        """Lowest ask in ticks, -1 when there is none."""
        return self.best[1]

    def size_at(self, side: int, price: int) -> int:
        """Micro-shares resting at one price."""
        if not 0 < price < PRICE_END or not 0 <= side <= 1:
            return 0
        return self.level_of[side * PRICE_END + price].ushares

    def levels(self, side: int, limit: int = PRICE_END) -> list:
        """(price, micro-shares) per level, best first."""
        cdef list out = []
        cdef int p = self.best[side]
        while p >= 0 and len(out) < limit:
            out.append((p, self.level_of[side * PRICE_END + p].ushares))
            p = self._worse(side, p)
        return out

    def queue(self, side: int, price: int) -> list:
        """(handle, owner, micro-shares) of one level, first in line first."""
        cdef list out = []
        cdef int32_t slot = self.level_of[side * PRICE_END + price].first
        while slot >= 0:
            out.append((self.orders[slot].handle, self.orders[slot].owner, self.orders[slot].ushares))
            slot = self.orders[slot].behind
        return out

    def resting(self, handle: int) -> tuple | None:
        """(side, price, micro-shares, micro-shares ahead in the queue), None when it is not there."""
        cdef Resting* o = self.find(handle)
        cdef int64_t ahead = 0
        cdef int32_t slot
        if o == NULL:
            return None
        slot = o.ahead
        while slot >= 0:
            ahead += self.orders[slot].ushares
            slot = self.orders[slot].ahead
        return o.side, o.price, o.ushares, ahead

    def drain_changes(self) -> list:
        """(side, price, micro-shares now) of every level touched since the last call, oldest touch first."""
        cdef list out = []
        cdef Py_ssize_t k
        cdef int32_t key
        for k in range(self.n_changed):
            key = self.changed[k]
            self.is_changed[key] = 0
            out.append((key // PRICE_END, key % PRICE_END, self.level_of[key].ushares))
        self.n_changed = 0
        return out

    def forget_changes(self) -> None:
        """As drain_changes() when nobody listens."""
        cdef Py_ssize_t k
        for k in range(self.n_changed):
            self.is_changed[self.changed[k]] = 0
        self.n_changed = 0
