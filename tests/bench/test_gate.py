"""The `gate` fixture of bench/: what is within its limit passes, what is not fails; so does a gate that cannot fail.

The figures are constants or differ by so much that no load of the machine can turn them.
"""

import subprocess
from pathlib import Path

import pytest
from scratch_benches import all_rows, lines_of, run_benches

from bench.gate_table import CLAIMS, GateLine, Ledger, read_lines

WITHIN = """
def work(n):
    return sum(range(n))

def bench_ratio(gate):
    gate.ratio("P2", "twenty", ours=lambda: work(50), theirs=lambda: work(5_000), at_least=4.0)

def bench_ratio_with_a_plant(gate):
    gate.ratio("P3", "natural", ours=lambda: work(50), theirs=lambda: work(5_000), at_least=4.0,
               planted=lambda: work(5_000))

def bench_paired(gate):
    gate.paired("P7", "paired", ours=lambda: 10.0, theirs=lambda: 40.0, at_least=3.0, planted=lambda: 30.0)

def bench_minima(gate):
    waves = iter([1.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0] * 10)
    gate.paired("P9", "minima", ours=lambda: next(waves), theirs=lambda: 60.0, at_least=4.0, planted=lambda: 60.0)

def bench_median(gate):
    gate.median("P4", "budget", lambda: work(50), below_ns=10_000_000)

def bench_value(gate):
    gate.value("P1", "error", 1e-16, at_most=2e-16, planted=3e-16)
    gate.value("P10", "rate", lambda: 5.0, at_least=4.0, unit="M/s", planted=lambda: 3.0)

def bench_report(gate):
    gate.report("P14", "spin", 15.0, unit="us")

def bench_peer(gate):
    gate.peer("P8", "nobody").ask("sign")
"""
OUTSIDE = """
def work(n):
    return sum(range(n))

def bench_ratio(gate):
    gate.ratio("P2", "too slow", ours=lambda: work(500), theirs=lambda: work(5_000), at_least=400.0)

def bench_median(gate):
    gate.median("P4", "over budget", lambda: work(20_000), below_ns=1)

def bench_value(gate):
    gate.value("P1", "error", 3e-16, at_most=2e-16, planted=9.0)

def bench_floor(gate):
    gate.value("P10", "rate", 3.0, at_least=4.0, planted=0.0)

def bench_paired(gate):
    gate.paired("P7", "paired", ours=lambda: 10.0, theirs=lambda: 20.0, at_least=3.0, planted=lambda: 30.0)

def bench_weak_plant_of_a_pair(gate):
    gate.paired("P9", "weak", ours=lambda: 10.0, theirs=lambda: 100.0, at_least=3.0, planted=lambda: 20.0)

def bench_weak_plant_of_a_median(gate):
    gate.median("P6", "weak", lambda: None, below_ns=10_000_000, planted=lambda: None)

def bench_weak_plant_of_a_value(gate):
    gate.value("P12", "weak", 1e-16, at_most=2e-16, planted=1e-16)

def bench_peer(gate):
    gate.peer("P8", "nobody").ask("sign")
"""
@pytest.fixture(scope="module")
def within(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    folder = tmp_path_factory.mktemp("within")
    return run_benches(folder, WITHIN, "-k", "bench", "-rs", POLYBOT_GATES_JSON=str(folder / "gates.json"))


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    return run_benches(tmp_path_factory.mktemp("outside"), OUTSIDE, "-k", "bench", POLYBOT_PEERS="required")


def test_what_is_within_its_limit_passes_and_is_shown_with_its_plant(
    within: "subprocess.CompletedProcess[str]",
) -> None:
    assert within.returncode == 0, within.stdout
    assert "7 passed, 1 skipped" in within.stdout
    assert lines_of(within.stdout, "P1") == [
        ["P1", "error", "at most 2.00e-16", "1.00e-16", "50%", "3.00e-16", "ok"]
    ]
    assert lines_of(within.stdout, "P7") == [["P7", "paired", "at least 3 x", "4 x", "75%", "1.33 x", "ok"]]
    assert lines_of(within.stdout, "P10") == [
        ["P10", "rate", "at least 4 M/s", "5 M/s", "80%", "3 M/s", "ok"]
    ]
    assert [line[-1] for line in lines_of(within.stdout, "P2")] == ["ok"]
    assert [line[-1] for line in lines_of(within.stdout, "P14")] == ["reported"]


def test_minima_decide_where_the_median_is_only_noise(within: "subprocess.CompletedProcess[str]") -> None:
    assert lines_of(within.stdout, "P9") == [["P9", "minima", "at least 4 x", "60 x", "7%", "1 x", "ok"]]


def test_every_gate_goes_through_pytest_benchmark(within: "subprocess.CompletedProcess[str]") -> None:
    shown = within.stdout.partition("budget")[0]
    names = ("ratio", "ratio_with_a_plant", "paired", "median", "value", "report")
    assert [name for name in names if f"\nbench_{name} " not in shown] == []


def test_json_holds_what_the_table_shows(within: "subprocess.CompletedProcess[str]") -> None:
    path = Path(within.args[-1]) / "gates.json"
    lines = read_lines(path)
    assert [line.row for line in lines] == ["P1", "P2", "P3", "P4", "P7", "P8", "P9", "P10", "P14"]
    assert lines[0] == GateLine("P1", "error", "ok", "", 1e-16, 2e-16, planted=3e-16)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("P2", "P2: too slow: measured"),
        ("P4", "P4: over budget: measured"),
        ("P1", "P1: error: measured 3.00e-16, wanted at most 2.00e-16"),
        ("P10", "P10: rate: measured 3, wanted at least 4"),
        ("P7", "P7: paired: measured 2 x, wanted at least 3 x"),
    ],
)
def test_what_is_outside_its_limit_is_red(
    outside: "subprocess.CompletedProcess[str]", row: str, said: str
) -> None:
    assert outside.returncode == 1
    assert "9 failed" in outside.stdout
    assert said in outside.stdout
    assert [line[-1] for line in lines_of(outside.stdout, row)] == ["RED"]


