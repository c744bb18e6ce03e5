"""polybot for programs and notebooks: tapes, backtests and their results in three lines.

    from polybot import api

    result = api.backtest("tapes", "risk=conservative", "backtest.spot_delay_s=1")
    result.to_pandas("fills")

Owns nothing: it names what is elsewhere, and imports it when it is asked for.  Settings are those of the command line,
as words; errors are polybot.errors.  No figure of one run is worth anything by itself: `python -m polybot backtest`
runs the harsher variants beside it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polybot.backtest.result import Result
    from polybot.backtest.score_tree import Agreement
    from polybot.replay.verify import Verdict
    from polybot.tape.reader import Tape

__all__ = ["backtest", "backtest_session", "compare", "open_result", "open_tape", "replay", "session"]

Say = Callable[[str], None]


def open_tape(path: Path | str) -> "Tape":
    """Open a tape's folder: `.events` is numpy, `.to_pandas("trades")` a DataFrame; raises TapeError for another."""
    from polybot.tape.reader import open_tape as open_one

    return open_one(path)


def backtest(tapes: Path | str | list[Path | str], *overrides: str, say: Say | None = None) -> "Result":
    """Run the strategies over tapes (a folder of them, one, or several) and return the run.

    `overrides` are settings as on the command line (`strategy=[latency_arb]`, `backtest.name=first`); `say` gets a line
    about everything that is left out.  The run lies in `backtest.out_dir` (runs).  Raises ConfigError and TapeError.
    """
    from polybot.backtest.run import run_backtest
    from polybot.cli import load_config

    given = tapes if isinstance(tapes, list) else [tapes]
    named = ",".join(f'"{Path(one).absolute()}"' for one in given)
    return run_backtest(load_config([f"backtest.tapes=[{named}]", *overrides]), say=say)


def open_result(folder: Path | str) -> "Result":
    """Open the folder of a run: `.info`, `.table(name)`, `.to_pandas(name)`; raises TapeError when it is none."""
    from polybot.backtest.result import load_result

    return load_result(folder)


def replay(folder: Path | str) -> "Verdict":
    """Run an inputs log again and compare every Command: `.is_identical`, `.text()`; raises TapeError for no log."""
    from polybot.replay.inputs import open_inputs
    from polybot.replay.verify import verify

    return verify(open_inputs(Path(folder)))


def session(folder: Path | str, place: Path | str | None = None) -> "Result":
    """Write what happened in a session (its inputs log) as a run; default place `runs/session-NAME`.

    Raises TapeError for a folder that is no log, or whose beginning is gone.
    """
    from polybot.backtest.session import result_of_session
    from polybot.replay.inputs import open_inputs

    return result_of_session(open_inputs(Path(folder)), None if place is None else Path(place))


def backtest_session(folder: Path | str, place: Path | str | None = None) -> "Result":
    """Backtest a session on what its engine was given: the same signals before risk, fills simulated; as `session`."""
    from polybot.backtest.session import backtest_session as run
    from polybot.replay.inputs import open_inputs

    return run(open_inputs(Path(folder)), None if place is None else Path(place))


def compare(live: "Result", tested: "Result") -> "Agreement":
    """Hold a session against its backtest: fills agreed, missed and extra, differences of price and PnL, signals."""
    from polybot.backtest.agreement import agreement

    return agreement(live, tested)
