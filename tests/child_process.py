"""One process of a test: whatever it says is read while it runs, so that no full pipe ever holds it up.

A test waits for a line with a generous limit, sends signals, and asks for the exit code; how fast the machine is
decides nothing.  Every line is stamped with the monotonic second at which it came.
"""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

__all__ = ["PATIENCE_S", "Process"]

PATIENCE_S = 120.0  # wall: nothing takes so long, also on a busy machine


class Process:
    """A Python process in a folder; stderr goes among the lines of stdout unless it is kept apart."""

    def __init__(
        self,
        folder: Path,
        arguments: list[str],
        env: Mapping[str, str],
        *,
        keeps_errors_apart: bool = False,
        is_told: bool = False,
        begin: Sequence[str] = (sys.executable,),
    ) -> None:
        self.lines: list[tuple[float, str]] = []
        self.begun = time.monotonic()
        self.popen = subprocess.Popen(
            [*begin, *arguments],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE if is_told else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if keeps_errors_apart else subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._errors: list[tuple[float, str]] = []
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, kept), daemon=True)
            for pipe, kept in ((self.popen.stdout, self.lines), (self.popen.stderr, self._errors))
            if pipe is not None
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: IO[str], kept: list[tuple[float, str]]) -> None:
        for line in pipe:
            with self._news:
                kept.append((time.monotonic(), line.rstrip("\n")))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def pid(self) -> int:
        """Its number."""
        return self.popen.pid

    def text(self) -> str:
        """All it said so far."""
        return "\n".join(line for _, line in self.lines)

    def errors(self) -> str:
        """All it said on stderr so far, when that is kept apart."""
        return "\n".join(line for _, line in self._errors)

    def wait_for(self, pattern: str, limit_s: float = PATIENCE_S, *, after: int = 0) -> tuple[float, str]:
        """(when, line) of the first line from number `after` on that matches."""
        deadline = time.monotonic() + limit_s
        at = after
        with self._news:
            while True:
                for when, line in self.lines[at:]:
                    at += 1
                    if re.search(pattern, line):
                        return when, line
                left = deadline - time.monotonic()
                assert left > 0, f"no {pattern!r} within {limit_s} s:\n{self._last_words()}"
                assert self._readers[0].is_alive(), f"ended without {pattern!r}:\n{self._last_words()}"
                self._news.wait(min(left, 0.5))

    def lives_for(self, seconds: float) -> bool:
        """Let it go on for so long; False when it ended by itself."""
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(max(0.0, seconds))
            return False
        return True

    def tell(self, line: str) -> None:
        """Write one line to its stdin (is_told)."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    def end(self, limit_s: float = PATIENCE_S) -> tuple[int, float]:
        """(exit code, seconds until it was gone); kills it and fails when that takes too long."""
        asked = time.monotonic()
        try:
            code = self.popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.close()
            raise AssertionError(f"not gone after {limit_s} s:\n{self._last_words()}") from None
        took = time.monotonic() - asked
        self._join()
        return code, took

    def close(self) -> None:
        """Gone, whatever it did."""
        with suppress(ProcessLookupError):
            self.popen.kill()
        with suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGCONT)
        self.popen.wait(PATIENCE_S)
        self._join()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()

    def _join(self) -> None:
        """Everything it said is read; a child of its own may hold the pipe a moment longer."""
        for reader in self._readers:
            reader.join(10.0)

    def _last_words(self) -> str:
        return f"{self.text()[-4_000:]}\n{self.errors()[-4_000:]}"
