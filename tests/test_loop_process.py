"""The settings of the loop in a real daemon: its threads where they belong, collections in end guards, refusals."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from child_process import Process
from runs import QUIET

ROOT = Path(__file__).resolve().parent.parent
CORES = sorted(os.sched_getaffinity(0))
LIMIT_S = 150.0
SPEED = 30  # the end guard lasts two seconds of wall: no pause of the machine swallows it

pytestmark = pytest.mark.alone


@pytest.fixture
def started() -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.close()


def start(started: list[Process], folder: Path, *words: str, **more: Any) -> Process:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    started.append(Process(folder, ["-m", "polybot", *words], env, keeps_errors_apart=True, **more))
    return started[-1]


def threads_of(pid: int) -> dict[int, set[int]]:
    """Cores of each thread."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            found[int(task.name)] = set(os.sched_getaffinity(int(task.name)))
    return found


def bound_threads(process: Process, wanted: set[int], others: set[int]) -> dict[int, set[int]]:
    """Its threads, once the main one is where it is wanted and all others are elsewhere; as they are when it ends."""
    while True:
        threads = threads_of(process.pid)
        rest = [cores for thread, cores in threads.items() if thread != process.pid]
        if threads.get(process.pid) == wanted and all(cores == others for cores in rest):
            return threads
        assert process.lives_for(0.05), f"ended with its threads on {threads}"


def test_a_core_that_is_not_there_ends_the_start(started: list[Process], tmp_path: Path) -> None:
    process = start(started, tmp_path, "loop.cores=[1023]")
    code, _ = process.end(LIMIT_S)
    assert code == 2
    (line,) = process.errors().strip().splitlines()
    assert line.startswith(
        "polybot: error: loop.cores=[1023] is not allowed: must be of the cores this process may use"
    )
    assert not list(tmp_path.rglob("*.ledger"))  # nothing was started


def test_a_window_with_cores_and_spinning_is_traded_and_collected_in_its_guard(
    started: list[Process], tmp_path: Path
) -> None:
    core, spins = CORES[-1], len(CORES) > 1
    words = ["+interval=5m", f"venue.speed={SPEED}", "run.markets=1", "telemetry.console=plain"]
    words.append("engine.end_guard_s=60")
    words += [f"{name}={value}" for name, value in QUIET.items()]
    words += [f"loop.cores=[{core}]", f"loop.busy_spin={str(spins).lower()}", "loop.gc_watch_s=0.1"]
    process = start(started, tmp_path, *words)
    process.wait_for("OPEN ")
    log = tmp_path / "logs" / "log" / "polybot.log"
    process.wait_for("STRIKE")
    assert len(bound_threads(process, {core}, set(CORES) - {core} or {core})) > 2
    code, _ = process.end(LIMIT_S)
    assert code == 0, process.text()[-2_000:] + process.errors()
    assert "0 differences" in process.text()
    said = log.read_text()
    assert "heap settled" in said
    (collected,) = [line for line in said.splitlines() if "heap collected" in line]
    assert "window=btc-updown-5m-" in collected
    assert "in=end guard" in collected
    assert "the collector is on again" not in process.text()
