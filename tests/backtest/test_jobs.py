"""Jobs on local cores: order, both cores, a worker that dies, Ctrl-C, a parent that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polybot.backtest.interrupts import interruptible
from polybot.backtest.jobs import JobDone, run_jobs
from polybot.errors import ConfigError, JobsFailed

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 120.0  # nothing takes so long, also on a busy machine


def test_results_come_in_the_order_of_the_items_and_each_is_told_once():
    told: list[JobDone] = []
    results = run_jobs("job_functions:double", [{"x": x} for x in range(7)], cores=2, on_done=told.append)
    assert [item["twice"] for item in results] == [0, 2, 4, 6, 8, 10, 12]
    assert sorted(done.index for done in told) == list(range(7))
    assert all(done.result == results[done.index] and done.elapsed_s >= 0.0 for done in told)
    assert {done.worker for done in told} <= {f"pid {item['pid']}" for item in results}
    assert os.getpid() not in {item["pid"] for item in results}


def test_two_workers_are_at_work_at_the_same_time(tmp_path):
    pids = run_jobs("job_functions:meet", [str(tmp_path)] * 2, cores=2)
    assert len(set(pids)) == 2


def test_a_number_is_the_same_to_the_last_bit():
    xs = [0.1, 1e-300, 1 / 7, float(2**53 - 1)]
    assert run_jobs("job_functions:third", xs, cores=1) == [x / 3 for x in xs]


def test_a_worker_that_raises_or_dies_fails_its_item_and_the_others_go_on():
    items = ["raise", "fine", "segv", "kill", "exit", "object", "also fine"]
    told: list[JobDone] = []
    with pytest.raises(JobsFailed) as caught:
        run_jobs("job_functions:misbehave", items, cores=2, on_done=told.append)
    failures = caught.value.failures
    assert caught.value.results == [None, "fine", None, None, None, None, "also fine"]
    assert failures[0] == "exit code 1: TapeError: tape x: frame at 17 is torn"
    assert failures[2].startswith(f"exit code {-signal.SIGSEGV}: ")
    assert failures[3] == f"exit code {-signal.SIGKILL}: no word"
    assert failures[4] == "exit code 3: no word"
    assert "TypeError" in failures[5]
    assert str(caught.value) == f"item 0 of 7: {failures[0]} (and 4 more)"
    assert {done.index: done.error for done in told if done.error} == failures


@pytest.mark.parametrize("path", ["job_functions", "job_functions:", "os; x:y", "job_functions.double"])
def test_a_path_that_names_no_function_is_refused(path):
    with pytest.raises(ConfigError, match="must be module:function"):
        run_jobs(path, [1])


def test_no_items_are_no_results_and_no_process():
    assert run_jobs("job_functions:double", []) == []


def test_ray_without_an_address_is_refused():
    with pytest.raises(ConfigError, match="needs the address of a running cluster"):
        run_jobs("job_functions:double", [1], executor="ray")


def test_ctrl_c_ends_the_workers(tmp_path):
    process, workers = _start_hanging(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out, err) == (130, "interrupted\n", "")
    assert _all_gone(workers)
    assert list((tmp_path / "temporary").glob("held_*")) == []


def test_ctrl_c_of_a_terminal_reaches_the_workers_too_and_the_end_is_the_same(tmp_path):
    process, workers = _start_hanging(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out, err) == (130, "interrupted\n", "")
    assert _all_gone(workers)
    assert list((tmp_path / "temporary").glob("held_*")) == []


def test_workers_of_a_killed_parent_end_by_themselves(tmp_path):
    process, workers = _start_hanging(tmp_path)
    process.kill()
    process.communicate(timeout=LIMIT_S)
    assert _all_gone(workers)
    assert list((tmp_path / "temporary").glob("held_*")) == []


def _start_hanging(folder: Path) -> "tuple[subprocess.Popen[str], list[int]]":
    began, temporary = folder / "began", folder / "temporary"
    for made in (began, temporary):
        made.mkdir()
    code = f"from job_functions import run_hanging; run_hanging({json.dumps(str(began))})"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            "TMPDIR": str(temporary),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _until(lambda: len(list(began.iterdir())) == 2 or process.poll() is not None, LIMIT_S)
    assert process.poll() is None, process.communicate()
    return process, [int(path.name) for path in began.iterdir()]


def _all_gone(pids: list[int]) -> bool:
    assert len(pids) == 2
    return _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), LIMIT_S)


def _until(is_so: Callable[[], Any], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


def test_a_signal_after_the_last_look_ends_the_work_all_the_same() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGINT)
