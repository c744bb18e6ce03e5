"""JSON scanner without objects, and FrameDecoder, the shell every decoder of a feed shares.

Owns: reading tokens of borrowed bytes, exact decimals (identical to float(text), or scaled
integers), stamps of any unit, the roll-back of a frame that turns out bad, and its counters.
Never guesses: escapes in what matters, non-ASCII, repeated keys, exponents in exact numbers and
deep nesting are DEC_UNSUPPORTED, which feeds.fallback reads the slow exact way and counts.
Called by decode_spot, decode_clob and decode_oracle; from Python only through `feed`.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from polybot._fast.event cimport F_END


cdef extern from "Python.h":
    double PyOS_string_to_double(const char* s, char** endptr, PyObject* overflow) except? -1.0


ctypedef struct Decimal:
    uint64_t mantissa
    int frac                 # decimals counted in the mantissa
    bint negative
    bint more                # digits beyond the mantissa that are not all zero

cdef extern from *:
    """
    static const uint64_t PB_MANTISSA_ROOM = 1844674407370955160ULL;
    static const uint64_t PB_INT_LIMIT = 9223372036854775807ULL;
    static const int64_t PB_SECONDS_START = 100000000LL;
    static const int64_t PB_SECONDS_END = 9000000000LL;
    """
    const uint64_t MANTISSA_ROOM "PB_MANTISSA_ROOM"      # one more digit still fits 64 bits
    const uint64_t INT_LIMIT "PB_INT_LIMIT"
    const int64_t SECONDS_END "PB_SECONDS_END"           # stamps end in 2255 ...
    const int64_t SECONDS_START "PB_SECONDS_START"       # ... and those finer than seconds start in 1973


# -- tokens -----------------------------------------------------------------------------------

cdef inline bint _is_hex(char ch) noexcept nogil:
    return is_digit(ch) or c"a" <= ch <= c"f" or c"A" <= ch <= c"F"


cdef bint read_escaped(Cursor* c, Token* t) noexcept nogil:
    """Read a string that holds more than plain ASCII; non-ASCII and surrogates go the slow path."""
    cdef const char* q = t.p
    cdef int k
    while True:
        q = plain_end(q, c.end)
        if q == c.end:
            return fail(c, DEC_MALFORMED)
        if q[0] == c'"':
            break
        if q[0] != c"\\":
            return fail(c, DEC_UNSUPPORTED if q[0] < 0 else DEC_MALFORMED)
        q += 1
        if q == c.end:
            return fail(c, DEC_MALFORMED)
        if q[0] == c"u":
            if c.end - q < 5:
                return fail(c, DEC_MALFORMED)
            for k in range(1, 5):
                if not _is_hex(q[k]):
                    return fail(c, DEC_MALFORMED)
            if (q[1] == c"d" or q[1] == c"D") and q[2] >= c"8":
                return fail(c, DEC_UNSUPPORTED)
            q += 4
        elif not (q[0] == c'"' or q[0] == c"\\" or q[0] == c"/" or q[0] == c"b" or q[0] == c"f"
                  or q[0] == c"n" or q[0] == c"r" or q[0] == c"t"):
            return fail(c, DEC_MALFORMED)
        q += 1
    t.n = <int32_t> (q - t.p)
    t.kind = TOK_STRING
    t.plain = False
    c.p = q + 1
    return True


cdef bint read_number(Cursor* c, Token* t) noexcept nogil:
    """Read a number by JSON's grammar."""
    cdef const char* q = c.p
    cdef const char* end = c.end
    t.p = q
    if q[0] == c"-":
        q += 1
    if q == end or not is_digit(q[0]):
        return fail(c, DEC_MALFORMED)
    if q[0] == c"0":
        q += 1
    else:
        while q < end and is_digit(q[0]):
            q += 1
    if q < end and q[0] == c".":
        q += 1
        if q == end or not is_digit(q[0]):
            return fail(c, DEC_MALFORMED)
        while q < end and is_digit(q[0]):
            q += 1
    if q < end and (q[0] == c"e" or q[0] == c"E"):
        q += 1
        if q < end and (q[0] == c"+" or q[0] == c"-"):
            q += 1
        if q == end or not is_digit(q[0]):
            return fail(c, DEC_MALFORMED)
        while q < end and is_digit(q[0]):
            q += 1
    t.n = <int32_t> (q - t.p)
    t.kind = TOK_NUMBER
    t.plain = True
    c.p = q
    return True


