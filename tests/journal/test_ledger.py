"""The SQLite ledger says what the fold says, however it came to be: at once, in portions, after crashes, rebuilt."""

import os
import sqlite3
import threading
from collections import Counter
from random import Random

import pytest
from journal.history import NS, START_NS, HandClock, History, open_journal
from journal.test_journal import WAIT_S, rotate, trade_a_little

from polybot.errors import StateDamaged
from polybot.journal.follower import Follower
from polybot.journal.journal import LEDGER_NAME, Journal
from polybot.journal.ledger import Ledger
from polybot.journal.ledger_thread import LedgerThread, catch_up, open_ledger, rebuild
from polybot.journal.reader import Position, list_segments, read_journal
from polybot.journal.records import HaltKind
from polybot.journal.recovery import RecoveredState, Stamped, fold

HISTORIES, RECORDS = 24, 170  # about 4,000 records


def same(ledger: Ledger, state: RecoveredState) -> None:
    """Everything the ledger answers, against the fold."""
    assert ledger.pnl_by_day() == state.pnl_by_day()
    assert [order.order_seq for order in ledger.open_orders()] == sorted(
        order.intent.order_seq for order in state.open_orders()
    )
    held = {
        (row.slug, row.strategy): (row.up_ushares, row.down_ushares, row.cost_usd, row.fees_usd)
        for row in ledger.positions()
    }
    assert held == {
        (market.opened.spec.slug, name): (*at.shares, at.cost_usd, at.fees_usd)
        for market in state.markets.values()
        for name, at in market.positions.items()
        if market.outcome < 0 and not at.is_flat
    }
    assert {halt.kind: halt.reason for halt in ledger.halts()} == {
        kind: latch.reason for kind, latch in state.latches.items()
    }
    content = ledger.content()
    live = {row[0] for row in content["markets"] if row[-1]}
    orders = {row[0]: row[13:16] for row in content["orders"] if row[1] in live}
    assert orders == {
        seq: tuple(order.state) for market in state.markets.values() for seq, order in market.orders.items()
    }
    fills = {row[:4] for row in content["fills"] if row[0] in orders}
    assert fills == {
        (seq, trade.key, trade.status, int(trade.is_booked))
        for market in state.markets.values()
        for seq, order in market.orders.items()
        for trade in order.trades.values()
    }
    settled: Counter[str] = Counter()
    for row in content["settlements"]:
        settled[str(row[1])] += int(row[5])
    realised: Counter[str] = Counter()
    for (_, name), usd in state.pnl_by_day().items():
        realised[name] += usd
    assert {name: usd for name, usd in settled.items() if usd} == {
        name: usd for name, usd in realised.items() if usd
    }


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_random_histories_come_to_the_same_in_sql_as_in_the_fold(tmp_path, seed):
    items = [
        Stamped(seq, START_NS + seq, record) for seq, record in enumerate(History(seed).records(RECORDS), 1)
    ]
    ledger = Ledger(tmp_path / LEDGER_NAME)
    rng, done = Random(seed), 0
    while done < len(items):
        more = rng.randrange(1, 40)
        ledger.apply(items[done : done + more], Position(1, 0, done + more + 1))
        done += more
        same(ledger, fold(items[:done]))
    ledger.close()


def grow(journal: Journal, clock: HandClock, seed: int) -> None:
    """Some history with two changes of the day in it."""
    for number, record in enumerate(History(seed).records(150)):
        journal._put(record)
        if number in (50, 100):
            clock.ns += 86_400 * NS
            rotate(journal)


@pytest.mark.parametrize("seed", range(3))
def test_a_ledger_in_portions_a_rebuilt_one_and_one_from_packed_segments_are_equal(tmp_path, seed):
    clock = HandClock()
    journal = open_journal(tmp_path, clock)
    grow(journal, clock, seed)
    assert journal.sync(WAIT_S)
    path = tmp_path / LEDGER_NAME
    for limit in (1, 7, 60, 61, 120):
        catch_up(journal.folder, path, limit)
    assert journal.close()
    open_journal(tmp_path, clock).close()
    catch_up(journal.folder, path)
    portions = Ledger(path)
    first = portions.content()
    same(portions, fold(read_journal(journal.folder)))
    portions.close()
    total = rebuild(journal.folder, path)
    assert total == len(list(read_journal(journal.folder)))
    again = Ledger(path)
    second = again.content()
    again.close()
    assert first == second
    assert len(second["sessions"]) == 2


def test_a_crash_between_batches_applies_nothing_twice(tmp_path):
    items = [Stamped(seq, seq, record) for seq, record in enumerate(History(4).records(120), 1)]
    path = tmp_path / LEDGER_NAME
    ledger = Ledger(path)
    ledger.apply(items[:60], Position(1, 64, 61))
    before = ledger.content()
    with pytest.raises(sqlite3.Error):
        ledger.apply([*items[60:90], items[0]._replace(record=object())], None)
    assert ledger.content() == before
    ledger.close()
    again = Ledger(path)
    assert again.position() == Position(1, 64, 61)
    again.apply(items[60:], Position(1, 64, 121))
    same(again, fold(items))
    again.close()


