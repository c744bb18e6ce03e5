# SpotState: the asset's spot and oracle, one for the daemon's life. MarketState: one window.
from libc.stdint cimport int64_t

from polybot._fast.basis cimport OracleBasis
from polybot._fast.book cimport Book
from polybot._fast.event cimport Event
from polybot._fast.moves cimport MoveTracker
from polybot._fast.pricing cimport Pricing, PricingInput
from polybot._fast.regime cimport RegimeClassifier
from polybot._fast.vol cimport Volatility
from polybot._fast.vwap cimport RollingVwap

cdef enum:
    UP_SLOT = 0              # array places of the outcomes
    DOWN_SLOT = 1
    MAX_STRATEGIES = 16
    MAX_GATES = 10
    QUOTE_LEVELS = 6         # best asks of an outcome whose age is followed
    ORACLE_RING_S = 512      # seconds of 1 Hz oracle history kept; above the longest averaging window

cpdef enum GateCompare:
    GATE_AT_LEAST = 0
    GATE_AT_MOST = 1
    GATE_FLAG = 2

cpdef enum GateResult:
    GATE_NOT_REACHED = -1
    GATE_BLOCKED = 0
    GATE_PASSED = 1

ctypedef struct Gate:
    double value
    double threshold
    int compare
    int result

ctypedef struct Miss:            # of all evaluations that made no signal the one that came closest
    double value                 # of the gate that ended it
    double threshold
    double shortfall             # of value against threshold, in units of `scale`; above 0, infinity for no number
    double scale
    int64_t at_ns
    int compare
    int gate                     # -1: nothing noted yet
    int passed                   # gates passed before it

ctypedef struct Quote:
    int ticks                # ask, in the outcome's ticks; -1: none
    int64_t stamp_ns         # venue's stamp of the message that set it, 0: not told
    double spot              # last spot (exchange units) when that message came

cdef class SpotState:
    cdef readonly Volatility vol
    cdef readonly RollingVwap vwap
    cdef readonly RegimeClassifier regime
    cdef readonly OracleBasis basis
    cdef readonly double last            # last trade price, spot units
    cdef readonly double previous        # the trade price before it that differed in time
    cdef readonly double bid
    cdef readonly double ask
    cdef readonly double sigma           # per sqrt(s), cached once a second; NaN until warm
    cdef readonly double se_ln_sigma
    cdef readonly int64_t sigma_ns
    cdef readonly int64_t trade_ns       # recv_ns of the last trade
    cdef readonly int64_t data_ns        # recv_ns of the last live trade or quote
    cdef readonly int64_t oracle_ns      # recv_ns of the last live oracle spot tick: what basis and averages live on
    cdef readonly int64_t oracle_stamp_ns
    cdef readonly double oracle_last     # last oracle spot value, resolution units
    cdef readonly double twap_last
    cdef readonly int64_t twap_stamp_ns
    cdef readonly int64_t trades
    cdef readonly int64_t quotes
    cdef readonly int64_t gaps
    cdef double ring_value[ORACLE_RING_S]
    cdef int64_t ring_second[ORACLE_RING_S]
    cdef int64_t locked_first, locked_next   # seconds of the last locked_sum that are added up
    cdef double locked_total, locked_value   # their sum, the last of them

    cdef void on_trade(self, double price, double quantity, int64_t recv_ns, int64_t venue_ns, bint live) noexcept
    cdef void on_quote(self, double bid, double ask, int64_t recv_ns) noexcept
    cdef void on_oracle_spot(self, double value, int64_t venue_ns, int64_t recv_ns, bint live) noexcept
    cdef void on_oracle_twap(self, double value, int64_t venue_ns, int64_t recv_ns) noexcept
    cdef void _cache_sigma(self, int64_t now_ns) noexcept
    cdef void on_timer(self, int64_t now_ns) noexcept
    cdef void _add_seen(self, int64_t first_second, int64_t last_second) noexcept
    cdef double locked_sum(self, int64_t first_second, int64_t last_second, double fill, int* missing) noexcept

