"""What the gateway tells before it acts: an order before it is sent, a trade's name before its fill.

Owns the protocol only; the daemon gives the money journal behind it.  Called by gateway.clob.
"""

import asyncio
from typing import Protocol

from polybot import crashpoints
from polybot.gateway.tracker import TrackedOrder

__all__ = ["IntentLog", "crash_after_post"]

# A request is written within so many turns of the loop; its answer takes longer than these.
CRASH_TURNS = 10


class IntentLog(Protocol):
    """Where an order is written before it is sent, and a trade's name before its fill."""

    def intent(self, order: TrackedOrder, *, salt: int, api_key: str) -> bool:
        """Write an order that is signed; False: it was not taken and must not be sent."""
        ...

    def trade_seen(self, key: int, *, trade_id: str, order_id: str, leg: int) -> None:
        """Write what a fill's trade key stands for."""
        ...


async def crash_after_post() -> None:
    """The crash point between the bytes of a POST and its answer; spawned only when it is armed."""
    for _ in range(CRASH_TURNS):
        await asyncio.sleep(0)
    crashpoints.reach("after_post")