def test_the_thread_follows_never_ahead_of_the_disk_and_packs_what_it_has_read(tmp_path):
    clock = HandClock()
    journal = open_journal(tmp_path, clock)
    told: list[str] = []
    path = journal.folder / LEDGER_NAME
    durable = [0]
    thread = LedgerThread(
        journal.folder, path, durable_seq=lambda: durable[0], on_error=told.append, every_s=0.002
    )
    thread.start()
    grow(journal, clock, 9)
    assert journal.sync(WAIT_S)
    assert thread.applied_seq == 0
    durable[0] = 20
    until(lambda: thread.applied_seq == 20)
    durable[0] = journal.writer.synced_seq
    until(lambda: len(list(journal.folder.glob("*.gz"))) == 1)
    assert thread.stop(WAIT_S)
    assert thread.applied_seq == journal.writer.seq
    assert told == []
    ledger = Ledger(path, read_only=True)
    same(ledger, journal.state())
    ledger.close()
    journal.close()
    assert len(list_segments(journal.folder)) == 3


def test_a_ledger_that_cannot_be_written_is_told_once_tried_again_and_stops_nothing(tmp_path):
    journal = open_journal(tmp_path)
    told: list[str] = []
    path = tmp_path / "missing" / LEDGER_NAME
    thread = LedgerThread(
        journal.folder,
        path,
        durable_seq=lambda: journal.writer.synced_seq,
        on_error=told.append,
        every_s=0.001,
    )
    thread.start()
    until(lambda: thread.errors > 3)
    trade_a_little(journal)
    assert journal.sync(WAIT_S)
    path.parent.mkdir()
    until(lambda: thread.applied_seq == journal.writer.seq)
    assert thread.stop(WAIT_S)
    assert len(told) == 1
    assert "behind" in told[0]
    journal.close()


def until(condition) -> None:
    """Wait for another thread, at most WAIT_S."""
    waiting = threading.Event()
    for _ in range(int(WAIT_S * 200)):
        if condition():
            return
        waiting.wait(0.005)
    raise AssertionError("waited in vain")


def test_a_ledger_ahead_of_its_journal_or_not_a_ledger_is_put_aside(tmp_path):
    path = tmp_path / LEDGER_NAME
    ledger = Ledger(path)
    ledger.apply([], Position(1, 64, 50))
    ledger.close()
    assert open_ledger(path, 50).position() == Position(1, 64, 50)
    assert open_ledger(path, 49).position() is None
    assert (tmp_path / f"{LEDGER_NAME}.old").exists()
    path.write_bytes(b"something else entirely" * 100)
    assert open_ledger(path, 1).position() is None


def test_a_hole_in_the_journal_stops_the_ledger_with_a_name(tmp_path):
    for _ in range(3):
        journal = open_journal(tmp_path)
        journal.close()
    (_, middle) = list_segments(journal.folder)[1]
    middle.unlink()
    with pytest.raises(StateDamaged, match="was next"):
        catch_up(journal.folder, tmp_path / LEDGER_NAME)


def test_a_ledger_begun_behind_the_first_segment_takes_what_the_snapshot_says(tmp_path):
    journal = open_journal(tmp_path)
    trade_a_little(journal)
    journal.latch(HaltKind.WEEKLY, True, reason="lost", by="risk")
    journal.close()
    journal = open_journal(tmp_path)
    journal.close()
    (_, first), *_ = list_segments(journal.folder)
    first.unlink()
    catch_up(journal.folder, tmp_path / LEDGER_NAME)
    ledger = Ledger(tmp_path / LEDGER_NAME)
    same(ledger, fold(read_journal(journal.folder)))
    assert ledger.positions()[0].up_ushares > 0
    ledger.close()


def test_a_record_still_being_written_is_waited_for(tmp_path):
    journal = open_journal(tmp_path)
    trade_a_little(journal)
    assert journal.sync(WAIT_S)
    raw = journal.writer.path.read_bytes()
    used = journal.writer.used_bytes
    folder = tmp_path / "copy"
    folder.mkdir()
    path = folder / journal.writer.path.name
    path.write_bytes(raw[: used - 9])
    follower = Follower(folder)
    first = follower.poll(1 << 60)
    assert follower.finding is None
    path.write_bytes(raw[:used])
    assert first + follower.poll(1 << 60) == list(read_journal(journal.folder))
    follower.close()
    journal.close()


def test_a_follower_that_is_up_to_date_reads_nothing(tmp_path, monkeypatch):
    journal = open_journal(tmp_path)
    trade_a_little(journal)
    assert journal.sync(WAIT_S)
    follower = Follower(journal.folder)
    items = follower.poll(1 << 60)
    assert items
    reads = []
    pread = os.pread
    monkeypatch.setattr("polybot.journal.follower.os.pread", lambda *args: reads.append(args) or pread(*args))
    assert follower.poll(items[-1].seq) == []
    assert reads == []
    journal.latch(HaltKind.WEEKLY, True, reason="lost", by="risk")
    assert journal.sync(WAIT_S)
    assert len(follower.poll(items[-1].seq + 1)) == 1
    assert reads
    follower.close()
    journal.close()
