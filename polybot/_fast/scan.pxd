# JSON scanner over borrowed bytes, without objects, and the shell every frame decoder shares.
# Owns: token reading, exact decimals, stamps; FrameDecoder's roll-back and counters.
# Never guesses: what it is not sure of is DEC_UNSUPPORTED and goes the slow path (feeds.fallback).
# Never reads at or beyond `end`: frames are not NUL-terminated.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memset

from polybot._fast.event cimport Event, EventBuffer

cpdef enum DecodeResult:
    DEC_OK = 0               # events appended
    DEC_IGNORED = 1          # valid, nothing for us: other channels, control answers, duplicates
    DEC_UNSUPPORTED = 2      # may be valid, but needs the slow exact path; nothing appended
    DEC_MALFORMED = 3        # cannot be what it claims; nothing appended
    DEC_WRONG_SYMBOL = 4     # another asset's data; nothing appended
    DEC_UNKNOWN_TOKEN = 5    # names a token or market nobody added; the rest of the frame was appended

cdef enum TokenKind:
    TOK_NONE = 0             # key not present
    TOK_STRING = 1
    TOK_NUMBER = 2
    TOK_TRUE = 3
    TOK_FALSE = 4
    TOK_NULL = 5
    TOK_OBJECT = 6
    TOK_ARRAY = 7

cdef enum:
    TOO_FINE = 64            # to_fixed: more decimals than asked for, not all zero
    MAX_DEPTH = 32           # deeper nesting goes the slow path
    MAX_NUMBER = 60          # longer numbers go the slow path
    CLINGER_POWER = 22
    PLAIN_DIGITS = 18        # digits of a number on the fast way
    MAX_FRAME = 1 << 22      # bytes; no venue frame comes near it
    MIN_RECORD = 16          # bytes of frame behind one event at the very least

ctypedef struct Cursor:
    const char* p            # next unread byte
    const char* end
    int rc                   # DEC_OK until something failed

ctypedef struct Token:
    const char* p            # strings: after the opening quote; else the first byte
    int32_t n                # content length; objects and arrays with their brackets
    uint8_t kind             # TokenKind
    uint8_t plain            # string without escapes

cdef bint read_nested(Cursor* c, Token* t, int depth) noexcept nogil
cdef bint read_escaped(Cursor* c, Token* t) noexcept nogil
cdef bint read_number(Cursor* c, Token* t) noexcept nogil
cdef bint read_literal(Cursor* c, Token* t) noexcept nogil
cdef int slow_int(const Token* t, int64_t* value) noexcept nogil
cdef int slow_fixed(const Token* t, int decimals, int64_t* value) noexcept nogil
cdef int slow_double(const Token* t, int shift, double* value) noexcept
cdef int to_stamp(const Token* t, int64_t* ns) noexcept nogil
cdef int stamp_ns(int64_t stamp, int64_t* ns) noexcept nogil


# Where a block of BLOCK bytes holds the first byte that ends a plain string, BLOCK when it holds none.
# Sixteen bytes with SSE2, which every x86-64 has (non-ASCII is below 0x20 as a signed byte), else eight:
# a lane's top bit is set by its first such byte; borrows set lanes above it, never below.
cdef extern from * nogil:
    """
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #define PB_BLOCK 16
    static inline int pb_first_special(const char* q) {
        __m128i x = _mm_loadu_si128((const __m128i*) q);
        __m128i hit = _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x20)),
            _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8(0x5C))));
        return __builtin_ctz((unsigned) _mm_movemask_epi8(hit) | 0x10000u);
    }
    #elif __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define PB_BLOCK 8
    static inline int pb_first_special(const char* q) {
        const uint64_t ones = 0x0101010101010101ULL;
        uint64_t x, quote, slash, hit;
        __builtin_memcpy(&x, q, 8);
        quote = x ^ (ones * 0x22);
        slash = x ^ (ones * 0x5C);
        hit = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((x - ones * 0x20) & ~x) | x;
        hit &= ones * 0x80;
        return hit ? __builtin_ctzll(hit) >> 3 : 8;
    }
    #else
    #error "the core's records are little endian"
    #endif
    """
    const int BLOCK "PB_BLOCK"
    int first_special "pb_first_special" (const char* q)


