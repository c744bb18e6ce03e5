"""Follows a journal that is being written: hands out whole records behind a position, segment after segment.

A frame that is not whole yet is simply not there yet; it is damage only when a later segment exists, since then
nobody writes to this one any more.  Reads in pieces of bounded size, with a file of its own.
Must not change a file.  Called by the ledger thread.
"""

import os
from pathlib import Path

from polybot.errors import StateDamaged
from polybot.journal.frames import HEADER_BYTES, Damage, SegmentHeader, read_frames, used_bytes
from polybot.journal.reader import Finding, Position, Segment, list_segments, load_segment, stamped
from polybot.journal.records import MAX_PAYLOAD
from polybot.journal.recovery import Stamped

__all__ = ["Follower"]

PIECE_BYTES = 2 * MAX_PAYLOAD + 4_096  # one whole record at least
MAX_BATCH = 2_000


class Follower:
    """Reads on from `at`; `finding` is set when it cannot, and stays."""

    def __init__(self, folder: Path, at: Position | None = None) -> None:
        """`at` None begins at the oldest segment."""
        self.at = at
        self.finding: Finding | None = None
        self._folder = folder
        self._segment: Segment | None = None
        self._fd = -1

    def poll(self, limit_seq: int, most: int = MAX_BATCH) -> list[Stamped]:
        """Return the next records up to limit_seq, none when there are none; raises StateDamaged for bad ones."""
        found: list[Stamped] = []
        while self.finding is None and len(found) < most and self._is_ready():
            assert self.at is not None
            if self.at.next_seq > limit_seq:
                break
            later = self._later()
            before = len(found)
            self._read_piece(found, limit_seq, most)
            if len(found) > before:
                continue
            if later is None:
                break
            self._move_on(later)
        return found

    def close(self) -> None:
        """Close the file being read."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._segment = -1, None

    def _is_ready(self) -> bool:
        """Open the segment at the position; False when the folder has none yet."""
        if self._segment is not None:
            return True
        segments = dict(list_segments(self._folder))
        if not segments:
            return False
        number = self.at.segment if self.at is not None else min(segments)
        if number not in segments:
            path = segments[min(segments)]
            self.finding = Finding(path, Damage(0, f"segment {number} is missing", False))
            return False
        return self._open(segments[number])

    def _open(self, path: Path) -> bool:
        """Open one segment and set the position in it when there is none; False when it cannot be read."""
        self.close()
        try:
            if path.suffix == ".gz":
                self._segment = load_segment(path)
            else:
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                header = SegmentHeader.from_bytes(os.pread(self._fd, HEADER_BYTES, 0))
                self._segment = Segment(path, header, b"")
        except (OSError, StateDamaged) as error:
            self.finding = Finding(path, Damage(0, str(error), False))
            self.close()
            return False
        header = self._segment.header
        if self.at is None:
            self.at = Position(header.number, HEADER_BYTES, header.first_seq)
        return True

    def _read_piece(self, found: list[Stamped], limit_seq: int, most: int) -> None:
        segment = self._segment
        assert segment is not None
        assert self.at is not None
        number, offset, next_seq = self.at
        data, base = segment.data, 0
        if self._fd >= 0:
            data, base = os.pread(self._fd, PIECE_BYTES, offset), offset
        for frame in read_frames(data, segment.header.seed, offset=offset - base, next_seq=next_seq):
            if len(found) >= most or frame.seq > limit_seq:
                return
            found.append(stamped(segment, frame))
            self.at = Position(number, frame.end + base, frame.seq + 1)

    def _later(self) -> Path | None:
        """The next segment, if there is one: asked before reading, so that nothing written between is missed."""
        assert self.at is not None
        number = self.at.segment
        return next((path for at, path in list_segments(self._folder) if at > number), None)

    def _move_on(self, path: Path) -> None:
        assert self.at is not None
        assert self._segment is not None
        next_seq = self.at.next_seq
        rest = self._segment.data[self.at.offset :]
        if self._fd >= 0:
            rest = os.pread(self._fd, PIECE_BYTES, self.at.offset)
        if used_bytes(rest):
            damage = Damage(self.at.offset, f"record {next_seq} is not whole", False)
            self.finding = Finding(self._segment.path, damage)
            return
        if not self._open(path):
            return
        first = self._segment.header.first_seq
        if first != next_seq:
            damage = Damage(HEADER_BYTES, f"begins at record {first}, {next_seq} was next", False)
            self.finding = Finding(path, damage)
        self.at = Position(self._segment.header.number, HEADER_BYTES, first)
