"""A round of checks as text: coloured rows on a terminal, plain lines elsewhere, or one line of JSON.

Owns the columns and the words of the last line.  Must not judge.  Called by doctor.command and doctor.gate.
"""

import json
from collections.abc import Iterator, Sequence

from polybot.doctor.verdict import FAIL, INAPPLICABLE, OK, WARN, Row

__all__ = ["json_line", "last_line", "plain_lines", "problem_lines", "table_lines"]

_COLOURS = {OK: "\x1b[32m", WARN: "\x1b[33m", FAIL: "\x1b[1;31m", INAPPLICABLE: "\x1b[2m"}
_RESET = "\x1b[0m"


def table_lines(rows: Sequence[Row], *, coloured: bool) -> Iterator[str]:
    """Yield a table for a terminal: level, check, what was seen; below it what to do."""
    width = max(len(row.name) for row in rows)
    for row in rows:
        level = f"{row.verdict.level:<5}"
        if coloured:
            level = f"{_COLOURS[row.verdict.level]}{level}{_RESET}"
        yield f"{level} {row.name:<{width}}  {row.verdict.seen}"
        if row.verdict.fix:
            yield f"{'':<{width + 6}}  -> {row.verdict.fix}"


def plain_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield one line per check."""
    for row in rows:
        fix = f" | fix: {row.verdict.fix}" if row.verdict.fix else ""
        yield f"{row.verdict.level} {row.name}: {row.verdict.seen}{fix}"


def problem_lines(rows: Sequence[Row], level: str) -> list[str]:
    """One line per check of this level."""
    return list(plain_lines([row for row in rows if row.verdict.level == level]))


def last_line(rows: Sequence[Row], took_s: float) -> str:
    """Whether a run may begin."""
    failed = sum(row.verdict.level == FAIL for row in rows)
    warned = sum(row.verdict.level == WARN for row in rows)
    warnings = f", {warned} warning{'s' if warned != 1 else ''}" if warned else ""
    if failed:
        return f"NOT READY: {failed} of {len(rows)} checks failed{warnings} ({took_s:.1f} s)"
    return f"ready: {len(rows)} checks{warnings} ({took_s:.1f} s)"


def json_line(rows: Sequence[Row], took_s: float) -> str:
    """The same for a program."""
    return json.dumps(
        {
            "ready": all(row.verdict.level != FAIL for row in rows),
            "took_s": round(took_s, 3),
            "checks": [
                {
                    "name": row.name,
                    "level": row.verdict.level,
                    "seen": row.verdict.seen,
                    "fix": row.verdict.fix,
                    "took_s": round(row.took_s, 3),
                }
                for row in rows
            ],
        }
    )