# Powers of ten: doubles are exact up to 10**22, so a mantissa up to 2**53 divided by one of them is
# rounded once, which makes it the double that float(text) gives (Clinger 1990).
cdef extern from * nogil:
    """
    static const double PB_POW10[23] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    static const int64_t PB_TENS[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    """
    const double POW10 "PB_POW10" [23]
    const int64_t TENS "PB_TENS" [9]


# Up to eight digits in one go (D. Lemire, "Number parsing at a gigabyte per second", 2021): digits are 0..9 after the
# exclusive or, what follows them is shifted out, and three multiplications join pairs, fours and eights.
cdef extern from * nogil:
    """
    static inline int pb_leading_digits(const char* p, uint64_t* value) {
        uint64_t x, hit;
        int n;
        __builtin_memcpy(&x, p, 8);
        x ^= 0x3030303030303030ULL;
        hit = ((x + 0x7676767676767676ULL) | x) & 0x8080808080808080ULL;
        n = hit ? __builtin_ctzll(hit) >> 3 : 8;
        *value = 0;
        if (n == 0)
            return 0;
        x <<= 64 - 8 * n;
        x = x * 10 + (x >> 8);
        *value = ((x & 0x000000FF000000FFULL) * 0x000F424000000064ULL
            + ((x >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32;
        return n;
    }
    """
    int leading_digits "pb_leading_digits" (const char* p, uint64_t* value)    # reads eight bytes


cdef inline bint fail(Cursor* c, int rc) noexcept nogil:
    """Leave with a code; always False."""
    c.rc = rc
    return False


cdef inline bint is_space(char ch) noexcept nogil:
    """True for the four bytes JSON has between its tokens."""
    return ch == c" " or ch == c"\n" or ch == c"\t" or ch == c"\r"


cdef inline bint skip_space(Cursor* c) noexcept nogil:
    """Move to the next byte that is not white space; False at the end of the frame."""
    while c.p < c.end:
        if <unsigned char> c.p[0] > c" " or not is_space(c.p[0]):
            return True
        c.p += 1
    return False


cdef inline bint take_char(Cursor* c, char wanted) noexcept nogil:
    """Consume one punctuation byte after white space, else fail as malformed."""
    if not skip_space(c) or c.p[0] != wanted:
        return fail(c, DEC_MALFORMED)
    c.p += 1
    return True


cdef inline bint next_member(Cursor* c, char close, bint first, bint* more) noexcept nogil:
    """Step to the next member of an object or array; `more` is False once past its closing bracket."""
    more[0] = False
    if not skip_space(c):
        return fail(c, DEC_MALFORMED)
    if c.p[0] == close:
        c.p += 1
        return True
    if not first:
        if c.p[0] != c",":
            return fail(c, DEC_MALFORMED)
        c.p += 1
        if not skip_space(c) or c.p[0] == close:
            return fail(c, DEC_MALFORMED)
    more[0] = True
    return True


cdef inline const char* plain_end(const char* q, const char* end) noexcept nogil:
    """First byte in [q, end) that cannot be inside a plain string: quote, backslash, control, non-ASCII."""
    cdef int hit
    while end - q >= BLOCK:
        hit = first_special(q)
        if hit < BLOCK:
            return q + hit
        q += BLOCK
    while q < end and q[0] >= 0x20 and q[0] != c'"' and q[0] != c"\\":
        q += 1
    return q


cdef inline bint read_string(Cursor* c, Token* t) noexcept nogil:
    """Read a string whose opening quote is at the cursor; with escapes it is read but not plain."""
    cdef const char* q
    t.p = c.p + 1
    q = plain_end(t.p, c.end)
    if q == c.end:
        return fail(c, DEC_MALFORMED)
    if q[0] != c'"':
        return read_escaped(c, t)
    t.n = <int32_t> (q - t.p)
    t.kind = TOK_STRING
    t.plain = True
    c.p = q + 1
    return True


