"""Types of polybot._fast.path as Python sees them."""

from collections.abc import Callable
from typing import Any, Protocol

from polybot._fast.engine import Engine
from polybot._fast.event import CommandBuffer, EventBuffer
from polybot._fast.ring import CommandRing
from polybot._fast.samples import SampleRing
from polybot._fast.sink import EventSink
from polybot._fast.stamp import VenueStamp
from polybot._fast.tail import InputsTap

class _Engine(Protocol):
    def process(self, events: EventBuffer) -> CommandBuffer: ...

class HotPath(EventSink):
    def __init__(
        self,
        engine: _Engine,
        *,
        clock: Any,
        stamp: VenueStamp | None,
        gateway: Callable[[CommandBuffer], object],
        on_feed_command: Callable[[int, int], object],
        inbox: Any,
        ring: CommandRing | None,
        samples: SampleRing,
        journal: Any,
        journal_kinds: int,
        inputs: Any,
        tap: InputsTap | None,
        sample_every: int,
    ) -> None: ...
    @property
    def messages(self) -> int: ...

class MarketPath(EventSink):
    def __init__(
        self,
        path: EventSink,
        engine: Engine,
        market: int,
        *,
        before: Callable[[EventBuffer], object] | None,
        on_tick_size: Callable[[int, int], object],
    ) -> None: ...
