"""Types of polybot._fast.strategy as Python sees them."""

from collections.abc import Sequence
from enum import IntEnum

from polybot._fast.state import MarketState, SpotState

class Trigger(IntEnum):
    ON_SPOT_TRADE = 1
    ON_BOOK = 2
    ON_ANY_BOOK = 4

class Signal:
    outcome: int
    side: int
    order_type: int
    post_only: bool
    price_ticks: int
    price: float
    shares: int
    fair: float
    edge: float
    confidence: float
    size_frac: float
    life_ns: int
    cancel_edge: float
    def __init__(self) -> None: ...

class Strategy:
    name: str
    gate_names: tuple[str, ...]
    triggers: int
    passive: bool
    enabled: bool
    index: int
    edge_se_multiple: float
    kelly_frac: float
    kelly_cap_frac: float
    def __init__(
        self,
        name: str,
        *,
        gate_names: Sequence[str],
        triggers: int,
        passive: bool = False,
        enabled: bool = True,
        edge_se_multiple: float = 1.0,
    ) -> None: ...
    def bind(self, index: int) -> None: ...
    def set_sizing(self, *, kelly_frac: float, kelly_cap_frac: float) -> None: ...
    def disable(self) -> None: ...
    def evaluate(self, market: MarketState, spot: SpotState, signal: Signal) -> int: ...
    def check_least(self, number: int, value: float, threshold: float) -> bool: ...
    def check_most(self, number: int, value: float, threshold: float) -> bool: ...
    def check_flag(self, number: int, ok: bool) -> bool: ...
    def size_buy(
        self, market: MarketState, signal: Signal, outcome: int, cap: float, min_edge: float
    ) -> bool: ...
    def size_rest(
        self, market: MarketState, signal: Signal, outcome: int, price_ticks: int, cap: float
    ) -> bool: ...
    def edge_at_ask(self, market: MarketState, outcome: int) -> float: ...
