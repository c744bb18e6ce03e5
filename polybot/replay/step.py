"""`replay --step`: the markets of a session or of tapes, stepped through on the terminal.

Owns what can be chosen from a folder, and one-line refusals: nothing there, no terminal, textual not installed.
Must not draw.  Called by replay.command.
"""

import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from polybot.config import Config
from polybot.errors import ConfigError, TapeError
from polybot.market.spec import MarketSpec
from polybot.replay.calls import INPUTS_KIND
from polybot.replay.inputs import find_inputs, open_inputs
from polybot.replay.step_inputs import inputs_script
from polybot.replay.step_model import Choice, StepModel, Studied, study
from polybot.replay.step_tape import tape_script
from polybot.tape.reader import find_tapes, open_tape

__all__ = ["find_choices", "run_step"]

DUMP_FOLDER = "step"  # below telemetry.out_dir


def run_step(config: Config) -> int:
    """Show the stepper until it is left; returns the exit code."""
    source = config.replay.source
    if not source:
        raise ConfigError("replay --step needs source=FOLDER: a session's log, a tape, or a folder with them")
    try:
        from polybot.replay.step_screen import StepApp
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "textual"):
            raise
        raise ConfigError("replay --step needs a library that is not installed: make extras") from error
    choices = find_choices(config)
    if not sys.stdout.isatty():
        raise ConfigError("replay --step needs a terminal")
    StepApp(choices, dump_dir=Path(config.telemetry.out_dir) / DUMP_FOLDER).run()
    return 0


def find_choices(config: Config) -> list[Choice]:
    """Every market of every log and tape in `replay.source`, in the order of their folders.

    Raises ConfigError when there is none.
    """
    source = Path(config.replay.source)
    logs = find_inputs(source) if source.is_dir() else []
    tapes = [folder for folder in find_tapes(source) if not _is_log_part(folder)]
    found = [choice for folder in logs for choice in _of_log(folder)]
    found += [choice for folder in tapes for choice in _of_tape(folder, config)]
    if not found:
        what = "a log without a market" if logs else "neither a session's log nor a tape in it"
        raise ConfigError(f"replay.source={source} is not allowed: {what}")
    return found


def _is_log_part(folder: Path) -> bool:
    try:
        return bool(open_tape(folder).manifest["kind"] == INPUTS_KIND)
    except TapeError:
        return False


def _of_tape(folder: Path, config: Config) -> Iterator[Choice]:
    """The tape's market; a tape of prices alone has none, one that cannot be read says why when it is chosen."""
    try:
        tape = open_tape(folder)
    except TapeError:
        yield Choice(f"{folder.name}  tape {folder}, cannot be read", partial(_open_tape, folder, config))
        return
    if tape.spec is not None:
        yield Choice(f"{tape.name}  tape {folder}", partial(_open_tape, folder, config))


def _open_tape(folder: Path, config: Config) -> StepModel:
    tape = open_tape(folder)
    studied = study(tape_script(tape, config))
    if not studied.noted.lives:
        raise TapeError(f"{tape.name}: nothing to step through: {'; '.join(studied.script.warnings) or 'it is empty'}")
    return StepModel(studied, studied.noted.lives[0])


def _of_log(folder: Path) -> Iterator[Choice]:
    """The log's markets, in the order they were opened; the script is studied once, when the first is shown."""
    studied = lru_cache(maxsize=1)(partial(_study_log, folder))
    for _, call in open_inputs(folder).calls:
        if call.name == "open_market":
            spec = MarketSpec(**call.args["spec"])
            kind = "observed" if call.args["observed"] else "traded"
            label = f"{spec.slug}  {kind}, session {folder.name}"
            yield Choice(label, partial(_open_life, studied, int(call.args["index"]), spec.slug))


def _study_log(folder: Path) -> Studied:
    return study(inputs_script(open_inputs(folder)))


def _open_life(studied: Callable[[], Studied], index: int, slug: str) -> StepModel:
    found = studied()
    for life in found.noted.lives:
        if life.index == index and life.spec.slug == slug:
            return StepModel(found, life)
    raise TapeError(f"{slug}: the log cannot be run again as far as this market: {'; '.join(found.script.warnings)}")
