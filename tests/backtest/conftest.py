"""Recordings made once for all tests of the backtest: from the virtual venue, and small ones of plain events."""

from pathlib import Path

import pytest
from backtest.made import make_tape
from backtest.recorded import LIVELY
from tape.recording import record, recorder_config


@pytest.fixture(scope="session")
def taped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three 5m windows of one recording, one after the other; do not write in it."""
    folder = tmp_path_factory.mktemp("taped")
    record(recorder_config(record__cycles=3, **LIVELY), folder)
    return folder


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 5m and a 15m window that begin together, of one recording."""
    folder = tmp_path_factory.mktemp("mixed")
    record(recorder_config(record__intervals=("5m", "15m")), folder)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two made windows."""
    folder = tmp_path_factory.mktemp("made")
    for number in range(2):
        make_tape(folder, number=number)
    return folder
