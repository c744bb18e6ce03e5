"""The journal as its users see it: what was told is found again, whatever became of the process and the disk."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from journal.history import (
    ACCOUNT,
    NS,
    SHARE,
    SMALL,
    START_NS,
    HandClock,
    event,
    fill,
    intent,
    open_journal,
)
from scenario import make_spec

from polybot._fast.event import EventBuffer, EventKind
from polybot.clock import wall_clock
from polybot.errors import AlreadyRunning, JournalError, StateDamaged
from polybot.journal.archive import pack_segments
from polybot.journal.journal import ROTATE_TRIES, Journal, folder_of
from polybot.journal.reader import list_segments, read_journal, recover
from polybot.journal.records import HaltKind, Intent, MoneyEvent, Note, hide_owner
from polybot.journal.recovery import fold
from polybot.journal.writer import JournalSettings, JournalWriter

DAY_NS = 86_400 * NS
WAIT_S = 60.0  # nothing waits so long unless it is stuck


def trade_a_little(journal: Journal, base: int = 1_000) -> None:
    """A market, an order of 10 shares, a fill of 4."""
    journal.market_open(0, make_spec(), order_seq_base=base)
    journal.intent(intent(base))
    journal.trade_seen(9, trade_id="trade-1", order_id=f"0x{base:064x}", leg=0)
    buffer = EventBuffer()
    buffer.add(EventKind.EV_SPOT_TRADE, x=1.0)
    buffer.add(EventKind.EV_FILL, recv_ns=START_NS, seq=base, x=1.0, y=9.0, i=5_000, j=4 * SHARE)
    journal.events(buffer)


def test_what_was_told_is_recovered_by_the_next_process(tmp_path):
    first = open_journal(tmp_path)
    assert first.recovered.session is None
    trade_a_little(first)
    first.latch(HaltKind.DAILY, True, reason="lost 3 %", by="risk")
    first.loss(day=1, week=2, day_realised_usd=-30, week_realised_usd=-40, marked_usd=5)
    assert first.close(clean=False)
    second = open_journal(tmp_path)
    state = second.recovered
    assert (state.session.number, state.is_clean, state.next_index) == (1, False, 1)
    assert state.markets[0].opened.spec == make_spec()
    assert state.markets[0].orders[1_000].state.filled == 4 * SHARE
    assert state.markets[0].orders[1_000].trades[9].seen.trade_id == "trade-1"
    assert state.latches[HaltKind.DAILY].reason == "lost 3 %"
    assert state.loss[1].week_realised_usd == -40
    assert [order.intent.order_seq for order in state.open_orders()] == [1_000]
    second.latch(HaltKind.DAILY, False, reason="new day", by="risk")
    assert second.close()
    third = open_journal(tmp_path)
    assert (third.recovered.session.number, third.recovered.is_clean) == (2, True)
    assert not third.recovered.latches
    assert third.recovered.markets == state.markets
    third.close()


def test_events_of_the_tape_are_not_written(tmp_path):
    journal = open_journal(tmp_path)
    before = journal.writer.seq
    buffer = EventBuffer()
    buffer.add(EventKind.EV_SPOT_TRADE, x=1.0)
    buffer.add(EventKind.EV_TIMER)
    journal.events(buffer)
    assert journal.writer.seq == before
    journal.close()


def test_the_folder_and_its_files_are_for_one_user_alone(tmp_path):
    journal = open_journal(tmp_path)
    trade_a_little(journal)
    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in journal.folder.iterdir()} == {0o600}
    journal.close()


def test_an_intent_with_its_owner_or_without_its_market_is_refused_and_nothing_is_written(tmp_path):
    journal = open_journal(tmp_path)
    before = journal.writer.seq
    with pytest.raises(ValueError, match="without its owner"):
        journal.intent(intent(body=b'{"owner":"key"}'))
    with pytest.raises(JournalError, match="never opened"):
        journal.intent(intent(market=3))
    assert journal.writer.seq == before
    journal.close()


def test_no_secret_is_in_any_file(tmp_path):
    canary = "0a1b2c3d-canary-4e5f-9999-0123456789ab"
    journal = open_journal(tmp_path)
    journal.market_open(0, make_spec(), order_seq_base=1)
    body = json.dumps({"order": {"salt": 5}, "owner": canary}).encode()
    journal.intent(intent(1, body=hide_owner(body, canary)))
    journal.close()
    open_journal(tmp_path).close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 3
    for path in files:
        assert canary.encode() not in path.read_bytes()
        assert canary.encode().hex().encode() not in path.read_bytes()
    (found,) = [item.record for item in read_journal(journal.folder) if isinstance(item.record, Intent)][:1]
    assert b"\x00" in found.body


# ---- disks that fail


def failing(number: int, after: int = 0, short: int = 0):
    """A write that fails with an error number after some writes, or writes too little."""
    left = [after]

    def write(fd: int, data: bytes) -> int:
        left[0] -= 1
        if left[0] >= 0:
            return os.write(fd, data)
        if short:
            return os.write(fd, data[:short])
        raise OSError(number, os.strerror(number))

    return lambda segment, clock, settings: JournalWriter(segment, clock, settings=settings, write=write)


@pytest.mark.parametrize(
    "fault",
    [{"number": errno.ENOSPC}, {"number": errno.EIO}, {"number": errno.EROFS}, {"number": 0, "short": 20}],
    ids=["ENOSPC", "EIO", "EROFS", "short"],
)
def test_a_write_that_fails_raises_at_once_and_nothing_is_accepted_afterwards(tmp_path, fault):
    journal = open_journal(tmp_path, make_writer=failing(after=2, **fault))
    journal.market_open(0, make_spec(), order_seq_base=1_000)
    with pytest.raises(JournalError, match=r"write failed|short write"):
        journal.intent(intent())
    assert journal.failed
    for call in (lambda: journal.note("x"), lambda: journal.intent(intent(1_001)), journal.tend):
        with pytest.raises(JournalError):
            call()
    assert not journal.close()
    after = open_journal(tmp_path)
    assert after.recovered.markets[0].orders == {}
    after.close()


def test_a_full_device_stops_intents(tmp_path):
    journal = open_journal(tmp_path)
    journal.market_open(0, make_spec(), order_seq_base=1_000)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal.writer._segment.fd)
    os.close(full)
    with pytest.raises(JournalError, match="No space left"):
        journal.intent(intent())
    assert not journal.close()


def test_a_sync_that_fails_is_final(tmp_path):
    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def make(segment, clock, settings):
        return JournalWriter(segment, clock, settings=settings, fdatasync=broken)

    journal = open_journal(tmp_path, make_writer=make)
    assert not journal.sync(WAIT_S)
    assert "sync failed" in journal.failed
    with pytest.raises(JournalError):
        journal.note("x")
    assert not journal.close()


def test_a_slow_sync_does_not_hold_up_records_and_is_bounded_where_it_is_waited_for(tmp_path):
    gate, entered = threading.Event(), threading.Event()

    def slow(fd: int) -> None:
        entered.set()
        assert gate.wait(WAIT_S)
        os.fdatasync(fd)

    def make(segment, clock, settings):
        return JournalWriter(segment, clock, settings=settings, fdatasync=slow)

    journal = open_journal(tmp_path, wall_clock(), make_writer=make)
    assert entered.wait(WAIT_S)
    for number in range(200):
        journal.note(f"{number}")
    assert journal.writer.synced_seq < journal.writer.seq
    assert not journal.sync(0.01)
    assert journal.writer.lag_s() > 0.0
    gate.set()
    assert journal.sync(WAIT_S)
    assert journal.writer.synced_seq == journal.writer.seq
    assert journal.writer.lag_s() == 0.0
    assert journal.close()


def test_without_space_no_new_order_is_taken_but_what_is_open_is_still_told(tmp_path, monkeypatch):
    settings = JournalSettings(
        preallocate_bytes=1 << 14, reserve_bytes=1 << 13, sync_every_s=0.001, stop_wait_s=WAIT_S
    )
    journal = open_journal(tmp_path, settings=settings)
    journal.market_open(0, make_spec(), order_seq_base=1)

    def no_space(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space)
    seq = 0

    def go_on() -> None:
        nonlocal seq
        for seq in range(1, 500):
            journal.intent(intent(seq))

    with pytest.raises(JournalError, match="no space for a new order"):
        go_on()
    assert 5 < seq < 100
    for key in range(40):
        buffer = EventBuffer()
        buffer.add(EventKind.EV_FILL, seq=1, x=1.0, y=float(key), i=5_000, j=SHARE)
        journal.events(buffer)
    assert not journal.failed
    monkeypatch.undo()
    assert journal.sync(WAIT_S)
    while (
        journal.writer.space_error or journal.writer._segment.allocated - journal.writer.used_bytes < 1 << 13
    ):
        journal.writer.request_sync()
    journal.intent(intent(900))
    assert journal.close()


LIMITED = """
import resource, signal, sys
sys.path[:0] = sys.argv[2].split(":")
from journal.history import intent, open_journal
from pathlib import Path
from polybot.errors import JournalError
from scenario import make_spec
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = open_journal(Path(sys.argv[1]))
journal.market_open(0, make_spec(), order_seq_base=1)
used = journal.writer.used_bytes
resource.setrlimit(resource.RLIMIT_FSIZE, (used + 2000, used + 2000))
taken = 0
try:
    for seq in range(1, 100):
        journal.intent(intent(seq))
        taken = seq
