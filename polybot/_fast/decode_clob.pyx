"""Decoder of the CLOB market channel: one object or an array of objects per frame, keys in any order.

Levels and changes are read where they stand, before it is known whose they are: their events are
appended at once, then stamped with market, outcome and time when the object ends, or dropped.
What is wrong with them matters only if the object turns out to be ours, so it is kept until then.
Prices are exact ticks on the 1e-4 grid, sizes exact micro-shares; a finer price is skipped, counted
and answered with EV_TICK_SIZE 0 ("fetch it again").  Object without `event_type` but with bids, asks
and asset_id: the REST book.  Must not keep a book.  Called by feeds.polymarket and tape importers.
"""
from libc.stdint cimport int32_t, int64_t, uint16_t, uint64_t
from libc.string cimport memcpy, memset

from polybot._fast.clob_fields cimport (
    Change,
    ClobFields,
    Quote,
    fill_quote,
    fill_trade,
    forget,
    id_head,
    same_hex,
    slot_of,
    to_best,
    to_shares,
    to_side,
    to_tick_size,
    to_ticks,
    usual_change,
    usual_level,
    usual_quote,
)
from polybot._fast.event cimport (
    BUY,
    EV_BOOK_DELTA,
    EV_BOOK_LEVEL,
    EV_BOOK_SNAPSHOT,
    EV_PUBLIC_QUOTE,
    EV_PUBLIC_TRADE,
    EV_RESOLVED,
    EV_TICK_SIZE,
    NO_MARKET,
    SELL,
    Event,
    EventBuffer,
)
from polybot._fast.scan cimport (
    DEC_IGNORED,
    DEC_MALFORMED,
    DEC_OK,
    DEC_UNKNOWN_TOKEN,
    DEC_UNSUPPORTED,
    TOK_ARRAY,
    TOK_NONE,
    TOK_STRING,
    TOO_FINE,
    Cursor,
    FrameDecoder,
    Token,
    at_end,
    fail,
    is_string,
    keep,
    next_member,
    push,
    read_key,
    read_once,
    read_token,
    same,
    skip_space,
    to_stamp,
    usual_pair,
)

COUNT_NAMES = ("objects", "books", "levels", "price_changes", "changes", "quotes", "trades", "tick_sizes",
               "resolved", "other", "unknown_token", "market_mismatch", "off_grid")
assert len(COUNT_NAMES) == N_COUNTS


# -- levels -----------------------------------------------------------------------------------

cdef bint _read_level(Cursor* c, ClobFields* f, int side, EventBuffer out) noexcept:
    """Read one {"price":..,"size":..}; appends an EV_BOOK_LEVEL."""
    cdef ClobFields level
    cdef Token key, other
    cdef Token* slot
    cdef int64_t ticks = 0, ushares = 0
    cdef bint more, first = True
    cdef int rc, fine
    level.price.kind = TOK_NONE
    level.size.kind = TOK_NONE
    if c.p[0] != c"{":
        return fail(c, DEC_MALFORMED)
    c.p += 1
    while True:
        if not next_member(c, c"}", first, &more):
            return False
        if not more:
            break
        first = False
        if not read_key(c, &key):
            return False
        slot = &level.price if same(&key, b"price", 5) else (&level.size if same(&key, b"size", 4) else NULL)
        if not (read_token(c, &other) if slot == NULL else read_once(c, slot)):
            return False
    fine = to_ticks(&level.price, &ticks)
    rc = to_shares(&level.size, &ushares)
    if rc != DEC_OK or (fine != DEC_OK and fine != TOO_FINE):
        return fail(c, rc if rc == DEC_MALFORMED or fine == DEC_OK or fine == TOO_FINE else fine)
    if fine == TOO_FINE:
        f.levels_off_grid += 1
    else:
        _push_level(out, side, ticks, ushares)
        f.levels += 1
    return True


