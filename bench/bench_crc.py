"""CRC-32 of what a tail's entries are: one event, and a book's hundred."""

from collections.abc import Callable

from polybot._fast.crc import crc32

Budget = Callable[..., float]
BATCH = 1_000
EVENT_ENTRY = bytes(range(84))
BOOK_ENTRY = bytes(range(256)) * 25  # 100 levels of 64 bytes


def test_the_checksum_of_one_event(budget: Budget) -> None:
    def run() -> None:
        for _ in range(BATCH):
            crc32(EVENT_ENTRY)

    budget(run, name="crc32 of 84 bytes, call included", median_ns=200, inner=BATCH)


def test_the_checksum_of_a_book(budget: Budget) -> None:
    def run() -> None:
        for _ in range(BATCH):
            crc32(BOOK_ENTRY)

    budget(run, name="crc32 of 6,400 bytes, call included", median_ns=5_000, inner=BATCH)
