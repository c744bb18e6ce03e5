"""EventSink: a reader in Python gets every buffer as it is, what it raises passes, and one with a C door keeps it."""

import pytest

from polybot._fast.event import EventBuffer, EventKind
from polybot._fast.sink import CallableSink, EventSink, as_sink


def three() -> EventBuffer:
    events = EventBuffer()
    for number in range(3):
        events.add(EventKind.EV_TIMER, recv_ns=number)
    return events


def test_a_callable_sink_hands_on_the_very_buffer_however_it_is_called() -> None:
    seen: list[EventBuffer] = []
    sink, events = CallableSink(seen.append), three()
    sink(events)
    sink.feed(events)
    assert [one is events for one in seen] == [True, True]


def test_what_the_reader_raises_passes_to_whoever_filled_the_buffer() -> None:
    def broken(events: EventBuffer) -> None:
        raise RuntimeError(f"{len(events)} events")

    with pytest.raises(RuntimeError, match="3 events"):
        CallableSink(broken).feed(three())


def test_a_sink_stays_itself_and_a_function_is_wrapped_once() -> None:
    sink = as_sink(print)
    assert isinstance(sink, CallableSink)
    assert as_sink(sink) is sink


def test_a_bare_sink_and_one_of_nothing_callable_are_refused() -> None:
    with pytest.raises(NotImplementedError):
        EventSink().feed(three())
    with pytest.raises(TypeError):
        CallableSink(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        as_sink(print).feed(None)  # type: ignore[arg-type]
