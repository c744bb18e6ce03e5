"""Decoder of oracle prices: RTDS topics (legacy) and PolyBolt channels, live prices and backfill.

The two spell `full_accuracy_value` differently: an integer of 1e-18 on RTDS's oracle topics, a
decimal on PolyBolt.  The envelope tells which, and the rounded `value` beside it must agree, so
that a change of format is refused instead of becoming a price.  A stamp already seen is dropped
and counted; equal prices with new stamps are kept.  Must not know about windows or strikes.
Called by feeds.oracle for every frame; `new_connection` once per connection.
"""
from libc.math cimport fabs
from libc.stdint cimport int64_t, uint16_t
from libc.string cimport memset

from polybot._fast.event cimport (
    EV_ORACLE_SPOT,
    EV_ORACLE_TWAP,
    F_GAP,
    F_SNAPSHOT,
    NO_MARKET,
    Event,
    EventBuffer,
)
from polybot._fast.scan cimport (
    DEC_IGNORED,
    DEC_MALFORMED,
    DEC_OK,
    DEC_UNSUPPORTED,
    DEC_WRONG_SYMBOL,
    TOK_ARRAY,
    TOK_NONE,
    TOK_OBJECT,
    TOK_STRING,
    Cursor,
    FrameDecoder,
    Token,
    at_end,
    fail,
    is_absent,
    is_string,
    next_member,
    push,
    read_key,
    read_once,
    read_token,
    same,
    to_double,
    to_int,
    to_stamp,
)

cdef enum:
    SCALE = 18               # decimals of RTDS's integers
    SIXTY = 60               # window of the topic that has it in its name, in seconds
# `value` is full_accuracy_value rounded to a double or to six decimals.
cdef double AGREE = 1e-6


cdef Token* _slot(OracleFields* f, const Token* key) noexcept nogil:
    """Where the value of a key belongs, NULL when it does not matter."""
    if key.n == 5:
        if same(key, b"topic", 5):
            return &f.topic
        return &f.value if same(key, b"value", 5) else NULL
    if key.n == 6:
        if same(key, b"symbol", 6):
            return &f.symbol
        return &f.source if same(key, b"source", 6) else NULL
    if key.n == 7:
        if same(key, b"channel", 7):
            return &f.channel
        return &f.payload if same(key, b"payload", 7) else NULL
    if same(key, b"timestamp", 9):
        return &f.timestamp
    if same(key, b"full_accuracy_value", 19):
        return &f.accurate
    if same(key, b"window_s", 8) or same(key, b"window_seconds", 14):
        return &f.window
    if same(key, b"data", 4):
        return &f.data
    if same(key, b"seq", 3):
        return &f.seq
    return &f.ts if same(key, b"ts", 2) else NULL


cdef bint _read_fields(Cursor* c, OracleFields* f) noexcept nogil:
    """Read one object, keeping the spans of the values that may matter."""
    cdef Token key, other
    cdef Token* slot
    cdef bint more, first = True
    memset(f, 0, sizeof(OracleFields))
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


cdef Cursor _inside(const Token* t) noexcept nogil:
    """Cursor over an object or array already read."""
    cdef Cursor c
    c.p = t.p
    c.end = t.p + t.n
    c.rc = DEC_OK
    return c


cdef int _read_envelope(const OracleFields* f, OracleFrame* frame) noexcept nogil:
    """Tell channel, spelling and send time; DEC_IGNORED for other topics and control answers."""
    memset(frame, 0, sizeof(OracleFrame))
    if is_string(&f.topic, b"crypto_prices_chainlink", 23):
        frame.scaled = True
    elif is_string(&f.topic, b"crypto_prices_twap_sixty", 24):
        frame.scaled = True
        frame.channel = TWAP
        frame.window_s = SIXTY
    elif is_string(&f.channel, b"price.crypto.twap", 17):
        frame.channel = TWAP
    elif not is_string(&f.channel, b"price.crypto", 12):
        return DEC_IGNORED
    return to_stamp(&f.timestamp if frame.scaled else &f.ts, &frame.sent_ns)


