# Two-tier risk: portfolio gates, then the strategy's own row. Sizes an order or says why not.
from libc.stdint cimport int64_t

from polybot._fast.order cimport Order
from polybot._fast.state cimport MAX_STRATEGIES, MarketState, SpotState
from polybot._fast.strategy cimport Signal

cpdef enum Denial:
    DISPATCHED = 0
    HALTED_MANUAL = 1
    HALTED_DAILY = 2
    HALTED_WEEKLY = 3
    STALE_SPOT = 4
    STALE_BOOK = 5
    STALE_ORACLE = 6
    CLOCK_SKEW = 7
    NOT_WARM = 8
    STRIKE_UNKNOWN = 9
    MARKET_NOT_OPEN = 10
    MARKET_CLOSING = 11
    HOUSE_SIDE = 12
    DECONFLICTED = 13
    DISABLED = 14
    COOLDOWN = 15
    MAX_ORDERS = 16
    STRATEGY_EXPOSURE = 17
    PORTFOLIO_EXPOSURE = 18
    DELTA_LIMIT = 19
    GAMMA_LIMIT = 20
    UNKNOWN_ORDER = 21
    PENDING_ORDER = 22
    EDGE_AFTER_COSTS = 23
    PRICE_COLLAR = 24
    SIZE_BELOW_MIN = 25
    INSUFFICIENT_BALANCE = 26
    RATE_LIMIT = 27
    VENUE_DOWN = 28
    POST_ONLY_WOULD_CROSS = 29
    PAIR_COST = 30
    DUPLICATE = 31
    NO_PRICE = 32
    BOOK_CROSSED = 33
    NO_BOOK = 34
    HARD_CEILING = 35
    OBSERVED = 36
    SELF_CROSS = 37

cdef enum:
    MAX_RATE = 64            # dispatches remembered for the rate; orders_per_s is below it

ctypedef struct Intent:
    int strategy
    int market
    int outcome
    int side
    int price_ticks

cdef int open_order_reason(MarketState m, Signal s) noexcept
cdef bint crosses_own(MarketState m, Signal s) noexcept
cdef bint pair_too_dear(MarketState m, Signal s) noexcept
cdef int64_t at_risk(int64_t cost_usd) noexcept

cdef class Risk:
    cdef readonly int64_t bankroll_usd           # micro-USD, as all _usd here
    cdef readonly int64_t max_exposure_usd
    cdef readonly int64_t daily_halt_usd
    cdef readonly int64_t weekly_halt_usd
    cdef readonly int64_t spot_max_age_ns
    cdef readonly int64_t stale_feed_ns
    cdef readonly int64_t oracle_max_age_ns
    cdef readonly int64_t max_clock_skew_ns
    cdef readonly int collar_ticks
    cdef readonly double orders_per_s
    cdef readonly int64_t hard_order_usd
    cdef readonly int64_t hard_open_usd
    cdef readonly double max_delta
    cdef readonly double max_short_gamma
    cdef int64_t per_trade_usd[MAX_STRATEGIES]
    cdef int64_t total_usd[MAX_STRATEGIES]
    cdef int64_t cooldown_ns[MAX_STRATEGIES]
    cdef int max_orders[MAX_STRATEGIES]
    cdef readonly bint halted_manual
    cdef readonly bint halted_daily
    cdef readonly bint halted_weekly
    cdef readonly bint venue_down
    cdef readonly int64_t cash_usd               # as the venue told it, less what was bought since; -1: not known yet
    cdef readonly int64_t reserved_usd           # all orders that may still fill
    cdef readonly int64_t position_usd           # cost of open positions
    cdef int64_t strat_reserved[MAX_STRATEGIES]
    cdef int64_t strat_position[MAX_STRATEGIES]
    cdef readonly int64_t day
    cdef readonly int64_t week
    cdef readonly int64_t day_realised_usd
    cdef readonly int64_t week_realised_usd
    cdef readonly int64_t marked_usd             # open positions: mark minus cost
    cdef readonly int64_t spot_lag_ns            # receipt minus the exchange's own stamp of the last live spot trade
    # The net share position over all live windows, as of the last spot update.
    cdef readonly double net_shares              # Up minus Down
    cdef readonly double short_gamma_shares      # in windows where the position loses by movement
    cdef readonly double delta                   # USD per USD of spot
    cdef readonly double gamma
    cdef readonly bint has_position
    cdef int rate_count                          # dispatches allowed within rate_span_ns
    cdef int64_t rate_span_ns
    cdef int64_t dispatches
    cdef int64_t dispatched_ns[MAX_RATE]
    cdef int intents                             # orders let through at intent_ns
    cdef int64_t intent_ns
    cdef Intent intent[MAX_RATE]
    cdef void roll(self, int64_t now_ns) noexcept
    cdef void check_halts(self) noexcept
    cdef int check(self, MarketState market, SpotState spot, Signal signal, int strategy, bint taker,
                   int64_t now_ns) noexcept
    cdef int _check_portfolio(self, MarketState market, SpotState spot, bint taker, int64_t now_ns) noexcept
    cdef int _check_orders(self, MarketState market, Signal signal, int strategy, int64_t now_ns) noexcept
    cdef bint _outside_collar(self, MarketState market, Signal signal) noexcept
    cdef int _check_greeks(self, MarketState market, Signal signal) noexcept
    cdef double _short_gamma_with(self, MarketState market, bint up, double more) noexcept
    cdef bint _is_duplicate(self, MarketState market, Signal signal, int64_t now_ns) noexcept
    cdef void _remember(self, MarketState market, Signal signal, int64_t now_ns) noexcept
    cdef void note_stamp(self, int64_t venue_ns, int64_t recv_ns) noexcept
    cdef void note_greeks(self, list markets, SpotState spot, int64_t now_ns) noexcept
    cdef bint _spot_left_behind(self, SpotState spot, int64_t now_ns) noexcept
    cdef int _fit_size(self, MarketState market, Signal signal, int strategy, bint taker) noexcept
    cdef int _fit_sale(self, MarketState market, Signal signal, int strategy) noexcept
    cdef bint _too_fast(self, int64_t now_ns) noexcept
    cdef bint is_sound(self, int strategy) noexcept
    cdef void hold(self, int strategy, int64_t change_usd) noexcept
    cdef void book_cost(self, int strategy, int64_t at_risk_usd, int64_t paid_usd) noexcept
    cdef void realise(self, int strategy, int64_t pnl_usd, int64_t at_risk_usd) noexcept
