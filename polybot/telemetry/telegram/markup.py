"""Text as Telegram's HTML: escaping, money, sizes, tables, and cutting that never cuts a tag or an entity.

Owns the limits of a message.  Whatever comes from outside goes through `plain` (or `money` and its like) and nowhere
else into a message.  No I/O.  Called by the other modules of this package.
"""

import html
from collections.abc import Sequence

__all__ = [
    "MAX_CHARS",
    "MICRO",
    "TICKS",
    "bold",
    "cost_text",
    "count_of",
    "cut_lines",
    "hours_text",
    "money",
    "plain",
    "signed",
    "size",
    "table",
]

MICRO = 1_000_000
CENT = 10_000  # micro-USD
TICKS = 10_000
# Telegram takes 4,096 characters after entities; ours are counted before, and a part is left for what is added.
MAX_CHARS = 3_600
MAX_LINE_CHARS = 300


def plain(text: object, limit: int = MAX_LINE_CHARS) -> str:
    """Text from outside: one line, cut, escaped."""
    line = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    return html.escape(line if len(line) <= limit else line[: limit - 1] + "…", quote=False)


def bold(text: object) -> str:
    """Emphasised text from outside."""
    return f"<b>{plain(text)}</b>"


def money(micro: int | None) -> str:
    """Micro-USD as dollars: $1,234.50; a dash when nobody knows."""
    return "–" if micro is None else f"{'−' if micro <= -CENT / 2 else ''}${abs(micro) / MICRO:,.2f}"


def signed(micro: int | None) -> str:
    """Micro-USD as a gain or a loss: +$1.20, −$0.35."""
    return "–" if micro is None else f"{'−' if micro <= -CENT / 2 else '+'}${abs(micro) / MICRO:,.2f}"


def cost_text(micro: int | None) -> str:
    """What shares cost; below zero when others of them were sold for more: the rest is gain already."""
    return f"cost {money(micro)}" if micro is None or micro >= 0 else f"sold for {money(-micro)} above cost"


def size(micro: int) -> str:
    """Micro-shares as shares: 12.5."""
    return f"{micro / MICRO:,.6f}".rstrip("0").rstrip(".")


def count_of(number: int, what: str) -> str:
    """A number of things: 1 fill, 3 fills."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def hours_text(seconds: float) -> str:
    """A duration as a person says it: 45 s, 12 min, 3 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as a block of fixed width, first column to the left, the others to the right."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
        ]
        lines.append(" ".join(cells).rstrip())
    text = "\n".join(lines)
    return f"<pre>{html.escape(text, quote=False)}</pre>"


def cut_lines(lines: list[str], limit: int = MAX_CHARS) -> str:
    """Join lines up to the limit and say how many are left out; no line is cut."""
    kept: list[str] = []
    room = limit
    for number, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            kept.append(f"… {len(lines) - number} more lines")
            break
        kept.append(line)
    return "\n".join(kept)