cdef class OracleDecoder(FrameDecoder):
    """Decoder of one asset's oracle prices.

    symbol: in either spelling (btc/usd, btcusd); market: market_index the events carry;
    twap_window_s: the averaging window that is ours, in seconds.
    """

    def __init__(self, str symbol not None, int market=NO_MARKET, int64_t twap_window_s=SIXTY):
        plain = symbol.lower().replace("/", "").removesuffix("usd")
        if not plain.isascii() or not plain or not symbol.lower().endswith("usd"):
            raise ValueError(f"symbol {symbol!r} is not of the form btc/usd")
        self._joined = f"{plain}usd".encode("ascii")
        self._slashed = f"{plain}/usd".encode("ascii")
        self.market = market
        self.twap_window_s = twap_window_s
        self.new_connection()

    def new_connection(self) -> None:
        """A new socket: its channel sequences start anew; stamps already seen stay seen."""
        self.last_seq[SPOT] = -1
        self.last_seq[TWAP] = -1

    def counters(self) -> dict[str, int]:
        """What was read so far, by name."""
        return {
            **FrameDecoder.counters(self),
            "spots": self.spots, "twaps": self.twaps, "backfilled": self.backfilled,
            "duplicates": self.duplicates, "gaps": self.gaps, "wrong_symbol": self.wrong_symbol,
            "wrong_source": self.wrong_source, "wrong_window": self.wrong_window,
            "value_mismatch": self.value_mismatch,
        }

    cdef int read_frame(self, Cursor* c, int64_t recv_ns, EventBuffer out) noexcept:
        cdef OracleFields envelope, payload
        cdef OracleFrame f
        cdef Cursor inner
        cdef Py_ssize_t head = out.n
        cdef bint gap = False
        cdef int rc
        if not _read_fields(c, &envelope) or not at_end(c):
            return c.rc
        rc = _read_envelope(&envelope, &f)
        if rc != DEC_OK:
            return rc
        if envelope.payload.kind != TOK_OBJECT:
            return DEC_MALFORMED
        inner = _inside(&envelope.payload)
        if not _read_fields(&inner, &payload):
            return inner.rc
        if envelope.seq.kind != TOK_NONE:
            rc = to_int(&envelope.seq, &f.seq)
            if rc != DEC_OK or f.seq < 0:
                return DEC_MALFORMED if rc == DEC_OK else rc
        f.recv_ns = recv_ns
        rc = self._read_prices(&payload, &f, out)
        if rc == DEC_MALFORMED or rc == DEC_UNSUPPORTED:
            return rc
        if envelope.seq.kind != TOK_NONE:
            gap = self.last_seq[f.channel] >= 0 and f.seq > self.last_seq[f.channel] + 1
            self.gaps += gap
            self.last_seq[f.channel] = f.seq
        return rc if rc != DEC_OK else self._keep_new(head, &f, gap, out)

    cdef bint _is_ours(self, const Token* symbol) noexcept:
        return (is_string(symbol, self._slashed, <int> len(self._slashed))
                or is_string(symbol, self._joined, <int> len(self._joined)))

    cdef int _read_prices(self, const OracleFields* p, OracleFrame* f, EventBuffer out) noexcept:
        """Append the price of a payload, or its backfill."""
        cdef OracleFields entry
        cdef Cursor c
        cdef bint more, first = True
        cdef int rc
        if p.symbol.kind != TOK_STRING:
            return DEC_MALFORMED
        if not self._is_ours(&p.symbol):
            self.wrong_symbol += 1
            return DEC_WRONG_SYMBOL
        if not is_absent(&p.source) and not is_string(&p.source, b"chainlink", 9):
            self.wrong_source += 1
            return DEC_IGNORED
        if f.channel == TWAP:
            rc = to_int(&p.window, &f.window_s) if not is_absent(&p.window) else DEC_OK
            if rc != DEC_OK:
                return rc
            if f.window_s != self.twap_window_s:
                self.wrong_window += 1
                return DEC_IGNORED
        if p.data.kind == TOK_NONE:
            return self._add_price(p, f, 0, out)
        if p.data.kind != TOK_ARRAY:
            return DEC_MALFORMED
        c = _inside(&p.data)
        c.p += 1
        while next_member(&c, c"]", first, &more) and more:
            first = False
            if not _read_fields(&c, &entry):
                return c.rc
            rc = self._add_price(&entry, f, F_SNAPSHOT, out)
            if rc != DEC_OK:
                return rc
        return c.rc

    cdef int _add_price(self, const OracleFields* p, const OracleFrame* f, int flags, EventBuffer out) noexcept:
        cdef double price = 0.0
        cdef int64_t stamp = 0
        cdef Event* e
        cdef int rc = to_stamp(&p.timestamp, &stamp)
        if rc == DEC_OK and stamp == 0:
            rc = DEC_MALFORMED
        if rc == DEC_OK:
            rc = self._price(p, f.scaled, &price)
        if rc != DEC_OK:
            return rc
        e = push(out, EV_ORACLE_TWAP if f.channel == TWAP else EV_ORACLE_SPOT)
        e.recv_ns = f.recv_ns
        e.venue_ns = stamp
        e.market = <uint16_t> self.market
        e.flags = flags
        e.seq = f.seq
        e.x = price
        e.i = f.window_s
        e.j = f.sent_ns
        return DEC_OK

    cdef int _price(self, const OracleFields* p, bint scaled, double* price) noexcept:
        """The accurate price, checked against the rounded one where both are told."""
        cdef double rounded = 0.0
        cdef int rc = DEC_OK
        if is_absent(&p.accurate):
            rc = to_double(&p.value, 0, price)
        elif p.accurate.kind != TOK_STRING:
            return DEC_MALFORMED
        elif _has(&p.accurate, c"e") or _has(&p.accurate, c"E"):
            return DEC_UNSUPPORTED       # written out first: whether it is an integer must not be guessed
        else:
            rc = to_double(&p.accurate, -SCALE if scaled and not _has(&p.accurate, c".") else 0, price)
            if rc == DEC_OK and not is_absent(&p.value):
                rc = to_double(&p.value, 0, &rounded)
                if rc == DEC_OK and fabs(price[0] - rounded) > AGREE * fabs(rounded):
                    self.value_mismatch += 1
                    return DEC_MALFORMED
        return DEC_MALFORMED if rc == DEC_OK and price[0] <= 0.0 else rc

    cdef int _keep_new(self, Py_ssize_t head, const OracleFrame* f, bint gap, EventBuffer out) noexcept:
        """Drop the prices whose stamp was seen, remember the others; flag a gap before them."""
        cdef Py_ssize_t k, kept = head
        cdef int64_t stamp
        for k in range(head, out.n):
            stamp = out.ev[k].venue_ns
            if _holds(self.seen[f.channel], stamp):
                self.duplicates += 1
                continue
            self.seen[f.channel][self.seen_at[f.channel]] = stamp
            self.seen_at[f.channel] = (self.seen_at[f.channel] + 1) % SEEN
            out.ev[kept] = out.ev[k]
            if out.ev[kept].flags & F_SNAPSHOT:
                self.backfilled += 1
            elif f.channel == TWAP:
                self.twaps += 1
            else:
                self.spots += 1
            kept += 1
        out.n = kept
        if kept == head:
            return DEC_IGNORED
        if gap:
            out.ev[head].flags |= F_GAP
        return DEC_OK


cdef bint _holds(const int64_t* stamps, int64_t stamp) noexcept nogil:
    cdef int k
    for k in range(SEEN):
        if stamps[k] == stamp:
            return True
    return False


cdef bint _has(const Token* t, char ch) noexcept nogil:
    cdef int k
    for k in range(t.n):
        if t.p[k] == ch:
            return True
    return False
