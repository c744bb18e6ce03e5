"""Log files written by a thread of their own: whoever logs only puts a line into a bounded queue.

Owns rotation (NAME, then NAME.1 the youngest to NAME.<keep>), the queue and the count of what was lost: lines beyond
the queue's maximum push the oldest out, lines the disk refuses are gone; both are counted, and said in the file as soon
as it takes lines again.  A disk that hangs stops this thread and nobody else.
Must not format or scrub (telemetry.log does, before) and must not log.  Used by telemetry.log and by companions.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO

__all__ = ["LineFile", "LogThread", "RotatingFile", "StreamFile"]

QUEUE_LINES = 10_000
FLUSH_S = 2.0  # wall; how long a close waits for the disk


class LineFile(Protocol):
    """Where lines go."""

    def write(self, text: str) -> None:
        """Append; raises OSError when that is refused."""
        ...


class StreamFile:
    """A stream of this process, as stderr."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write through; raises OSError."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except ValueError as error:  # it was closed
            raise OSError(str(error)) from None


class RotatingFile:
    """Text appended to a file of at most `limit_bytes`, with `keep` older ones beside it."""

    def __init__(self, path: Path, *, limit_bytes: int, keep: int) -> None:
        self._path = path
        self._limit = limit_bytes
        self._keep = keep

    def write(self, text: str) -> None:
        """Append; raises OSError when the disk refuses."""
        data = text.encode(errors="replace")
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            size = 0
        if size and size + len(data) > self._limit:
            self._rotate()
        with self._path.open("ab", buffering=0) as file:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]

    def _rotate(self) -> None:
        for number in range(self._keep, 0, -1):
            older = self._path if number == 1 else self._numbered(number - 1)
            with suppress(FileNotFoundError):
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


class LogThread:
    """Writes queued lines to their files; put() never blocks, raises or touches a disk."""

    def __init__(self, *, note: Callable[[int], str], queue_lines: int = QUEUE_LINES) -> None:
        """`note` words how many lines a file has lost, as a line of that file."""
        self._note = note
        self._max = queue_lines
        self._lines: deque[tuple[LineFile, str]] = deque()
        self._unsaid: dict[LineFile, int] = {}  # lost and not yet said in the file
        self._put = self._done = self._dropped = self._refused = 0
        self._wake = threading.Event()
        self._is_empty = threading.Event()
        self._is_closed = False
        self._lock = threading.Lock()  # of the queue; held for a moment, never while writing
        # Daemonic: a disk that hangs must not keep the process.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Lines that are in no file: pushed out of the queue, or refused by the disk."""
        return self._dropped + self._refused

    @property
    def written(self) -> int:
        """Lines that are in their files."""
        return self._done - self._refused

    @property
    def waiting(self) -> int:
        """Lines on their way."""
        return self._put - self._done - self._dropped

    def put(self, file: LineFile, line: str) -> None:
        """Queue one line, its line feed included."""
        with self._lock:
            if len(self._lines) >= self._max:
                oldest, _ = self._lines.popleft()
                self._dropped += 1
                self._unsaid[oldest] = self._unsaid.get(oldest, 0) + 1
            self._lines.append((file, line))
            self._put += 1
            self._is_empty.clear()
        self._wake.set()

    def flush(self, limit_s: float = FLUSH_S) -> bool:
        """Wait until everything queued so far was tried; False when the disk took longer (wall s)."""
        return not self.waiting or self._is_empty.wait(limit_s)

    def close(self, limit_s: float = FLUSH_S) -> bool:
        """Flush and end the thread; False when the disk took longer."""
        is_flushed = self.flush(limit_s)
        self._is_closed = True
        self._wake.set()
        self._thread.join(limit_s if is_flushed else 0.0)
        return is_flushed

    def _run(self) -> None:
        while not self._is_closed or self._lines:
            self._wake.wait()
            self._wake.clear()
            while (taken := self._take()) is not None:
                self._write(*taken)
                self._done += 1

    def _take(self) -> tuple[LineFile, str] | None:
        with self._lock:
            if self._lines:
                return self._lines.popleft()
            if self._put == self._done + self._dropped:
                self._is_empty.set()
            return None

    def _write(self, file: LineFile, line: str) -> None:
        unsaid = self._unsaid.get(file, 0)
        try:
            if unsaid:
                file.write(self._note(unsaid))
                with self._lock:
                    self._unsaid[file] -= unsaid
            file.write(line)
        except OSError:
            with self._lock:
                self._refused += 1
                self._unsaid[file] = self._unsaid.get(file, 0) + 1
