"""Wire text of the embedded venue that is written thousands of times a second: book levels, spot quotes and trades.

Owns numbers as text (prices in their shortest form, exact decimals, eight fixed decimals) and the repeated
parts of `book`, `price_change`, `@bookTicker` and `@trade` messages; whole messages are joined in
sim.messages and sim.spot.  Integers in, text out; keeps nothing.  Every number is checked by its caller:
sizes and quantities are not negative, prices are ticks of 1e-4 in 0..10000.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from polybot._fast.event cimport BUY
from polybot._fast.matching cimport PRICE_END, MatchBook

cdef int64_t MICRO = 1_000_000
cdef int64_t E8 = 100_000_000
cdef Py_ssize_t LEVEL_MAX = 80   # bytes of one level: 22 of shape, 6 of price, 20 of size, and room
cdef Py_ssize_t SPOT_MAX = 400   # bytes of one spot message without its names


# ---- numbers

cdef char* put_int(char* at, int64_t value) noexcept:
    """Decimal digits of a number that is not negative; returns the end."""
    cdef char digits[20]
    cdef int n = 0
    while True:
        digits[n] = 48 + value % 10
        value //= 10
        n += 1
        if value == 0:
            break
    while n > 0:
        n -= 1
        at[0] = digits[n]
        at += 1
    return at


cdef char* put_decimal(char* at, int64_t value, int64_t one) noexcept:
    """value / one (a power of ten) as the shortest exact decimal."""
    cdef int64_t rest = value % one
    at = put_int(at, value // one)
    if rest == 0:
        return at
    at[0] = 46
    at += 1
    while rest:
        one //= 10
        at[0] = 48 + rest // one
        rest %= one
        at += 1
    return at


cdef char* put_fixed(char* at, int64_t value_e8) noexcept:
    """value / 1e8 with eight decimals."""
    cdef int64_t rest = value_e8 % E8
    cdef int k
    at = put_int(at, value_e8 // E8)
    at[0] = 46
    for k in range(8, 0, -1):
        at[k] = 48 + rest % 10
        rest //= 10
    return at + 9


cdef char* put_price(char* at, int ticks) noexcept:
    return put_decimal(at, ticks, PRICE_END)


cdef inline char* put(char* at, const char* text, Py_ssize_t n) noexcept:
    memcpy(at, text, n)
    return at + n


cdef inline char* put_bytes(char* at, bytes text) noexcept:
    return put(at, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


def decimal8(int64_t value_e8) -> str:
    """Write a 1e-8 integer with eight decimals, as the spot exchange does."""
    cdef char text[40]
    return PyUnicode_DecodeASCII(text, put_fixed(text, value_e8) - text, NULL)


def decimal_text(micro) -> str:
    """An integer of 1e-6 as the shortest decimal, exact, however large."""
    cdef char text[40]
    if micro >= 10**18:
        return f"{micro // MICRO}.{micro % MICRO:06d}".rstrip("0").rstrip(".")
    return PyUnicode_DecodeASCII(text, put_decimal(text, micro, MICRO) - text, NULL)


# ---- books

def levels_text(MatchBook book, int side, bint mirrored) -> str:
    """Levels of one side of a book, best last; mirrored: that side seen from Down, prices 1 - p."""
    cdef int prices[10000]
    cdef Py_ssize_t n = 0
    cdef int price = book.best[side]
    while price >= 0:
        prices[n] = price
        n += 1
        price = book._worse(side, price)
    cdef char* text = <char*> malloc(n * LEVEL_MAX + 1)
    if text == NULL:
        raise MemoryError()
    cdef char* at = text
    while n > 0:
        n -= 1
        price = prices[n]
        at = put(at, b'{"price":"', 10)
        at = put_price(at, PRICE_END - price if mirrored else price)
        at = put(at, b'","size":"', 10)
        at = put_decimal(at, book.level_of[side * PRICE_END + price].ushares, MICRO)
        at = put(at, b'"}', 2)
        if n:
            at = put(at, b',', 1)
    try:
        return PyUnicode_DecodeASCII(text, at - text, NULL)
    finally:
        free(text)


def changes_text(changes, tuple heads, tuple tails) -> str:
    """Items of a price_change: each level once in Up's terms, once in Down's; heads and tails as (Up, Down)."""
    cdef bytes up_head = heads[0].encode(), down_head = heads[1].encode()
    cdef bytes up_tail = tails[0].encode(), down_tail = tails[1].encode()
    cdef Py_ssize_t fixed = len(up_head) + len(down_head) + len(up_tail) + len(down_tail)
    cdef char* text = <char*> malloc(len(changes) * (fixed + 2 * LEVEL_MAX) + 1)
    if text == NULL:
        raise MemoryError()
    cdef char* at = text
    cdef int side, price
    cdef int64_t ushares
    try:
        for side, price, ushares in changes:
            if at != text:
                at = put(at, b',', 1)
            at = _put_change(put_bytes(at, up_head), side == BUY, price, ushares)
            at = put(put_bytes(at, up_tail), b',', 1)
            at = _put_change(put_bytes(at, down_head), side != BUY, PRICE_END - price, ushares)
            at = put_bytes(at, down_tail)
        return PyUnicode_DecodeASCII(text, at - text, NULL)
    finally:
        free(text)


cdef char* _put_change(char* at, bint buy, int price, int64_t ushares) noexcept:
    at = put(put_price(at, price), b'","size":"', 10)
    at = put(put_decimal(at, ushares, MICRO), b'","side":"', 10)
    return put(at, b'BUY', 3) if buy else put(at, b'SELL', 4)


# ---- spot

cdef class SpotText:
    """Messages of one symbol in one form: raw or combined, stamps in ms or us."""

    def __cinit__(self, str symbol, *, bint combined, bint micro):
        cdef str stream = symbol.lower()
        cdef str quote = f'{{"stream":"{stream}@bookTicker","data":' if combined else ""
        cdef str trade = f'{{"stream":"{stream}@trade","data":' if combined else ""
        self.quote_open = f'{quote}{{"u":'.encode()
        self.quote_symbol = f',"s":"{symbol}","b":"'.encode()
        self.trade_open = f'{trade}{{"e":"trade","E":'.encode()
        self.trade_symbol = f',"s":"{symbol}","t":'.encode()
        self.tail = b"}" if combined else b""
        self.unit_us = 1 if micro else 1_000
        if len(self.quote_open) + len(self.trade_open) + len(self.trade_symbol) > SPOT_MAX // 2:
            raise ValueError("the symbol is too long")

    def quote(self, quote) -> str:
        """A bookTicker message of (at_ns, update id, bid, its size, ask, its size), prices and sizes in 1e-8."""
        cdef char text[600]
        cdef int64_t update_id, bid, bid_qty, ask, ask_qty
        _, update_id, bid, bid_qty, ask, ask_qty = quote
        cdef char* at = put_int(put_bytes(text, self.quote_open), update_id)
        at = put_fixed(put_bytes(at, self.quote_symbol), bid)
        at = put_fixed(put(at, b'","B":"', 7), bid_qty)
        at = put_fixed(put(at, b'","a":"', 7), ask)
        at = put_fixed(put(at, b'","A":"', 7), ask_qty)
        at = put_bytes(put(at, b'"}', 2), self.tail)
        return PyUnicode_DecodeASCII(text, at - text, NULL)

    def trade(self, trade, int64_t event_us) -> str:
        """A trade message of (id, taker order, price, quantity, time in us, buyer is maker)."""
        cdef char text[600]
        cdef int64_t trade_id, price, quantity, at_us
        cdef bint buyer_is_maker
        trade_id, _, price, quantity, at_us, buyer_is_maker = trade
        cdef char* at = put_int(put_bytes(text, self.trade_open), event_us // self.unit_us)
        at = put_int(put_bytes(at, self.trade_symbol), trade_id)
        at = put_fixed(put(at, b',"p":"', 6), price)
        at = put_fixed(put(at, b'","q":"', 7), quantity)
        at = put_int(put(at, b'","T":', 6), at_us // self.unit_us)
        at = put(at, b',"m":', 5)
        at = put(at, b'true', 4) if buyer_is_maker else put(at, b'false', 5)
        at = put_bytes(put(at, b',"M":true}', 10), self.tail)
        return PyUnicode_DecodeASCII(text, at - text, NULL)
