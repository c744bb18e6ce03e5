"""A frame as a table for people.

Owns how values look: money with sign and cents, other numbers short, what is not known a dash.  On a terminal the table
takes its width; elsewhere it is as wide as it is and without colour.  Called by the command `analyze` and by sweeps.
"""

from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table

from polybot.analyze.frame import Frame

__all__ = ["cell_text", "show"]

# Wider than any table: nothing is wrapped where there is no terminal.
NO_TERMINAL_COLUMNS = 4_000


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
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in frame.names:
        is_text = all(value is None or isinstance(value, str) for value in frame.column(name))
        table.add_column(
            name, justify="left" if is_text else "right", overflow="fold", no_wrap=not is_terminal
        )
    for row in frame.rows:
        table.add_row(*(cell_text(name, value) for name, value in zip(frame.names, row, strict=True)))
    console.print(table)


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
