"""Book updates and walks from Python: one per market channel message."""

import random
from collections.abc import Callable

from polybot._fast import event as ev
from polybot._fast.book import Book

Budget = Callable[..., float]
CALLS = 1000


def deep_book() -> Book:
    book = Book(100)
    for cents in range(1, 50):
        book.set_level(0, 0, cents * 100, 100_000_000)
        book.set_level(0, 1, (100 - cents) * 100, 100_000_000)
    return book


def test_level_change_and_best_prices(budget: Budget) -> None:
    book, rng = deep_book(), random.Random(1)
    changes = [(0, 4500 + 100 * rng.randrange(5), rng.choice((0, 50_000_000))) for _ in range(CALLS)]

    def run() -> None:
        for side, ticks, ushares in changes:
            book.set_level(0, side, ticks, ushares)
            book.best_bid(0)

    budget(run, name="book level change + best bid", median_ns=1000, inner=CALLS)


def test_walk_of_ten_levels(budget: Budget) -> None:
    book = deep_book()

    def run() -> None:
        for _ in range(CALLS):
            book.walk(0, 0, 1_000_000_000)

    budget(run, name="book walk of 10 levels", median_ns=2000, inner=CALLS)
    assert book.walk(0, 0, 1_000_000_000)[0] == 1_000_000_000


def test_snapshot_of_97_levels(budget: Budget) -> None:
    source = deep_book()
    events = ev.EventBuffer()
    events.add(ev.EV_BOOK_SNAPSHOT, i=100)
    for side in (0, 1):
        for ticks, ushares in source.levels(0, side):
            events.add(ev.EV_BOOK_LEVEL, side=side, i=ticks, j=ushares)
    book = Book(100)

    def run() -> None:
        book.apply_events(events)

    budget(run, name="book snapshot of 98 levels applied", median_ns=20_000)
    assert book.equals(source)


def test_witness(budget: Budget) -> None:
    left, right = deep_book(), deep_book()

    def run() -> None:
        left.equals(right)

    budget(run, name="book equality, 98 levels", median_ns=20_000)
    assert left.equals(right)
