"""Types of polybot._fast.listener as Python sees them."""

from collections.abc import Callable
from typing import Protocol

from picows import WSFrame, WSListener, WSTransport

from polybot._fast.inlet import Inlet
from polybot._fast.stamp import VenueStamp

class _Link(Protocol):
    def on_connected(self, transport: WSTransport) -> None: ...
    def on_frame(self, frame: WSFrame) -> None: ...
    def on_message(self, payload: bytes, recv_ns: int) -> None: ...
    def on_error(self, error: Exception) -> None: ...

class FrameListener(WSListener):
    @property
    def first_ns(self) -> int: ...
    @property
    def last_ns(self) -> int: ...
    def __init__(
        self,
        link: _Link,
        now_ns: Callable[[], int],
        *,
        stamp: VenueStamp | None = None,
        inlet: Inlet | None = None,
    ) -> None: ...
    def let_go(self) -> None: ...
    def deliver(self, payload: bytes) -> None: ...
