# Decoder of the CLOB market channel: books, price changes, quotes, trades, tick sizes, resolutions.
# Owns: the table token_id -> (market_index, outcome).  Emits EV_BOOK_*, EV_PUBLIC_*, EV_TICK_SIZE, EV_RESOLVED.
from libc.stdint cimport int64_t, uint64_t

from polybot._fast.clob_fields cimport Change, ClobFields
from polybot._fast.event cimport EventBuffer
from polybot._fast.scan cimport Cursor, FrameDecoder, Token

cdef enum:
    MAX_MARKETS = 64
    MAX_ID = 80              # bytes of a token_id (a 256-bit number in decimal) or condition_id

# Order of ClobDecoder.counters().
cdef enum:
    N_OBJECTS = 0
    N_BOOKS = 1
    N_LEVELS = 2
    N_PRICE_CHANGES = 3      # messages
    N_CHANGES = 4            # levels in them
    N_QUOTES = 5
    N_TRADES = 6
    N_TICK_SIZES = 7
    N_RESOLVED = 8
    N_OTHER = 9              # new_market and event types we do not know
    N_UNKNOWN_TOKEN = 10
    N_MARKET_MISMATCH = 11   # the token is known, but the market named beside it is another
    N_OFF_GRID = 12          # prices finer than 1e-4: skipped, tick size to be fetched again
    N_COUNTS = 13

ctypedef struct Slot:
    int used
    int market               # market_index
    int condition_n
    int token_n[2]           # per outcome
    uint64_t head[2]         # first eight bytes of each token_id
    char condition[MAX_ID]
    char token[2][MAX_ID]

cdef class ClobDecoder(FrameDecoder):
    cdef Slot table[MAX_MARKETS]
    cdef int rows                       # rows in use at most
    cdef int64_t total[N_COUNTS]
    cdef int64_t now[N_COUNTS]          # of the frame being read

    cdef int _find_token(self, const Token* id, int* outcome) noexcept nogil
    cdef bint _read_object(self, Cursor* c, int64_t recv_ns, EventBuffer out) noexcept
    cdef bint _read_value(self, Cursor* c, const Token* key, ClobFields* f, EventBuffer out) noexcept
    cdef bint _read_levels(self, Cursor* c, Token* slot, int side, ClobFields* f, EventBuffer out) noexcept
    cdef bint _read_changes(self, Cursor* c, ClobFields* f, EventBuffer out) noexcept
    cdef bint _read_change(self, Cursor* c, ClobFields* f, EventBuffer out) noexcept
    cdef int _on_change(self, const ClobFields* item, ClobFields* f, EventBuffer out) noexcept
    cdef void _add_change(self, const Change* change, ClobFields* f, bint off_grid, EventBuffer out) noexcept
    cdef int _finish(self, ClobFields* f, Py_ssize_t head, int64_t recv_ns, EventBuffer out) noexcept
    cdef int _resolve(self, const ClobFields* f, const Token* id, int* outcome) noexcept
    cdef bint _is_market(self, const ClobFields* f, int row) noexcept nogil
    cdef void _refetch(self, int off_grid, int row, EventBuffer out) noexcept
    cdef int _on_book(self, ClobFields* f, Py_ssize_t head, int64_t recv_ns, EventBuffer out) noexcept
    cdef int _on_price_change(self, ClobFields* f, Py_ssize_t head, int64_t recv_ns, EventBuffer out) noexcept
    cdef int _on_single(self, ClobFields* f, int kind, int64_t recv_ns, EventBuffer out) noexcept
