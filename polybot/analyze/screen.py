"""A frame as a table for people.

Owns how values look: money with sign and cents, other numbers short, what is not known a dash.  On a terminal names may
be folded, numbers never: columns that do not fit are left out and named.  Elsewhere the table is as wide as it is and
without colour.  Called by the command `analyze` and by sweeps.
"""

from collections.abc import Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from polybot.analyze.frame import Frame

__all__ = ["cell_text", "show"]

# Wider than any table: nothing is wrapped where there is no terminal.
NO_TERMINAL_COLUMNS = 4_000
GAP = 3  # columns of the terminal between two of the table
LEAST_WORDS = 16  # a name is folded to so many columns before numbers are left out
KEPT = "pnl_usd"


def show(frame: Frame, out: TextIO, *, title: str = "") -> None:
    """Print the table."""
    is_terminal = out.isatty()
    console = Console(
        file=out,
        width=None if is_terminal else NO_TERMINAL_COLUMNS,
        highlight=False,
        markup=False,
        emoji=False,
    )
    cells = [[cell_text(name, value) for value in frame.column(name)] for name in frame.names]
    words = [all(value is None or isinstance(value, str) for value in frame.column(name)) for name in frame.names]
    shown = _fitting(frame.names, cells, words, console.width)
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for at in shown:
        table.add_column(
            frame.names[at],
            justify="left" if words[at] else "right",
            overflow="fold",
            no_wrap=not (is_terminal and words[at]),
        )
    for row in range(len(frame.rows)):
        table.add_row(*(cells[at][row] for at in shown))
    console.print(table)
    missing = [name for at, name in enumerate(frame.names) if at not in shown]
    if missing:
        console.print(f"not shown, the terminal is too narrow: {', '.join(missing)}", soft_wrap=True)


def _fitting(
    names: Sequence[str], cells: Sequence[Sequence[str]], words: Sequence[bool], width: int
) -> list[int]:
    """Columns that fit without breaking a number; the last numbers go first, never the PnL."""
    needed = [max(map(len, [name, *column])) for name, column in zip(names, cells, strict=True)]
    needed = [min(one, LEAST_WORDS) if is_words else one for one, is_words in zip(needed, words, strict=True)]
    shown = list(range(len(names)))
    spare = [at for at in shown if not words[at] and names[at] != KEPT]
    while spare and sum(needed[at] + GAP for at in shown) > width:
        shown.remove(spare.pop())
    return shown


def cell_text(name: str, value: Any) -> str:
    """One value as it is shown in a column of this name."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if name.endswith("_usd"):
            return f"{value:+,.2f}"
        return f"{value:.2f}" if name.endswith("_s") else f"{value:.5g}"
    return str(value)
