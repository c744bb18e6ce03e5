"""The `budget` fixture of bench/: passes what is quick, fails a planted slowdown, prints both.

Runs pytest in a process of its own on a scratch folder with the real bench/conftest.py.
"""

import subprocess

import pytest
from scratch_benches import run_benches

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
    return run_benches(tmp_path_factory.mktemp("bench"), BENCH, "-k", "bench")


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
