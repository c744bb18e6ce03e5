"""Fair probability, Greeks and standard error of a binary under each resolution rule."""

from enum import IntEnum

class Rule(IntEnum):
    RULE_POINT = 0
    RULE_CANDLE = 1
    RULE_TWAP = 2

class PriceStatus(IntEnum):
    PRICE_OK = 0
    BAD_SIGMA = 1
    BAD_SPOT = 2
    BAD_STRIKE = 3
    BAD_TAU = 4
    BAD_VARIANCE = 5
    BAD_LOCKED = 6
    BAD_RULE = 7
    BAD_WINDOW = 8
    BAD_SE = 9

class PricingResult:
    """Outcome of price(); every number is NaN unless status is PRICE_OK.  Units: pricing.pxd."""

    @property
    def status(self) -> int: ...
    @property
    def u(self) -> float: ...
    @property
    def m(self) -> float: ...
    @property
    def dm_ds(self) -> float: ...
    @property
    def t_eff(self) -> float: ...
    @property
    def v(self) -> float: ...
    @property
    def d2(self) -> float: ...
    @property
    def z(self) -> float: ...
    @property
    def p_up(self) -> float: ...
    @property
    def phi_d2(self) -> float: ...
    @property
    def delta(self) -> float: ...
    @property
    def gamma(self) -> float: ...
    @property
    def vega(self) -> float: ...
    @property
    def se_q(self) -> float: ...

def price(
    *,
    rule: int,
    s: float,
    k: float,
    sigma: float,
    tau_s: float,
    w_s: float = 0.0,
    lag_s: float = 0.0,
    locked_sum: float = 0.0,
    var_basis: float = 0.0,
    var_strike: float = 0.0,
    var_locked: float = 0.0,
    se_ln_sigma: float = 0.0,
    sd_x: float = 0.0,
) -> PricingResult:
    """Price one market; bad numbers give a status, never an exception."""

def implied_deviation(p: float, m: float, k: float) -> float:
    """Total log-deviation at which mean m prices Up at p (the smaller of two roots); NaN when none does."""

def half_kelly(q: float, cost: float, cap: float) -> float:
    """Fraction of bankroll in [0, cap]: 0.5 (q - cost) / (1 - cost), cost = price + fee in USD per share."""

def winner(final: float, strike: float) -> int:
    """0 Up (a tie is Up), 1 Down, -1 when a price is no price."""
