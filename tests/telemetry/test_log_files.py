"""Log files behind a thread: rotation, a full disk, a disk that hangs; who logs never waits, every line is counted."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from polybot.telemetry.log_files import LogThread, RotatingFile, StreamFile

LIMIT_S = 60.0


class HungDisk:
    """A file that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.is_asked = threading.Event()
        self.goes_on = threading.Event()

    def write(self, text: str) -> None:
        self.is_asked.set()
        assert self.goes_on.wait(LIMIT_S)
        self.lines.append(text)


class FullDisk:
    """A file that refuses while it is full."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.is_full = True

    def write(self, text: str) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.lines.append(text)


def note(lines: int) -> str:
    return f"lost {lines}\n"


def test_a_file_is_rotated_at_its_size_and_only_so_many_are_kept(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "log" / "p.log", limit_bytes=100, keep=3)
    for number in range(60):
        file.write(f"{number:09}\n")
    names = sorted(path.name for path in (tmp_path / "log").iterdir())
    assert names == ["p.log", "p.log.1", "p.log.2", "p.log.3"]
    kept = "".join((tmp_path / "log" / name).read_text() for name in reversed(names))
    assert kept.split() == [f"{number:09}" for number in range(20, 60)]
    assert all((tmp_path / "log" / name).stat().st_size <= 100 for name in names)


def test_a_restart_appends_and_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "log" / "p.log"
    RotatingFile(path, limit_bytes=100, keep=1).write("one\n")
    RotatingFile(path, limit_bytes=100, keep=1).write("two\n")
    assert path.read_text() == "one\ntwo\n"
    path.unlink()
    path.parent.rmdir()
    RotatingFile(path, limit_bytes=100, keep=1).write("three\n")
    assert path.read_text() == "three\n"


def test_lines_of_many_threads_arrive_whole_and_in_each_ones_order(tmp_path: Path) -> None:
    thread = LogThread(note=note)
    file = RotatingFile(tmp_path / "p.log", limit_bytes=1 << 20, keep=1)

    def put(who: int) -> None:
        for number in range(500):
            thread.put(file, f"{who} {number}\n")

    writers = [threading.Thread(target=put, args=(who,)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert thread.close(LIMIT_S)
    rows = [line.split() for line in (tmp_path / "p.log").read_text().splitlines()]
    for who in range(4):
        assert [int(number) for one, number in rows if int(one) == who] == list(range(500))
    assert (thread.written, thread.lost, thread.waiting) == (2_000, 0, 0)


def test_a_disk_that_hangs_holds_up_nobody_and_every_line_beyond_the_queue_is_counted() -> None:
    disk = HungDisk()
    thread = LogThread(note=note, queue_lines=100)
    thread.put(disk, "first\n")
    assert disk.is_asked.wait(LIMIT_S)  # it hangs in the first line
    for number in range(1_000):
        thread.put(disk, f"{number}\n")
    assert not thread.flush(0.01)
    assert (thread.lost, thread.waiting, thread.written) == (900, 101, 0)
    disk.goes_on.set()
    assert thread.close(LIMIT_S)
    assert disk.lines == ["first\n", "lost 900\n", *[f"{number}\n" for number in range(900, 1_000)]]
    assert (thread.lost, thread.waiting, thread.written) == (900, 0, 101)


def test_what_a_full_disk_refused_is_counted_and_said_when_it_takes_lines_again() -> None:
    disk = FullDisk()
    thread = LogThread(note=note)
    for _ in range(7):
        thread.put(disk, "gone\n")
    assert thread.flush(LIMIT_S)
    assert (thread.lost, thread.written, disk.lines) == (7, 0, [])
    disk.is_full = False
    thread.put(disk, "here\n")
    thread.put(disk, "and here\n")
    assert thread.close(LIMIT_S)
    assert disk.lines == ["lost 7\n", "here\n", "and here\n"]
    assert (thread.lost, thread.written) == (7, 2)


def test_a_close_does_not_wait_for_a_disk_that_hangs() -> None:
    disk = HungDisk()
    thread = LogThread(note=note)
    thread.put(disk, "one\n")
    assert disk.is_asked.wait(LIMIT_S)
    assert not thread.close(0.01)
    assert thread.waiting == 1
    disk.goes_on.set()


def test_a_full_device_is_an_error_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "p.log").symlink_to("/dev/full")
    thread = LogThread(note=note)
    thread.put(RotatingFile(tmp_path / "p.log", limit_bytes=100, keep=1), "one\n")
    assert thread.close(LIMIT_S)
    assert thread.lost == 1


def test_a_stream_that_was_closed_or_broken_refuses_without_raising_anything_else() -> None:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    StreamFile(stream).write("heard\n")
    assert os.read(reader, 100) == b"heard\n"
    os.close(reader)
    with pytest.raises(OSError, match="Broken pipe"):
        StreamFile(stream).write("unheard\n")
    with suppress(BrokenPipeError):
        stream.close()
    with pytest.raises(OSError, match="closed file"):
        StreamFile(stream).write("unheard\n")
