"""The live console on stdout: lines with time and market, colours and a status line on a terminal only.

Owns the stream.  Every line goes through redaction.  A stream that fails (a closed pipe) switches the
console off and is counted; telemetry goes on.  Must not decide what is worth saying: TelemetryWriter calls
one method per event, console_lines words it.  Runs on the telemetry thread.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TextIO

from polybot.telemetry.records import clock_text

__all__ = ["Console", "ConsoleMode"]

ConsoleMode = Literal["auto", "live", "plain", "off"]
NS_PER_MS = 1_000_000
DEFAULT_COLUMNS = 120
CLEAR_LINE = "\r\x1b[K"
RESET = "\x1b[0m"
# Text from outside must neither move the cursor nor start a line of its own.
CONTROLS = dict.fromkeys((*range(32), 127), "?")
COLOURS = {
    "OPEN": "\x1b[1m",
    "STRIKE": "\x1b[1m",
    "SIGNAL": "\x1b[36m",
    "ORDER": "\x1b[34m",
    "FILL": "\x1b[32m",
    "SETTLED": "\x1b[35m",
    "MARKET": "\x1b[1m",
    "SUMMARY": "\x1b[1m",
    "REFUSED": "\x1b[33m",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "DIAG": "\x1b[90m",
}


class Console:
    """Prints lines; keeps one status line below them on a terminal."""

    def __init__(
        self,
        stream: TextIO,
        *,
        mode: ConsoleMode = "auto",
        environ: Mapping[str, str],
        scrub: Callable[[str], str],
        refresh_ms: int = 500,
        tag: str = "",
    ) -> None:
        """`tag` begins every line, the status line too."""
        tty = stream.isatty()
        self._stream = stream
        self._scrub = scrub
        self._tag = tag
        self._on = mode != "off"
        self._live = tty and mode in ("auto", "live")
        self._colour = tty and mode != "off" and not environ.get("NO_COLOR")
        self._refresh_ns = refresh_ms * NS_PER_MS
        self._status = ""
        self._shown_ns = 0
        self.failed = 0

    @property
    def live(self) -> bool:
        """Whether there is a status line."""
        return self._live and self._on

    def event(self, at_ns: int, label: str, text: str) -> None:
        """One event: time, market and what happened; the text's first word picks the colour."""
        self.block(at_ns, label, [text])

    def block(self, at_ns: int, label: str, lines: Iterable[str], *, kind: str = "") -> None:
        """A heading with time and market, then its lines as they are."""
        head, *rest = lines
        word = kind or head.split(" ", 1)[0]
        stamp = f"{clock_text(at_ns)} {label:<13}"
        self._write([f"{stamp} {head}", *rest], word)

    def plain(self, lines: Iterable[str]) -> None:
        """Lines without time: banner, end summary."""
        self._write(list(lines), "")

    def status(self, text: str, mono_ns: int) -> None:
        """Show the status line, at most once per refresh of wall time."""
        if not self.live or (self._status and mono_ns - self._shown_ns < self._refresh_ns):
            return
        self._shown_ns = mono_ns
        self._status = _harmless(self._scrub(self._tag + text))[: self._width() - 1]
        self._put(CLEAR_LINE + self._status)

    def close(self) -> None:
        """Leave the terminal clean."""
        if self.live and self._status:
            self._status = ""
            self._put(CLEAR_LINE)

    def _write(self, lines: list[str], word: str) -> None:
        if not self._on:
            return
        text = self._scrub("\n".join(self._tag + _harmless(line) for line in lines))
        colour = COLOURS.get(word) if self._colour else None
        if colour is not None:
            text = "\n".join(f"{colour}{line}{RESET}" for line in text.split("\n"))
        if self.live and self._status:
            self._put(f"{CLEAR_LINE}{text}\n{self._status}")
        else:
            self._put(f"{text}\n")

    def _width(self) -> int:
        """Columns of the terminal now; a status line must not wrap."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or DEFAULT_COLUMNS
        except (OSError, ValueError):
            return DEFAULT_COLUMNS

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # A closed pipe or terminal: nothing to say it to; the log file has the facts.
            self.failed += 1
            self._on = False


def _harmless(line: str) -> str:
    return line.translate(CONTROLS).encode("ascii", "backslashreplace").decode()
