"""Stand between whoever makes events (feeds, timers, the gateway) and the engine of a trader that does not run yet."""

from collections.abc import Callable
from typing import Any

from polybot._fast.event import EventBuffer
from polybot._fast.sink import CallableSink, EventSink


def stand_between(trader: Any, seen: Callable[[EventBuffer, EventSink], None]) -> EventSink:
    """`seen(events, pass_on)` gets every batch instead of the engine; returns `pass_on`, the way to the engine."""
    pass_on: EventSink = trader._runner.path
    trader._runner.path = CallableSink(lambda events: seen(events, pass_on))
    trader._make_feeds()  # they hold the way they were made with
    return pass_on
