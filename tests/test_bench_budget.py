"""The `budget` fixture of bench/: passes what is quick, fails a planted slowdown, prints both.

Runs pytest in a process of its own on a scratch folder with the real bench/conftest.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCH = '''
def work(n):
    return sum(range(n))

def bench_quick(budget):
    budget(lambda: work(10), name="quick work", median_ns=1_000_000)

def bench_two_in_one(budget):
    budget(lambda: work(10), name="first of two", median_ns=1_000_000)
    budget(lambda: work(10), name="second of two", median_ns=1_000_000, inner=10)

def bench_planted_slowdown(budget):
    budget(lambda: work(20_000), name="slow work", median_ns=1_000)
'''


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    folder = tmp_path_factory.mktemp("bench")
    (folder / "conftest.py").write_text((ROOT / "bench" / "conftest.py").read_text())
    (folder / "bench_scratch.py").write_text(BENCH)
    (folder / "pytest.ini").write_text("[pytest]\npython_files = bench_*.py\npython_functions = bench_*\n")
    # Under pytest-xdist the inner run would take itself for a worker.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--benchmark-only", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        env={**environment, "POLYBOT_BENCH_SHORT": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_planted_slowdown_fails_and_the_others_pass(finished: "subprocess.CompletedProcess[str]") -> None:
    assert finished.returncode == 1
    assert "1 failed, 2 passed" in finished.stdout
    assert "slow work: median" in finished.stdout
    assert "above the budget of 1000 ns" in finished.stdout


def test_table_shows_budget_beside_measurement(finished: "subprocess.CompletedProcess[str]") -> None:
    table = finished.stdout.partition("budget beside measurement")[2]
    names = ("quick work", "slow work")
    rows = {name: line for line in table.splitlines() for name in names if line.startswith(name)}
    assert "1,000,000.0" in rows["quick work"]
    assert "EXCEEDED" not in rows["quick work"]
    assert rows["slow work"].rstrip().endswith("EXCEEDED")
