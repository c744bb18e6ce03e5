"""Damage anywhere in a tape: every byte flipped, every length cut; it is named, and everything sound is used."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tape.world import START_NS, manifest, random_entries, write

import polybot.tape
from polybot.errors import TapeError
from polybot.tape.manifest import MANIFEST_NAME, read_manifest, write_manifest
from polybot.tape.reader import Tape
from polybot.tape.records import Entry, EntryKind, TapeFeed
from polybot.tape.writer import FRAMES_NAME, TapeSettings

# Blocks of a few entries: some hundred bytes each, so that every byte can be tried.
TINY = TapeSettings(tail_bytes=440, tails_count=8)
COUNT = 7
Written = tuple[Path, list[Entry]]


def read(folder: Path) -> list[Entry]:
    return list(polybot.tape.open(folder).entries())


def is_part(some: list[Entry], whole: list[Entry]) -> bool:
    rest = iter(whole)
    return all(entry in rest for entry in some)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = write(tmp_path_factory.mktemp("closed"), random_entries(Random(1), COUNT), settings=TINY)
    return folder, read(folder)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """As a killed process leaves it: the last entries in a tail."""
    folder = write(tmp_path_factory.mktemp("killed"), random_entries(Random(2), COUNT), settings=TINY, close=False)
    return folder, read(folder)


def flipped(path: Path, *, step: int = 1, length: int | None = None) -> Iterator[int]:
    """Flip one bit of each byte in turn; yields its offset while it is flipped."""
    whole = path.read_bytes()
    for at in range(0, length or len(whole), step):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        yield at
    path.write_bytes(whole)


def cut(path: Path, length: int) -> Iterator[int]:
    """Cut the file to each length below `length` in turn; yields it while it is cut."""
    whole = path.read_bytes()
    for at in range(length):
        path.write_bytes(whole[:at])
        yield at
    path.write_bytes(whole)


def written_tail(folder: Path) -> tuple[Path, int]:
    """The tail that holds entries, and how many of its bytes are used."""
    (tail,) = [path for path in folder.glob("tail-*.open") if any(path.read_bytes()[64:])]
    return tail, len(tail.read_bytes().rstrip(b"\0"))


def blocks_of(tape: Tape) -> int:
    return len(set(tape.frames["block"].tolist()))


def test_the_tapes_that_are_spoilt_below_are_whole(closed: Written, killed: Written) -> None:
    assert [entry for entry in closed[1] if entry.kind != EntryKind.END] == random_entries(Random(1), COUNT)
    assert killed[1] == random_entries(Random(2), COUNT)
    for folder, _ in (closed, killed):
        assert polybot.tape.open(folder).damages == ()
    assert blocks_of(polybot.tape.open(closed[0])) >= 4


def test_every_flipped_byte_of_the_packed_part_is_named_and_costs_one_block(closed: Written) -> None:
    folder, entries = closed
    blocks = blocks_of(polybot.tape.open(folder))
    for at in flipped(folder / FRAMES_NAME):
        tape = polybot.tape.open(folder)
        got = list(tape.entries())
        assert is_part(got, entries)
        assert blocks_of(tape) >= blocks - 1
        (damage,) = tape.damages
        assert damage.file == FRAMES_NAME
        assert damage.offset <= at
        if damage.lost >= 0:
            assert damage.lost == len(entries) - len(got)
        assert [gap.cause for gap in tape.gaps] == (["damage"] if got != entries else [])


def test_every_length_of_the_packed_part_keeps_the_blocks_before_the_cut(closed: Written) -> None:
    folder, entries = closed
    kept = []
    for _ in cut(folder / FRAMES_NAME, (folder / FRAMES_NAME).stat().st_size):
        tape = polybot.tape.open(folder)
        got = list(tape.entries())
        assert got == entries[: len(got)]
        assert [damage.file for damage in tape.damages] == [FRAMES_NAME]
        kept.append(len(got))
    assert kept == sorted(kept)
    assert len(set(kept)) >= 4


def test_every_flipped_byte_of_a_tail_is_named_and_costs_one_entry(killed: Written) -> None:
    folder, entries = killed
    tail, used = written_tail(folder)
    lost = 0
    for at in flipped(tail, length=used):
        tape = polybot.tape.open(folder)
        got = list(tape.entries())
        assert is_part(got, entries)
        assert len(got) >= len(entries) - 1
        lost += len(got) < len(entries)
        named = [damage for damage in tape.damages if damage.file == tail.name]
        assert bool(named) or got == entries
        assert all(damage.offset <= at for damage in named)
    assert lost >= used - 64


def test_every_length_of_a_tail_keeps_the_entries_before_the_cut(killed: Written) -> None:
    folder, entries = killed
    tail, used = written_tail(folder)
    kept, named = [], 0
    for _ in cut(tail, used):
        tape = polybot.tape.open(folder)
        got = list(tape.entries())
        assert got == entries[: len(got)]
        kept.append(len(got))
        named += bool(tape.damages)
    assert kept == sorted(kept)
    assert kept[-1] == len(entries) - 1
    assert named > used / 2


def test_every_flipped_byte_of_the_manifest_is_named_and_the_entries_tell_instead(tmp_path: Path) -> None:
    first = Entry(1, START_NS, int(TapeFeed.OWN), int(EntryKind.META), 0, json.dumps(manifest()).encode())
    entries = [first, *(entry._replace(seq=entry.seq + 1) for entry in random_entries(Random(3), 5))]
    folder = write(tmp_path / "whole", entries)
    told = dict(polybot.tape.open(folder).manifest)
    named = 0
    for _ in flipped(folder / MANIFEST_NAME):
        tape = polybot.tape.open(folder)
        assert tape.name == "small"
        assert list(tape.entries())[:-1] == entries
        named += bool(tape.damages)
        if tape.damages:
            assert [damage.file for damage in tape.damages] == [MANIFEST_NAME]
        else:  # white space that is still white space
            assert dict(tape.manifest) == told
    assert named > 0.8 * (folder / MANIFEST_NAME).stat().st_size


def test_a_block_that_was_being_appended_at_the_crash_is_read_from_its_tail(tmp_path: Path) -> None:
    entries = random_entries(Random(4), 5)
    folder = write(tmp_path, entries, close=False)
    (folder / FRAMES_NAME).write_bytes(b"\x5b\x2a\x4d\x18half a block")
    tape = polybot.tape.open(folder)
    assert list(tape.entries()) == entries
    assert [damage.file for damage in tape.damages] == [FRAMES_NAME]


def test_a_block_whose_tail_was_not_removed_any_more_counts_once(tmp_path: Path) -> None:
    entries = random_entries(Random(5), 14)
    left = write(tmp_path / "left", entries, settings=TINY, close=False)
    whole = write(tmp_path / "whole", entries, settings=TINY)
    for path in left.glob("tail-*.open"):
        (whole / path.name).write_bytes(path.read_bytes())
    assert read(whole)[:-1] == entries


def test_a_closed_tape_that_lost_its_last_block_says_so(closed: Written) -> None:
    folder, entries = closed
    path = folder / FRAMES_NAME
    whole = path.read_bytes()
    last = whole.rindex(b"PBTAPE01") - 8
    path.write_bytes(whole[:last])
    tape = polybot.tape.open(folder)
    (damage,) = tape.damages
    path.write_bytes(whole)
    assert damage.lost == len(entries) - len(tape.content) > 0


def test_a_folder_without_anything_of_a_tape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="is not a tape"):
        polybot.tape.open(tmp_path)


def test_a_tape_of_a_later_format_is_refused_not_guessed(tmp_path: Path) -> None:
    folder = write(tmp_path, random_entries(Random(6), 3))
    path = folder / MANIFEST_NAME
    told = json.loads(path.read_bytes())
    del told["check"]
    write_manifest(path, {**told, "version": 2})
    with pytest.raises(TapeError, match="version 2, this program reads 1"):
        read_manifest(path)
