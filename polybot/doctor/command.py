"""`polybot doctor`: every check side by side, then a table, plain lines or JSON; exit code 0 only when a run may begin.

Owns the order of things (the program first: nothing else can be loaded without it), the progress shown meanwhile and
the exit code: 0 ready (warnings do not fail), 1 not ready.  Called by polybot.cli.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from polybot.clock import wall_clock
from polybot.config import Config
from polybot.doctor.program import check_program
from polybot.doctor.table import json_line, last_line, plain_lines, table_lines
from polybot.doctor.verdict import FAIL, Row

__all__ = ["run"]

NS = 1_000_000_000
EXIT_READY, EXIT_NOT_READY = 0, 1


async def run(config: Config, *, out: TextIO | None = None) -> int:
    """Make every check; returns the exit code."""
    out = out or sys.stdout
    began_ns = wall_clock().mono_ns()
    verdict = check_program()
    rows = [Row("program", verdict, (wall_clock().mono_ns() - began_ns) / NS)]
    scrub: Callable[[str], str] = str
    if verdict.level != FAIL:
        scrub = await _examine(config, rows)
    took_s = (wall_clock().mono_ns() - began_ns) / NS
    out.write(scrub("\n".join(_lines(config, rows, took_s, out)) + "\n"))
    out.flush()
    return EXIT_NOT_READY if any(row.verdict.level == FAIL for row in rows) else EXIT_READY


async def _examine(config: Config, rows: list[Row]) -> Callable[[str], str]:
    """Make the checks that need compiled units; returns what masks secrets."""
    from polybot.doctor.checks import CHECKS
    from polybot.doctor.rounds import make_round
    from polybot.doctor.site import Site
    from polybot.gateway.http import LaneClient
    from polybot.telemetry.redact import Redactor

    redactor = Redactor()
    http = LaneClient(config.gateway)
    with tempfile.TemporaryDirectory(prefix="polybot-doctor-") as folder:
        site = Site(config=config, http=http, redactor=redactor, folder=Path(folder))
        progress = _Progress(sys.stderr, len(CHECKS))
        try:
            site.read_secrets()
            rows += await make_round(CHECKS, site, on_row=progress.ended)
        finally:
            progress.clear()
            await http.close()
            await site.close()
    return redactor.scrub


def _lines(config: Config, rows: Sequence[Row], took_s: float, out: TextIO) -> list[str]:
    if config.doctor.json:
        return [json_line(rows, took_s)]
    if not out.isatty():
        return [*plain_lines(rows), last_line(rows, took_s)]
    coloured = not os.environ.get("NO_COLOR")
    return [*table_lines(rows, coloured=coloured), "", last_line(rows, took_s)]


class _Progress:
    """A line that says how far the checks are, on a terminal only."""

    def __init__(self, screen: TextIO, total: int) -> None:
        self._screen = screen if screen.isatty() else None
        self._total = total
        self._ended = 0

    def ended(self, row: Row) -> None:
        """One more check has ended."""
        self._ended += 1
        if self._screen is not None:
            self._screen.write(f"\r\x1b[K{self._ended} of {self._total} checks made: {row.name}")
            self._screen.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._screen is not None:
            self._screen.write("\r\x1b[K")
            self._screen.flush()
