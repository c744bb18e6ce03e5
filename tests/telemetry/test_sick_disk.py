"""A whole daemon whose log disk is full, or takes a quarter of a second for every write: it trades on and counts.

Real processes: the venue alone, a daemon on it, journal and state on a healthy disk, `logs` on a sick one
(tests/sick_disk.py says how).  What is true is asked of the venue's ledger, of the journal and of the files.
"""

import asyncio
import csv
import json
import re
import signal
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from campaign_process import Daemon, Desk, desk, open_orders
from sick_disk import SickDisk

from polybot.config_control import ControlConfig
from polybot.control.watcher import Watcher

pytestmark = pytest.mark.alone

SPEED = 16
SLOW_MS = 250  # for every write, fsync and fallocate below the logs' folder
ROUNDS = 3  # of slow and healthy in turn
ORDERS = 12  # so many more of them are waited for in each stretch
LIMIT_S = 120.0
SLOWER = 1.30  # what the median of an order's latency may grow by
NOISE_US = 1_000.0  # and what it may grow by besides: the machine's own
TABLES = ("signals", "orders", "fills", "latency", "samples", "markets")


def orders(daemon: Daemon) -> int:
    return sum(" ORDER " in line and " NEW" in line for _, line in daemon.lines)


def more_orders(daemon: Daemon, count: int = ORDERS) -> None:
    """Wait until so many more orders have been shown."""
    wanted = orders(daemon) + count
    at = len(daemon.lines)
    while orders(daemon) < wanted:
        daemon.wait_for(r" ORDER ", LIMIT_S, after=at)
        at = len(daemon.lines)


def venue_orders(it: Desk) -> int:
    return sum(row["k"] == "order" and row["account"] == it.account for row in it.venue.rows())


def more_at_the_venue(it: Desk, daemon: Daemon, count: int = ORDERS) -> None:
    """Wait until the venue itself has seen so many more orders: no word of the daemon's is needed."""
    wanted = venue_orders(it) + count
    while venue_orders(it) < wanted:
        assert daemon.popen.poll() is None, daemon.text()[-3000:]
        time.sleep(0.05)


def look() -> dict[str, Any]:
    """What the daemon of this folder says of itself by its control socket (whose full path may be too long)."""

    async def ask() -> dict[str, Any]:
        watcher = Watcher(Path("state"), settings=ControlConfig(answer_s=60.0))
        try:
            return await watcher.watch()
        finally:
            watcher.close()

    return asyncio.run(ask())


def rows_of(folder: Path, name: str) -> list[list[str]]:
    """Every whole row of a table, of all windows; a torn last line is none."""
    found = []
    for path in sorted(folder.rglob(f"{name}*.csv")):
        text = path.read_text()
        whole = text[: text.rfind("\n") + 1]
        found += list(csv.reader(whole.splitlines()))[1:]
    return found


def told(daemon: Daemon) -> tuple[int, int, int]:
    """(lost, tried, dropped) rows of the last line of telemetry, and that nothing else was lost."""
    (line,) = [line for _, line in daemon.lines if "telemetry: dropped" in line]
    found = re.search(
        r"dropped records=(\d+) notes=0; lost records=0 notes=0 rows=(\d+) of (\d+); unassigned=0 errors=0", line
    )
    assert found, line
    dropped, lost, tried = (int(group) for group in found.groups())
    return lost, tried, dropped


def shown(it: Desk, daemon: Daemon) -> Counter[str]:
    """How many rows there should be, told by others: the console's lines, and the engine's own count of signals."""
    words = Counter(match[1] for _, line in daemon.lines if (match := re.search(r" (ORDER|FILL) {3,}", line)))
    for path in (it.folder / "logs").rglob("market.json"):
        totals = json.loads(path.read_text())["totals"]
        words["signals"] += totals["signals"] - totals["dropped"]
    return words


def judge_books(it: Desk, daemon: Daemon) -> None:
    """The venue, the journal and SQLite agree to the micro-unit, and nothing is left open."""
    assert it.compare() == "", daemon.text()[-3000:]
    assert open_orders(it.venue.rows(), it.account) == []
    assert it.is_sealed()