cdef bint read_literal(Cursor* c, Token* t) noexcept nogil:
    """Read true, false or null."""
    cdef Py_ssize_t room = c.end - c.p
    t.p = c.p
    t.plain = True
    if room >= 4 and memcmp(c.p, b"true", 4) == 0:
        t.kind = TOK_TRUE
        t.n = 4
    elif room >= 5 and memcmp(c.p, b"false", 5) == 0:
        t.kind = TOK_FALSE
        t.n = 5
    elif room >= 4 and memcmp(c.p, b"null", 4) == 0:
        t.kind = TOK_NULL
        t.n = 4
    else:
        return fail(c, DEC_MALFORMED)
    c.p += t.n
    return True


cdef bint read_nested(Cursor* c, Token* t, int depth) noexcept nogil:
    """Read an object or array with everything in it."""
    cdef Token inner
    cdef bint is_object = c.p[0] == c"{"
    cdef char close = c"}" if is_object else c"]"
    cdef bint more, first = True
    if depth > MAX_DEPTH:
        return fail(c, DEC_UNSUPPORTED)
    t.p = c.p
    t.kind = TOK_OBJECT if is_object else TOK_ARRAY
    t.plain = True
    c.p += 1
    while True:
        if not next_member(c, close, first, &more):
            return False
        if not more:
            break
        first = False
        if is_object and not read_key(c, &inner):
            return False
        if not skip_space(c):
            return fail(c, DEC_MALFORMED)
        if c.p[0] == c"{" or c.p[0] == c"[":
            if not read_nested(c, &inner, depth + 1):
                return False
        elif not read_token(c, &inner):
            return False
    t.n = <int32_t> (c.p - t.p)
    return True


# -- numbers ----------------------------------------------------------------------------------

cdef inline bint _is_numeric(const Token* t) noexcept nogil:
    return t.kind == TOK_NUMBER or t.kind == TOK_STRING


cdef int _read_decimal(const Token* t, Decimal* d) noexcept nogil:
    """Take a token apart by the grammar of JSON numbers without exponent; DEC_UNSUPPORTED is not final."""
    cdef const char* q
    cdef const char* end
    cdef uint64_t m = 0
    memset(d, 0, sizeof(Decimal))
    if not _is_numeric(t):
        return DEC_MALFORMED
    q = t.p
    end = q + t.n
    if q < end and q[0] == c"-":
        d.negative = True
        q += 1
    if q == end or not is_digit(q[0]) or (q[0] == c"0" and end - q > 1 and is_digit(q[1])):
        return DEC_MALFORMED
    while q < end and is_digit(q[0]):
        if m >= MANTISSA_ROOM:
            return DEC_UNSUPPORTED
        m = m * 10 + (q[0] - c"0")
        q += 1
    if q < end and q[0] == c".":
        q += 1
        if q == end or not is_digit(q[0]):
            return DEC_MALFORMED
        while q < end and is_digit(q[0]):
            if d.more or m >= MANTISSA_ROOM:
                d.more = d.more or q[0] != c"0"
            else:
                m = m * 10 + (q[0] - c"0")
                d.frac += 1
            q += 1
    d.mantissa = m
    if q == end:
        return DEC_OK
    return DEC_UNSUPPORTED if q[0] == c"e" or q[0] == c"E" else DEC_MALFORMED


cdef int slow_int(const Token* t, int64_t* value) noexcept nogil:
    """Exact integer of a number or a string of digits, decimals of zero allowed."""
    cdef int rc = slow_fixed(t, 0, value)
    return DEC_MALFORMED if rc == TOO_FINE else rc


cdef int slow_fixed(const Token* t, int decimals, int64_t* value) noexcept nogil:
    """Exact value * 10**decimals (decimals <= 8); TOO_FINE when it has more decimals than that."""
    cdef Decimal d
    cdef int rc = _read_decimal(t, &d)
    if rc != DEC_OK:
        return rc
    if d.more:
        return TOO_FINE
    while d.frac > decimals:
        if d.mantissa % 10:
            return TOO_FINE
        d.mantissa //= 10
        d.frac -= 1
    while d.frac < decimals:
        if d.mantissa >= MANTISSA_ROOM:
            return DEC_UNSUPPORTED
        d.mantissa *= 10
        d.frac += 1
    if d.mantissa > INT_LIMIT:
        return DEC_UNSUPPORTED
    value[0] = -(<int64_t> d.mantissa) if d.negative else <int64_t> d.mantissa
    return DEC_OK


cdef int slow_double(const Token* t, int shift, double* value) noexcept:
    """to_double beyond Clinger's range: the interpreter's own correctly rounded conversion."""
    cdef char[MAX_NUMBER + 8] text
    cdef Cursor c
    cdef Token whole
    cdef Py_ssize_t n
    if not _is_numeric(t) or t.n == 0:
        return DEC_MALFORMED
    n = t.n
    if n > MAX_NUMBER or (shift != 0 and _has_exponent(t)):
        return DEC_UNSUPPORTED
    c.p = t.p
    c.end = t.p + n
    c.rc = DEC_OK
    if not read_number(&c, &whole) or c.p != c.end:
        return DEC_MALFORMED
    memcpy(text, t.p, n)
    if shift != 0:
        text[n] = c"e"
        text[n + 1] = c"-"
        text[n + 2] = c"0" + (-shift) // 10
        text[n + 3] = c"0" + (-shift) % 10
        n += 4
    text[n] = 0
    try:
        value[0] = PyOS_string_to_double(text, NULL, NULL)
    except ValueError:
        return DEC_MALFORMED
    return DEC_OK if isfinite(value[0]) else DEC_MALFORMED


cdef bint _has_exponent(const Token* t) noexcept nogil:
    cdef int k
    for k in range(t.n):
        if t.p[k] == c"e" or t.p[k] == c"E":
            return True
    return False


cdef int stamp_ns(int64_t stamp, int64_t* ns) noexcept nogil:
    """Nanoseconds since the epoch of a stamp in s, ms, us or ns, told apart by magnitude (1973..2255)."""
    cdef int64_t thousand = 1000
    if stamp < 0:
        return DEC_MALFORMED
    if stamp < SECONDS_END:
        ns[0] = stamp * (thousand * thousand * thousand)
        return DEC_OK
    if SECONDS_START * thousand <= stamp < SECONDS_END * thousand:
        ns[0] = stamp * (thousand * thousand)
        return DEC_OK
    if SECONDS_START * (thousand * thousand) <= stamp < SECONDS_END * (thousand * thousand):
        ns[0] = stamp * thousand
        return DEC_OK
    if SECONDS_START * (thousand * thousand * thousand) <= stamp < SECONDS_END * (thousand * thousand * thousand):
        ns[0] = stamp
        return DEC_OK
    return DEC_MALFORMED


cdef int to_stamp(const Token* t, int64_t* ns) noexcept nogil:
    """Stamp of a number or a string of digits, in ns; 0 when it is absent."""
    cdef int64_t stamp = 0
    cdef int rc
    ns[0] = 0
    if is_absent(t):
        return DEC_OK
    rc = to_int(t, &stamp)
    return rc if rc != DEC_OK else stamp_ns(stamp, ns)


# -- the shell of a decoder -------------------------------------------------------------------

cdef bint _reserve(EventBuffer out, Py_ssize_t extra) noexcept:
    """Make room for `extra` more events; False when there is none."""
    if out.n + extra <= out.capacity:
        return True
    try:
        out._grow(max(out.n + extra, 2 * out.capacity))
    except MemoryError:
        return False
    return True


