"""Fixtures for all tests, and the count of tests skipped for lack of shared data.

Recorded exchange and venue data is not part of the project: it is looked for in POLYBOT_SHARED,
then beside the checkout (../shared).  Tests that need it ask for `shared_dir` and are skipped with
a plain message when it is absent; the terminal summary says how many were.
"""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NO_SHARED = "shared data not found (set POLYBOT_SHARED, or put it in ../shared)"


@pytest.fixture(scope="session")
def project_dir() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Directory with data/ and vectors/; skips the test when it is not there."""
    named = os.environ.get("POLYBOT_SHARED")
    folder = Path(named).expanduser() if named else ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(NO_SHARED)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple) and NO_SHARED in report.longrepr[2]
    ]
    terminalreporter.write_line(f"skipped for lack of shared data: {len(skipped)}")
