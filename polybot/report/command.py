"""The command `report`: a run's folder to its page and its picture; and the same for the end of a backtest.

Owns where the files go and what is said about them.  Scores are taken from the folder, or made and kept there when it
has none; a session to compare with is named by report.live.  Where a session's inputs log is named instead of a run,
it is played into a run's folder first.  Must not compute anything itself.
Called by polybot.cli (`run`) and by the command `backtest` (`write_report`).
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from polybot.backtest.agreement import agreement, agreement_text
from polybot.backtest.result import Result, is_result, load_result
from polybot.backtest.scores import Scores, load_scores, save_scores, scores
from polybot.backtest.session import result_of_session
from polybot.config import Config
from polybot.config_report import ReportConfig
from polybot.errors import ConfigError
from polybot.replay.inputs import find_inputs, open_inputs
from polybot.report.canvas import LibraryMissing, require_matplotlib
from polybot.report.facts import Facts
from polybot.report.page import build_page, write_file
from polybot.report.summary import draw_summary

__all__ = ["Written", "run", "told", "write_report"]

PAGE_NAME = "report.html"
PICTURE_NAME = "report.png"


@dataclass(frozen=True, slots=True)
class Written:
    """The files of one report; picture is None when it was not asked for or matplotlib is missing."""

    page: Path
    picture: Path | None
    problem: str  # "" or why there are no pictures


def run(config: Config, *, out: TextIO | None = None) -> int:
    """Make the report of `report.source`; raises ConfigError or TapeError when it is not a run's folder."""
    out = out if out is not None else sys.stdout
    settings = config.report
    if not settings.source:
        raise ConfigError("report of what? report.source=runs/NAME")
    result = _opened(settings.source, config, out)
    found = load_scores(result.folder)
    if found is None:
        out.write(f"report: scoring {result.folder} (harsher variants are made by the command backtest)\n")
        found = scores(result)
        save_scores(found, result.folder)
    if settings.live:
        live = _opened(settings.live, config, out)
        compared = agreement(live, result)
        out.write(f"{agreement_text(compared)}\n")
        found = replace(found, agreement=compared)
        save_scores(found, result.folder)
    for line in told(write_report(result, found, settings)):
        out.write(f"{line}\n")
    return 0


def write_report(result: Result, found: Scores, settings: ReportConfig) -> Written:
    """Write page and picture, each whole or not at all; raises OSError.

    Without matplotlib the page is made without pictures and says so.
    """
    folder = Path(settings.out_dir).expanduser() if settings.out_dir else result.folder
    folder.mkdir(parents=True, exist_ok=True)
    problem = ""
    try:
        require_matplotlib()
    except LibraryMissing as error:
        problem = str(error)
    facts = Facts(result, found, least=settings.few_count, pictures=not problem)
    page = write_file(folder / PAGE_NAME, build_page(facts, markets_shown=settings.markets_count).encode())
    picture = None
    if settings.png and not problem:
        picture = write_file(folder / PICTURE_NAME, draw_summary(facts))
    return Written(page, picture, problem)


def _opened(name: str, config: Config, out: TextIO) -> Result:
    """Open a run, or make one of a session's inputs log (once); raises TapeError when it is neither."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"{name} is not a folder: give a run's (runs/NAME) or a session's log (logs/inputs/NAME)")
    if is_result(folder) or not find_inputs(folder):
        return load_result(folder)
    log = open_inputs(find_inputs(folder)[0])
    place = Path(config.backtest.out_dir).expanduser() / f"session-{log.name}"
    if is_result(place):
        return load_result(place)
    out.write(f"report: playing the session {log.name} into {place}\n")
    return result_of_session(log, place, settings=config.backtest)


def told(written: Written) -> list[str]:
    """Return what to tell of the files."""
    lines = [f"report: {written.page} ({written.page.stat().st_size / 1e3:,.0f} kB)"]
    if written.picture is not None:
        lines.append(f"report: {written.picture} ({written.picture.stat().st_size / 1e3:,.0f} kB)")
    if written.problem:
        lines.append(f"report: made without pictures: {written.problem}")
    return lines
