"""Pieces of HTML: escaped text, cards, tables, notes.

Owns escaping and the few shapes the page is made of.  Text of markets and strategies comes from outside and enters
through `text` alone; `Markup` marks what is already HTML, so that a forgotten escape is a type error, not a hole.
Called by the sections of the page.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple, NewType

__all__ = [
    "NOTHING",
    "Column",
    "Markup",
    "Span",
    "badge",
    "card",
    "details",
    "grid",
    "join",
    "note",
    "section",
    "table",
    "text",
]

Markup = NewType("Markup", str)
NOTHING = Markup("")


class Span(NamedTuple):
    """A cell that takes the place of several."""

    body: Markup
    columns: int


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its title, whether it holds numbers, what the title means."""

    title: str
    numeric: bool = True
    hint: str = ""
    wrap: bool = False  # long words and sentences may break

    @property
    def kind(self) -> str:
        """The cells' class attribute, with a leading space."""
        words = [*(["words"] if not self.numeric else []), *(["wrap"] if self.wrap else [])]
        return f' class="{" ".join(words)}"' if words else ""


def text(value: object) -> Markup:
    """Escape anything that is not markup."""
    return Markup(escape(str(value), quote=True))


def join(parts: Iterable[Markup], between: str = "") -> Markup:
    """Join pieces of markup; `between` is plain text."""
    return Markup(escape(between).join(parts))


def section(anchor: str, title: str, *parts: Markup, lead: str = "") -> Markup:
    """Return one section of the page with its heading and one sentence on what it shows."""
    sentence = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return Markup(
        f'<section id="{escape(anchor)}"><h2>{escape(title)}</h2>{sentence}{"".join(parts)}</section>'
    )


def card(
    title: str, *parts: Markup, wide: bool = False, caption: str = "", under: Markup = NOTHING
) -> Markup:
    """Return a framed piece: a picture or a table under a small heading; caption is plain text, under is markup."""
    words = f"{escape(caption)}{under}"
    below = f'<p class="caption">{words}</p>' if words else ""
    head = f"<h3>{escape(title)}</h3>" if title else ""
    return Markup(f'<div class="card{" wide" if wide else ""}">{head}{"".join(parts)}{below}</div>')


def grid(*parts: Markup) -> Markup:
    """Return pieces side by side, as many as fit."""
    return Markup(f'<div class="grid">{"".join(parts)}</div>')


def details(title: str, body: Markup, *, opened: bool = False) -> Markup:
    """Return a piece that unfolds; printed unfolded."""
    return Markup(f"<details{' open' if opened else ''}><summary>{escape(title)}</summary>{body}</details>")


def note(*parts: Markup, kind: str = "info") -> Markup:
    """Return a sentence in a box; kind is info or warn."""
    return Markup(f'<p class="note {kind}">{"".join(parts)}</p>')


def badge(words: str, kind: str = "") -> Markup:
    """Return a few words in a pill."""
    return Markup(f'<span class="badge {escape(kind)}">{escape(words)}</span>')


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Markup | Span]],
    *,
    name: str,
    row_kinds: Sequence[str] = (),
    empty: str = "none",
) -> Markup:
    """Return a table that scrolls sideways by itself; cells are markup, the first column heads its row."""
    head = "".join(_head(column) for column in columns)
    body = []
    for index, row in enumerate(rows):
        kind = f' class="{escape(row_kinds[index])}"' if index < len(row_kinds) and row_kinds[index] else ""
        body.append(f"<tr{kind}>{_cells(columns, row)}</tr>")
    if not body:
        body = [f'<tr><td class="words none" colspan="{len(columns)}">{escape(empty)}</td></tr>']
    return Markup(
        f'<div class="scroll" tabindex="0"><table id="table-{escape(name)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _head(column: Column) -> str:
    hint = f' title="{escape(column.hint)}"' if column.hint else ""
    return f'<th scope="col"{column.kind}{hint}>{escape(column.title)}</th>'


def _cells(columns: Sequence[Column], row: Sequence[Markup | Span]) -> str:
    """Return the cells of a row; raises ValueError when they do not fill it."""
    texts, at = [], 0
    for cell in row:
        kind = columns[at].kind
        if isinstance(cell, Span):
            texts.append(f'<td colspan="{cell.columns}">{cell.body}</td>')
            at += cell.columns
        else:
            texts.append(f'<th scope="row"{kind}>{cell}</th>' if at == 0 else f"<td{kind}>{cell}</td>")
            at += 1
    if at != len(columns):
        raise ValueError(f"a row of {at} cells for {len(columns)} columns")
    return "".join(texts)