@pytest.mark.parametrize("row", ["P6", "P9", "P12"])
def test_gate_whose_plant_stays_green_is_red(outside: "subprocess.CompletedProcess[str]", row: str) -> None:
    assert f"{row}: this gate cannot fail: weak: the planted fault measured" in outside.stdout
    assert [line[-1] for line in lines_of(outside.stdout, row)] == ["RED"]


def test_absent_peer_is_a_plain_skip(within: "subprocess.CompletedProcess[str]") -> None:
    assert "P8: there is no peer nobody in bench/peers" in within.stdout
    assert [line[-1] for line in lines_of(within.stdout, "P8")] == ["skipped"]


def test_absent_peer_is_red_where_peers_are_required(outside: "subprocess.CompletedProcess[str]") -> None:
    assert "P8: there is no peer nobody in bench/peers, and POLYBOT_PEERS=required" in outside.stdout
    assert [line[-1] for line in lines_of(outside.stdout, "P8")] == ["RED"]


def test_chosen_benches_need_not_be_all(within: "subprocess.CompletedProcess[str]") -> None:
    assert within.returncode == 0
    assert "MISSING" not in within.stdout


def test_whole_run_with_every_row_is_green(tmp_path: Path) -> None:
    finished = run_benches(tmp_path, all_rows())
    assert finished.returncode == 0, finished.stdout
    assert "MISSING" not in finished.stdout


def test_whole_run_without_a_row_is_red(tmp_path: Path) -> None:
    finished = run_benches(tmp_path, all_rows(without="P5"))
    assert finished.returncode == 1
    assert "MISSING: P5 was not run" in finished.stdout


def test_row_with_fewer_claims_than_it_makes_is_missing() -> None:
    ledger = Ledger()
    for row, claims in CLAIMS.items():
        for k in range(claims - (row == "P3")):
            ledger.add(GateLine(row, f"claim {k}", "ok"))
    assert ledger.missing() == ["P3 made 2 of its 3 claims"]


def test_row_with_an_absent_peer_is_shown_as_skipped_and_not_missing() -> None:
    ledger = Ledger()
    for row, claims in CLAIMS.items():
        for k in range(claims - (row == "P8")):
            ledger.add(GateLine(row, f"claim {k}", "skipped" if row == "P8" else "ok"))
    assert ledger.missing() == []
