"""Types of polybot._fast.risk as Python sees them."""

from enum import IntEnum

HARD_ORDER_USD: int
HARD_OPEN_USD: int

class Denial(IntEnum):
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

class Risk:
    bankroll_usd: int
    max_exposure_usd: int
    daily_halt_usd: int
    weekly_halt_usd: int
    spot_max_age_ns: int
    stale_feed_ns: int
    oracle_max_age_ns: int
    max_clock_skew_ns: int
    collar_ticks: int
    orders_per_s: float
    hard_order_usd: int
    hard_open_usd: int
    max_delta: float
    max_short_gamma: float
    halted_manual: bool
    halted_daily: bool
    halted_weekly: bool
    venue_down: bool
    cash_usd: int
    reserved_usd: int
    position_usd: int
    day: int
    week: int
    day_realised_usd: int
    week_realised_usd: int
    marked_usd: int
    spot_lag_ns: int
    net_shares: float
    short_gamma_shares: float
    delta: float
    gamma: float
    has_position: bool
    def __init__(
        self,
        *,
        bankroll_usd: int,
        max_exposure_frac: float,
        daily_loss_halt_frac: float,
        weekly_loss_halt_frac: float,
        spot_max_age_ns: int,
        stale_feed_ns: int,
        oracle_max_age_ns: int,
        collar_ticks: int,
        orders_per_s: float,
        max_clock_skew_ns: int = ...,
        max_delta: float = 0.0,
        max_short_gamma: float = 0.0,
        hard_order_usd: int = ...,
        hard_open_usd: int = ...,
    ) -> None: ...
    def set_limits(
        self,
        strategy: int,
        *,
        per_trade_frac: float,
        total_frac: float,
        cooldown_ns: int,
        max_orders: int,
    ) -> None: ...
    def halt(self) -> None: ...
    def resume(self) -> None: ...
    def restore(
        self,
        *,
        day: int,
        week: int,
        day_realised_usd: int,
        week_realised_usd: int,
        halted_manual: bool,
        halted_daily: bool,
        halted_weekly: bool,
    ) -> None: ...
    def set_venue_down(self, down: bool) -> None: ...
    def set_cash(self, cash_usd: int) -> None: ...
    def exposure(self, strategy: int = -1) -> int: ...
    def row(self, strategy: int) -> dict[str, int]: ...
