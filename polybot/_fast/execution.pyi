"""Types of polybot._fast.execution as Python sees them."""

import enum

from polybot._fast.event import EventBuffer
from polybot._fast.sim_market import SimMarket, SimOrder
from polybot.market.spec import MarketSpec

class ExecutionReason(enum.IntEnum):
    REASON_NONE = 0
    REASON_TICK_SIZE = 207
    REASON_MIN_SIZE = 208
    REASON_MIN_NOTIONAL = 209
    REASON_CROSSES_BOOK = 213
    REASON_KILLED = 214
    REASON_BALANCE = 215
    REASON_NOT_READY = 219

class SimExecution:
    """All simulated orders of one account; times are receive-clock ns, money micro-USD, sizes micro-shares."""

    now_ns: int
    cash_usd: int
    held_usd: int

    def __init__(
        self,
        *,
        cash_usd: int,
        confirm_ns: int,
        cancel_ns: int = 0,
        queue: int = 0,
        extra_ticks: int = 0,
        first_key: int = 1,
    ) -> None: ...
    def process(self, events: EventBuffer, out: EventBuffer) -> int: ...
    def advance(self, now_ns: int, out: EventBuffer) -> int: ...
    def add_market(self, index: int, spec: MarketSpec) -> None: ...
    def drop_market(self, index: int) -> None: ...
    def place(
        self,
        market: int,
        *,
        order_seq: int,
        outcome: int,
        side: int,
        order_type: int,
        price_ticks: int,
        ushares: int,
        arrive_ns: int,
        asked: int = 0,
        usd: int = -1,
        post_only: bool = False,
        expires_ns: int = 0,
    ) -> None: ...
    def cancel(self, order_seq: int, arrive_ns: int) -> bool: ...
    def settle(self, market: int, winner: int) -> int: ...
    def next_due_ns(self) -> int: ...
    def market(self, index: int) -> SimMarket | None: ...
    def order(self, order_seq: int) -> SimOrder | None: ...
    def open_orders(self, market: int | None = None) -> list[int]: ...
    def position(self, market: int) -> tuple[int, int]: ...
    def taken(self, market: int) -> dict[tuple[int, int], int]: ...
    def counters(self) -> dict[str, int]: ...
