"""What a check says, and what a check is: the words every part of the doctor shares.

Owns the four levels and the two records.  Pure data; must not import a compiled unit, so that the doctor can still
speak when one does not fit.  Called by everything in polybot.doctor.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["FAIL", "INAPPLICABLE", "OK", "WARN", "Check", "Row", "Verdict", "fail", "inapplicable", "ok", "warn"]

OK, WARN, FAIL, INAPPLICABLE = "ok", "warn", "FAIL", "n/a"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was seen, and for `warn` and `FAIL` what to type or change."""

    level: str
    seen: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check.

    It begins when those it `needs` are well; `fix` is for what it raises, `limit` the setting of section `doctor` that
    ends it, `more` those of waits of its own beyond that.
    """

    name: str
    run: Callable[[Any], Awaitable[Verdict]]  # gets the site
    fix: str
    needs: tuple[str, ...] = ()
    limit: str = "check_s"
    more: tuple[str, ...] = ()
    is_for_orders: bool = True  # also made before real orders


@dataclass(frozen=True, slots=True)
class Row:
    """A check's name, its verdict and how long it took (wall)."""

    name: str
    verdict: Verdict
    took_s: float


def ok(seen: str) -> Verdict:
    """All is well."""
    return Verdict(OK, seen)


def warn(seen: str, fix: str) -> Verdict:
    """A run can begin, and something is worth mending."""
    return Verdict(WARN, seen, fix)


def fail(seen: str, fix: str) -> Verdict:
    """A run would not work, or must not begin."""
    return Verdict(FAIL, seen, fix)


def inapplicable(seen: str) -> Verdict:
    """Nothing to check, and why."""
    return Verdict(INAPPLICABLE, seen)
