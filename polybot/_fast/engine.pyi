"""Types of polybot._fast.engine as Python sees them."""

from collections.abc import Iterable

from polybot._fast.account import Account
from polybot._fast.event import CommandBuffer, EventBuffer
from polybot._fast.flatten import Flattener
from polybot._fast.order import Order
from polybot._fast.risk import Risk
from polybot._fast.state import MarketState, SpotState
from polybot._fast.strategy import Strategy
from polybot.market.spec import MarketSpec

class Engine:
    spot: SpotState
    risk: Risk
    strategies: list[Strategy]
    markets: dict[int, MarketState]
    now_ns: int
    account: Account
    flattener: Flattener
    def __init__(
        self,
        *,
        spot: SpotState,
        risk: Risk,
        strategies: Iterable[Strategy],
        end_guard_s: float = 5.0,
        house_confidence_min: float = 0.0,
        diagnostics_s: float = 10.0,
        oracle_lag_s: float = 3.0,
        tau_shift_s: float = 0.0,
        max_missing_s: int = 10,
        mismatch_limit: int = 2,
        fresh_samples: int = 0,
        market_shrink: float = 0.0,
    ) -> None: ...
    def open_market(
        self, index: int, spec: MarketSpec, *, order_seq_base: int, observed: bool = False
    ) -> MarketState: ...
    @property
    def orders(self) -> dict[int, Order]: ...
    @property
    def alerts(self) -> list[str]: ...
    @property
    def strays(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def overfills(self) -> int: ...
    def strategy_slot(self, name: str) -> int: ...
    def restore_order(
        self,
        market_index: int,
        *,
        order_seq: int,
        strategy: int,
        outcome: int,
        side: int,
        order_type: int,
        price_ticks: int,
        shares: int,
        post_only: bool,
        dispatched_ns: int,
        expires_ns: int = 0,
        cancel_edge: float = ...,
    ) -> Order: ...
    def drop_market(self, index: int) -> None: ...
    def process(self, events: EventBuffer) -> CommandBuffer: ...
