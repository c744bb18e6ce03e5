"""Types of polybot._fast.state as Python sees them."""

from enum import IntEnum
from typing import Any

from polybot._fast.basis import OracleBasis
from polybot._fast.book import Book
from polybot._fast.moves import MoveTracker
from polybot._fast.regime import RegimeClassifier
from polybot._fast.vol import Volatility
from polybot._fast.vwap import RollingVwap
from polybot.market.spec import MarketSpec

RULES: dict[str, int]

class GateCompare(IntEnum):
    GATE_AT_LEAST = 0
    GATE_AT_MOST = 1
    GATE_FLAG = 2

class GateResult(IntEnum):
    GATE_NOT_REACHED = -1
    GATE_BLOCKED = 0
    GATE_PASSED = 1

class SpotState:
    vol: Volatility
    vwap: RollingVwap
    regime: RegimeClassifier
    basis: OracleBasis
    last: float
    previous: float
    bid: float
    ask: float
    sigma: float
    se_ln_sigma: float
    sigma_ns: int
    trade_ns: int
    data_ns: int
    oracle_ns: int
    oracle_stamp_ns: int
    oracle_last: float
    twap_last: float
    twap_stamp_ns: int
    trades: int
    quotes: int
    gaps: int
    def __init__(
        self, vol: Volatility, vwap: RollingVwap, regime: RegimeClassifier, basis: OracleBasis
    ) -> None: ...
    def describe(self) -> dict[str, Any]: ...

class MarketState:
    index: int
    spec: MarketSpec
    book: Book
    start_ns: int
    end_ns: int
    rule: int
    twap_window_s: float
    min_size_ushares: int
    fees_enabled: bool
    fee_rate_ppm: int
    fee_exponent: int
    strike: float
    strike_var: float
    strike_source: int
    strike_stamp_ns: int
    house: int
    book_ns: int
    closed: bool
    outcome: int
    shares: list[int]
    cost_usd: list[int]
    fees_usd: int
    now_ns: int
    spot: float
    tau_s: float
    missing_s: int
    bankroll_usd: float
    observed: bool
    moves: MoveTracker
    shrink: float
    order_count: list[int]
    strat_cost_usd: list[int]
    strat_fees_usd: list[int]
    signals: list[int]
    dispatched: list[int]
    dropped: list[int]
    restored: list[int]
    unasked: list[int]
    block_reason: int
    settled: bool
    mismatches: int
    resyncs: int
    def __init__(
        self,
        index: int,
        spec: MarketSpec,
        *,
        order_seq_base: int,
        bankroll_usd: float,
        shrink: float = 0.0,
        lag_s: float = 0.0,
        tau_shift_s: float = 0.0,
        observed: bool = False,
        siblings: list[MarketState] | None = None,
    ) -> None: ...
    @property
    def siblings(self) -> list[MarketState]: ...
    @property
    def priced(self) -> bool: ...
    @property
    def price_status(self) -> int: ...
    @property
    def fair_up(self) -> float: ...
    @property
    def z(self) -> float: ...
    @property
    def se_fair(self) -> float: ...
    @property
    def greeks(self) -> tuple[float, float, float]: ...
    @property
    def open_order_count(self) -> int: ...
    def fair(self, outcome: int) -> float: ...
    def best_ask(self, outcome: int) -> int: ...
    def best_bid(self, outcome: int) -> int: ...
    def strategy_position(self, strategy: int) -> tuple[int, int]: ...
    def position(self) -> tuple[int, int]: ...
    def gate_rows(self, strategy: int) -> list[tuple[float, float, int, int]]: ...
    def nearest_miss(self, strategy: int) -> tuple[int, float, float, int, int, float] | None: ...
    def stats(self) -> dict[str, Any]: ...
