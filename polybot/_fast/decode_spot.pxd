# Decoder of the spot exchange's trade, aggTrade and bookTicker streams, raw or combined.
# Owns: trade id continuity of one symbol.  Emits EV_SPOT_TRADE and EV_SPOT_QUOTE.
from libc.stdint cimport int64_t

from polybot._fast.event cimport EventBuffer
from polybot._fast.scan cimport Cursor, FrameDecoder, Token

# Values of the keys that matter; names of upper-case keys are doubled.
ctypedef struct SpotFields:
    Token e
    Token ee
    Token s
    Token t
    Token tt
    Token p
    Token q
    Token m
    Token f
    Token l
    Token a
    Token aa
    Token b
    Token bb
    Token u
    Token code
    Token error
    Token data

ctypedef struct SpotTrade:
    int64_t first            # trade ids
    int64_t last
    int64_t sent_ns
    int64_t traded_ns
    double price
    double quantity
    bint buyer_is_maker
    bint aggregated

ctypedef struct SpotQuote:
    int64_t update_id
    int64_t bid_quantity     # in 1e-8
    int64_t ask_quantity
    double bid
    double ask

cdef class SpotDecoder(FrameDecoder):
    cdef bytes _symbol
    cdef const char* _name
    cdef int _name_n
    cdef tuple _heads                        # keeps the two below alive
    cdef const char* _trade_head             # how a combined trade frame of our symbol begins
    cdef int _trade_head_n
    cdef const char* _quote_head             # and a combined quote
    cdef int _quote_head_n
    cdef readonly int market
    cdef readonly int64_t last_trade_id      # -1: none yet
    cdef readonly int64_t last_quote_id      # -1: none yet
    cdef readonly int64_t trades
    cdef readonly int64_t quotes
    cdef readonly int64_t duplicates         # trades already seen
    cdef readonly int64_t overlaps           # aggregated trades seen in part
    cdef readonly int64_t stale_quotes       # quotes not newer than the last
    cdef readonly int64_t empty_quotes       # quotes without a bid or an ask
    cdef readonly int64_t gaps               # places where trade ids skip
    cdef readonly int64_t missing_trades     # trades in those gaps
    cdef readonly int64_t wrong_symbol
    cdef readonly int64_t shutdowns          # serverShutdown notices: reconnect at once
    cdef readonly int64_t control_errors     # answers that refuse a request of ours

    cdef bint _usual_trade(self, const Cursor* c, SpotTrade* t) noexcept nogil
    cdef bint _usual_quote(self, const Cursor* c, SpotQuote* q) noexcept nogil
    cdef int _emit_quote(self, const SpotQuote* q, int64_t recv_ns, EventBuffer out) noexcept
    cdef int _read_object(self, const SpotFields* f, int64_t recv_ns, EventBuffer out) noexcept
    cdef int _on_trade(self, const SpotFields* f, bint aggregated, int64_t recv_ns, EventBuffer out) noexcept
    cdef int _on_quote(self, const SpotFields* f, int64_t recv_ns, EventBuffer out) noexcept
    cdef int _emit_trade(self, const SpotTrade* t, int64_t recv_ns, EventBuffer out) noexcept
