"""The journal without a thread, as virtual time has it; abandoned as by a kill; and orders that were never sent."""

import threading
from functools import partial

import pytest
from journal.history import NS, SMALL, HandClock, intent, open_journal
from scenario import make_spec

from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot.errors import JournalError, StateDamaged
from polybot.journal.journal import LEDGER_NAME
from polybot.journal.ledger import Ledger
from polybot.journal.ledger_thread import catch_up
from polybot.journal.reader import list_segments
from polybot.journal.segment import data_end
from polybot.journal.writer import InlineWriter, JournalWriter

DAY_NS = 86_400 * NS


def inline(tmp_path, clock, **more):
    return open_journal(tmp_path, clock, make_writer=InlineWriter, **more)


def test_an_inline_writer_has_no_thread_and_syncs_with_the_heartbeat(tmp_path):
    before, clock = threading.active_count(), HandClock()
    journal = inline(tmp_path, clock)
    assert threading.active_count() == before
    journal.note("one")
    assert journal.writer.synced_seq < journal.writer.seq
    journal.tend()
    assert journal.writer.synced_seq == journal.writer.seq
    journal.note("two")
    assert journal.sync(0.0)
    assert journal.writer.synced_seq == journal.writer.seq
    assert journal.close()
    assert not journal.close(clean=False)


def test_an_inline_writer_begins_a_new_segment_at_midnight_and_gives_back_what_was_reserved(tmp_path):
    clock = HandClock()
    journal = inline(tmp_path, clock)
    journal.market_open(0, make_spec(), order_seq_base=1_000)
    clock.ns += DAY_NS
    for _ in range(4):
        journal.tend()
    assert journal.rotations == 1
    journal.intent(intent())
    assert journal.close()
    assert [number for number, _ in list_segments(journal.folder)] == [1, 2]
    assert all(path.stat().st_size < SMALL.preallocate_bytes for _, path in list_segments(journal.folder))
    again = inline(tmp_path, clock)
    assert list(again.recovered.markets[0].orders) == [1_000]
    again.close()


def test_an_inline_writer_whose_disk_fails_says_so_and_takes_nothing_more(tmp_path):
    def broken(fd):
        raise OSError(5, "Input/output error")

    journal = open_journal(tmp_path, HandClock(), make_writer=partial(InlineWriter, fdatasync=broken))
    journal.tend()
    assert "Input/output error" in journal.failed
    with pytest.raises(JournalError):
        journal.note("x")
    assert not journal.close()


@pytest.mark.parametrize("make", [InlineWriter, JournalWriter])
def test_an_abandoned_journal_leaves_what_was_told_and_the_account_free(tmp_path, make):
    journal = open_journal(tmp_path, HandClock(), make_writer=make)
    journal.market_open(0, make_spec(), order_seq_base=1_000)
    journal.intent(intent())
    journal.abandon()
    with pytest.raises(JournalError, match="abandoned"):
        journal.note("x")
    again = open_journal(tmp_path, HandClock(), make_writer=make)
    assert list(again.recovered.markets[0].orders) == [1_000]
    assert not again.recovered.is_clean
    again.close()


def test_an_order_refused_here_is_remembered_by_its_number_alone_over_segments(tmp_path):
    journal = open_journal(tmp_path)
    journal.market_open(0, make_spec(), order_seq_base=1_000)
    buffer = EventBuffer()
    for seq in (1_000, 1_001, 1_002):
        buffer.add(EventKind.EV_ORDER_UPDATE, market=0, seq=seq, i=10, j=0, flags=int(EventFlag.F_LOCAL))
    journal.events(buffer)
    journal.close()
    for _ in range(2):
        journal = open_journal(tmp_path)
        market = journal.recovered.markets[0]
        assert (market.next_order_seq, market.orders, market.restore_events()) == (1_003, {}, [])
        assert journal.recovered.strays == 0
        journal.close()
    catch_up(journal.folder, journal.folder / LEDGER_NAME)
    ledger = Ledger(journal.folder / LEDGER_NAME, read_only=True)
    assert ledger.content()["strays"] == []
    ledger.close()


def test_the_end_of_data_is_found_behind_holes_and_before_what_was_only_reserved(tmp_path):
    path = tmp_path / "x"
    with path.open("w+b") as file:
        file.truncate(1 << 20)
        assert data_end(file.fileno()) <= 1 << 20
        file.seek(300_000)
        file.write(b"late")
        file.flush()
        assert 300_004 <= data_end(file.fileno()) <= 1 << 20
    path.write_bytes(b"")
    with path.open("rb") as file:
        assert data_end(file.fileno()) == 0


def test_a_hole_between_records_is_still_damage(tmp_path):
    """Pages that a power cut lost read as zeros; what lies behind them proves that they were there."""
    journal = open_journal(tmp_path)
    journal.market_open(0, make_spec(), order_seq_base=1_000)
    for seq in range(1_000, 1_060):
        journal.intent(intent(seq))
    assert journal.sync(10.0)
    journal.intent(intent(2_000))
    journal.abandon()
    (_, path), *_ = list_segments(journal.folder)
    raw = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(4_096)
        file.seek(8_192)
        file.write(raw[8_192:])
    with pytest.raises(StateDamaged, match="DAMAGED at offset"):
        open_journal(tmp_path)
