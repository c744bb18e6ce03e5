"""Types of polybot._fast.account as Python sees them."""

from polybot._fast.event import CommandBuffer
from polybot._fast.order import Order
from polybot._fast.risk import Risk

class Account:
    risk: Risk
    orders: dict[int, Order]
    alerts: list[str]
    strays: int
    duplicates: int
    overfills: int
    contradictions: int
    broken: int
    def __init__(self, risk: Risk, out: CommandBuffer) -> None: ...
