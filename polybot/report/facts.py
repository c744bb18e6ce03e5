"""What a report is made from, and the one way a number gets onto the page: by its path.

Owns the paths: `scores.totals.pnl_micro`, `scores.strategies.0.markouts.2.mean_usd`, `markets.17.pnl`, `info.messages`.
A number's name on the page is its path, so whoever reads the page can look it up in scores.json, in the tables and in
run.json of the run's folder.  Must not compute.  Called by every section.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polybot.backtest.result import TABLES, Result
from polybot.backtest.score_tree import Interval, Scores
from polybot.report.markup import Markup, text
from polybot.report.numbers import few, number, plain

__all__ = ["Facts"]


@dataclass(frozen=True)
class Facts:
    """One run, its scores, and from how many cases on a statistic is shown."""

    result: Result
    scores: Scores
    least: int = 20
    pictures: bool = True

    def value(self, path: str) -> Any:
        """Return what stands at a path; raises LookupError for a path that leads nowhere."""
        first, *rest = path.split(".")
        if first == "scores":
            return _walk(self.scores, rest, path)
        if first == "info":
            return _walk(self.result.info, rest, path)
        if first in TABLES:
            return self.result.table(first)[int(rest[0])][rest[1]]
        raise LookupError(f"no number at {path}")

    def number(self, path: str, unit: str, *, n: int | None = None) -> Markup:
        """Return the element of the number at a path; with `n`, only when enough cases stand behind it."""
        return number(path, self.value(path), unit, n=n, least=self.least)

    def ratio(self, part: str, whole: str, unit: str = "frac") -> Markup:
        """Return the element of one number over another; its name is `part / whole`."""
        above, below = plain(self.value(part)), plain(self.value(whole))
        found = None if above is None or not below else above / below
        return number(f"{part} / {whole}", found, unit)

    def too_few(self, path: str) -> Markup:
        """Return the element that says that the count at a path is too small to judge by."""
        return few(path, int(self.value(path)))

    def interval(self, path: str, unit: str = "usd") -> Markup:
        """Return "low to high" of the interval at a path, or that there is none."""
        found: Interval | None = self.value(path)
        if found is None:
            return text("–")
        if found.low is None or found.high is None:
            return Markup(f'<span class="none">none (n = {self.number(f"{path}.clusters", "count")})</span>')
        ends = f"{self.number(f'{path}.low', unit)} to {self.number(f'{path}.high', unit)}"
        return Markup(f'<span class="range">{ends}</span>')

    def info(self, key: str, default: Any = None) -> Any:
        """Return a part of run.json."""
        return self.result.info.get(key, default)

    def word(self, value: object) -> Markup:
        """Return outside text as markup; nothing becomes "unknown"."""
        return text(value) if value not in (None, "") else Markup('<span class="none">unknown</span>')


def _walk(start: Any, rest: Sequence[str], path: str) -> Any:
    found = start
    for position, step in enumerate(rest):
        try:
            if isinstance(found, Mapping):
                whole = ".".join(rest[position:])  # a key may hold a dot: percentile 99.9
                if whole in found:
                    return found[whole]
                found = found[step]
            elif isinstance(found, list | tuple | np.ndarray):
                found = found[int(step)]
            else:
                found = getattr(found, step)
        except (AttributeError, IndexError, KeyError, ValueError) as error:
            raise LookupError(f"no number at {path}: {step}") from error
    return found
