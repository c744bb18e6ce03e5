"""Runs of pytest in a process of their own on scratch benches with the real bench/conftest.py."""

import os
import re
import subprocess
import sys
from pathlib import Path

from bench.gate_table import CLAIMS

__all__ = ["ROOT", "all_rows", "lines_of", "run_benches"]

ROOT = Path(__file__).resolve().parents[1]
# What is red here stays red: nothing is over after a while.
NO_PAUSES = """
import bench.timing

bench.timing.PAUSE_S = 0.0
"""


def run_benches(
    folder: Path, source: str, *options: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Write the benches to the folder and run them in their short form; more options and environment as told."""
    (folder / "conftest.py").write_text((ROOT / "bench" / "conftest.py").read_text() + NO_PAUSES)
    (folder / "bench_scratch.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\npython_files = bench_*.py\npython_functions = bench_*\n")
    # Under pytest-xdist the inner run would take itself for a worker.
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "POLYBOT_PEERS"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--benchmark-only", "-q", "-p", "no:cacheprovider", *options, str(folder)],
        cwd=folder,
        env={**inherited, "POLYBOT_BENCH_SHORT": "1", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def lines_of(output: str, row: str) -> list[list[str]]:
    """The cells of a row's lines in the table of gates."""
    found = []
    for line in output.partition("gates: limit beside measurement")[2].splitlines():
        cells = re.split(r"  +", line)
        if cells[0] == row:
            found.append(cells)
    return found


def all_rows(*, without: str = "") -> str:
    """A bench per row that makes as many claims as the row needs, of figures that are within any limit."""
    benches = []
    for row, claims in CLAIMS.items():
        if row == without:
            continue
        calls = "\n".join(f'    gate.report("{row}", "claim {k}", 1.0)' for k in range(claims))
        benches.append(f"def bench_{row.lower()}(gate):\n{calls}\n")
    return "\n".join(benches)
