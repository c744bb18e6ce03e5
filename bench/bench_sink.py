"""What one hand-over costs: to a reader in Python through its C door."""

from collections.abc import Callable

from polybot._fast.event import EventBuffer
from polybot._fast.sink import CallableSink

Budget = Callable[..., float]
BATCH = 1_000


def test_a_buffer_to_a_reader_in_python(budget: Budget) -> None:
    seen, events = [0], EventBuffer()

    def read(given: EventBuffer) -> None:
        seen[0] += 1

    sink = CallableSink(read)

    def run() -> None:
        for _ in range(BATCH):
            sink.feed(events)

    budget(run, name="sink: a buffer to a reader in Python", median_ns=300, inner=BATCH)
    assert seen[0] % BATCH == 0
