"""Types of polybot._fast.sink as Python sees them."""

from collections.abc import Callable

from polybot._fast.event import EventBuffer

class EventSink:
    def feed(self, events: EventBuffer) -> None: ...
    def __call__(self, events: EventBuffer) -> None: ...

class CallableSink(EventSink):
    def __init__(self, consumer: Callable[[EventBuffer], object]) -> None: ...

def as_sink(consumer: Callable[[EventBuffer], object]) -> EventSink: ...
