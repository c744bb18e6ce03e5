"""The control commands as their operator types them, on a real daemon with an embedded venue of its own."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0


def polybot(folder, *words):
    """`python -m polybot ...`, begun in a folder of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "polybot", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def say(folder, *words):
    """(exit code, stdout, stderr) of one command."""
    process = polybot(folder, *words)
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


@contextmanager
def daemon(folder):
    """A daemon that is ready, its later output going to a file."""
    begun = polybot(folder, "telemetry.console=plain", "venue.speed=4", "venue.makers=slow", "venue.seed=4")
    try:
        deadline = time.monotonic() + WAIT_S
        for line in begun.stdout:
            assert time.monotonic() < deadline
            if "entries open" in line:
                break
        yield begun
    finally:
        begun.kill()
        begun.communicate(timeout=WAIT_S)


def test_an_operator_looks_halts_resumes_and_kills_a_daemon_by_its_socket(tmp_path):
    with daemon(tmp_path) as process:
        (path,) = (tmp_path / "state" / "control").glob("*.sock")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        code, out, err = say(tmp_path, "status")
        assert (code, err) == (0, "")
        assert f"process {process.pid}   mode live   venue sim   SIMULATED" in out
        assert "entries   open" in out
        code, out, _ = say(tmp_path, "halt", "control.reason=news at ten")
        assert (code, out.split(":")[0]) == (0, "halted")
        code, out, _ = say(tmp_path, "status", "control.json=true")
        by = f"command line (uid {os.getuid()})"
        assert json.loads(out)["halts"] == [{"kind": "manual", "by": by, "reason": "news at ten"}]
        assert say(tmp_path, "resume")[1] == "resumed\n"
        code, out, err = say(tmp_path, "kill", "control.reason=enough")
        assert (code, err) == (0, ""), out
        assert "it ended with no order open" in out
        rest, errors = process.communicate(timeout=WAIT_S)
        assert (process.returncode, errors) == (0, "")
        assert "operator: halt by" in rest
        assert "0 differences" in rest
    assert say(tmp_path, "status")[0] == 3
    assert not (tmp_path / "state").exists()


def test_a_kill_file_ends_a_daemon_and_keeps_the_next_from_starting_until_it_is_gone(tmp_path):
    kill_file = tmp_path / "state" / "KILL"
    with daemon(tmp_path) as process:
        kill_file.write_text("smoke\n")
        out, err = process.communicate(timeout=WAIT_S)
        assert (process.returncode, err) == (0, ""), out
        assert "operator: halt by kill file: smoke" in out
    code, out, err = say(tmp_path, "run.markets=1")
    assert (code, out) == (1, "")
    assert "state/KILL is there and stops every start" in err
    assert "state/KILL is there" in say(tmp_path, "status")[2]
    kill_file.unlink()
    with daemon(tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WAIT_S)
        assert process.returncode == 0


def test_a_signal_while_it_loads_ends_it_in_order_before_anything_was_started(tmp_path):
    process = polybot(tmp_path, "venue.speed=4")
    status = Path(f"/proc/{process.pid}/status")
    caught = 0
    while not caught >> (signal.SIGTERM - 1) & 1:
        assert process.poll() is None
        line = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        caught = int(line.split()[1], 16)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert err == "polybot: stopped before it began to trade\n"
    assert not (tmp_path / "logs" / "sim").exists()
