"""Types of polybot._fast.order as Python sees them."""

from enum import IntEnum

ORDER_MOVES: tuple[str, ...]
TRADE_MOVES: tuple[str, ...]

class Move(IntEnum):
    MOVE_NONE = 0
    MOVE_ON = 1
    MOVE_CONTRADICTION = 2
    MOVE_REVIVED = 3

MOVE_NONE = Move.MOVE_NONE
MOVE_ON = Move.MOVE_ON
MOVE_CONTRADICTION = Move.MOVE_CONTRADICTION
MOVE_REVIVED = Move.MOVE_REVIVED

def order_move(old: int, new: int, *, matched: bool = False) -> int: ...
def trade_move(old: int, new: int) -> int: ...
def is_terminal(status: int) -> bool: ...

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
