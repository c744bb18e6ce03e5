"""CsvSink when the disk misbehaves, and what a cell may look like."""

import csv
import errno
import io
import math
import os
import random
from pathlib import Path

import pytest

from polybot.telemetry import csv_sinks
from polybot.telemetry.csv_sinks import SIGNALS_COLUMNS, CsvSink, csv_line, signal_cells, signal_line
from polybot.telemetry.records import Record

COLUMNS = ("a", "b")


class BadDisk:
    """os.write that takes `room` bytes and then refuses until healed."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.write = os.write

    def __call__(self, fd: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.write(fd, bytes(data)[: self.room])
        self.room -= written
        return written


def sink_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> tuple[CsvSink, BadDisk]:
    disk = BadDisk(room)
    monkeypatch.setattr(csv_sinks.os, "write", disk)
    return CsvSink(tmp_path / "t.csv", COLUMNS), disk


@pytest.mark.parametrize("room", range(0, 14))
def test_a_disk_full_at_any_byte_loses_and_doubles_nothing(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, disk = sink_on(tmp_path, monkeypatch, room)
    sink.add(("1", "2"))
    sink.add(("3", "4"))
    done = sink.flush()
    assert done == (room >= 12)
    assert (sink.waiting == 0) is done
    disk.room = 1_000
    sink.add(("5", "6"))
    assert sink.flush()
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,2\n3,4\n5,6\n"


@pytest.mark.parametrize("room", range(0, 14))
def test_closing_on_a_full_disk_and_opening_again_joins_the_torn_line(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, disk = sink_on(tmp_path, monkeypatch, room)
    sink.add(("1", "2"))
    sink.add(("3", "4"))
    sink.close()
    disk.room = 1_000
    sink.close()
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,2\n3,4\n"


@pytest.mark.parametrize("kept", range(0, 5))
def test_a_header_torn_by_another_process_is_completed(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n"[:kept])
    sink = CsvSink(path, COLUMNS)
    sink.add(("1", "2"))
    sink.close()
    assert path.read_text() == "a,b\n1,2\n"


def test_a_real_full_device_is_told_and_counts_what_waits(tmp_path: Path) -> None:
    (tmp_path / "t.csv").symlink_to("/dev/full")
    sink = CsvSink(tmp_path / "t.csv", COLUMNS)
    sink.add(("1", "2"))
    assert not sink.flush()
    assert sink.error.startswith("OSError: No space left")
    assert sink.lost == 0


def test_rows_beyond_the_memory_limit_are_counted_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_sinks, "PENDING_MAX_BYTES", 40)
    sink, disk = sink_on(tmp_path, monkeypatch, 0)
    for number in range(100):
        sink.add((f"{number:03d}", "x"))
    assert (sink.rows, sink.lost, sink.waiting) == (6, 94, 6)
    disk.room = 1_000
    assert sink.flush()
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 7


def test_a_folder_that_cannot_be_made_keeps_the_rows(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    sink = CsvSink(blocker / "t.csv", COLUMNS)
    sink.add(("1", "2"))
    assert not sink.flush()
    assert sink.waiting == 1
    blocker.unlink()
    assert sink.flush()
    assert (blocker / "t.csv").read_text() == "a,b\n1,2\n"


def test_files_of_older_versions_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\n1,2,3\n")
    (tmp_path / "t.2.csv").write_text("b,a\n")
    sink = CsvSink(tmp_path / "t.csv", COLUMNS)
    sink.add(("7", "8"))
    sink.close()
    assert (tmp_path / "t.csv").read_text() == "a,b,c\n1,2,3\n"
    assert (tmp_path / "t.2.csv").read_text() == "b,a\n"
    assert (tmp_path / "t.3.csv").read_text() == "a,b\n7,8\n"


def test_a_file_that_nobody_wrote_to_does_not_appear(tmp_path: Path) -> None:
    sink = CsvSink(tmp_path / "t.csv", COLUMNS)
    sink.close()
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("plain", "plain"),
        ("a,b", '"a,b"'),
        ('say "no"', '"say ""no"""'),
        ("two\nlines", '"two\nlines"'),
        ("=1+1", "'=1+1"),
        ("@x,y", '"\'@x,y"'),
        ("-5", "'-5"),
        ("", ""),
    ],
)
def test_text_cells_are_quoted_and_disarmed(text: str, cell: str) -> None:
    assert csv_line([text, "z"]) == f"{cell},z\n"
    row = next(csv.reader(io.StringIO(csv_line([text, "z"]), newline="")))
    assert row[0].removeprefix("'") == text


def any_signal(rng: random.Random) -> Record:
    """A CMD_SIGNAL of numbers of every size, NaN and infinity among them."""

    def number() -> float:
        value = rng.choice((0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, rng.gauss(0.0, 1.0), rng.random()))
        return value * 10.0 ** rng.randint(-320, 300)

    return Record(
        decided_ns=rng.randrange(1 << 62), order_seq=rng.choice((0, rng.randrange(1 << 40))), kind=4, market=0,
        outcome=rng.randrange(4), side=0, order_type=3, strategy=0, price_ticks=rng.randrange(10_001),
        reason=rng.randrange(6), shares=rng.randrange(1 << 40), usd=rng.choice((0, rng.randrange(1_000_000))),
        edge=number(), fair=number(), confidence=number(), size_frac=number(), spot=number(), distance=number(),
        tau_s=number(), delta=number(), gamma=number(), vega=number(),
    )  # fmt: skip


@pytest.mark.parametrize("strategy", ["latency_arb", "finance", 'a,"b"', "=1+1"])
def test_a_signals_line_in_one_go_is_its_cells_joined(strategy: str) -> None:
    rng = random.Random(11)
    names = ("DISPATCHED", "STALE_SPOT", "RATE_LIMIT")
    for _ in range(3_000):
        record, eval_ns = any_signal(rng), rng.choice((0, rng.randrange(1, 10_000_000)))
        cells = signal_cells(record, strategy, names, eval_ns)
        assert len(cells) == len(SIGNALS_COLUMNS)
        assert signal_line(record, strategy, names, eval_ns) == ",".join(cells) + "\n"
