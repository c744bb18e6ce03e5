"""A search over settings by Optuna (tree-structured Parzen estimator): points chosen by what the earlier ones came to.

Owns optuna: no other module imports it.  Points are chosen in batches of sweep.batch_count; the sampler of every batch
is seeded by the search's seed and the batch's number, and a batch is told in its order: so the same command chooses the
same points on any number of cores, and a search that was killed goes through the same points again, finding the rows
of those that are done.  study.log, Optuna's own journal, is written anew each time for Optuna's tools.
Must not compute points.  Called by polybot.multirun.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from polybot.backtest.sweep import PERFORM, Point, Sweep
from polybot.backtest.sweep_table import LEAST, figures_of
from polybot.config import Config
from polybot.errors import ConfigError

__all__ = ["Choices", "Dimension", "Range", "run_search"]

STUDY_NAME = "study.log"
# Seeds of batches: neighbours of the search's seed are other searches' seeds.
SEED_STEP = 1_000_003
SEED_LIMIT = 2**32
DIGITS = 12  # of a drawn number, as it is written into the settings


@dataclass(frozen=True, slots=True)
class Choices:
    """One of these words."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A number between two, both included; whole numbers when both ends are."""

    low: float
    high: float
    is_whole: bool
    is_log: bool

    @classmethod
    def of(cls, low: str, high: str, *, is_log: bool) -> "Range":
        """From two ends as text; raises ValueError."""
        ends = float(low), float(high)
        if ends[0] >= ends[1]:
            raise ValueError("the first end must be below the second")
        if is_log and ends[0] <= 0:
            raise ValueError("a logarithmic range must be above 0")
        is_whole = all(text.lstrip("+-").isdigit() for text in (low, high))
        return cls(*ends, is_whole, is_log)

    def text(self, value: float) -> str:
        """A value as a setting; what is run is what is written."""
        return str(round(value)) if self.is_whole else f"{value:.{DIGITS}g}"


Dimension = Choices | Range


def run_search(
    config: Config,
    space: Mapping[str, Dimension],
    folder: Path,
    compose: Callable[[Mapping[str, str]], Point],
    *,
    out: TextIO | None = None,
    perform: str = PERFORM,
) -> int:
    """Choose and compute sweep.trials points; returns the exit code.  Raises ConfigError without optuna."""
    optuna = _optuna()
    settings = config.sweep
    made = Sweep(config, folder, total=settings.trials, out=out or sys.stdout, perform=perform)
    made.tapes_of(config)
    with made as sweep:
        sweep.say_head()
        study = _study(optuna, folder, is_least=settings.metric in LEAST)
        for batch in range(0, settings.trials, settings.batch_count):
            count = min(settings.batch_count, settings.trials - batch)
            study.sampler = _sampler(optuna, config, batch)
            trials = [study.ask() for _ in range(count)]
            points = [compose(_draw(trial, space)) for trial in trials]
            for trial, row in zip(trials, sweep.compute(points), strict=True):
                value = figures_of(row, sweep.markets, settings)[settings.metric]
                if value is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(trial, value)
        return sweep.finish()


def _draw(trial: Any, space: Mapping[str, Dimension]) -> dict[str, str]:
    """What the sampler chose, as settings."""
    values = {}
    for key, item in space.items():
        name = key.lstrip("+")
        if isinstance(item, Choices):
            values[key] = str(trial.suggest_categorical(name, item.values))
        elif item.is_whole:
            values[key] = item.text(
                trial.suggest_int(name, round(item.low), round(item.high), log=item.is_log)
            )
        else:
            values[key] = item.text(trial.suggest_float(name, item.low, item.high, log=item.is_log))
    return values


def _sampler(optuna: Any, config: Config, batch: int) -> Any:
    sweep = config.sweep
    seed = (sweep.seed + SEED_STEP * (batch + 1)) % SEED_LIMIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=sweep.startup_count, constant_liar=True)


def _study(optuna: Any, folder: Path, *, is_least: bool) -> Any:
    path = folder / STUDY_NAME
    path.unlink(missing_ok=True)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    direction = "minimize" if is_least else "maximize"
    return optuna.create_study(storage=storage, study_name=folder.name, direction=direction)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError("sweep.search=optuna needs optuna: make extras") from None
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna
