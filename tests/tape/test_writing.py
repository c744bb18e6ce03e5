"""Tapes written and read back, with disks that are slow, full or gone: nothing waits, what is lost is marked."""

import errno
import hashlib
import json
import os
import struct
import threading
import zlib
from pathlib import Path
from random import Random

import pytest
from tape.world import NS, SMALL, START_NS, manifest, open_writer, random_entries, write

import polybot.tape
from polybot.errors import TapeError
from polybot.tape import content
from polybot.tape import tail as tail_module
from polybot.tape.manifest import MANIFEST_NAME
from polybot.tape.packer import Packer
from polybot.tape.records import Damage, Entry, EntryKind, TapeFeed
from polybot.tape.tail import Tail
from polybot.tape.writer import FRAMES_NAME, TapeSettings, TapeWriter

FRAME, SPOT = int(EntryKind.FRAME), int(TapeFeed.SPOT)


def put(tape: TapeWriter, number: int, payload: bytes = b"x" * 400) -> bool:
    return tape.add(number, START_NS + number * NS, feed=SPOT, kind=FRAME, payload=payload)


def frames(folder: Path) -> list[int]:
    """Numbers of the frames that are on a tape."""
    return [entry.seq for entry in polybot.tape.open(folder).entries() if entry.kind == FRAME]


@pytest.mark.parametrize("seed", range(6))
def test_random_entries_come_back_exactly_closed_or_not(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    entries = random_entries(rng, rng.randrange(1, 400))
    for is_closed in (True, False):
        tape = polybot.tape.open(write(tmp_path / str(is_closed), entries, close=is_closed))
        got = list(tape.entries())
        assert got[: len(entries)] == entries
        assert [entry.kind for entry in got[len(entries) :]] == [EntryKind.END] * is_closed
        assert [tape.content.entry(index) for index in range(len(entries))] == entries
        assert tape.manifest["state"] == ("complete" if is_closed else "interrupted")
        assert (tape.damages, tape.gaps) == ((), ())
        assert tape.manifest["content"]["entries"] == len(got)


def test_a_closed_tape_is_one_packed_file_whose_hash_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path, random_entries(Random(1), 200))
    assert sorted(path.name for path in folder.iterdir()) == [FRAMES_NAME, MANIFEST_NAME]
    told = polybot.tape.open(folder).manifest["files"][FRAMES_NAME]
    data = (folder / FRAMES_NAME).read_bytes()
    assert told == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_a_tape_without_entries_is_read_as_such(tmp_path: Path) -> None:
    tape = polybot.tape.open(write(tmp_path, []))
    assert [entry.kind for entry in tape.entries()] == [EntryKind.END]
    assert len(tape.events) == 0


def test_a_tape_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    _, tape = open_writer(tmp_path)
    for number in range(1, 40):
        put(tape, number)
        assert frames(tape.folder) == list(range(1, number + 1))


def test_a_tape_that_is_packed_while_it_is_read_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reader's look at the tails and its look at the blocks a tail becomes a block."""
    _, tape = open_writer(tmp_path)
    for number in range(1, 8):
        put(tape, number)
    load = content._load_tails

    def then_pack(folder: Path, damages: list[Damage]) -> dict[Path, bytes]:
        found = load(folder, damages)
        for number in range(8, 30):
            put(tape, number)
        return found

    monkeypatch.setattr(content, "_load_tails", then_pack)
    seen = frames(tape.folder)
    assert seen[:7] == list(range(1, 8))
    assert seen == list(range(1, len(seen) + 1))
    assert polybot.tape.open(tape.folder).damages == ()


def test_a_second_tape_of_the_same_name_leaves_the_first_alone(tmp_path: Path) -> None:
    packer, first = open_writer(tmp_path)
    second = packer.open("tape", manifest())
    third = packer.open("tape", manifest())
    assert [one.folder.name for one in (first, second, third)] == ["tape", "tape.2", "tape.3"]


def test_a_slow_disk_makes_drops_that_are_counted_and_marked_and_never_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk hangs in the middle of a block; the loop goes on, and afterwards the tape says what is missing."""
    hangs, go_on = threading.Event(), threading.Event()
    pwrite = os.pwrite

    def slow(fd: int, data: bytes, offset: int) -> int:
        if threading.current_thread().name == "tape-packer" and len(data) > 64:
            hangs.set()
            assert go_on.wait(60.0)
        return pwrite(fd, data, offset)

    monkeypatch.setattr("polybot.tape.writer.os.pwrite", slow)
    packer = Packer(tmp_path, SMALL, sync_s=0.01)
    tape = packer.open("tape", manifest())
    packer.start()
    number = 0
    while not hangs.is_set():  # the first full tail is being packed
        number += 1
        put(tape, number)
    taken = [put(tape, number + 1 + more) for more in range(400)]
    assert tape.dropped > 200
    assert taken.count(False) >= tape.dropped - number
    assert len(list(tape.folder.glob("tail-*.open"))) <= SMALL.tails_count
    go_on.set()
    last = number + 401
    while not put(tape, last):
        last += 1
    lost = tape.dropped
    tape.close(START_NS + last * NS, state="complete")
    assert tape.done.wait(60.0)
    packer.stop()
    read = polybot.tape.open(tape.folder)
    assert [(gap.cause, gap.feed) for gap in read.gaps] == [("dropped", "all")] * len(read.gaps)
    assert sum(gap.frames or 0 for gap in read.gaps) == lost == last - len(frames(tape.folder))
    assert read.damages == ()
    assert frames(tape.folder)[-1] == last


def test_a_full_disk_is_survived_and_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allocate = os.posix_fallocate
    is_full = False

    def full(fd: int, offset: int, size: int) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(fd, offset, size)

    monkeypatch.setattr(tail_module.os, "posix_fallocate", full)
    _, tape = open_writer(tmp_path)
    assert put(tape, 1)
    is_full = True
    taken = {number: put(tape, number) for number in range(2, 60)}
    assert not taken[59]
    assert "No space left" in tape.error
    kept = [number for number, is_taken in taken.items() if is_taken]
    is_full = False
    tape.tend(1 << 40)
    assert put(tape, 60)
    assert tape.error == ""
    tape.close(START_NS, state="complete")
    read = polybot.tape.open(tape.folder)
    (gap,) = read.gaps
    assert (gap.cause, gap.frames) == ("dropped", 58 - len(kept))
    assert (gap.from_ns, gap.to_ns) == (START_NS + (kept[-1] + 1) * NS, START_NS + 60 * NS)
    assert "No space left" in gap.detail
    assert frames(tape.folder) == [1, *kept, 60]


def test_with_too_little_free_space_nothing_more_is_written(tmp_path: Path) -> None:
    settings = TapeSettings(tail_bytes=4_096, tails_count=8, keep_free_bytes=1 << 60)
    packer = Packer(tmp_path, settings)
    tape = packer.open("tape", manifest())
    taken = [put(tape, number) for number in range(1, 30)]
    assert 0 < taken.count(True) < 10
    assert not taken[-1]
    assert "keep_free" in tape.error
    tape.close(START_NS, state="complete")
    assert polybot.tape.open(tape.folder).gaps[0].frames == taken.count(False) + 1  # and the end


def test_a_disk_that_is_gone_at_the_end_leaves_tails_that_hold_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tape = open_writer(tmp_path)
    for number in range(1, 4):
        put(tape, number)

    def gone(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("polybot.tape.writer.os.pwrite", gone)
    tape.close(START_NS, state="complete")
    assert tape.done.is_set()
    monkeypatch.undo()
    read = polybot.tape.open(tape.folder)
    assert frames(tape.folder) == [1, 2, 3]
    assert read.content.is_ended


def test_an_entry_larger_than_a_tail_is_dropped_alone(tmp_path: Path) -> None:
    _, tape = open_writer(tmp_path)
    assert put(tape, 1)
    assert not put(tape, 2, b"y" * 5_000)
    assert put(tape, 3)
    tape.close(START_NS, state="complete")
    assert frames(tape.folder) == [1, 3]
    assert [gap.frames for gap in polybot.tape.open(tape.folder).gaps] == [1]


def test_memory_and_disk_of_a_tape_are_bounded_by_its_tails(tmp_path: Path) -> None:
    _, tape = open_writer(tmp_path, TapeSettings(tail_bytes=4_096, tails_count=5))
    for number in range(1, 500):
        put(tape, number)
        used = [path.stat().st_size for path in tape.folder.glob("tail-*.open")]
        assert sum(used) <= 5 * 4_096


def test_tails_are_whole_files_before_they_have_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(tail_module.os, "pwrite", broken)
    with pytest.raises(OSError, match="Input"):
        Tail(tmp_path, 1, 4_096)
    assert list(tmp_path.iterdir()) == []


def test_a_tail_of_a_later_format_is_refused_not_guessed(tmp_path: Path) -> None:
    folder = write(tmp_path, random_entries(Random(7), 3), close=False)
    path = folder / "tail-000001.open"
    data = bytearray(path.read_bytes())
    data[8:10] = struct.pack("<H", 2)
    data[16:20] = struct.pack("<I", zlib.crc32(bytes(data[:16])))
    path.write_bytes(data)
    with pytest.raises(TapeError, match="format version 2, this program reads 1"):
        list(polybot.tape.open(folder).entries())


def test_what_a_tape_is_of_is_told_by_its_entries_when_the_manifest_is_gone(tmp_path: Path) -> None:
    told = json.dumps(manifest()).encode()
    folder = write(tmp_path, [Entry(1, START_NS, int(TapeFeed.OWN), int(EntryKind.META), 0, told)])
    (folder / MANIFEST_NAME).unlink()
    tape = polybot.tape.open(folder)
    assert (tape.name, tape.manifest["state"]) == ("small", "complete")
    assert [damage.file for damage in tape.damages] == [MANIFEST_NAME]
