"""One question for many who ask the same at the same time.

Owns what is under way per key.  Whoever asks gets the result of a question that was put after he asked, never of one
that was under way before: what it tells is as new as his own question would have been.  An error goes to all.
Must not know what is asked.  Called by gateway.resolver for the lists of a market.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from polybot.errors import VenueError, VenueUnavailable

__all__ = ["Joining"]


Result = TypeVar("Result")


class Joining(Generic[Result]):
    """Joins questions by key; `ask(key)` puts one."""

    def __init__(self, ask: Callable[[str], Awaitable[Result]]) -> None:
        self._ask = ask
        self._next: dict[str, asyncio.Future[Result]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, key: str) -> Result:
        """Return what the next question for this key tells; raises VenueError."""
        waiting = self._next.get(key)
        if waiting is not None:
            return await asyncio.shield(waiting)
        waiting = self._next[key] = asyncio.get_running_loop().create_future()
        told: VenueError = VenueUnavailable("not asked: whoever asked was stopped")
        try:
            async with self._turns[key]:
                del self._next[key]
                try:
                    result = await self._ask(key)
                except VenueError as error:
                    told = error
                    raise
                waiting.set_result(result)
                return result
        finally:
            if self._next.get(key) is waiting:
                del self._next[key]
            if not waiting.done():
                waiting.set_exception(told)
                waiting.exception()  # nobody may have joined
