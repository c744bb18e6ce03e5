"""One venue process for all tests of the doctor that run in this process, and a clean environment for each."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.surgery import Surgery, begin_surgery


@pytest.fixture(scope="session")
def surgery() -> Iterator[Surgery]:
    """A venue that runs and is well."""
    with begin_surgery() as begun:
        yield begun


@pytest.fixture
def planted(surgery: Surgery) -> Iterator[Surgery]:
    """The venue, to be made ill; well again afterwards."""
    yield surgery
    surgery.plant()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name: the path of a control socket has 107 bytes at most."""
    return tmp_path_factory.mktemp("d")


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the account of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith(("POLYMARKET_", "TELEGRAM_", "DOCTOR_"))]:
        monkeypatch.delenv(name)
