"""The product as its user starts it: real processes, real loopback sockets, a folder of its own."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from polybot._fast.event import CommandKind
from polybot.replay.inputs import find_inputs, open_inputs
from polybot.replay.verify import Verdict, verify
from tests.pauses import PauseWitness

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 150.0
# At thirty times speed half a second of the machine's silence is fifteen seconds of a window.
PAUSE_LIMIT_S = 0.15
ATTEMPTS = 3


def start(folder: Path, *overrides: str) -> "subprocess.Popen[str]":
    """`python -m polybot ...` in an empty folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "polybot", *overrides],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


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


def run_three_windows(folder: Path) -> tuple[list[dict[str, str]], str]:
    """Everything that holds of every run, whatever the machine does; coverage is the caller's."""
    process = start(folder, "+interval=5m", "risk=conservative", "venue.speed=30", "run.markets=3")
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, out[-3000:] + err
    assert err == ""
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


def test_three_windows_at_thirty_times_speed_end_by_themselves_with_the_ledger_equal(folder):
    """A run beside which the machine itself stood still is no measurement of coverage, and is made again."""
    for _ in range(ATTEMPTS):
        with PauseWitness() as witness:
            rows, out = run_three_windows(folder)
        if witness.paused_s <= PAUSE_LIMIT_S:
            break
    told = f"the machine paused {witness.paused_s:.2f} s; {rows}\n{out[-6000:]}"
    assert min(float(row["spot_coverage"]) for row in rows) >= 0.95, told
    assert min(float(row["book_coverage"]) for row in rows) >= 0.95, told


def test_a_demo_shows_orders_fills_and_a_settlement_within_a_minute(folder):
    begun = time.monotonic()
    process = start(folder, "venue.makers=slow", "venue.speed=20", "venue.seed=4", "run.markets=1")
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, out[-3000:] + err
    for word in ("ORDER", "FILL", "SETTLED", "SUMMARY", "makers=slow", "0 differences"):
        assert word in out
    assert time.monotonic() - begun < 60.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_with_a_summary_and_takes_the_venue_along(folder, number):
    process = start(folder, "venue.makers=slow", "venue.speed=20", "venue.seed=4")
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "ORDER" in line:
            break
    (venue,) = children_of(process.pid)
    process.send_signal(number)
    asked = time.monotonic()
    out, err = process.communicate(timeout=30.0)
    assert process.returncode == 0, out[-3000:] + err
    assert time.monotonic() - asked < 10.0
    assert "SUMMARY" in out
    assert "ORDERS MAY BE OPEN" not in out
    assert "0 differences" in out
    assert not Path(f"/proc/{venue}").exists()
    verdict = replayed(folder)
    assert (verdict.is_ended, verdict.notes) == (True, ())


def test_a_killed_daemon_takes_its_venue_with_it_and_leaves_a_log_that_replays_to_its_end(folder):
    process = start(folder, "venue.makers=slow", "venue.speed=20", "venue.seed=4")
    assert process.stdout is not None
    for line in process.stdout:
        if "FILL" in line:
            break
    (venue,) = children_of(process.pid)
    process.kill()
    process.communicate(timeout=30.0)
    deadline = time.monotonic() + 10.0
    while Path(f"/proc/{venue}").exists() and time.monotonic() < deadline:
        os.sched_yield()
    assert not Path(f"/proc/{venue}").exists()
    verdict = replayed(folder)
    assert not verdict.is_ended
    assert verdict.commands > 10
    (log,) = find_inputs(folder / "logs")
    kinds = open_inputs(log).commands()["kind"].tolist()
    assert {CommandKind.CMD_PLACE, CommandKind.CMD_FILL} <= set(kinds)


def test_real_orders_are_refused_in_one_line_before_anything_starts(tmp_path):
    process = start(tmp_path, "venue=polymarket", "mode=live")
    out, err = process.communicate(timeout=30.0)
    assert process.returncode == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "mode=live" in err
    assert list(tmp_path.iterdir()) == []
