"""One line that says how far a long computation is.

Owns how it looks: rewritten in place on a terminal, a plain line every tenth of the way elsewhere.  Must not
read a clock.  Called by research.fit.
"""

import sys
from typing import TextIO

__all__ = ["Progress"]

PLAIN_LINES = 10


class Progress:
    """Counts up to `total` steps on stderr, so that stdout holds results alone."""

    def __init__(self, what: str, total: int, out: TextIO | None = None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._out = sys.stderr if out is None else out
        self._live = self._out.isatty()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        text = f"{self._what}: {self._done:,} of {self._total:,}"
        if self._live:
            self._out.write(f"\r\x1b[K{text}" + ("\n" if self._done == self._total else ""))
            self._out.flush()
        elif self._done == self._total or self._done % max(1, self._total // PLAIN_LINES) == 0:
            self._out.write(text + "\n")
            self._out.flush()
