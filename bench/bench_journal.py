"""What one record of the money journal costs the engine's thread, and how fast a start reads them back."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from journal.history import HandClock, History, fill, intent, open_journal
from scenario import make_spec

from polybot._fast.event import EventBuffer, EventKind
from polybot.journal.journal import Journal
from polybot.journal.records import RecordType, encode
from polybot.journal.recovery import Fold, Stamped
from polybot.journal.writer import JournalSettings

Budget = Callable[..., float]
# Room for everything a bench writes: no segment is ever extended in the middle of a measurement.
ROOMY = JournalSettings(preallocate_bytes=1 << 30)
BATCH = 50


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = open_journal(tmp_path, HandClock(), settings=ROOMY)
    opened.market_open(0, make_spec(), order_seq_base=1)
    yield opened
    opened.close()


def test_append_a_record_of_300_bytes(journal: Journal, budget: Budget) -> None:
    """The frame, its checksum and the write(2), of which the kernel takes most."""
    payload = bytes(range(256)) + b"x" * 12

    def run() -> None:
        for _ in range(BATCH):
            journal.writer.append(RecordType.NOTE, payload)

    budget(run, name="journal.append 300 bytes", median_ns=6_000, inner=BATCH)


def test_an_intent_from_fields_to_file(journal: Journal, budget: Budget) -> None:
    """What an order waits for before it may be sent: a body of 700 bytes, encoded and written."""
    order = dataclasses.replace(intent(), body=b"x" * 700 + b"\x00")
    budget(lambda: journal.intent(order), name="journal.intent", median_ns=12_000)


def test_a_fill_before_the_engine_sees_it(journal: Journal, budget: Budget) -> None:
    buffer = EventBuffer()
    buffer.add(EventKind.EV_FILL, seq=1, x=1.0, y=5.0, i=5_000, j=1)
    budget(lambda: journal.events(buffer), name="journal.events one fill", median_ns=9_500)


def test_a_message_without_money(journal: Journal, budget: Budget) -> None:
    """Paid by every book and spot message."""
    buffer = EventBuffer()
    buffer.add(EventKind.EV_SPOT_TRADE, x=1.0)

    def run() -> None:
        for _ in range(1_000):
            journal.events(buffer)

    budget(run, name="journal.events nothing to write", median_ns=150, inner=1_000)


def test_encode_an_intent(budget: Budget) -> None:
    order = dataclasses.replace(intent(), body=b"x" * 700 + b"\x00")
    budget(lambda: encode(order), name="journal encode intent", median_ns=3_500)


def test_fold_a_history(budget: Budget) -> None:
    items = [Stamped(seq, seq, record) for seq, record in enumerate(History(1).records(500), 1)]

    def run() -> None:
        folding = Fold()
        for item in items:
            folding.apply(item)

    budget(run, name="journal fold, per record", median_ns=6_000, inner=len(items))


def test_the_event_of_the_bench_is_money() -> None:
    assert len(fill(1, 1)) == 64
