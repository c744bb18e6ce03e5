"""`python -m polybot backtest -m key=a,b,c`: a command line that stands for many, composed and checked before any runs.

Owns what a list or a range on the command line means: `key=a,b,c` are the values of a grid (or, of a search, its
choices), `key=low:high` is what a search may draw from.  Every point of a grid, and the ends of every range, are
composed first: a wrong word costs no backtest.  Must not run points: that is polybot.backtest.sweep and search.
Called by polybot.cli.
"""

import io
import itertools
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from polybot.backtest.search import Choices, Dimension, Range, run_search
from polybot.backtest.sweep import PERFORM, Point, run_grid, sweep_folder
from polybot.compose import Composition, swept_values
from polybot.config_files import list_choices
from polybot.errors import ConfigError

__all__ = ["run", "settings_yaml"]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(\+*[\w./@-]+)=({_NUMBER}):({_NUMBER})(:log)?")
# Of a sweep itself: these cannot be swept.
_OWN = ("sweep", "analyze", "campaign", "record", "telemetry")
_COUNTED = 50  # points are counted on the screen while they are composed, in steps of so many


def run(
    overrides: Sequence[str],
    extra_dir: Path | None = None,
    *,
    out: TextIO | None = None,
    perform: str = PERFORM,
) -> int:
    """Compose, check, run; returns the exit code.  Raises ConfigError before anything is computed or written."""
    out = out or sys.stdout
    plan = _Plan(overrides, extra_dir)
    folder = sweep_folder(plan.first.config, plan.keys)
    if plan.space:
        plan.check_ends()
        return run_search(plan.first.config, plan.space, folder, plan.make.point, out=out, perform=perform)
    return run_grid(plan.grid(out), folder, out=out, perform=perform)


def settings_yaml(overrides: Sequence[str], extra_dir: Path | None = None, *, resolve: bool) -> str:
    """Compose and check every point; returns the settings of the first one as yaml.  Raises ConfigError."""
    plan = _Plan(overrides, extra_dir)
    if plan.space:
        plan.check_ends()
    else:
        plan.grid(io.StringIO())
    return plan.make.composition(plan.first_values).yaml(resolve=resolve)


class _Plan:
    """A command line taken apart: what is swept, over what, and the first point; raises ConfigError."""

    def __init__(self, overrides: Sequence[str], extra_dir: Path | None) -> None:
        ranges = {match[1]: match for word in overrides if (match := _RANGE.fullmatch(word))}
        self._lists = swept_values([word for word in overrides if _key(word) not in ranges])
        self.keys = (*ranges, *self._lists)
        for key in self.keys:
            if key.lstrip("+").partition(".")[0] in _OWN:
                raise ConfigError(f"{key} cannot be swept: it does not change a backtest")
        self.make = _Maker([word for word in overrides if _key(word) not in self.keys], extra_dir)
        ends = {key: match[2] for key, match in ranges.items()}
        self.first_values = {**ends, **{key: items[0] for key, items in self._lists.items()}}
        self.first = self.make.point(self.first_values)
        sweep = self.first.config.sweep
        if sweep.hold_out_days and sweep.metric not in ("pnl_usd", "pnl_low_usd"):
            raise ConfigError(
                f"sweep.metric={sweep.metric} is of all days: with sweep.hold_out_days it must be a PnL"
            )
        self.space = _space(ranges, self._lists) if sweep.search == "optuna" else {}
        if ranges and not self.space:
            key = next(iter(ranges))
            raise ConfigError(
                f"{ranges[key][0]}: a range needs sweep.search=optuna; a grid needs a list, {key}=a,b,c"
            )

    def grid(self, out: TextIO) -> list[Point]:
        """Every combination, the last key fastest."""
        count = math.prod(len(items) for items in self._lists.values())
        limit = self.first.config.sweep.limit_count
        if count > limit:
            raise ConfigError(f"{count} points: must be at most sweep.limit_count={limit}")
        points = []
        for values in itertools.product(*self._lists.values()):
            points.append(self.make.point(dict(zip(self._lists, values, strict=True))))
            if len(points) % _COUNTED == 0 and len(points) < count:
                out.write(f"composed and checked {len(points)} of {count} points\n")
                out.flush()
        return points

    def check_ends(self) -> None:
        """Compose with every end of every range and every choice once."""
        width = max(len(_ends(item)) for item in self.space.values())
        for at in range(width):
            self.make.point({key: _ends(item)[at % len(_ends(item))] for key, item in self.space.items()})


class _Maker:
    """Points from what is swept and what is not."""

    def __init__(self, plain: Sequence[str], extra_dir: Path | None) -> None:
        self._plain = tuple(plain)
        self._extra_dir = extra_dir
        self._groups = {*list_choices(extra_dir), "interval"}
        self._bases: dict[tuple[str, ...], Composition] = {}  # by the choices of groups

    def composition(self, values: Mapping[str, str]) -> Composition:
        """All settings of one point."""
        words = [f"{key}={value}" for key, value in values.items()]
        base = self._base([word for word in words if self._chooses(word)])
        return base.varied([word for word in words if not self._chooses(word)])

    def point(self, values: Mapping[str, str]) -> Point:
        """Compose and check one point; raises ConfigError that names it."""
        try:
            config = self.composition(values).config()
        except ConfigError as error:
            if not values:
                raise
            words = " ".join(f"{key}={value}" for key, value in values.items())
            raise ConfigError(f"point {words}: {error}") from None
        return Point({key.lstrip("+"): value for key, value in values.items()}, config)

    def _base(self, words: Sequence[str]) -> Composition:
        key = tuple(words)
        if key not in self._bases:
            self._bases[key] = Composition((*self._plain, *words), self._extra_dir)
        return self._bases[key]

    def _chooses(self, word: str) -> bool:
        return _key(word).lstrip("+") in self._groups


def _space(
    ranges: Mapping[str, "re.Match[str]"], lists: Mapping[str, tuple[str, ...]]
) -> dict[str, Dimension]:
    """What a search draws from; raises ConfigError."""
    space: dict[str, Dimension] = {}
    for key, match in ranges.items():
        try:
            space[key] = Range.of(match[2], match[3], is_log=bool(match[4]))
        except ValueError as error:
            raise ConfigError(f"{match[0]} is not allowed: {error}") from None
    space.update({key: Choices(items) for key, items in lists.items()})
    if not space:
        raise ConfigError("sweep.search=optuna needs something to search: key=low:high or key=a,b,c")
    return space


def _ends(item: Dimension) -> tuple[str, ...]:
    return item.values if isinstance(item, Choices) else (item.text(item.low), item.text(item.high))


def _key(word: str) -> str:
    return word.partition("=")[0]
