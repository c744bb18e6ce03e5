"""The inputs log's short way: one event, or a whole book, copied with head and checksum into a tail in memory."""

from collections.abc import Callable

from polybot._fast.event import CommandBuffer, EventBuffer, EventKind
from polybot._fast.tail import InputsTap, MappedTail, Numbering, TapeCounts

Budget = Callable[..., float]
BATCH = 1_000
ONE_NS, BOOK_NS = 250, 6_000
SPACE = 8 << 20


def noted(budget: Budget, levels: int, name: str, median_ns: float) -> None:
    """Batches of so many events, into a tail that begins anew before it is full."""
    space, counts, tap, nothing = bytearray(SPACE), TapeCounts(Numbering()), InputsTap(1 << 20), CommandBuffer(1)
    tap.follow(counts)
    events = EventBuffer()
    for number in range(levels):
        events.add(EventKind.EV_BOOK_LEVEL, recv_ns=number + 1)

    def run() -> None:
        counts.follow(MappedTail(space, 1, 64))
        for _ in range(BATCH):
            tap.try_note(events, nothing)
        counts.follow(None)

    budget(run, name=name, median_ns=median_ns, inner=BATCH)
    assert counts.entries % BATCH == 0


def test_one_event_into_a_tail(budget: Budget) -> None:
    noted(budget, 1, "tail: one event, call included", ONE_NS)


def test_a_book_into_a_tail(budget: Budget) -> None:
    noted(budget, 98, "tail: a book of 98 events, call included", BOOK_NS)