cdef inline bint read_key(Cursor* c, Token* key) noexcept nogil:
    """Read a key and its colon. A key with escapes goes the slow path: it may be one of ours."""
    if c.p[0] != c'"':
        return fail(c, DEC_MALFORMED)
    if not read_string(c, key):
        return False
    if not key.plain:
        return fail(c, DEC_UNSUPPORTED)
    return take_char(c, c":")


cdef inline bint is_digit(char ch) noexcept nogil:
    """True for 0 to 9."""
    return <unsigned char> (ch - c"0") <= 9


cdef inline const char* take_digits(const char* p, const char* end, uint64_t* value) noexcept nogil:
    """Append the digits at p to value, which wraps beyond 19 of them; returns the byte after the last."""
    cdef uint64_t some = 0
    cdef int n
    while end - p >= 8:
        n = leading_digits(p, &some)
        value[0] = value[0] * <uint64_t> TENS[n] + some
        p += n
        if n < 8:
            return p
    while p < end and is_digit(p[0]):
        value[0] = value[0] * 10 + <uint64_t> (p[0] - c"0")
        p += 1
    return p


cdef inline bint read_digits(Cursor* c, Token* t) noexcept nogil:
    """Read a number that begins with 1..9: a whole one here, others by the full grammar."""
    cdef const char* q = c.p + 1
    while q < c.end and is_digit(q[0]):
        q += 1
    if q == c.end or q[0] == c"." or q[0] == c"e" or q[0] == c"E":
        return read_number(c, t)
    t.p = c.p
    t.n = <int32_t> (q - c.p)
    t.kind = TOK_NUMBER
    t.plain = True
    c.p = q
    return True


cdef inline bint read_token(Cursor* c, Token* t) noexcept nogil:
    """Read any JSON value completely, leaving its span in `t`."""
    cdef char first
    if not skip_space(c):
        return fail(c, DEC_MALFORMED)
    first = c.p[0]
    if first == c'"':
        return read_string(c, t)
    if c"1" <= first <= c"9":
        return read_digits(c, t)
    if first == c"-" or first == c"0":
        return read_number(c, t)
    if first == c"{" or first == c"[":
        return read_nested(c, t, 1)
    return read_literal(c, t)


cdef inline bint usual_pair(Cursor* c, Token* key, Token* value) noexcept nogil:
    """Read "key":"text" without white space or escapes; False: nothing read."""
    cdef const char* end = c.end
    cdef const char* q = c.p + 1
    cdef const char* r
    if c.p[0] != c'"':
        return False
    r = plain_end(q, end)
    if end - r < 5 or r[0] != c'"' or r[1] != c":" or r[2] != c'"':
        return False
    key.p = q
    key.n = <int32_t> (r - q)
    q = r + 3
    r = plain_end(q, end)
    if r == end or r[0] != c'"':
        return False
    value.p = q
    value.n = <int32_t> (r - q)
    value.kind = TOK_STRING
    value.plain = True
    c.p = r + 1
    return True


cdef inline bint read_once(Cursor* c, Token* slot) noexcept nogil:
    """Read the value of a key we need. Seen twice, or a string with escapes: the slow path."""
    if slot.kind != TOK_NONE:
        return fail(c, DEC_UNSUPPORTED)
    if not read_token(c, slot):
        return False
    if slot.kind == TOK_STRING and not slot.plain:
        return fail(c, DEC_UNSUPPORTED)
    return True


cdef inline bint keep(Cursor* c, Token* slot, const Token* value) noexcept nogil:
    """Store a value already read where its key belongs (NULL: nowhere); seen twice: the slow path."""
    if slot != NULL:
        if slot.kind != TOK_NONE:
            return fail(c, DEC_UNSUPPORTED)
        slot[0] = value[0]
    return True


cdef inline const char* literal(const char* p, const char* end, const char* text, int n) noexcept nogil:
    """The byte after `text` when p begins with it, else NULL; NULL stays NULL."""
    return p + n if p != NULL and end - p >= n and memcmp(p, text, n) == 0 else NULL


