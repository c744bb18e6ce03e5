"""Where a buffer of events goes next: the one door between whoever fills buffers and whoever reads them.

Owns nothing but the door.  A reader that speaks C derives from EventSink and overrides ``take``; a reader in
Python is wrapped in a CallableSink.  Both can be called from Python like a function of one buffer.  The buffer
is borrowed for the call: whoever wants to keep its events copies them.  Must not look into the events.
Called by the listener (from C) and by feeds, the gateway and timers (from Python).
"""
from polybot._fast.event cimport EventBuffer


cdef class EventSink:
    """A reader of events; this one reads nothing and refuses to be used."""

    cdef int take(self, EventBuffer events) except -1:
        """Read the events of one buffer; what is raised passes to whoever filled it."""
        raise NotImplementedError("an EventSink overrides take")

    def feed(self, EventBuffer events not None) -> None:
        """Read the events of one buffer, asked from Python."""
        self.take(events)

    def __call__(self, EventBuffer events not None) -> None:
        """The same: a sink is a function of one buffer."""
        self.take(events)


cdef class CallableSink(EventSink):
    """The door to a reader in Python."""

    def __init__(self, consumer) -> None:
        """`consumer(buffer)` is called with every buffer."""
        if not callable(consumer):
            raise TypeError("a consumer of events is called with the buffer")
        self.consumer = consumer

    cdef int take(self, EventBuffer events) except -1:
        self.consumer(events)
        return 0


def as_sink(consumer) -> EventSink:
    """The C door of a consumer: itself when it has one, else a CallableSink around it."""
    if isinstance(consumer, EventSink):
        return consumer
    return CallableSink(consumer)