except JournalError as error:
    print(taken, bool(journal.failed), "File too large" in str(error) or "short write" in str(error))
"""


def test_a_file_size_limit_of_the_system_stops_intents_and_loses_none_taken(tmp_path, project_dir):
    paths = f"{project_dir}:{project_dir / 'tests'}"
    told = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), paths],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    taken, failed, right_error = told.stdout.split()
    assert (failed, right_error) == ("True", "True")
    journal = open_journal(tmp_path)
    assert len(journal.recovered.markets[0].orders) == int(taken) > 2
    journal.close()


# ---- one process per account


def test_a_second_process_is_refused_with_the_first_ones_process_id(tmp_path, project_dir):
    journal = open_journal(tmp_path)
    code = (
        "import sys; sys.path[:0] = sys.argv[2].split(':')\n"
        "from pathlib import Path\nfrom journal.history import open_journal\n"
        "from polybot.errors import AlreadyRunning\n"
        "try: open_journal(Path(sys.argv[1]))\nexcept AlreadyRunning as error: print(error)"
    )
    paths = f"{project_dir}:{project_dir / 'tests'}"
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), paths],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert f"already traded by process {os.getpid()}" in told.stdout
    with pytest.raises(AlreadyRunning):
        open_journal(tmp_path)
    open_journal(tmp_path, account="0x" + "b2" * 20).close()
    open_journal(tmp_path, venue_session="another").close()  # an embedded venue's own account of the same address
    journal.close()
    open_journal(tmp_path).close()


def test_a_start_that_fails_lets_go_of_the_account(tmp_path):
    open_journal(tmp_path).close()
    folder = folder_of(tmp_path, ACCOUNT, "test")
    (_, path), *_ = list_segments(folder)
    path.write_bytes(b"nonsense")
    for _ in range(2):
        with pytest.raises(StateDamaged, match="magic"):
            open_journal(tmp_path)


# ---- segments


def rotate(journal: Journal) -> None:
    """Let the helper thread make the next segment, and move on to it."""
    before = journal.rotations
    while journal.rotations == before:
        journal.tend()
        journal.writer.sync(WAIT_S)


def test_a_new_day_begins_a_new_segment_and_nothing_is_lost(tmp_path):
    clock = HandClock()
    journal = open_journal(tmp_path, clock)
    trade_a_little(journal)
    clock.ns += DAY_NS
    rotate(journal)
    journal.intent(intent(1_001))
    assert journal.sync(WAIT_S)
    state = recover(journal.folder).state
    assert list(state.markets[0].orders) == [1_000, 1_001]
    assert state == fold(read_journal(journal.folder)) == journal.state()
    names = [path.name for _, path in list_segments(journal.folder)]
    assert names == ["000001-20261122.journal", "000002-20261123.journal"]
    journal.close()


def test_a_new_segment_is_also_begun_while_records_keep_coming(tmp_path):
    clock = HandClock()
    journal = open_journal(tmp_path, clock)
    trade_a_little(journal)
    clock.ns += DAY_NS
    for number in range(40 * ROTATE_TRIES):
        journal.note(f"{number}")  # whatever segment was made meanwhile is a record behind
        journal.tend()
        assert journal.writer.sync(WAIT_S)  # the helper thread had its turn, however busy the machine
        if journal.rotations:
            break
    assert journal.rotations == 1
    assert journal.close()
    assert recover(journal.folder).state == fold(read_journal(journal.folder))


def test_a_disk_without_room_for_a_new_segment_leaves_the_old_one_in_use(tmp_path, monkeypatch):
    clock = HandClock()
    journal = open_journal(tmp_path, clock)

    def no_space(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space)
    clock.ns += DAY_NS
    while not journal.rotate_error:
        journal.tend()
        journal.writer.sync(WAIT_S)
    trade_a_little(journal)
    assert not journal.failed
    assert not list(journal.folder.glob("*.new"))
    monkeypatch.undo()
    clock.ns += 61 * NS
    rotate(journal)
    assert journal.close()
    assert list(recover(journal.folder).state.markets[0].orders) == [1_000]


def test_a_segment_is_on_disk_before_it_has_its_name_and_its_name_before_anything_counts(
    tmp_path, monkeypatch
):
    done: list[str] = []
    real_sync, real_fsync, real_rename = os.fdatasync, os.fsync, Path.rename

    def fdatasync(fd: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{fd}')).suffix}")
        real_sync(fd)

    def fsync(fd: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "seal")
        real_fsync(fd)

    def rename(path: Path, target: Path) -> Path:
        done.append("name")
        return real_rename(path, target)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    journal = open_journal(tmp_path)
    assert journal.sync(WAIT_S)
    journal.close()
    assert done[:3] == ["sync .new", "name", "folder"]
    assert done[-1] == "seal"


def test_packed_segments_read_the_same_and_the_newest_stays_plain(tmp_path):
    for number in range(4):
        journal = open_journal(tmp_path)
        if number == 0:
            trade_a_little(journal)
        journal.close()
    before = list(read_journal(journal.folder))
    packed = pack_segments(journal.folder, before=99)
    assert [path.name for path in packed] == [f"00000{n}-20261122.journal.gz" for n in (1, 2, 3)]
    assert list(read_journal(journal.folder)) == before
    assert not list(journal.folder.glob("*.new"))
    open_journal(tmp_path).close()


def test_a_missing_segment_is_damage_for_a_reader_of_all_and_none_for_a_start(tmp_path):
    for _ in range(3):
        journal = open_journal(tmp_path)
        journal.close()
    (_, middle) = list_segments(journal.folder)[1]
    middle.unlink()
    with pytest.raises(StateDamaged, match="was next"):
        list(read_journal(journal.folder))
    open_journal(tmp_path).close()


def test_the_journal_of_another_account_is_refused(tmp_path):
    open_journal(tmp_path).close()
    theirs = folder_of(tmp_path, ACCOUNT, "other")
    folder_of(tmp_path, ACCOUNT, "test").rename(theirs)
    with pytest.raises(StateDamaged, match="another account"):
        open_journal(tmp_path, venue_session="other")


def test_damage_names_file_and_offset_and_is_only_passed_over_on_request(tmp_path):
    journal = open_journal(tmp_path)
    trade_a_little(journal)
    assert journal.sync(WAIT_S)
    damaged_at = journal.writer.used_bytes
    journal.latch(HaltKind.MANUAL, True, reason="why", by="me")
    assert journal.sync(WAIT_S)
    journal.close()
    path = journal.writer.path
    raw = bytearray(path.read_bytes())
    raw[damaged_at + 40] ^= 16
    path.write_bytes(raw)
    with pytest.raises(StateDamaged, match=rf"{path.name}: DAMAGED at offset {damaged_at}"):
        open_journal(tmp_path)
    again = open_journal(tmp_path, accept_damage=True)
    assert again.recovered.markets[0].orders
    assert not again.recovered.latches
    assert path.with_name(path.name + ".damaged").read_bytes() == raw
    again.close()
    open_journal(tmp_path).close()


def test_a_segment_whose_beginning_is_damaged_hands_over_to_the_one_before(tmp_path):
    journal = open_journal(tmp_path)
    trade_a_little(journal)
    journal.close()
    second = open_journal(tmp_path)
    second.close()
    path = second.writer.path
    for place in (3, 70):  # the header, the snapshot
        raw = bytearray(path.read_bytes())
        raw[place] ^= 1
        path.write_bytes(raw)
        with pytest.raises(StateDamaged):
            open_journal(tmp_path)
    third = open_journal(tmp_path, accept_damage=True)
    assert third.recovered.markets[0].orders
    third.close()
    fourth = open_journal(tmp_path)
    assert fourth.recovered.markets[0].orders
    fourth.close()


def test_a_torn_tail_is_cut_kept_aside_and_told(tmp_path):
    journal = open_journal(tmp_path)
    trade_a_little(journal)
    journal.close(clean=False)
    path, whole = journal.writer.path, journal.writer.path.read_bytes()
    path.write_bytes(whole + b"half a record" + bytes(500))
    again = open_journal(tmp_path)
    assert again.finding is not None
    assert again.finding.damage.is_torn
    assert again.finding.damage.offset == len(whole)
    assert again.recovered.markets[0].orders
    assert path.read_bytes() == whole
    assert path.with_name(path.name + ".cut").read_bytes() == b"half a record"
    again.close()
    notes = [item.record.text for item in read_journal(again.folder) if isinstance(item.record, Note)]
    assert len(notes) == 1
    assert "torn tail" in notes[0]


def test_a_start_that_died_before_its_segment_had_a_name_leaves_nothing_behind(tmp_path):
    journal = open_journal(tmp_path)
    trade_a_little(journal)
    journal.close()
    (journal.folder / "000002-20261122.journal.new").write_bytes(b"half a segment")
    again = open_journal(tmp_path)
    assert again.recovered.markets[0].orders
    assert not list(again.folder.glob("*.new"))
    again.close()


def test_a_newer_record_type_is_refused_and_not_skipped(tmp_path):
    journal = open_journal(tmp_path)
    journal.writer.append(77, b"from the future")
    journal.close(clean=False)
    with pytest.raises(StateDamaged, match="type 77 is not known"):
        open_journal(tmp_path)


def test_raw_events_survive_bit_for_bit(tmp_path):
    journal = open_journal(tmp_path)
    raw = fill(1, 5, venue_ns=7, flags=8)
    journal._put(MoneyEvent(raw))
    journal._put(MoneyEvent(event(EventKind.EV_BALANCE, j=5)))
    journal.close()
    found = [item.record.raw for item in read_journal(journal.folder) if isinstance(item.record, MoneyEvent)]
    assert found[0] == raw
    assert SMALL.sync_every_s < 1.0
