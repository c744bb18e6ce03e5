"""Decoder of the spot exchange: @trade, @aggTrade and @bookTicker frames, raw or combined.

Owns the continuity of trade ids of one symbol (duplicates dropped, holes flagged F_GAP) and of
quote ids.  Key order, white space, ms or us stamps and the old order-id fields `b`/`a` of trades
make no difference.  Other streams and control answers are DEC_IGNORED, counted.
Must not know about connections: a serverShutdown notice only shows in `shutdowns`.
Called by feeds.binance for every frame, by the recorder's importers and by the backtest.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memset

from polybot._fast.event cimport (
    BUY,
    EV_SPOT_QUOTE,
    EV_SPOT_TRADE,
    F_AGG,
    F_GAP,
    NO_MARKET,
    SELL,
    Event,
    EventBuffer,
)
from polybot._fast.scan cimport (
    DEC_IGNORED,
    DEC_MALFORMED,
    DEC_OK,
    DEC_UNSUPPORTED,
    DEC_WRONG_SYMBOL,
    PLAIN_DIGITS,
    POW10,
    TENS,
    TOK_FALSE,
    TOK_NONE,
    TOK_OBJECT,
    TOK_STRING,
    TOK_TRUE,
    TOO_FINE,
    Cursor,
    FrameDecoder,
    Token,
    at_end,
    fail,
    literal,
    next_member,
    push,
    read_key,
    read_once,
    read_token,
    same,
    stamp_ns,
    take_digits,
    to_double,
    to_fixed,
    to_int,
    to_stamp,
)

cdef enum:
    QUANTITY_DECIMALS = 8    # of EV_SPOT_QUOTE


cdef Token* _slot(SpotFields* f, const Token* key) noexcept nogil:
    """Where the value of a key belongs, NULL when it does not matter."""
    if key.n == 1:
        return _letter_slot(f, key.p[0])
    if same(key, b"data", 4):
        return &f.data
    if same(key, b"code", 4):
        return &f.code
    if same(key, b"error", 5):
        return &f.error
    return NULL


cdef Token* _letter_slot(SpotFields* f, char letter) noexcept nogil:
    if letter == c"e":
        return &f.e
    if letter == c"E":
        return &f.ee
    if letter == c"s":
        return &f.s
    if letter == c"t":
        return &f.t
    if letter == c"T":
        return &f.tt
    if letter == c"p":
        return &f.p
    if letter == c"q":
        return &f.q
    if letter == c"m":
        return &f.m
    if letter == c"f":
        return &f.f
    if letter == c"l":
        return &f.l
    if letter == c"a":
        return &f.a
    if letter == c"A":
        return &f.aa
    if letter == c"b":
        return &f.b
    if letter == c"B":
        return &f.bb
    if letter == c"u":
        return &f.u
    return NULL


cdef bint _read_fields(Cursor* c, SpotFields* f) noexcept nogil:
    """Read one object, keeping the spans of the values that may matter."""
    cdef Token key, other
    cdef Token* slot
    cdef bint more, first = True
    memset(f, 0, sizeof(SpotFields))
    if c.p[0] != c"{":
        return fail(c, DEC_MALFORMED)
    c.p += 1
    while True:
        if not next_member(c, c"}", first, &more):
            return False
        if not more:
            return True
        first = False
        if not read_key(c, &key):
            return False
        slot = _slot(f, &key)
        if not (read_token(c, &other) if slot == NULL else read_once(c, slot)):
            return False


# -- the usual spelling -----------------------------------------------------------------------
# What the exchange sends today, compact and in its order.  Each step returns the byte after what it
# read, or NULL for anything else, which then goes the general way above.

cdef inline const char* _whole(const char* p, const char* end, int64_t* value) noexcept nogil:
    """Up to 18 digits without leading zero."""
    cdef const char* first = p
    cdef uint64_t v = 0
    if p == NULL or p == end or p[0] == c"0":
        return NULL
    p = take_digits(p, end, &v)
    value[0] = <int64_t> v
    return p if 0 < p - first <= PLAIN_DIGITS else NULL


cdef inline const char* _decimal(const char* p, const char* end, double* value) noexcept nogil:
    """Digits, a point, digits: above zero, exact (see scan.pxd) and at most 18 digits."""
    cdef const char* first = p
    cdef const char* point
    cdef uint64_t m = 0
    if p == NULL or end - p < 2 or (p[0] == c"0" and p[1] != c"."):
        return NULL
    point = take_digits(p, end, &m)
    if point == end or point == first or point[0] != c".":
        return NULL
    p = take_digits(point + 1, end, &m)
    if p - point < 2 or p - first > PLAIN_DIGITS + 1 or m > <uint64_t> 1 << 53 or m == 0:
        return NULL
    value[0] = <double> m / POW10[p - point - 1]
    return p


cdef inline const char* _quantity(const char* p, const char* end, int64_t* value) noexcept nogil:
    """Digits, a point, up to eight digits: exact in units of 1e-8, at most 18 digits of them."""
    cdef const char* first = p
    cdef const char* point
    cdef uint64_t m = 0
    if p == NULL or end - p < 2 or (p[0] == c"0" and p[1] != c"."):
        return NULL
    point = take_digits(p, end, &m)
    if point == end or point == first or point - first > PLAIN_DIGITS - QUANTITY_DECIMALS or point[0] != c".":
        return NULL
    p = take_digits(point + 1, end, &m)
    if not 2 <= p - point <= QUANTITY_DECIMALS + 1:
        return NULL
    value[0] = <int64_t> m * TENS[QUANTITY_DECIMALS - (p - point - 1)]
    return p


cdef inline const char* _truth(const char* p, const char* end, bint* value) noexcept nogil:
    if p == NULL or end - p < 5:
        return NULL
    value[0] = memcmp(p, b"true", 4) == 0
    if value[0]:
        return p + 4
    return p + 5 if memcmp(p, b"false", 5) == 0 else NULL


cdef inline int _positive(const Token* t, double* value) noexcept:
    """A double above zero."""
    cdef int rc = to_double(t, 0, value)
    return DEC_MALFORMED if rc == DEC_OK and value[0] <= 0.0 else rc


cdef inline int _natural(const Token* t, int64_t* value) noexcept nogil:
    """An integer of zero or more."""
    cdef int rc = to_int(t, value)
    return DEC_MALFORMED if rc == DEC_OK and value[0] < 0 else rc


cdef class SpotDecoder(FrameDecoder):
    """Decoder of one symbol of the spot exchange.

    symbol: as the exchange spells it, in any case (BTCUSDT); market: market_index the events carry.
    """

    def __init__(self, str symbol not None, int market=NO_MARKET):
        if not symbol or not symbol.isascii():
            raise ValueError(f"symbol {symbol!r} is not plain ASCII")
        self._symbol = symbol.upper().encode("ascii")
        self._name = self._symbol
        self._name_n = <int> len(self._symbol)
        self._heads = tuple(f'{{"stream":"{symbol.lower()}@{stream}","data":'.encode("ascii")
                            for stream in ("trade", "bookTicker"))
        self._trade_head = <bytes> self._heads[0]
        self._trade_head_n = <int> len(self._heads[0])
        self._quote_head = <bytes> self._heads[1]
        self._quote_head_n = <int> len(self._heads[1])
        self.market = market
        self.last_trade_id = -1
        self.last_quote_id = -1

    def reset_ids(self) -> None:
        """Forget the last trade and quote id: what comes next starts a new sequence."""
        self.last_trade_id = -1
        self.last_quote_id = -1

    def counters(self) -> dict[str, int]:
        """What was read so far, by name."""
        return {
            **FrameDecoder.counters(self),
            "trades": self.trades, "quotes": self.quotes, "duplicates": self.duplicates,
            "overlaps": self.overlaps, "stale_quotes": self.stale_quotes, "empty_quotes": self.empty_quotes,
            "gaps": self.gaps, "missing_trades": self.missing_trades, "wrong_symbol": self.wrong_symbol,
            "shutdowns": self.shutdowns, "control_errors": self.control_errors,
        }

    cdef int read_frame(self, Cursor* c, int64_t recv_ns, EventBuffer out) noexcept:
        cdef SpotFields f
        cdef SpotTrade t
        cdef SpotQuote q
        cdef Cursor inner
        if self._usual_trade(c, &t):
            return self._emit_trade(&t, recv_ns, out)
        if self._usual_quote(c, &q):
            return self._emit_quote(&q, recv_ns, out)
        if not _read_fields(c, &f) or not at_end(c):
            return c.rc
        if f.data.kind == TOK_OBJECT:
            inner.p = f.data.p
            inner.end = f.data.p + f.data.n
            inner.rc = DEC_OK
            if not _read_fields(&inner, &f):
                return inner.rc
        return self._read_object(&f, recv_ns, out)

    cdef bint _usual_trade(self, const Cursor* c, SpotTrade* t) noexcept nogil:
        """Read a trade of our symbol, raw or combined, in its usual spelling; False: not that."""
        cdef const char* end = c.end
        cdef const char* p = literal(c.p, end, self._trade_head, self._trade_head_n)
        cdef bint combined = p != NULL
        cdef int64_t traded = 0, sent = 0
        p = literal(p if combined else c.p, end, b'{"e":"trade","E":', 17)
        p = literal(_whole(p, end, &sent), end, b',"s":"', 6)
        p = literal(literal(p, end, self._name, self._name_n), end, b'","t":', 6)
        p = literal(_whole(p, end, &t.last), end, b',"p":"', 6)
        p = literal(_decimal(p, end, &t.price), end, b'","q":"', 7)
        p = literal(_decimal(p, end, &t.quantity), end, b'","T":', 6)
        p = literal(_whole(p, end, &traded), end, b',"m":', 5)
        p = _truth(p, end, &t.buyer_is_maker)
        p = literal(p, end, b',"M":true', 9)
        p = literal(p, end, b"}}", 2) if combined else literal(p, end, b"}", 1)
        if p == NULL or p != end:
            return False
        t.first = t.last
        t.aggregated = False
        return stamp_ns(sent, &t.sent_ns) == DEC_OK and stamp_ns(traded, &t.traded_ns) == DEC_OK

    cdef bint _usual_quote(self, const Cursor* c, SpotQuote* q) noexcept nogil:
        """Read a quote of our symbol, raw or combined, in its usual spelling; False: not that."""
        cdef const char* end = c.end
        cdef const char* p = literal(c.p, end, self._quote_head, self._quote_head_n)
        cdef bint combined = p != NULL
        p = literal(p if combined else c.p, end, b'{"u":', 5)
        p = literal(_whole(p, end, &q.update_id), end, b',"s":"', 6)
        p = literal(literal(p, end, self._name, self._name_n), end, b'","b":"', 7)
        p = literal(_decimal(p, end, &q.bid), end, b'","B":"', 7)
        p = literal(_quantity(p, end, &q.bid_quantity), end, b'","a":"', 7)
        p = literal(_decimal(p, end, &q.ask), end, b'","A":"', 7)
        p = literal(_quantity(p, end, &q.ask_quantity), end, b'"}', 2)
        p = literal(p, end, b"}", 1) if combined else p
        return p != NULL and p == end

    cdef int _read_object(self, const SpotFields* f, int64_t recv_ns, EventBuffer out) noexcept:
        """Tell the stream by `e`, or by its fields where the exchange sends no `e`."""
        if f.e.kind == TOK_STRING:
            if same(&f.e, b"trade", 5):
                return self._on_trade(f, False, recv_ns, out)
            if same(&f.e, b"aggTrade", 8):
                return self._on_trade(f, True, recv_ns, out)
            if same(&f.e, b"serverShutdown", 14):
                self.shutdowns += 1
            return DEC_IGNORED
        if f.e.kind != TOK_NONE:
            return DEC_IGNORED
        if (f.u.kind != TOK_NONE and f.s.kind != TOK_NONE and f.b.kind == TOK_STRING
                and f.bb.kind != TOK_NONE and f.a.kind != TOK_NONE and f.aa.kind != TOK_NONE):
            return self._on_quote(f, recv_ns, out)
        if f.code.kind != TOK_NONE or f.error.kind != TOK_NONE:
            self.control_errors += 1
        return DEC_IGNORED

    cdef int _on_trade(self, const SpotFields* f, bint aggregated, int64_t recv_ns, EventBuffer out) noexcept:
        cdef SpotTrade t
        cdef int rc
        if f.s.kind != TOK_STRING:
            return DEC_MALFORMED
        if not same(&f.s, self._name, self._name_n):
            self.wrong_symbol += 1
            return DEC_WRONG_SYMBOL
        rc = _natural(&f.f if aggregated else &f.t, &t.first)
        if rc == DEC_OK:
            rc = _natural(&f.l if aggregated else &f.t, &t.last)
        if rc == DEC_OK:
            rc = _positive(&f.p, &t.price)
        if rc == DEC_OK:
            rc = _positive(&f.q, &t.quantity)
        if rc == DEC_OK:
            rc = to_stamp(&f.ee, &t.sent_ns)
        if rc == DEC_OK:
            rc = to_stamp(&f.tt, &t.traded_ns)
        if rc != DEC_OK:
            return rc
        if (f.m.kind != TOK_TRUE and f.m.kind != TOK_FALSE) or t.traded_ns == 0 or t.last < t.first:
            return DEC_MALFORMED
        t.buyer_is_maker = f.m.kind == TOK_TRUE
        t.aggregated = aggregated
        return self._emit_trade(&t, recv_ns, out)

    cdef int _emit_trade(self, const SpotTrade* t, int64_t recv_ns, EventBuffer out) noexcept:
        """Append a trade unless it was seen; flag it when ids before it are missing."""
        cdef Event* e
        if t.last <= self.last_trade_id:
            self.duplicates += 1
            return DEC_IGNORED
        e = push(out, EV_SPOT_TRADE)
        e.recv_ns = recv_ns
        e.venue_ns = t.traded_ns
        e.market = <unsigned short> self.market
        e.side = SELL if t.buyer_is_maker else BUY
        e.flags = F_AGG if t.aggregated else 0
        e.seq = t.last
        e.x = t.price
        e.y = t.quantity
        e.i = t.first
        e.j = t.sent_ns
        if self.last_trade_id >= 0 and t.first != self.last_trade_id + 1:
            if t.first > self.last_trade_id:
                e.flags |= F_GAP
                self.gaps += 1
                self.missing_trades += t.first - self.last_trade_id - 1
            else:
                self.overlaps += 1
        self.last_trade_id = t.last
        self.trades += 1
        return DEC_OK

    cdef int _on_quote(self, const SpotFields* f, int64_t recv_ns, EventBuffer out) noexcept:
        cdef SpotQuote q
        cdef int rc
        if f.s.kind != TOK_STRING:
            return DEC_MALFORMED
        if not same(&f.s, self._name, self._name_n):
            self.wrong_symbol += 1
            return DEC_WRONG_SYMBOL
        rc = _natural(&f.u, &q.update_id)
        if rc == DEC_OK:
            rc = to_double(&f.b, 0, &q.bid)
        if rc == DEC_OK:
            rc = to_double(&f.a, 0, &q.ask)
        if rc == DEC_OK:
            rc = to_fixed(&f.bb, QUANTITY_DECIMALS, &q.bid_quantity)
        if rc == DEC_OK:
            rc = to_fixed(&f.aa, QUANTITY_DECIMALS, &q.ask_quantity)
        if rc != DEC_OK:
            return DEC_UNSUPPORTED if rc == TOO_FINE else rc
        if q.bid < 0.0 or q.ask < 0.0 or q.bid_quantity < 0 or q.ask_quantity < 0:
            return DEC_MALFORMED
        return self._emit_quote(&q, recv_ns, out)

    cdef int _emit_quote(self, const SpotQuote* q, int64_t recv_ns, EventBuffer out) noexcept:
        """Append a quote unless a side is empty or it is not newer than the last."""
        cdef Event* e
        if q.bid == 0.0 or q.ask == 0.0:
            self.empty_quotes += 1
            return DEC_IGNORED
        if q.update_id <= self.last_quote_id:
            self.stale_quotes += 1
            return DEC_IGNORED
        e = push(out, EV_SPOT_QUOTE)
        e.recv_ns = recv_ns
        e.market = <unsigned short> self.market
        e.seq = q.update_id
        e.x = q.bid
        e.y = q.ask
        e.i = q.bid_quantity
        e.j = q.ask_quantity
        self.last_quote_id = q.update_id
        self.quotes += 1
        return DEC_OK
