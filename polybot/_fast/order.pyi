"""Types of polybot._fast.order as Python sees them."""

class Trade:
    status: int
    price_ticks: int
    shares: int
    cost_usd: int
    fee_usd: int
    maker: bool

class Order:
    seq: int
    market: int
    strategy: int
    outcome: int
    side: int
    order_type: int
    price_ticks: int
    shares: int
    matched: int
    filled: int
    status: int
    dispatched_ns: int
    post_only: bool
    expires_ns: int
    cancel_edge: float
    reserved_usd: int
    @property
    def is_open(self) -> bool: ...
    @property
    def unsettled_trades(self) -> int: ...
