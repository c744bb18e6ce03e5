# Decoder of oracle prices: RTDS topics and PolyBolt channels.
# Owns: channel sequence and the stamps already seen.  Emits EV_ORACLE_SPOT and EV_ORACLE_TWAP.
from libc.stdint cimport int64_t

from polybot._fast.event cimport EventBuffer
from polybot._fast.scan cimport Cursor, FrameDecoder, Token

cdef enum:
    SPOT = 0                 # index of a channel
    TWAP = 1
    SEEN = 256               # stamps remembered per channel: a full backfill and then some, at 1 Hz

ctypedef struct OracleFields:
    Token topic              # RTDS
    Token timestamp          # of the envelope in RTDS, of the price inside a payload
    Token channel            # PolyBolt
    Token seq
    Token ts
    Token payload
    Token symbol
    Token source
    Token window
    Token value
    Token accurate
    Token data

ctypedef struct OracleFrame:
    int channel              # SPOT or TWAP
    bint scaled              # RTDS spells full_accuracy_value as an integer of 1e-18
    int64_t seq
    int64_t sent_ns
    int64_t recv_ns
    int64_t window_s

cdef class OracleDecoder(FrameDecoder):
    cdef bytes _slashed                      # btc/usd
    cdef bytes _joined                       # btcusd
    cdef readonly int market
    cdef readonly int64_t twap_window_s
    cdef int64_t seen[2][SEEN]
    cdef int seen_at[2]
    cdef int64_t last_seq[2]                 # -1: none yet on this connection
    cdef readonly int64_t spots
    cdef readonly int64_t twaps
    cdef readonly int64_t backfilled
    cdef readonly int64_t duplicates         # stamps already seen
    cdef readonly int64_t gaps               # places where a channel's sequence skips
    cdef readonly int64_t wrong_symbol
    cdef readonly int64_t wrong_source       # not the provider the market resolves by
    cdef readonly int64_t wrong_window       # averages over another window
    cdef readonly int64_t value_mismatch     # full_accuracy_value contradicts value

    cdef int _read_prices(self, const OracleFields* p, OracleFrame* f, EventBuffer out) noexcept
    cdef int _add_price(self, const OracleFields* p, const OracleFrame* f, int flags, EventBuffer out) noexcept
    cdef bint _is_ours(self, const Token* symbol) noexcept
    cdef int _price(self, const OracleFields* p, bint scaled, double* price) noexcept
    cdef int _keep_new(self, Py_ssize_t head, const OracleFrame* f, bint gap, EventBuffer out) noexcept