cdef class MarketState:
    cdef readonly int index
    cdef readonly object spec
    cdef readonly Book book
    cdef readonly int64_t start_ns
    cdef readonly int64_t end_ns
    cdef readonly int rule
    cdef readonly double twap_window_s
    cdef readonly int64_t min_size_ushares
    cdef readonly bint fees_enabled
    cdef readonly int64_t fee_rate_ppm   # -1: schedule unknown
    cdef readonly int fee_exponent
    cdef readonly double strike          # NaN until captured
    cdef readonly double strike_var      # variance of ln strike
    cdef readonly int strike_source
    cdef readonly int64_t strike_stamp_ns
    cdef readonly int house              # outcome of the first dispatched active order, -1: none
    cdef int64_t house_seq               # the order that set it
    cdef readonly int64_t book_ns        # recv_ns of the last book message, 0: none yet
    cdef readonly bint closed
    cdef readonly int outcome            # as published by the venue, -1: unknown
    cdef readonly int64_t shares[2]      # micro-shares held per outcome, provisional and confirmed
    cdef readonly int64_t cost_usd[2]    # micro-USD paid for them, with fees
    cdef readonly int64_t fees_usd
    cdef readonly int64_t now_ns
    cdef readonly double spot            # S in the resolution source's units
    cdef readonly double tau_s
    cdef readonly int missing_s          # unobserved seconds inside the averaging window
    cdef readonly double bankroll_usd
    cdef readonly bint observed          # followed for other windows' sake, never traded
    cdef list peers                      # every live window of the asset, this one included; the engine's own list
    cdef double lag_s                    # the published average ends so long before its stamp
    cdef double tau_shift_s
    cdef readonly double shrink          # weight of the market's mid in q, 0: the model alone
    cdef PricingInput inp
    cdef Pricing px                      # the shared pricing context of this message
    cdef readonly MoveTracker moves      # mid against fair on the timer, when a strategy asked for it
    cdef double edge_usd[2]              # taker_edge of the outcome at an ask of edge_ticks, under px
    cdef int edge_ticks[2]               # -1: not reckoned yet
    cdef Quote quotes[2][QUOTE_LEVELS]   # asks of the outcome, best first, and when each was set
    cdef int64_t shape_seen              # of the book when its asks were last noted
    cdef int64_t book_stamp_ns           # venue's stamp of the book message being applied, 0: not told
    cdef readonly int order_count[MAX_STRATEGIES]
    cdef int64_t last_dispatch_ns[MAX_STRATEGIES]
    cdef readonly int64_t strat_cost_usd[MAX_STRATEGIES]
    cdef int64_t strat_shares[MAX_STRATEGIES][2]
    cdef readonly int64_t strat_fees_usd[MAX_STRATEGIES]
    cdef int64_t strat_unsold_usd[MAX_STRATEGIES]    # proceeds of sales that may still fail: no room before CONFIRMED
    cdef readonly int64_t signals[MAX_STRATEGIES]
    # signals == dispatched + dropped + the sum of denials, at every instant
    cdef readonly int64_t dispatched[MAX_STRATEGIES]
    cdef readonly int64_t dropped[MAX_STRATEGIES]    # proposed and not decided: no order could be made of them
    cdef readonly int64_t restored[MAX_STRATEGIES]   # orders of an earlier process: no signals of this one
    cdef readonly int64_t unasked[MAX_STRATEGIES]    # evaluations that passed a disabled strategy by
    cdef int64_t denials[MAX_STRATEGIES][64]
    cdef Gate gates[MAX_STRATEGIES][MAX_GATES]
    cdef int reached[MAX_STRATEGIES]         # 1 << gate of those whose result is not GATE_NOT_REACHED
    cdef Miss nearest[MAX_STRATEGIES]
    cdef list open_orders                # orders that may still fill, in order of dispatch
    cdef readonly int block_reason       # Denial of the last gate no strategy may skip, 0: none
    cdef readonly bint settled
    cdef readonly int64_t fresh_left      # volatility samples this window still waits for before it trades
    cdef bint dirty                      # touched by the venue message now being applied
    cdef int told_outcome                # best prices the venue told with the last message, to check our book
    cdef int told_bid                    # ticks; -1: side empty, -2: not told
    cdef int told_ask
    cdef readonly int mismatches
    cdef readonly int resyncs
    cdef bint tick_refetch               # asked and not answered yet
    cdef bint renewed                    # the message being read holds a snapshot
    cdef int64_t off_tick_seen
    cdef int64_t order_seq_next
    cdef int64_t blocked[64]             # evaluations that no strategy was asked, by Denial
    cdef int64_t reason_ns[64]           # how long the window stood at each block_reason, 0: strategies were asked
    cdef int64_t passed_ns               # up to when that is added up, 0: nothing yet

    cdef bint reprice(self, SpotState spot, int64_t now_ns) noexcept
    cdef double fair_at_spot(self, double exchange_spot, double beta, int outcome) noexcept
    cdef double fee_per_share(self, double price) noexcept
    cdef void _forget_gates(self) noexcept
    cdef void _lock_window(self, SpotState spot) noexcept
    cdef void note_quotes(self, double exchange_spot) noexcept
    cdef double quote_spot(self, SpotState spot, int outcome) noexcept
    cdef double mid(self) noexcept
    cdef double q(self, int outcome) noexcept
    cdef double shrunk(self, double p_up, int outcome) noexcept
    cdef int require_outcome(self, int outcome) except -1
    cdef Py_ssize_t take_book(self, const Event* ev, Py_ssize_t n) noexcept
    cdef void note_book(self, const Event* ev, Py_ssize_t n) noexcept
    cdef double taker_edge(self, int outcome) noexcept
    cdef bint contradicts(self, int mismatch_limit) noexcept
    cdef int64_t marked(self) noexcept
    cdef void pass_time(self, int64_t now_ns) noexcept
