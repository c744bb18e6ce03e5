"""Types of polybot._fast.sim_market as Python sees them."""

import enum

from polybot._fast.book import Book
from polybot.market.spec import MarketSpec

class QueueModel(enum.IntEnum):
    QUEUE_PESSIMISTIC = 0
    QUEUE_PROPORTIONAL = 1

class SimOrder:
    """One order on its simulated way; micro-shares, ticks of its own outcome, micro-USD."""

    seq: int
    price_ticks: int
    ushares: int
    asked: int
    usd: int
    filled: int
    market: int
    outcome: int
    side: int
    order_type: int
    status: int
    post_only: bool
    ahead: int

class SimMarket:
    """One market as the data show it, our resting orders in it, and our position."""

    index: int
    book: Book
    is_blind: bool
    end_ns: int
    hold_ns: int
    min_size_ushares: int
    cost_usd: int
    fees_usd: int
    prints: int

    def __init__(self, index: int, spec: MarketSpec) -> None: ...
