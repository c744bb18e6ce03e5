"""Reads a report back with html.parser: its numbers, its text, what it would load.

A number is a <data> element: name, unit and exact value as attributes, the rounded value as text.
"""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import NamedTuple

VOID = {"meta", "img", "br", "path", "rect", "use", "line", "circle"}


class Number(NamedTuple):
    """One number of the page."""

    name: str
    unit: str
    value: str
    text: str


@dataclass
class Seen:
    """What a page has."""

    numbers: list[Number] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)  # tag, name, value
    text: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def by_name(self) -> dict[str, Number]:
        return {number.name: number for number in self.numbers}

    def words(self) -> str:
        return " ".join("".join(self.text).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen = Seen()
        self._open: list[str] = []
        self._data: dict[str, str] | None = None
        self._words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.tags.append(tag)
        self.seen.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "data":
            self._data = {name: value or "" for name, value in attrs}
            self._words = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.tags.append(tag)
        self.seen.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self._open or self._open.pop() != tag):
            self.seen.problems.append(f"</{tag}> at {self.getpos()}")
        if tag == "data" and self._data is not None:
            data = self._data
            self.seen.numbers.append(
                Number(data["data-name"], data["data-unit"], data["data-value"], self._words)
            )
            self._data = None

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("style", "script"):
            return
        self.seen.text.append(data)
        self._words += data

    def finish(self) -> Seen:
        self.close()
        self.seen.problems += [f"<{tag}> stays open" for tag in self._open]
        return self.seen


def read_page(html: str) -> Seen:
    """Parse a page."""
    reader = _Reader()
    reader.feed(html)
    return reader.finish()
