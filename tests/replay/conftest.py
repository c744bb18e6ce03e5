"""A session with everything in it for all tests of the inputs log, a recorded window for those of the stepper."""

import pytest
from replay.logged import play
from replay.stepping import only_model, record_window, study_tape

from polybot.config import Config
from polybot.harness import VirtualRun
from polybot.replay.step_model import StepModel, Studied
from polybot.tape.reader import Tape


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> VirtualRun:
    """Two windows, three lives (see `play`)."""
    return play(tmp_path_factory.mktemp("lived"))


@pytest.fixture(scope="module")
def taped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Tape]:
    """One recorded window, with the configuration it was recorded under."""
    return record_window(tmp_path_factory.mktemp("tape"))


@pytest.fixture(scope="module")
def studied(taped: tuple[Config, Tape]) -> Studied:
    """That window as the stepper reads it."""
    return study_tape(*taped)


@pytest.fixture
def model(studied: Studied) -> StepModel:
    """The stepper's model at the window's beginning."""
    return only_model(studied)
