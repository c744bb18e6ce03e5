"""Fixtures and tables of the benches: `budget` for one unit, `gate` for a row of the performance table.

`budget`: time something, compare with its budget, print both, fail when exceeded.  A shared machine is noisy, so the
budget is scaled by a calibration kernel timed beside the measurement, and a measurement that exceeds it is repeated
before it fails.  A budget without room of its own may be given `slack` for that noise; the table shows the share of
the bare budget.  `gate`: see bench/gate.py.  A run of the whole folder fails when a row of the table was not run.
The medians also go through pytest-benchmark, so its own table and JSON have them.
POLYBOT_BENCH_SHORT=1 takes fewer rounds; POLYBOT_GATES_JSON=path writes what the gates found.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from bench.gate import Gate
from bench.gate_table import Ledger, summary, table
from bench.timing import TRIES, breathe, calibrate, calls_per_round, median_ns, rounds_of, scale_of

ROOT = Path(__file__).resolve().parent.parent
NO_SHARED = "shared data not found (set POLYBOT_SHARED, or put it in ../shared)"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table printed at the end."""

    name: str
    budget_ns: float
    median_ns: float
    scale: float
    slack: float = 1.0

    @property
    def is_ok(self) -> bool:
        return self.median_ns <= self.budget_ns * self.scale * self.slack


class Budget(Protocol):
    """Signature of the fixture; returns the measured median per operation, ns."""

    def __call__(
        self, fn: Callable[[], Any], *, name: str, median_ns: float, inner: int = 1, slack: float = 1.0
    ) -> float: ...


ROWS = pytest.StashKey[list[Row]]()
LEDGER = pytest.StashKey[Ledger]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    config.stash[LEDGER] = Ledger()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Directory with recorded data; skips the bench when it is not there."""
    named = os.environ.get("POLYBOT_SHARED")
    folder = Path(named).expanduser() if named else ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(NO_SHARED)
    return folder


@pytest.fixture
def gate(benchmark: Any, request: pytest.FixtureRequest) -> Iterator[Gate]:
    """Holds claims of the performance table; see bench/gate.py."""
    made = Gate(benchmark, request.config.stash[LEDGER])
    yield made
    made.close()


@pytest.fixture
def budget(benchmark: Any, request: pytest.FixtureRequest) -> Budget:
    """Run fn (which does `inner` operations per call) and hold its median against `median_ns`."""
    used_before = False

    def run(
        fn: Callable[[], Any], *, name: str, median_ns: float, inner: int = 1, slack: float = 1.0
    ) -> float:
        nonlocal used_before
        calls, round_ns = calls_per_round(fn)
        best: Row | None = None
        for number in range(TRIES):
            breathe(number)
            before_ns = calibrate(round_ns)
            measured_ns = _measured_ns(None if used_before else benchmark, fn, calls, rounds_of(round_ns))
            used_before = True
            row = Row(name, median_ns, measured_ns / inner, scale_of(before_ns, calibrate(round_ns)), slack)
            if best is None or row.median_ns / row.scale < best.median_ns / best.scale:
                best = row
            if best.is_ok:
                break
        assert best is not None
        request.config.stash[ROWS].append(best)
        if not best.is_ok:
            pytest.fail(
                f"{name}: median {best.median_ns:.0f} ns is above the budget of {median_ns:.0f} ns "
                f"(machine scale {best.scale:.2f})",
                pytrace=False,
            )
        return best.median_ns

    return run


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A whole run that lacks a row is red; what the gates found is written where it was asked for."""
    ledger = session.config.stash[LEDGER]
    if exitstatus == pytest.ExitCode.OK and _is_whole(session.config) and ledger.missing():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    path = os.environ.get("POLYBOT_GATES_JSON")
    if path:
        ledger.write(Path(path))


@pytest.hookimpl(trylast=True)  # below pytest-benchmark's own table
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    _show_budgets(terminalreporter, config.stash[ROWS])
    ledger = config.stash[LEDGER]
    missing = ledger.missing() if _is_whole(config) else []
    if ledger.lines or missing:
        terminalreporter.section("gates: limit beside measurement, and what a planted fault measured")
    for line in [*table(ledger.sorted_lines()), summary(ledger.lines)] if ledger.lines else []:
        terminalreporter.write_line(line)
    for text in missing:
        terminalreporter.write_line(f"MISSING: {text}")


def _show_budgets(terminalreporter: pytest.TerminalReporter, rows: list[Row]) -> None:
    if not rows:
        return
    terminalreporter.section("budget beside measurement (median per operation)")
    width = max(len(row.name) for row in rows)
    head = f"{'what':<{width}}  {'budget ns':>12}  {'median ns':>12}  {'of budget':>9}  {'scale':>5}"
    terminalreporter.write_line(head)
    for row in rows:
        share = row.median_ns / (row.budget_ns * row.scale)
        verdict = "" if row.is_ok else "  EXCEEDED"
        terminalreporter.write_line(
            f"{row.name:<{width}}  {row.budget_ns:>12,.1f}  {row.median_ns:>12,.1f}  {share:>9.1%}  "
            f"{row.scale:>5.2f}{verdict}"
        )


def _is_whole(config: pytest.Config) -> bool:
    """Whether all benches of this folder are run: nothing chosen, nothing left out."""
    options = config.option
    is_chosen = options.keyword or options.markexpr or options.deselect or options.collectonly
    is_cut = is_chosen or getattr(options, "lf", False) or getattr(options, "ignore", None)
    here = Path(__file__).resolve().parent
    return not is_cut and [Path(argument).resolve() for argument in config.args] == [here]


def _measured_ns(benchmark: Any, fn: Callable[[], Any], calls: int, rounds: int) -> float:
    """Median ns per call by pytest-benchmark; measured here when it was used before or is disabled."""
    if benchmark is not None:
        benchmark.pedantic(fn, rounds=rounds, iterations=calls, warmup_rounds=1)
        if benchmark.stats is not None:
            return float(benchmark.stats.stats.median) * 1e9
    return median_ns(fn, calls, rounds=rounds)