cdef inline void _push_level(EventBuffer out, int side, int64_t ticks, int64_t ushares) noexcept:
    cdef Event* e = push(out, EV_BOOK_LEVEL)
    e.side = side
    e.i = ticks
    e.j = ushares


# -- objects ----------------------------------------------------------------------------------

cdef class ClobDecoder(FrameDecoder):
    """Decoder of the market channel for the markets added to it."""

    def add_market(self, int index, bytes token_up not None, bytes token_down not None,
                   bytes condition_id not None=b"") -> None:
        """Accept frames of a market; replaces what was added under the same index.

        Without condition_id the `market` field of frames is not checked.
        """
        cdef int row = self._free_row(index)
        cdef Slot* s = &self.table[row]
        cdef int outcome
        if not 0 <= index < NO_MARKET:
            raise ValueError(f"market index {index} is out of range")
        if not 0 < len(token_up) <= MAX_ID or not 0 < len(token_down) <= MAX_ID or len(condition_id) > MAX_ID:
            raise ValueError("token ids have 1..80 bytes, a condition id at most 80")
        if token_up == token_down or self._holds(token_up, index) or self._holds(token_down, index):
            raise ValueError("a token id stands for one outcome of one market")
        memset(s, 0, sizeof(Slot))
        s.used = 1
        s.market = index
        s.condition_n = <int> len(condition_id)
        memcpy(s.condition, <const char*> condition_id, s.condition_n)
        for outcome, token in enumerate((token_up, token_down)):
            s.token_n[outcome] = <int> len(token)
            memcpy(s.token[outcome], <const char*> (<bytes> token), s.token_n[outcome])
            s.head[outcome] = id_head(<const char*> (<bytes> token), s.token_n[outcome])
        self.rows = max(self.rows, row + 1)

    def remove_market(self, int index) -> None:
        """Stop accepting frames of a market; one never added is no error."""
        cdef int row
        for row in range(self.rows):
            if self.table[row].used and self.table[row].market == index:
                self.table[row].used = 0

    def markets(self) -> list[int]:
        """Market indices added, in no particular order."""
        return [self.table[row].market for row in range(self.rows) if self.table[row].used]

    def counters(self) -> dict[str, int]:
        """What was read so far, by name."""
        counts = {name: self.total[k] for k, name in enumerate(COUNT_NAMES)}
        return {**FrameDecoder.counters(self), **counts}

    def _free_row(self, int index) -> int:
        cdef int row
        for row in range(self.rows):
            if self.table[row].used and self.table[row].market == index:
                return row
        for row in range(MAX_MARKETS):
            if not self.table[row].used:
                return row
        raise ValueError(f"more than {MAX_MARKETS} markets on one decoder")

    def _holds(self, bytes token, int index) -> bool:
        """True when another market than `index` has this token."""
        cdef Token id
        cdef int outcome = 0, row
        id.p = token
        id.n = <int32_t> len(token)
        id.kind = TOK_STRING
        row = self._find_token(&id, &outcome)
        return row >= 0 and self.table[row].market != index

    cdef int _find_token(self, const Token* id, int* outcome) noexcept nogil:
        """Table row of a token_id, -1 when nobody added it."""
        cdef uint64_t head = id_head(id.p, id.n)
        cdef int row, k
        for row in range(self.rows):
            for k in range(2):
                if (self.table[row].head[k] == head and self.table[row].used
                        and same(id, self.table[row].token[k], self.table[row].token_n[k])):
                    outcome[0] = k
                    return row
        return -1

    cdef int read_frame(self, Cursor* c, int64_t recv_ns, EventBuffer out) noexcept:
        cdef Py_ssize_t mark = out.n
        cdef bint more, first = True
        cdef int k
        memset(self.now, 0, sizeof(self.now))
        if c.p[0] == c"[":
            c.p += 1
            while True:
                if not next_member(c, c"]", first, &more):
                    return c.rc
                if not more:
                    break
                first = False
                if not self._read_object(c, recv_ns, out):
                    return c.rc
        elif not self._read_object(c, recv_ns, out):
            return c.rc
        if not at_end(c):
            return c.rc
        for k in range(N_COUNTS):
            self.total[k] += self.now[k]
        if self.now[N_UNKNOWN_TOKEN] or self.now[N_MARKET_MISMATCH]:
            return DEC_UNKNOWN_TOKEN
        return DEC_OK if out.n > mark else DEC_IGNORED

    cdef bint _read_object(self, Cursor* c, int64_t recv_ns, EventBuffer out) noexcept:
        """Read one object and append what it means."""
        cdef ClobFields f
        cdef Py_ssize_t head = out.n
        cdef Token key, value
        cdef bint more, first = True
        cdef int rc
        cdef Quote quote
        cdef const char* after = usual_quote(c.p, c.end, &quote)
        if after != NULL:
            c.p = after
            return _on_quote(self, &quote, c, recv_ns, out)
        forget(&f)
        if c.p[0] != c"{":
            return fail(c, DEC_MALFORMED)
        c.p += 1
        while True:
            if not next_member(c, c"}", first, &more):
                return False
            if not more:
                break
            first = False
            if usual_pair(c, &key, &value):
                if not keep(c, slot_of(&f, &key), &value):
                    return False
            elif not read_key(c, &key) or not self._read_value(c, &key, &f, out):
                return False
        self.now[N_OBJECTS] += 1
        rc = self._finish(&f, head, recv_ns, out)
        return True if rc == DEC_OK else fail(c, rc)

    cdef bint _read_value(self, Cursor* c, const Token* key, ClobFields* f, EventBuffer out) noexcept:
        cdef Token other
        cdef Token* slot
        if same(key, b"bids", 4):
            return self._read_levels(c, &f.bids, BUY, f, out)
        if same(key, b"asks", 4):
            return self._read_levels(c, &f.asks, SELL, f, out)
        if same(key, b"price_changes", 13):
            return self._read_changes(c, f, out)
        slot = slot_of(f, key)
        return read_token(c, &other) if slot == NULL else read_once(c, slot)

    cdef bint _read_levels(self, Cursor* c, Token* slot, int side, ClobFields* f, EventBuffer out) noexcept:
        """Append one side of a book; what is not one leaves `bad` and is skipped."""
        cdef const char* start
        cdef const char* after
        cdef int64_t ticks = 0, ushares = 0
        cdef Py_ssize_t before
        cdef bint more, first = True
        if slot.kind != TOK_NONE:
            return fail(c, DEC_UNSUPPORTED)
        if not skip_space(c):
            return fail(c, DEC_MALFORMED)
        if f.bids.kind == TOK_NONE and f.asks.kind == TOK_NONE:
            push(out, EV_BOOK_SNAPSHOT)
        start = c.p
        before = out.n
        if c.p[0] == c"[":
            c.p += 1
            while next_member(c, c"]", first, &more):
                if not more:
                    slot.kind = TOK_ARRAY
                    return True
                first = False
                after = usual_level(c.p, c.end, &ticks, &ushares)
                if after != NULL:
                    c.p = after
                    _push_level(out, side, ticks, ushares)
                    f.levels += 1
                elif not _read_level(c, f, side, out):
                    break
            f.bad_levels = max(f.bad_levels, c.rc)
        else:
            f.bad_levels = DEC_MALFORMED
        c.p = start
        c.rc = DEC_OK
        out.n = before
        return read_token(c, slot)

    cdef bint _read_changes(self, Cursor* c, ClobFields* f, EventBuffer out) noexcept:
        """Append the changes of a price_change; what is not one leaves `bad` and is skipped."""
        cdef const char* start
        cdef Py_ssize_t before = out.n
        cdef bint more, first = True
        if f.changes.kind != TOK_NONE:
            return fail(c, DEC_UNSUPPORTED)
        if not skip_space(c):
            return fail(c, DEC_MALFORMED)
        start = c.p
        if c.p[0] == c"[":
            c.p += 1
            while next_member(c, c"]", first, &more):
                if not more:
                    f.changes.kind = TOK_ARRAY
                    return True
                first = False
                if not self._read_change(c, f, out):
                    break
            f.bad_changes = c.rc
        else:
            f.bad_changes = DEC_MALFORMED
        c.p = start
        c.rc = DEC_OK
        out.n = before
        return read_token(c, &f.changes)

    cdef bint _read_change(self, Cursor* c, ClobFields* f, EventBuffer out) noexcept:
        cdef ClobFields item
        cdef Change change
        cdef Token key, other
        cdef Token* slot
        cdef bint more, first = True
        cdef const char* after = usual_change(c.p, c.end, &change)
        cdef int rc
        if after != NULL:
            c.p = after
            self._add_change(&change, f, False, out)
            return True
        forget(&item)
        if c.p[0] != c"{":
            return fail(c, DEC_MALFORMED)
        c.p += 1
        while True:
            if not next_member(c, c"}", first, &more):
                return False
            if not more:
                break
            first = False
            if usual_pair(c, &key, &other):
                if not keep(c, slot_of(&item, &key), &other):
                    return False
                continue
            if not read_key(c, &key):
                return False
            slot = slot_of(&item, &key)
            if not (read_token(c, &other) if slot == NULL else read_once(c, slot)):
                return False
        rc = self._on_change(&item, f, out)
        return True if rc == DEC_OK else fail(c, rc)

    cdef int _on_change(self, const ClobFields* item, ClobFields* f, EventBuffer out) noexcept:
        """Check one change; one of an unknown token is not looked at any closer."""
        cdef Change change
        cdef int outcome = 0, fine, rc
        if item.asset_id.kind != TOK_STRING:
            return DEC_MALFORMED
        change.token = item.asset_id
        if self._find_token(&change.token, &outcome) >= 0:
            change.side = to_side(&item.side)
            fine = to_ticks(&item.price, &change.ticks)
            rc = fine if fine != TOO_FINE else DEC_OK
            if rc == DEC_OK:
                rc = to_shares(&item.size, &change.ushares)
            if rc == DEC_OK:
                rc = to_best(&item.best_bid, &change.bid, &f.deltas_off_grid)
            if rc == DEC_OK:
                rc = to_best(&item.best_ask, &change.ask, &f.deltas_off_grid)
            if rc != DEC_OK or change.side < 0:
                return DEC_MALFORMED if rc == DEC_OK else rc
        else:
            fine = DEC_OK
        self._add_change(&change, f, fine == TOO_FINE, out)
        return DEC_OK

    cdef void _add_change(self, const Change* change, ClobFields* f, bint off_grid, EventBuffer out) noexcept:
        """Append one change as EV_BOOK_DELTA, unless its token is unknown or its price off the grid."""
        cdef int outcome = 0
        cdef int row = self._find_token(&change.token, &outcome)
        cdef Event* e
        if row < 0:
            f.unknown += 1
            return
        f.mixed = f.mixed or (f.slot >= 0 and f.slot != row)
        f.slot = row if f.slot < 0 else f.slot
        if off_grid:
            f.deltas_off_grid += 1
            return
        f.deltas += 1
        e = push(out, EV_BOOK_DELTA)
        e.market = <uint16_t> self.table[row].market
        e.outcome = outcome
        e.side = change.side
        e.i = change.ticks
        e.j = change.ushares
        e.x = <double> change.bid
        e.y = <double> change.ask

    # -- meaning ------------------------------------------------------------------------------

    cdef int _finish(self, ClobFields* f, Py_ssize_t head, int64_t recv_ns, EventBuffer out) noexcept:
        """Tell the type of a whole object, stamp or drop its events."""
        cdef const Token* kind = &f.event_type
        if kind.kind == TOK_NONE and f.bids.kind != TOK_NONE and f.asks.kind != TOK_NONE \
                and f.asset_id.kind != TOK_NONE or is_string(kind, b"book", 4):
            _keep_only(out, head, f, EV_BOOK_DELTA)
            return self._on_book(f, head, recv_ns, out)
        if is_string(kind, b"price_change", 12):
            _keep_only(out, head, f, EV_BOOK_SNAPSHOT)
            return self._on_price_change(f, head, recv_ns, out)
        out.n = head
        if is_string(kind, b"best_bid_ask", 12):
            return self._on_single(f, EV_PUBLIC_QUOTE, recv_ns, out)
        if is_string(kind, b"last_trade_price", 16):
            return self._on_single(f, EV_PUBLIC_TRADE, recv_ns, out)
        if is_string(kind, b"tick_size_change", 16):
            return self._on_single(f, EV_TICK_SIZE, recv_ns, out)
        if is_string(kind, b"market_resolved", 15):
            return self._on_single(f, EV_RESOLVED, recv_ns, out)
        self.now[N_OTHER] += 1
        return DEC_OK

    cdef int _resolve(self, const ClobFields* f, const Token* id, int* outcome) noexcept:
        """Table row of the token an object is about; -1 when it is not ours (counted), -2 malformed."""
        cdef int row
        if id.kind != TOK_STRING:
            return -2
        row = self._find_token(id, outcome)
        if row < 0:
            self.now[N_UNKNOWN_TOKEN] += 1
        elif not self._is_market(f, row):
            self.now[N_MARKET_MISMATCH] += 1
            row = -1
        return row

    cdef bint _is_market(self, const ClobFields* f, int row) noexcept nogil:
        """False when an object names another condition_id than that of its token."""
        cdef const Slot* s = &self.table[row]
        if f.market.kind != TOK_STRING or f.market.n == 0 or s.condition_n == 0:
            return True
        return same_hex(&f.market, s.condition, s.condition_n)

    cdef int _on_book(self, ClobFields* f, Py_ssize_t head, int64_t recv_ns, EventBuffer out) noexcept:
        cdef int64_t venue_ns = 0, tick_size = 0
        cdef int outcome = 0, rc
        cdef int row = self._resolve(f, &f.asset_id, &outcome)
        if row < 0:
            out.n = head
            return DEC_MALFORMED if row == -2 else DEC_OK
        if f.bad_levels != DEC_OK:
            return f.bad_levels
        if f.bids.kind != TOK_ARRAY or f.asks.kind != TOK_ARRAY:
            return DEC_MALFORMED
        rc = to_stamp(&f.timestamp, &venue_ns)
        if rc == DEC_OK:
            rc = to_tick_size(&f.tick_size, &tick_size, &f.off_grid)
        if rc != DEC_OK:
            return rc
        out.ev[head].i = tick_size
        self.now[N_BOOKS] += 1
        self.now[N_LEVELS] += f.levels
        self._refetch(f.off_grid + f.levels_off_grid, row, out)
        _stamp(out, head, recv_ns, venue_ns, self.table[row].market, outcome)
        return DEC_OK

    cdef int _on_price_change(self, ClobFields* f, Py_ssize_t head, int64_t recv_ns, EventBuffer out) noexcept:
        cdef int64_t venue_ns = 0
        cdef Py_ssize_t k
        cdef int rc
        if f.bad_changes != DEC_OK:
            return f.bad_changes
        if f.changes.kind != TOK_ARRAY:
            return DEC_MALFORMED
        rc = to_stamp(&f.timestamp, &venue_ns)
        if rc != DEC_OK:
            return rc
        self.now[N_UNKNOWN_TOKEN] += f.unknown
        if f.slot >= 0 and ((f.mixed and f.market.kind == TOK_STRING and f.market.n > 0)
                            or not self._is_market(f, f.slot)):
            self.now[N_MARKET_MISMATCH] += 1
            out.n = head
            return DEC_OK
        self.now[N_PRICE_CHANGES] += 1
        self.now[N_CHANGES] += f.deltas
        self._refetch(f.deltas_off_grid, f.slot, out)
        for k in range(head, out.n):
            out.ev[k].recv_ns = recv_ns
            out.ev[k].venue_ns = venue_ns
        return DEC_OK

    cdef int _on_single(self, ClobFields* f, int kind, int64_t recv_ns, EventBuffer out) noexcept:
        """An object that is one event."""
        cdef Py_ssize_t head = out.n
        cdef int64_t venue_ns = 0
        cdef int outcome = 0, rc
        cdef int row = self._resolve(f, &f.winner if kind == EV_RESOLVED else &f.asset_id, &outcome)
        cdef Event* e
        if row < 0:
            return DEC_MALFORMED if row == -2 else DEC_OK
        rc = to_stamp(&f.timestamp, &venue_ns)
        if rc != DEC_OK:
            return rc
        e = push(out, kind)
        if kind == EV_PUBLIC_QUOTE:
            rc = fill_quote(f, e)
            self.now[N_QUOTES] += 1
        elif kind == EV_PUBLIC_TRADE:
            rc = fill_trade(f, e)
            self.now[N_TRADES] += 1
        elif kind == EV_TICK_SIZE:
            rc = to_tick_size(&f.new_tick_size, &e.i, &f.off_grid)
            rc = DEC_MALFORMED if rc == DEC_OK and e.i == 0 and f.off_grid == 0 else rc
            self.now[N_TICK_SIZES] += 1
        else:
            self.now[N_RESOLVED] += 1
        if f.off_grid:
            out.n = head
            self._refetch(f.off_grid, row, out)
        _stamp(out, head, recv_ns, venue_ns, self.table[row].market, outcome)
        return rc

    cdef void _refetch(self, int off_grid, int row, EventBuffer out) noexcept:
        """Ask for the tick size once per object that held prices off the grid."""
        cdef Event* e
        if off_grid == 0:
            return
        self.now[N_OFF_GRID] += off_grid
        e = push(out, EV_TICK_SIZE)
        e.market = <uint16_t> self.table[row].market