cdef inline bint same(const Token* t, const char* text, int n) noexcept nogil:
    """True when a token's content is exactly these bytes."""
    return t.n == n and memcmp(t.p, text, n) == 0


cdef inline bint is_string(const Token* t, const char* text, int n) noexcept nogil:
    """True for a string token of exactly these bytes."""
    return t.kind == TOK_STRING and same(t, text, n)


cdef inline bint is_absent(const Token* t) noexcept nogil:
    """True for an optional value that is not told: no key, null or an empty string."""
    return t.kind == TOK_NONE or t.kind == TOK_NULL or (t.kind == TOK_STRING and t.n == 0)


cdef inline bint simple_decimal(const Token* t, uint64_t* mantissa, int* frac) noexcept nogil:
    """Take apart digits with at most one point, up to PLAIN_DIGITS long; False for anything else."""
    cdef const char* p
    cdef const char* end
    cdef const char* first
    cdef uint64_t m = 0
    if (t.kind != TOK_STRING and t.kind != TOK_NUMBER) or t.n <= 0 or t.n > PLAIN_DIGITS:
        return False
    p = t.p
    end = p + t.n
    if p[0] == c"0":
        p += 1
    else:
        p = take_digits(p, end, &m)
        if p == t.p:
            return False
    frac[0] = 0
    if p < end:
        first = p + 1
        if p[0] != c"." or first == end:
            return False
        p = take_digits(first, end, &m)
        frac[0] = <int> (p - first)
    mantissa[0] = m
    return p == end


cdef inline int to_int(const Token* t, int64_t* value) noexcept nogil:
    """Exact integer of a number or a string of digits."""
    cdef uint64_t m = 0
    cdef int frac = 0
    if simple_decimal(t, &m, &frac) and frac == 0:
        value[0] = <int64_t> m
        return DEC_OK
    return slow_int(t, value)


cdef inline int to_fixed(const Token* t, int decimals, int64_t* value) noexcept nogil:
    """Exact value * 10**decimals (decimals <= 8); TOO_FINE when it has more decimals than that."""
    cdef uint64_t m = 0
    cdef int frac = 0
    if simple_decimal(t, &m, &frac) and frac <= decimals and t.n - frac + decimals <= PLAIN_DIGITS:
        value[0] = <int64_t> m * TENS[decimals - frac]
        return DEC_OK
    return slow_fixed(t, decimals, value)


cdef inline int to_double(const Token* t, int shift, double* value) noexcept:
    """Nearest double to value * 10**shift (shift <= 0): bit for bit float(text) when shift is 0."""
    cdef uint64_t m = 0
    cdef int frac = 0
    if simple_decimal(t, &m, &frac) and m <= <uint64_t> 1 << 53 and frac - shift <= CLINGER_POWER:
        value[0] = <double> m / POW10[frac - shift]
        return DEC_OK
    return slow_double(t, shift, value)


cdef inline bint at_end(Cursor* c) noexcept nogil:
    """True when only white space is left, else fail as malformed."""
    return fail(c, DEC_MALFORMED) if skip_space(c) else True


cdef inline Event* push(EventBuffer out, int kind) noexcept:
    """Append a zeroed event without a capacity check: FrameDecoder reserved one per MIN_RECORD bytes."""
    cdef Event* e = &out.ev[out.n]
    out.n += 1
    memset(e, 0, sizeof(Event))
    e.kind = kind
    return e


cdef class FrameDecoder:
    cdef readonly int64_t frames         # frames read to their end
    cdef readonly int64_t ignored        # of these: nothing for us in them
    cdef readonly int64_t malformed
    cdef readonly int64_t unsupported    # handed to the slow path

    cdef int decode(self, const char* p, Py_ssize_t n, int64_t recv_ns, EventBuffer out) noexcept
    cdef int read_frame(self, Cursor* c, int64_t recv_ns, EventBuffer out) noexcept
