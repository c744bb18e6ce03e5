"""The command `analyze`: one table over many run folders.

Owns what is printed and where; exit code 0 when there was at least one run, else 1.  Folders that could not be read are
named on the error output, so that CSV and JSON on the screen stay what they are.
Called by polybot.cli.
"""

import sys
from pathlib import Path
from typing import TextIO

from polybot.analyze.export import csv_text, json_text, write_parquet, write_text
from polybot.analyze.facts import needs_strategies, tabulate
from polybot.analyze.frame import Frame
from polybot.analyze.screen import show
from polybot.analyze.sources import Collected, collect
from polybot.config_analyze import AnalyzeConfig
from polybot.errors import ConfigError

__all__ = ["EXIT_NOTHING", "EXIT_OK", "analyze", "run"]

EXIT_OK, EXIT_NOTHING = 0, 1
# Folders that were left out are named up to so many; the rest are counted.
NAMED = 10


def analyze(settings: AnalyzeConfig) -> tuple[Frame, Collected]:
    """The table these settings ask for, and what it was made of; raises ConfigError."""
    found = collect(settings.paths, by_strategy=needs_strategies(settings))
    return tabulate(found.facts, found.figures, settings), found


def run(settings: AnalyzeConfig, *, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Print or write the table; returns the exit code."""
    out, err = out or sys.stdout, err or sys.stderr
    if settings.output == "parquet" and not settings.out_file:
        raise ConfigError("analyze.output=parquet needs analyze.out_file=FILE")
    if settings.output == "table" and settings.out_file:
        raise ConfigError("analyze.out_file needs analyze.output=csv, json or parquet")
    frame, found = analyze(settings)
    _write(settings, frame, out)
    for line in _skipped_lines(found):
        err.write(line + "\n")
    if settings.output == "table" or settings.out_file:
        where = f"; written: {settings.out_file}" if settings.out_file else ""
        err.write(
            f"{len(frame.rows)} rows from {found.runs} runs, {len(found.skipped)} folders skipped{where}\n"
        )
    return EXIT_OK if found.runs else EXIT_NOTHING


def _write(settings: AnalyzeConfig, frame: Frame, out: TextIO) -> None:
    if settings.output == "parquet":
        write_parquet(Path(settings.out_file), frame)
        return
    if settings.output == "table":
        show(frame, out)
        return
    text = json_text(frame) if settings.output == "json" else csv_text(frame)
    if settings.out_file:
        write_text(Path(settings.out_file), text)
    else:
        out.write(text)


def _skipped_lines(found: Collected) -> list[str]:
    lines = [f"skipped: {folder}: {why}" for folder, why in found.skipped[:NAMED]]
    more = len(found.skipped) - NAMED
    return [*lines, f"skipped: {more} more"] if more > 0 else lines
