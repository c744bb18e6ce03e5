"""Types of polybot._fast.pump as Python sees them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from polybot._fast.engine import Engine
from polybot._fast.event import CommandBuffer, EventBuffer
from polybot._fast.execution import SimExecution

class Pump:
    engine: Engine
    venue: SimExecution
    now_ns: int
    messages: int
    def __init__(
        self,
        engine: Engine,
        venue: SimExecution,
        *,
        on_actions: Callable[[CommandBuffer, int], None],
        on_told: Callable[[EventBuffer], None] | None = None,
        on_tick_size: Callable[[int, int], None] | None = None,
        timer_ns: int = 100_000_000,
        balance_ns: int = 0,
        keep: int = 0,
        note_quotes: bool = False,
    ) -> None: ...
    def run(self, events: np.ndarray[Any, Any], *, market: int = -1) -> int: ...
    def tell(self, buffer: EventBuffer) -> None: ...
    def advance(self, now_ns: int) -> None: ...
    def take_commands(self) -> np.ndarray[Any, Any]: ...
    def take_quotes(self) -> np.ndarray[Any, Any]: ...
    def forget_market(self, index: int) -> None: ...
