# Fields of the market channel's objects: where their values are, and what the values mean.
# Owns: the keys that matter, exact prices and sizes, the usual shape of a level.  Inline only.
# Called by decode_clob alone; must not append events or know the token table.
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from polybot._fast.event cimport BUY, SELL
from polybot._fast.scan cimport (
    DEC_MALFORMED,
    DEC_OK,
    DEC_UNSUPPORTED,
    TENS,
    TOO_FINE,
    Token,
    is_absent,
    is_digit,
    is_string,
    same,
    to_fixed,
)

cdef enum:
    TOP = 10000              # price 1.0 in ticks
    PRICE_DECIMALS = 4
    SHARE_DECIMALS = 6
    WHOLE_DIGITS = 12        # whole shares of a level in the usual shape
    LEVEL_ROOM = 64          # bytes a level in the usual shape cannot exceed

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


cdef inline const char* usual_level(const char* p, int64_t* ticks, int64_t* ushares) noexcept nogil:
    """Read {"price":"0.52","size":"150.5"} as the venue spells it; the byte after it, or NULL.

    The caller guarantees LEVEL_ROOM readable bytes.  Anything else (key order, white space, more
    decimals, a price of 1) is left to the general way.
    """
    cdef int64_t whole = 0, part = 0
    cdef int k = 0
    if memcmp(p, b'{"price":"0.', 12) != 0:
        return NULL
    p += 12
    while k < PRICE_DECIMALS and is_digit(p[k]):
        whole = whole * 10 + (p[k] - c"0")
        k += 1
    if k == 0 or memcmp(p + k, b'","size":"', 10) != 0:
        return NULL
    ticks[0] = whole * TENS[PRICE_DECIMALS - k]
    p += k + 10
    whole = 0
    k = 0
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
    return p + 2 if memcmp(p, b'"}', 2) == 0 else NULL
