"""Event buffers: adding from Python, copying in C."""

from polybot._fast.event import EventBuffer, EventKind

BATCH = 200


def test_add_from_python(budget):
    events = EventBuffer(1_024)

    def run():
        events.reset()
        for _ in range(BATCH):
            events.add(EventKind.EV_TIMER, recv_ns=1)

    budget(run, name="event: add from Python", median_ns=2_000, inner=BATCH)


def test_copy_a_buffer(budget):
    source, target = EventBuffer(1_024), EventBuffer(1_024)
    for _ in range(BATCH):
        source.add(EventKind.EV_TIMER)

    def run():
        target.reset()
        target.extend_from(source)

    budget(run, name="event: copy one record", median_ns=100, inner=BATCH)
