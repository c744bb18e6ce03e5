"""What a recording shows: rates per feed, disk use, gaps, one line per tape; a block that is redrawn on a terminal.

Owns words and rates only.  Where the output is no terminal, each report is plain lines.
Must not know sockets or files.  Called by record.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from polybot.tape.session import TapeSession

__all__ = ["Screen"]

UP = "\x1b[{}A"
CLEAR = "\x1b[2K"
KB, MB, GB = 1e3, 1e6, 1e9


class Screen:
    """Prints reports of one session, and notices between them."""

    def __init__(self, out: TextIO, session: "TapeSession", *, mono_ns: Callable[[], int]) -> None:
        self._out = out
        self._session = session
        self._mono_ns = mono_ns
        self._is_live = out.isatty()
        self._drawn = 0  # lines of the block that stands
        self._before: dict[str, tuple[int, int]] = {}
        self._before_ns = mono_ns()

    def notice(self, level: str, text: str) -> None:
        """Print one line for good, above the block."""
        self._erase()
        self._out.write(f"{level.lower()}: {text}\n")
        self._out.flush()

    def report(self, *, is_last: bool = False) -> None:
        """Draw the block anew; plain lines where it cannot be redrawn.  `is_last`: the packer was told to end."""
        lines = self.lines(is_last=is_last)
        self._erase()
        self._out.write("".join(f"{line}\n" for line in lines))
        self._out.flush()
        self._drawn = len(lines) if self._is_live else 0

    def close(self) -> None:
        """The last report stays."""
        self._drawn = 0

    def lines(self, *, is_last: bool = False) -> Sequence[str]:
        """Rates since the last call: wall seconds."""
        session, now_ns = self._session, self._mono_ns()
        seconds = max(1e-9, (now_ns - self._before_ns) / 1e9)
        self._before_ns = now_ns
        shared = " | ".join(self._rate(tap.name, tap.frames, tap.bytes, seconds) for tap in session.taps)
        gaps = sum(tap.gaps for tap in session.taps)
        done = f"done {session.recorded} | failed {session.failed}"
        lines = [f"record: {shared} | gaps {gaps} | {done} | {self._disk(is_last)}"]
        for window in tuple(session.windows):
            tape, tap = window.tape, window.tap
            if tape is None:
                continue
            told = ""
            if tap is not None:
                told = self._rate(window.name, tap.frames, tap.bytes, seconds) + f" | gaps {tap.gaps}"
            ratio = tape.raw_bytes / tape.packed_bytes if tape.packed_bytes else 0.0
            lines.append(
                f"  {told or window.name} | {tape.entries} entries, {tape.raw_bytes / MB:.1f} MB as received, "
                f"{tape.packed_bytes / MB:.2f} MB packed{f' ({ratio:.1f}:1)' if ratio else ''} | dropped {tape.dropped}"
                + (f" | {tape.error}" if tape.error else "")
            )
        return lines

    def _rate(self, name: str, frames: int, size: int, seconds: float) -> str:
        before = self._before.get(name, (0, 0))
        self._before[name] = frames, size
        return f"{name} {(frames - before[0]) / seconds:.0f}/s {(size - before[1]) / seconds / KB:.1f} kB/s"

    def _disk(self, is_last: bool) -> str:
        free = self._session.packer.free_bytes
        alive = "" if is_last or self._session.packer.is_alive else " | THE PACKER'S THREAD ENDED, NOTHING IS WRITTEN"
        return f"free {free / GB:.1f} GB{alive}"

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(UP.format(self._drawn) + f"{CLEAR}\n" * self._drawn + UP.format(self._drawn))
            self._drawn = 0
