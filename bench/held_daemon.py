"""A whole daemon on this process's loop, with a task beside it that may look at its trader and ends it.

Owns how the benches get hold of the trader: through the place in `polybot.daemon` where the loop's care begins.
Everything else is the daemon as `python -m polybot` runs it.  Must not measure.  Called by scripts that are run as
processes of their own.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvloop

from polybot import daemon
from polybot.config import Config
from polybot.loop_care import LoopCare, tended
from polybot.trader import Trader

__all__ = ["Held", "run_daemon"]

LOOK_S = 0.001


class Held:
    """The daemon's trader and the care for its loop, once they are there."""

    def __init__(self) -> None:
        self.trader: Trader | None = None
        self.care: LoopCare | None = None

    async def until(self, is_so: Callable[[Trader], bool], *, look_s: float = LOOK_S) -> Trader:
        """Wait until the trader is there and this holds of it."""
        while self.trader is None or not is_so(self.trader):
            await asyncio.sleep(look_s)
        return self.trader


def run_daemon(config: Config, beside: Callable[[Held], Awaitable[None]], held: Held | None = None) -> int:
    """Run the daemon to its end with `beside` on the same loop; its exit code."""
    held = held or Held()

    @contextlib.contextmanager
    def watched(trader: Trader, *more: Any) -> Iterator[LoopCare]:
        held.trader = trader
        with tended(trader, *more) as held.care:
            yield held.care

    async def run() -> int:
        task = asyncio.ensure_future(beside(held))
        try:
            return await daemon.run(config)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task  # what went wrong beside it is heard of

    daemon.tended = watched
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())
