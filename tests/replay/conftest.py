"""One session with everything in it, played once for all tests of the inputs log."""

import pytest
from replay.logged import play

from polybot.harness import VirtualRun


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> VirtualRun:
    """Two windows, three lives (see `play`)."""
    return play(tmp_path_factory.mktemp("lived"))
