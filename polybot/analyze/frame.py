"""A small table: names of columns and rows of plain values; None is not known and sorts last.

Owns nothing but its rows.  Must not know where they come from.  Called by the command `analyze` and by sweeps;
polybot.analyze.export writes it, polybot.analyze.screen shows it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from polybot.config_schema import did_you_mean
from polybot.errors import ConfigError

__all__ = ["Frame"]

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of equal length, one value per name: text, int, float, bool or None."""

    names: tuple[str, ...]
    rows: Sequence[Row]

    def column(self, name: str) -> list[Any]:
        """All values of one column; raises ConfigError for a name it has not."""
        at = self._at(name)
        return [row[at] for row in self.rows]

    def sorted_by(self, name: str, *, descending: bool = False) -> "Frame":
        """The rows in the order of one column; equal ones stay as they were, what is not known comes last."""
        at = self._at(name)
        known = [row for row in self.rows if row[at] is not None]
        unknown = [row for row in self.rows if row[at] is None]
        known.sort(key=_by(at), reverse=descending)
        return Frame(self.names, [*known, *unknown])

    def first(self, count: int) -> "Frame":
        """At most so many rows; 0: all."""
        return Frame(self.names, self.rows[:count] if count else self.rows)

    def mappings(self) -> list[dict[str, Any]]:
        """One dictionary per row."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]

    def _at(self, name: str) -> int:
        if name not in self.names:
            raise ConfigError(
                f"no column {name}: there are {', '.join(self.names)}{did_you_mean(name, self.names)}"
            )
        return self.names.index(name)


def _by(at: int) -> Callable[[Row], Any]:
    def key(row: Row) -> Any:
        return row[at]

    return key
