"""The control commands as their operator types them, on a real daemon with an embedded venue of its own."""

import asyncio
import json
import os
import signal
import stat
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from child_process import PATIENCE_S, Process
from signal_counts import broken_counts

from polybot.config_control import ControlConfig
from polybot.control.watcher import Watcher

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
PATIENT = ("control.answer_s=60", "control.stop_s=60")  # a busy machine answers too


def polybot(folder, *words):
    """`python -m polybot ...`, begun in a folder of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    return Process(folder, ["-m", "polybot", *words], env, keeps_errors_apart=True)


def say(folder, *words):
    """(exit code, stdout, stderr) of one command."""
    process = polybot(folder, *words, *PATIENT)
    code, _ = process.end()
    out, err = process.text(), process.errors()
    process.close()
    return code, out, err


def open_status(folder, process):
    """What `status` says once entries are open: a machine that stood still closes them for a moment."""
    while True:
        code, out, err = say(folder, "status")
        assert (code, err) == (0, "")
        if "entries   open" in out:
            return out
        assert time.monotonic() < process.begun + PATIENCE_S, out


@contextmanager
def daemon(folder):
    """A daemon that is ready; its output is read while it runs."""
    begun = polybot(folder, "telemetry.console=plain", "venue.speed=4", "venue.makers=slow", "venue.seed=4")
    try:
        begun.wait_for("entries open")
        yield begun
    finally:
        begun.close()


def test_an_operator_looks_halts_resumes_and_kills_a_daemon_by_its_socket(tmp_path):
    with daemon(tmp_path) as process:
        (path,) = (tmp_path / "state" / "control").glob("*.sock")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        out = open_status(tmp_path, process)
        assert f"process {process.pid}   mode live   venue sim   SIMULATED" in out
        code, out, _ = say(tmp_path, "status", "--why")
        assert (code, out[:10]) == (0, "why not   ")
        code, out, _ = say(tmp_path, "halt", "control.reason=news at ten")
        assert (code, out.split(":")[0]) == (0, "halted")
        code, out, _ = say(tmp_path, "status", "control.json=true")
        by = f"command line (uid {os.getuid()})"
        assert json.loads(out)["halts"] == [{"kind": "manual", "by": by, "reason": "news at ten"}]
        assert say(tmp_path, "resume")[1] == "resumed"
        code, out, err = say(tmp_path, "kill", "control.reason=enough")
        assert (code, err) == (0, ""), out
        assert "it ended with no order open" in out
        code, _ = process.end()
        assert (code, process.errors()) == (0, "")
        assert "operator: halt by" in process.text()
        assert "0 differences" in process.text()
    assert broken_counts(tmp_path / "logs") == []
    assert say(tmp_path, "status")[0] == 3
    assert not (tmp_path / "state").exists()


def test_a_watcher_sees_a_daemon_from_its_start_to_its_last_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    state, settings = Path("state"), ControlConfig(answer_s=60.0)
    with asyncio.Runner() as runner, daemon(tmp_path) as process:
        watcher = Watcher(state, settings=settings, from_start=True)
        events = []
        while not {"entries_open", "market_open"} <= {event["kind"] for event in events}:
            assert time.monotonic() < process.begun + PATIENCE_S, events
            answer = runner.run(watcher.watch())
            assert answer["events_missed"] == 0
            events += answer["events"]
            time.sleep(0.1)
        assert (answer["pid"], answer["speed"], answer["health"]["reasons"]) == (process.pid, 4.0, [])
        assert answer["markets"][0]["slug"] == next(event["slug"] for event in events if event["slug"])
        assert answer["telemetry"]["errors"] == 0
        assert runner.run(watcher.act("halt", "news at ten", "page")).startswith("halted")
        answer = runner.run(watcher.watch())
        events += answer["events"]
        assert answer["halts"] == [{"kind": "manual", "by": f"page (uid {os.getuid()})", "reason": "news at ten"}]
        process.signal(signal.SIGTERM)
        assert process.end()[0] == 0
        word = runner.run(watcher.watch())
        assert (word["ended"], word["orders_may_be_open"], word["events_missed"]) == (True, False, 0)
        events += word["events"]
        kinds = [event["kind"] for event in events]
        assert (kinds[0], kinds[-1], kinds.count("stop")) == ("start", "stop", 1)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert events[-1]["data"]["orders_may_be_open"] is False


def test_a_kill_file_ends_a_daemon_and_keeps_the_next_from_starting_until_it_is_gone(tmp_path):
    kill_file = tmp_path / "state" / "KILL"
    with daemon(tmp_path) as process:
        kill_file.write_text("smoke\n")
        code, _ = process.end()
        assert (code, process.errors()) == (0, ""), process.text()
        assert "operator: halt by kill file: smoke" in process.text()
    code, out, err = say(tmp_path, "run.markets=1")
    assert (code, out) == (1, "")
    assert "state/KILL is there and stops every start" in err
    assert "state/KILL is there" in say(tmp_path, "status")[2]
    kill_file.unlink()
    with daemon(tmp_path) as process:
        process.signal(signal.SIGTERM)
        assert process.end()[0] == 0


@pytest.mark.parametrize(("command", "what"), [("run", "trade"), ("record", "record")])
def test_a_signal_while_it_loads_ends_it_in_order_before_anything_was_started(tmp_path, command, what):
    process = polybot(tmp_path, command, "venue.speed=4")
    status = Path(f"/proc/{process.pid}/status")
    caught = 0
    while not caught >> (signal.SIGTERM - 1) & 1:
        assert process.popen.poll() is None
        line = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        caught = int(line.split()[1], 16)
    process.signal(signal.SIGTERM)
    code, _ = process.end()
    assert (code, process.errors()) == (0, f"polybot: stopped before it began to {what}")
    process.close()
    assert not (tmp_path / "logs" / "sim").exists()