def judge_counters(it: Desk, daemon: Daemon, *, is_whole: bool) -> str:
    """Rows tried are rows written and rows lost; table by table where another source knows how many there were."""
    lost, tried, dropped = told(daemon)
    tables = {name: len(rows_of(it.folder / "logs", name)) for name in TABLES}
    written = sum(tables.values())
    assert written + lost == tried, (tables, lost, tried)
    seen = shown(it, daemon)
    missing = Counter(orders=seen["ORDER"] - tables["orders"], fills=seen["FILL"] - tables["fills"])
    if is_whole:  # market.json is
        missing["signals"] = seen["signals"] - dropped - tables["signals"]
    assert min(missing.values()) >= 0, (missing, tables, dropped)
    assert sum(missing.values()) <= lost, (missing, lost, tables, dropped)
    return f"{tried} rows, {written} written, {lost} lost; records dropped: {dropped}"


def latencies(it: Desk) -> list[tuple[int, float]]:
    """(venue ms, microseconds from the trigger's receipt to the request handed over) of every order."""
    return [(int(row[0]), float(row[3])) for row in rows_of(it.folder / "logs", "latency") if row[1] == "e2e"]


def now_ms() -> int:
    return int(look()["now_ns"]) // 1_000_000


def slow_and_healthy(it: Desk, daemon: Daemon, sick: SickDisk) -> list[tuple[bool, int, int]]:
    """Stretches of both kinds in turn: (is it slow, begin and end in venue ms)."""
    stretches = []
    for number in range(2 * ROUNDS):
        is_slow = number % 2 == 1
        sick.turn(sick.slow, on=is_slow)
        begun = now_ms()
        more_at_the_venue(it, daemon)
        stretches.append((is_slow, begun, now_ms()))
    sick.turn(sick.slow, on=False)
    return stretches


def medians(it: Desk, stretches: list[tuple[bool, int, int]]) -> tuple[float, float, str]:
    """(healthy, slow) median latency of orders in us, and words."""
    us: dict[bool, list[float]] = {True: [], False: []}
    for at_ms, value_us in latencies(it):
        for is_slow, begun, ended in stretches:
            if begun <= at_ms < ended:
                us[is_slow].append(value_us)
    assert min(len(us[True]), len(us[False])) >= ROUNDS
    healthy, slow = (statistics.median(us[key]) for key in (False, True))
    words = f"e2e p50 {healthy:.0f} us ({len(us[False])} orders), slow disk {slow:.0f} us ({len(us[True])})"
    return healthy, slow, words


def test_a_log_disk_that_is_slow_and_one_that_is_full_hold_up_no_order_and_every_row_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sick = SickDisk.below(tmp_path / "desk" / "work" / "logs", work=tmp_path / "sick", slow_ms=SLOW_MS)
    with desk(tmp_path / "desk", speed=SPEED, seed=4) as it:
        monkeypatch.chdir(it.folder)
        daemon = it.start(**sick.environ)
        daemon.is_ready()
        daemon.wait_for(r" ORDER ", LIMIT_S)
        stretches = slow_and_healthy(it, daemon, sick)
        sick.turn(sick.full, on=True)
        daemon.wait_for(r"telemetry cannot write: OSError: No space left on device", LIMIT_S)
        more_at_the_venue(it, daemon)
        deadline = time.monotonic() + LIMIT_S
        while "No space left" not in look()["telemetry"]["disk_error"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        sick.turn(sick.full, on=False)
        daemon.wait_for(r"telemetry writes again", LIMIT_S)
        more_orders(daemon)
        healthy, slow, words = medians(it, stretches)
        sick.turn(sick.full, on=True)
        more_at_the_venue(it, daemon)
        daemon.signal(signal.SIGTERM)
        assert daemon.end(60.0)[0] == 0, daemon.text()[-3000:]
        judge_books(it, daemon)
        counted = judge_counters(it, daemon, is_whole=False)
        with capsys.disabled():
            sys.stdout.write(f"\nsick log disk: {SLOW_MS} ms a write, then full: {words}; {counted}\n")
    assert told(daemon)[0] >= ORDERS
    assert slow <= SLOWER * healthy + NOISE_US
