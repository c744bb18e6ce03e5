# Fields of the market channel's objects: where their values are, and what the values mean.
# Owns: the keys that matter, exact prices and sizes, the usual shape of a level.  Inline only.
# Called by decode_clob alone; must not append events or know the token table.
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from polybot._fast.event cimport BUY, SELL, Event
from polybot._fast.scan cimport (
    DEC_MALFORMED,
    DEC_OK,
    DEC_UNSUPPORTED,
    TENS,
    TOK_NONE,
    TOK_STRING,
    TOO_FINE,
    Token,
    is_absent,
    is_digit,
    is_string,
    literal,
    plain_end,
    same,
    to_fixed,
)

cdef enum:
    TOP = 10000              # price 1.0 in ticks
    PRICE_DECIMALS = 4
    SHARE_DECIMALS = 6
    WHOLE_DIGITS = 12        # whole shares of a level in the usual shape

ctypedef struct ClobFields:
    Token event_type
    Token market
    Token asset_id
    Token timestamp
    Token tick_size
    Token new_tick_size
    Token best_bid
    Token best_ask
    Token price
    Token size
    Token side
    Token winner
    Token bids               # kind only: read where they stand
    Token asks
    Token changes
    int off_grid             # prices finer than 1e-4 outside of levels and changes
    int levels               # levels appended
    int levels_off_grid
    int bad_levels           # DEC_OK, or why bids or asks could not be read
    int bad_changes          # DEC_OK, or why changes could not be read
    int deltas               # changes appended
    int deltas_off_grid
    int unknown              # changes of unknown tokens
    int slot                 # of the changes: table row of the first known token, -1: none
    bint mixed               # changes of several markets

ctypedef struct Quote:
    Token market
    Token token
    Token stamp
    int64_t bid
    int64_t ask

ctypedef struct Change:
    Token token
    int side
    int64_t ticks
    int64_t ushares
    int64_t bid              # best prices in ticks, -1: not told
    int64_t ask


cdef inline void forget(ClobFields* f) noexcept nogil:
    """No value seen yet; spans of absent values stay unset, which costs less than zeroing them."""
    f.event_type.kind = f.market.kind = f.asset_id.kind = f.timestamp.kind = TOK_NONE
    f.tick_size.kind = f.new_tick_size.kind = f.best_bid.kind = f.best_ask.kind = TOK_NONE
    f.price.kind = f.size.kind = f.side.kind = f.winner.kind = TOK_NONE
    f.bids.kind = f.asks.kind = f.changes.kind = TOK_NONE
    f.off_grid = f.levels = f.levels_off_grid = f.deltas = f.deltas_off_grid = f.unknown = 0
    f.bad_levels = f.bad_changes = DEC_OK
    f.slot = -1
    f.mixed = False


# -- values -----------------------------------------------------------------------------------

cdef inline int to_ticks(const Token* t, int64_t* ticks) noexcept nogil:
    """Price 0..1 in ticks; TOO_FINE for one off the 1e-4 grid."""
    cdef int rc = to_fixed(t, PRICE_DECIMALS, ticks)
    if rc == DEC_OK and not 0 <= ticks[0] <= TOP:
        return DEC_MALFORMED
    return rc


cdef inline int to_shares(const Token* t, int64_t* ushares) noexcept nogil:
    """Size in micro-shares, never rounded."""
    cdef int rc = to_fixed(t, SHARE_DECIMALS, ushares)
    if rc == TOO_FINE:
        return DEC_UNSUPPORTED
    return DEC_MALFORMED if rc == DEC_OK and ushares[0] < 0 else rc


cdef inline int to_side(const Token* t) noexcept nogil:
    """BUY or SELL, -1 for anything else."""
    if is_string(t, b"BUY", 3):
        return BUY
    return SELL if is_string(t, b"SELL", 4) else -1


cdef inline uint64_t id_head(const char* p, int n) noexcept nogil:
    """First eight bytes of an id, zero-filled."""
    cdef uint64_t head = 0
    memcpy(&head, p, n if n < 8 else 8)
    return head