cdef bint _on_quote(ClobDecoder d, const Quote* q, Cursor* c, int64_t recv_ns, EventBuffer out) noexcept:
    """Append a quote in its usual spelling: what _on_single does of any spelling."""
    cdef ClobFields f
    cdef int64_t venue_ns = 0
    cdef int outcome = 0, row, rc
    cdef Event* e
    d.now[N_OBJECTS] += 1
    f.market = q.market
    row = d._resolve(&f, &q.token, &outcome)
    if row < 0:
        return True
    rc = to_stamp(&q.stamp, &venue_ns)
    if rc != DEC_OK:
        return fail(c, rc)
    e = push(out, EV_PUBLIC_QUOTE)
    e.x = -1.0 if q.bid <= 0 else <double> q.bid
    e.y = <double> q.ask
    e.recv_ns = recv_ns
    e.venue_ns = venue_ns
    e.market = <uint16_t> d.table[row].market
    e.outcome = outcome
    d.now[N_QUOTES] += 1
    return True


cdef void _keep_only(EventBuffer out, Py_ssize_t head, const ClobFields* f, int dropped) noexcept:
    """Drop the deltas, or the snapshot with its levels, of an object that came with both."""
    cdef Py_ssize_t k, kept = head
    if f.changes.kind == TOK_NONE or (f.bids.kind == TOK_NONE and f.asks.kind == TOK_NONE):
        return
    for k in range(head, out.n):
        if (out.ev[k].kind == EV_BOOK_DELTA) != (dropped == EV_BOOK_DELTA):
            out.ev[kept] = out.ev[k]
            kept += 1
    out.n = kept


cdef void _stamp(EventBuffer out, Py_ssize_t head, int64_t recv_ns, int64_t venue_ns, int market, int outcome) noexcept:
    """Complete the events of one object."""
    cdef Py_ssize_t k
    for k in range(head, out.n):
        out.ev[k].recv_ns = recv_ns
        out.ev[k].venue_ns = venue_ns
        out.ev[k].market = <uint16_t> market
        out.ev[k].outcome = outcome
