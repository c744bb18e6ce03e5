"""mode=paper as its user starts it: a real process beside the embedded venue, which must not see an order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 300.0


def test_a_paper_run_says_so_in_every_line_and_its_own_ledger_agrees_with_all_books(tmp_path):
    overrides = ("mode=paper", "venue.speed=60", "venue.makers=slow", "venue.seed=4", "run.markets=1")
    done = subprocess.run(
        [sys.executable, "-m", "polybot", *overrides, "telemetry.console=plain"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("PAPER ")] == []
    assert "mode PAPER" in lines[1]
    assert "PAPER the embedded venue saw 0 orders of ours" in lines
    assert lines.count("PAPER 0 differences") == 2
    assert "1 settled markets compared" in done.stdout
    log = (tmp_path / "logs" / "paper" / "log" / "polybot.log").read_text().splitlines()
    assert log
    assert [line for line in log if not line.startswith("PAPER ")] == []
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["paper"]
    journals = list((tmp_path / "logs" / "paper" / "sim").rglob("*.journal"))  # two when a day ended meanwhile
    assert {path.parent.name[:12] for path in journals} == {"paper-paper-"}
    assert len({path.parent for path in journals}) == 1