cdef class FrameDecoder:
    """Decoder of one feed's frames into events; subclasses implement `read_frame`.

    A frame counts as a whole: bad anywhere means that none of its events is left in the buffer.
    """

    cdef int decode(self, const char* p, Py_ssize_t n, int64_t recv_ns, EventBuffer out) noexcept:
        """Decode one frame of n borrowed bytes, appending to `out`; returns a DecodeResult.

        The last appended event carries F_END.  An empty frame is DEC_IGNORED.
        """
        cdef Py_ssize_t mark = out.n
        cdef int rc = DEC_MALFORMED
        cdef Cursor c
        c.p = p
        c.end = p + n
        c.rc = DEC_OK
        if n <= MAX_FRAME and _reserve(out, n // MIN_RECORD + MIN_RECORD):
            rc = self.read_frame(&c, recv_ns, out) if skip_space(&c) else DEC_IGNORED
        if rc == DEC_MALFORMED or rc == DEC_UNSUPPORTED:
            out.n = mark
            if rc == DEC_MALFORMED:
                self.malformed += 1
            else:
                self.unsupported += 1
            return rc
        self.frames += 1
        if out.n > mark:
            out.ev[out.n - 1].flags |= F_END
        else:
            self.ignored += 1
        return rc

    cdef int read_frame(self, Cursor* c, int64_t recv_ns, EventBuffer out) noexcept:
        """Read one whole frame; the cursor stands on its first byte that is not white space."""
        return DEC_UNSUPPORTED

    def feed(self, payload, int64_t recv_ns, EventBuffer out not None) -> int:
        """Decode one frame (bytes or any contiguous buffer) received at recv_ns; returns a DecodeResult."""
        cdef Py_buffer view
        if type(payload) is bytes:
            return self.decode(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), recv_ns, out)
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            return self.decode(<const char*> view.buf, view.len, recv_ns, out)
        finally:
            PyBuffer_Release(&view)

    def counters(self) -> dict[str, int]:
        """What was read so far, by name."""
        return {"frames": self.frames, "ignored": self.ignored, "malformed": self.malformed,
                "unsupported": self.unsupported}


# Python gets the codes by name, too.
globals().update(DecodeResult.__members__)


# -- for tests --------------------------------------------------------------------------------

cdef int _token_of(bytes text, Token* t) noexcept:
    cdef Cursor c
    memset(t, 0, sizeof(Token))
    c.p = text
    c.end = c.p + len(text)
    c.rc = DEC_OK
    if read_token(&c, t) and at_end(&c):
        return DEC_OK
    return c.rc


def check_json(bytes text not None) -> int:
    """DEC_OK when `text` is one JSON value, else DEC_MALFORMED, or DEC_UNSUPPORTED when not sure."""
    cdef Token t
    return _token_of(text, &t)


def read_double(bytes text not None, int shift=0) -> float | None:
    """Double of a JSON number or string times 10**shift; None when the scanner refuses it."""
    cdef Token t
    cdef double value = 0.0
    if not -18 <= shift <= 0:
        raise ValueError(f"shift {shift} is not within -18..0")
    if _token_of(text, &t) != DEC_OK or to_double(&t, shift, &value) != DEC_OK:
        return None
    return value


def read_fixed(bytes text not None, int decimals) -> int | None:
    """Value of a JSON number or string times 10**decimals, exact; None when the scanner refuses it."""
    cdef Token t
    cdef int64_t value = 0
    if not 0 <= decimals <= 8:
        raise ValueError(f"decimals {decimals} is not within 0..8")
    if _token_of(text, &t) != DEC_OK or to_fixed(&t, decimals, &value) != DEC_OK:
        return None
    return value


def read_stamp(bytes text not None) -> int | None:
    """Nanoseconds of a JSON stamp in s, ms, us or ns (0: absent); None when the scanner refuses it."""
    cdef Token t
    cdef int64_t ns = 0
    if _token_of(text, &t) != DEC_OK or to_stamp(&t, &ns) != DEC_OK:
        return None
    return ns