cdef inline bint same_hex(const Token* t, const char* text, int n) noexcept nogil:
    """Equal but for the case of letters: a condition_id may be spelled either way."""
    cdef int k
    cdef char a, b
    if t.n != n:
        return False
    if memcmp(t.p, text, n) == 0:
        return True
    for k in range(n):
        a = t.p[k]
        b = text[k]
        if (a | 0x20 if c"A" <= a <= c"Z" else a) != (b | 0x20 if c"A" <= b <= c"Z" else b):
            return False
    return True


# -- keys -------------------------------------------------------------------------------------

cdef inline Token* slot_of(ClobFields* f, const Token* key) noexcept nogil:
    """Where the value of a key of an object or a change belongs, NULL when it does not matter."""
    if key.n == 4:
        if same(key, b"size", 4):
            return &f.size
        if same(key, b"side", 4):
            return &f.side
        if same(key, b"bids", 4):
            return &f.bids
        return &f.asks if same(key, b"asks", 4) else NULL
    if key.n == 5:
        return &f.price if same(key, b"price", 5) else NULL
    if key.n == 6:
        return &f.market if same(key, b"market", 6) else NULL
    if key.n == 8:
        if same(key, b"asset_id", 8):
            return &f.asset_id
        if same(key, b"best_bid", 8):
            return &f.best_bid
        return &f.best_ask if same(key, b"best_ask", 8) else NULL
    if key.n == 9:
        if same(key, b"timestamp", 9):
            return &f.timestamp
        return &f.tick_size if same(key, b"tick_size", 9) else NULL
    if same(key, b"event_type", 10):
        return &f.event_type
    if key.n == 13:
        if same(key, b"price_changes", 13):
            return &f.changes
        return &f.new_tick_size if same(key, b"new_tick_size", 13) else NULL
    return &f.winner if same(key, b"winning_asset_id", 16) else NULL


cdef inline int to_best(const Token* t, int64_t* ticks, int* off_grid) noexcept nogil:
    """Best price told beside a change, -1 when it is not told or off the grid (counted)."""
    cdef int rc
    ticks[0] = -1
    if is_absent(t):
        return DEC_OK
    rc = to_ticks(t, ticks)
    if rc != TOO_FINE:
        return rc
    ticks[0] = -1
    off_grid[0] += 1
    return DEC_OK


cdef inline int to_tick_size(const Token* t, int64_t* ticks, int* off_grid) noexcept nogil:
    """Tick size in ticks, 0 when it is not told or off the grid (counted)."""
    cdef int rc
    ticks[0] = 0
    if is_absent(t):
        return DEC_OK
    rc = to_ticks(t, ticks)
    if rc == DEC_OK and ticks[0] == 0:
        return DEC_MALFORMED
    if rc != TOO_FINE:
        return rc
    ticks[0] = 0
    off_grid[0] += 1
    return DEC_OK


cdef inline int fill_quote(ClobFields* f, Event* e) noexcept nogil:
    """Best prices of an outcome; 0 bid and 1 asked is how the venue spells an empty side."""
    cdef int64_t bid = -1, ask = -1
    cdef int rc = to_best(&f.best_bid, &bid, &f.off_grid)
    if rc == DEC_OK:
        rc = to_best(&f.best_ask, &ask, &f.off_grid)
    e.x = -1.0 if bid <= 0 else <double> bid
    e.y = -1.0 if ask < 0 or ask == TOP else <double> ask
    return rc


cdef inline int fill_trade(ClobFields* f, Event* e) noexcept nogil:
    """A public trade: price, size and the taker's side."""
    cdef int side = to_side(&f.side)
    cdef int fine = to_ticks(&f.price, &e.i)
    cdef int rc = to_shares(&f.size, &e.j)
    if side < 0:
        return DEC_MALFORMED
    e.side = side
    if fine == TOO_FINE:
        f.off_grid += 1
        fine = DEC_OK
    return fine if fine != DEC_OK else rc


# -- the usual spelling -----------------------------------------------------------------------
# What the venue sends today, compact and in its order.  Each step returns the byte after what it read,
# or NULL for anything else (a price of 0 or 1, more decimals, white space), which goes the general way.

