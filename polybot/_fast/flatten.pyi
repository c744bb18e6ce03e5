"""Types of polybot._fast.flatten as Python sees them."""

from polybot._fast.account import Account
from polybot._fast.event import CommandBuffer

class Flattener:
    on: bool
    sales: int
    def __init__(self, account: Account, out: CommandBuffer, *, end_guard_ns: int) -> None: ...
