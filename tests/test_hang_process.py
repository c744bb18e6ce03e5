"""A daemon stopped by SIGSTOP: after SIGCONT the venue gets no order before polybot has compared with it again."""

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime

import pytest
from test_halts_survive import read_until, start

SPEED = 5.0
STOPPED_S = 3.0  # wall: 15 venue seconds


def order_stamps(out_dir):
    """Venue time, HH:MM:SS.mmm, of every order of ours that reached the venue, from its own ledger."""
    (ledger,) = (out_dir / "sim").glob("*.ledger")
    rows = [json.loads(line) for line in ledger.read_text().splitlines()]
    (ours,) = [row["account"] for row in rows if row["k"] == "account"]
    stamps = [row["t"] for row in rows if row["k"] in ("order", "reject") and row["account"] == ours]
    return [f"{datetime.fromtimestamp(ns / 1e9, UTC):%H:%M:%S.%f}"[:12] for ns in stamps]


@pytest.mark.alone
def test_a_daemon_that_stood_still_sends_nothing_before_it_has_compared_with_the_venue(tmp_path):
    words = ("venue.makers=slow", "venue.seed=4", "run.markets=1", "telemetry.console=plain")
    daemon = start(tmp_path, f"venue.speed={SPEED:g}", *words)
    try:
        read_until(daemon, " SENT |DISPATCHED| FILL ")
        os.kill(daemon.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        before = len(order_stamps(tmp_path / "logs"))
        assert before, "it traded"
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.wait(STOPPED_S)
        os.kill(daemon.pid, signal.SIGCONT)
        lines = read_until(daemon, "entries open")
        assert time.monotonic() - stopped >= STOPPED_S
        text = "".join(lines)
        assert "HUNG" in text, text[-2_000:]
        opened = lines[-1].strip()[:12]
        assert all(stamp >= opened for stamp in order_stamps(tmp_path / "logs")[before:]), f"before {opened}"
        daemon.send_signal(signal.SIGTERM)
        rest, _ = daemon.communicate(timeout=60.0)
        assert daemon.returncode == 0, rest[-2_000:]
    finally:
        daemon.kill()
        daemon.communicate(timeout=30.0)