cdef inline const char* usual_price(const char* p, const char* end, int64_t* ticks) noexcept nogil:
    """0. and one to four digits."""
    cdef int64_t v = 0
    cdef int k = 0
    if p == NULL or end - p < 3 + PRICE_DECIMALS or p[0] != c"0" or p[1] != c".":
        return NULL
    p += 2
    while k < PRICE_DECIMALS and is_digit(p[k]):
        v = v * 10 + (p[k] - c"0")
        k += 1
    ticks[0] = v * TENS[PRICE_DECIMALS - k]
    return p + k if k > 0 else NULL


cdef inline const char* usual_size(const char* p, const char* end, int64_t* ushares) noexcept nogil:
    """Up to twelve digits, and up to six decimals."""
    cdef int64_t whole = 0, part = 0
    cdef int k = 0
    if p == NULL or end - p < 2 + WHOLE_DIGITS + SHARE_DECIMALS:
        return NULL
    while k < WHOLE_DIGITS and is_digit(p[k]):
        whole = whole * 10 + (p[k] - c"0")
        k += 1
    if k == 0 or (k > 1 and p[0] == c"0"):
        return NULL
    p += k
    k = 0
    if p[0] == c".":
        p += 1
        while k < SHARE_DECIMALS and is_digit(p[k]):
            part = part * 10 + (p[k] - c"0")
            k += 1
        if k == 0:
            return NULL
        p += k
    ushares[0] = whole * TENS[SHARE_DECIMALS] + part * TENS[SHARE_DECIMALS - k]
    return p


cdef inline const char* usual_level(const char* p, const char* end, int64_t* ticks, int64_t* ushares) noexcept nogil:
    """{"price":"0.52","size":"150.5"}"""
    p = usual_price(literal(p, end, b'{"price":"', 10), end, ticks)
    p = usual_size(literal(p, end, b'","size":"', 10), end, ushares)
    return literal(p, end, b'"}', 2)


cdef inline const char* usual_text(const char* p, const char* end, Token* t) noexcept nogil:
    """A plain text up to its closing quote."""
    cdef const char* q
    if p == NULL:
        return NULL
    q = plain_end(p, end)
    t.p = p
    t.n = <int32_t> (q - p)
    t.kind = TOK_STRING
    t.plain = True
    return q if q < end and q[0] == c'"' else NULL


cdef inline const char* usual_change(const char* p, const char* end, Change* change) noexcept nogil:
    """One member of price_changes with all its seven fields."""
    cdef Token hash
    p = usual_text(literal(p, end, b'{"asset_id":"', 13), end, &change.token)
    p = usual_price(literal(p, end, b'","price":"', 11), end, &change.ticks)
    p = usual_size(literal(p, end, b'","size":"', 10), end, &change.ushares)
    p = literal(p, end, b'","side":"', 10)
    change.side = BUY
    if literal(p, end, b"BUY", 3) != NULL:
        p += 3
    else:
        change.side = SELL
        p = literal(p, end, b"SELL", 4)
    p = usual_text(literal(p, end, b'","hash":"', 10), end, &hash)
    p = usual_price(literal(p, end, b'","best_bid":"', 14), end, &change.bid)
    p = usual_price(literal(p, end, b'","best_ask":"', 14), end, &change.ask)
    return literal(p, end, b'"}', 2)


cdef inline const char* usual_quote(const char* p, const char* end, Quote* q) noexcept nogil:
    """A best_bid_ask with all its fields, its stamp before the prices or after them."""
    cdef const char* early
    cdef Token spread
    p = usual_text(literal(p, end, b'{"event_type":"best_bid_ask","market":"', 39), end, &q.market)
    p = usual_text(literal(p, end, b'","asset_id":"', 14), end, &q.token)
    early = usual_text(literal(p, end, b'","timestamp":"', 15), end, &q.stamp)
    p = usual_price(literal(p if early == NULL else early, end, b'","best_bid":"', 14), end, &q.bid)
    p = usual_price(literal(p, end, b'","best_ask":"', 14), end, &q.ask)
    p = usual_text(literal(p, end, b'","spread":"', 12), end, &spread)
    if early == NULL:
        p = usual_text(literal(p, end, b'","timestamp":"', 15), end, &q.stamp)
    return literal(p, end, b'"}', 2)
