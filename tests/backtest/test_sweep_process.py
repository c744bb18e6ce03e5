"""Sweeps of real backtests as a user starts them: killed and resumed, on both cores, and on a Ray cluster of two nodes.

The commands of the cluster are those of docs/SWEEPS.md, word for word.  Alone: Ray's processes want both cores.
"""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from backtest.made import Script, make_tape

from polybot.backtest.sweep_rows import ROWS_NAME, read_rows

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
PAGE = (ROOT / "docs" / "SWEEPS.md").read_text()
MARKETS, POINTS = 20, 16
LIMIT_S = 240.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tapes of twenty markets in it."""
    folder = tmp_path_factory.mktemp("place")
    for number in range(MARKETS):
        phase = 0.7 * number
        script = Script(
            spot=lambda at_s, phase=phase: 78_800.0 + 40.0 * math.sin(phase + at_s / 41.0),
            up=lambda at_s, phase=phase: 5_000 + 100 * round(15.0 * math.sin(phase + at_s / 41.0 - 0.1)),
            outcome=number % 3 % 2,
        )
        make_tape(folder / "tapes", script, number=number)
    return folder


def sweep_line() -> list[str]:
    """The command of the page, as words."""
    (line,) = re.findall(r"^    python (-m polybot backtest -m .*sweep\.executor=ray.*)$", PAGE, re.MULTILINE)
    return [sys.executable, *line.split()]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


def rows_in(place: Path) -> list[dict[str, Any]]:
    found = list(place.glob("runs/sweeps/*/" + ROWS_NAME))
    return read_rows(found[0].parent) if found else []


def is_half_done(rows: list[dict[str, Any]]) -> bool:
    """Some rows, and of both processes."""
    return len(rows) >= 4 and len({row["worker"] for row in rows}) == 2


def comparable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without who did it and how long it took."""
    kept = [{key: value for key, value in row.items() if key not in ("worker", "elapsed_s")} for row in rows]
    return sorted(kept, key=lambda row: row["digest"])


@pytest.fixture(scope="module")
def local(place: Path) -> tuple[list[dict[str, Any]], list[bytes], str]:
    """Sixteen points on local cores, killed after some: the rows, the lines that were there at the kill, the output."""
    command = [word for word in sweep_line() if not word.startswith("sweep.")]
    process = subprocess.Popen(command, cwd=place, env=environment(), stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + LIMIT_S
    while not is_half_done(rows_in(place)) and process.poll() is None and time.monotonic() < deadline:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LIMIT_S)
    (path,) = place.glob("runs/sweeps/*/" + ROWS_NAME)
    before = path.read_bytes().splitlines()
    done = subprocess.run(
        command, cwd=place, env=environment(), capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return rows_in(place), before, done.stdout


@pytest.mark.alone
def test_a_killed_sweep_goes_on_and_redoes_nothing(local, place):
    rows, before, out = local
    (path,) = place.glob("runs/sweeps/*/" + ROWS_NAME)
    lines = path.read_bytes().splitlines()
    assert 4 <= len(before) < POINTS
    assert lines[: len(before)] == before
    assert len(lines) == len(rows) == POINTS
    assert f"({len(before)} points are there from before)" in out
    assert f"({POINTS} rows, {len(before)} of them from before)" in out
    counts = [int(text) for text in re.findall(rf"^(\d+) of {POINTS} points, 0 failed", out, re.MULTILINE)]
    assert counts == list(range(len(before) + 1, POINTS + 1))  # it goes on from what is there
    assert "the best of 16 points is flattering" in out


@pytest.mark.alone
def test_both_cores_worked_and_every_market_counts(local):
    rows, before, _ = local
    workers = {json.loads(line)["worker"] for line in before}
    assert len(workers) == 2
    assert [row["error"] for row in rows] == [""] * POINTS
    assert max(row["figures"]["markets"] for row in rows) == MARKETS  # a halt may keep a market from a point
    assert min(row["figures"]["markets"] for row in rows) >= MARKETS - 2
    assert len({row["figures"]["tables_sha256"] for row in rows}) == POINTS
    assert sum(row["figures"]["fills"] for row in rows) > 0


@pytest.mark.alone
def test_a_ray_cluster_of_two_nodes_gives_the_same_rows(local, place, tmp_path):
    shutil.copytree(place / "tapes", tmp_path / "tapes")
    token = os.urandom(16).hex()
    (export,) = re.findall(r"^    export (RAY_\S+) (RAY_\S+) (RAY_\S+)$", PAGE, re.MULTILINE)
    words = dict(word.split("=", 1) for word in export)
    assert words["RAY_AUTH_MODE"] == "token"
    environ = environment(**{**words, "RAY_AUTH_TOKEN": token})
    environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    starts = re.findall(r"^    (ray start .*)$", PAGE, re.MULTILINE)
    assert len(starts) == 2
    with ExitStack() as stack:
        for line in starts:
            stack.enter_context(node(line, environ, tmp_path))
        done = subprocess.run(
            sweep_line(), cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=LIMIT_S
        )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_in(tmp_path)
    assert comparable(rows) == comparable(local[0])
    assert len({row["worker"].split(" pid ")[0] for row in rows}) == 2
    assert all(row["worker"].startswith("node ") for row in rows)


@contextmanager
def node(line: str, environ: dict[str, str], folder: Path) -> Iterator[None]:
    """One node of a cluster, in the foreground of its own process; gone with all it started afterwards."""
    process = subprocess.Popen(
        line.split(),
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said: list[str] = []
    is_up = threading.Event()
    reader = threading.Thread(target=_read, args=(process, said, is_up), daemon=True)
    reader.start()
    try:
        assert is_up.wait(LIMIT_S), "".join(said)
        assert process.poll() is None, "".join(said)
        yield
    finally:
        process.terminate()
        try:
            process.wait(60.0)
        finally:
            process.kill()
            process.wait()
            reader.join(60.0)
            assert process.stdout is not None
            process.stdout.close()


def _read(process: "subprocess.Popen[str]", said: list[str], is_up: threading.Event) -> None:
    assert process.stdout is not None
    for text in process.stdout:
        said.append(text)
        if "Ray runtime started" in text:
            is_up.set()
    is_up.set()
