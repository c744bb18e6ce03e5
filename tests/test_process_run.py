"""The product as its user starts it: real processes, real loopback sockets, a folder of its own."""

import csv
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from child_process import Process
from pauses import PauseWitness
from signal_counts import broken_counts

from polybot._fast.event import CommandKind
from polybot.replay.inputs import find_inputs, open_inputs
from polybot.replay.verify import Verdict, verify

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 150.0
COVERAGE = 0.95
WINDOW_S = 10.0  # wall seconds of 300 at thirty times speed: half a second of silence is fifteen seconds of a window
PAUSE_LIMIT_S = 0.15
ATTEMPTS = 3
Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """`python -m polybot ...` in an empty folder; gone with the test."""
    started: list[Process] = []

    def begin(folder: Path, *overrides: str) -> Process:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        started.append(Process(folder, ["-m", "polybot", *overrides], env, keeps_errors_apart=True))
        return started[-1]

    yield begin
    for process in started:
        process.close()


def ended(process: Process, limit_s: float = LIMIT_S) -> tuple[str, float]:
    """What it said until it ended in order, and the seconds that took."""
    code, took_s = process.end(limit_s)
    assert (code, process.errors()) == (0, ""), process.text()[-3_000:] + process.errors()
    return process.text(), took_s


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    work = tmp_path / "work"
    work.mkdir()
    yield work
    # A killed process leaves its control socket, which is no file; one that ended leaves nothing but its logs.
    assert {path.relative_to(work).parts[0] for path in work.rglob("*") if path.is_file()} == {"logs"}


def replayed(folder: Path) -> Verdict:
    """What the only inputs log of a run comes to when it is played again."""
    (log,) = find_inputs(folder / "logs")
    verdict = verify(open_inputs(log))
    assert verdict.is_identical, verdict.text()
    return verdict


def market_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "logs" / "5m" / "markets.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def children_of(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def run_three_windows(start: Start, folder: Path, witness: PauseWitness) -> tuple[list[dict[str, str]], str]:
    """Everything that holds of every run, whatever the machine does; coverage is the caller's."""
    process = start(folder, "+interval=5m", "risk=conservative", "venue.speed=30", "run.markets=3")
    witness.follow(process.pid)
    out, _ = ended(process)
    rows = market_rows(folder)[-3:]
    assert len(rows) == 3
    for row in rows:
        assert float(row["strike"]) > 0
        assert row["outcome"] in ("Up", "Down")
    assert [row["start"] for row in rows[1:]] == [row["end"] for row in rows[:-1]]
    assert "3 settled markets compared" in out
    assert "0 differences" in out
    assert "SIMULATED" in out
    return rows, out


def test_three_windows_at_thirty_times_speed_end_by_themselves_with_the_ledger_equal(folder, start):
    """A run beside which the machine itself stood still is no measurement of coverage, and is made again.

    Where it always does, what is missing must be no more than what the machine withheld.
    """
    for _ in range(ATTEMPTS):
        with PauseWitness() as witness:
            rows, out = run_three_windows(start, folder, witness)
        least = min(float(row[name]) for row in rows for name in ("spot_coverage", "book_coverage"))
        if least >= COVERAGE or witness.withheld_s <= PAUSE_LIMIT_S:
            break
    else:
        least += witness.withheld_s / WINDOW_S
    assert least >= COVERAGE, f"{witness.text()}; {rows}\n{out[-6000:]}"


def test_a_demo_shows_orders_fills_and_a_settlement_within_a_minute(folder, start):
    with PauseWitness() as witness:
        process = start(folder, "venue.makers=slow", "venue.speed=20", "venue.seed=4", "run.markets=1")
        witness.follow(process.pid)
        out, took_s = ended(process)
    for word in ("ORDER", "FILL", "SETTLED", "SUMMARY", "makers=slow", "0 differences"):
        assert word in out
    assert took_s - witness.withheld_s < 60.0, f"{took_s:.1f} s; {witness.text()}"
    assert broken_counts(folder / "logs") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_with_a_summary_and_takes_the_venue_along(folder, start, number):
    process = start(folder, "venue.makers=slow", "venue.speed=20", "venue.seed=4")
    process.wait_for("ORDER", LIMIT_S)
    (venue,) = children_of(process.pid)
    with PauseWitness() as witness:
        witness.follow(process.pid)
        process.signal(number)
        out, took_s = ended(process)
    assert took_s - witness.withheld_s < 10.0, f"{took_s:.1f} s; {witness.text()}"
    assert "SUMMARY" in out
    assert "ORDERS MAY BE OPEN" not in out
    assert "0 differences" in out
    assert not Path(f"/proc/{venue}").exists()
    verdict = replayed(folder)
    assert (verdict.is_ended, verdict.notes) == (True, ())


def test_a_killed_daemon_takes_its_venue_with_it_and_leaves_a_log_that_replays_to_its_end(folder, start):
    process = start(folder, "venue.makers=slow", "venue.speed=20", "venue.seed=4")
    process.wait_for("FILL", LIMIT_S)
    said = len(process.lines)
    process.wait_for(r"\S", LIMIT_S, after=said + 1)  # the log, written behind the console, holds the fill by now
    (venue,) = children_of(process.pid)
    process.close()
    deadline = time.monotonic() + 60.0
    while Path(f"/proc/{venue}").exists() and time.monotonic() < deadline:
        os.sched_yield()
    assert not Path(f"/proc/{venue}").exists()
    verdict = replayed(folder)
    assert not verdict.is_ended
    assert verdict.commands > 10
    (log,) = find_inputs(folder / "logs")
    kinds = open_inputs(log).commands()["kind"].tolist()
    assert {CommandKind.CMD_PLACE, CommandKind.CMD_FILL} <= set(kinds)


def test_real_orders_are_refused_in_one_line_before_anything_starts(tmp_path, start):
    process = start(tmp_path, "venue=polymarket", "mode=live")
    assert process.end()[0] == 2
    assert process.text() == ""
    assert len(process.errors().splitlines()) == 1
    assert "mode=live" in process.errors()
    process.close()
    assert list(tmp_path.iterdir()) == []
