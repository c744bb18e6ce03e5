"""Reads a journal folder back: segments in order, frames checked, records decoded, damage named.

What is believed ends at the first byte that does not fit.  A torn tail of the newest segment is the normal end of
a process that was killed or lost power; anything else is damage: a record that was on disk once, a missing
segment, a type this version does not know.  Reading never changes a file (the journal cuts torn tails).
Called by journal (start), ledger thread (following), check.
"""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from polybot.errors import StateDamaged
from polybot.journal.frames import (
    HEADER_BYTES,
    RESTATED,
    Damage,
    Frame,
    SegmentHeader,
    find_damage,
    read_frames,
)
from polybot.journal.records import decode
from polybot.journal.recovery import Fold, RecoveredState, Stamped
from polybot.journal.segment import data_end

__all__ = [
    "SEGMENT_SUFFIX",
    "Finding",
    "Position",
    "Recovery",
    "Segment",
    "list_segments",
    "load_segment",
    "read_from",
    "read_journal",
    "recover",
    "segment_name",
    "stamped",
]

SEGMENT_SUFFIX = ".journal"
PACKED_SUFFIX = ".journal.gz"
MAX_SEGMENT_BYTES = 1 << 30  # a larger file is none of ours
_NAME = re.compile(r"(\d{6})-(\d{8})\.journal(\.gz)?")


class Position(NamedTuple):
    """Where reading goes on: segment number, offset in it, and the sequence number expected there."""

    segment: int
    offset: int
    next_seq: int


class Finding(NamedTuple):
    """Damage and the file it is in."""

    path: Path
    damage: Damage

    def text(self) -> str:
        """One line for people."""
        what = "torn tail" if self.damage.is_torn else "DAMAGED"
        behind = self.damage.records_behind
        more = f"; {behind} records behind it are not believed" if behind else ""
        return f"{self.path}: {what} at offset {self.damage.offset}: {self.damage.detail}{more}"


@dataclass(slots=True)
class Recovery:
    """What a folder says: the state, where the believed part ends, and what is wrong there."""

    state: RecoveredState
    end: Position
    finding: Finding | None
    records: int


@dataclass(slots=True)
class Segment:
    """A segment in memory; `data` is empty for one that is read in pieces."""

    path: Path
    header: SegmentHeader
    data: bytes

    def frames(self, offset: int, next_seq: int) -> Iterator[Frame]:
        """Whole frames from offset on."""
        yield from read_frames(self.data, self.header.seed, offset=offset, next_seq=next_seq)

    def finding(self, offset: int, next_seq: int) -> Finding | None:
        """What is wrong where the frames ended, None: nothing."""
        damage = find_damage(self.data, self.header.seed, offset=offset, next_seq=next_seq)
        return None if damage is None else Finding(self.path, damage)


def segment_name(number: int, day_text: str) -> str:
    """File name of a segment; day_text is YYYYMMDD of the UTC day it began."""
    return f"{number:06d}-{day_text}{SEGMENT_SUFFIX}"


def list_segments(folder: Path) -> list[tuple[int, Path]]:
    """(number, path) of every segment, oldest first; one that is packed and plain counts as plain."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir(), reverse=True):  # .journal.gz comes before .journal here
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found[int(match[1])] = path
    return sorted(found.items())


def read_journal(folder: Path, *, findings: list[Finding] | None = None) -> Iterator[Stamped]:
    """Yield every record of a folder in order, from the oldest segment on.

    Stops at damage: with `findings` it is appended there, without it raises StateDamaged (a torn tail of the
    newest segment is no error and only told).
    """
    found: list[Finding] = []
    segments = list_segments(folder)
    if segments:
        yield from _walk(folder, Position(segments[0][0], HEADER_BYTES, 0), found)
    if findings is not None:
        findings += found
    elif found and not found[0].damage.is_torn:
        raise StateDamaged(found[0].text())


def read_from(folder: Path, at: Position, *, findings: list[Finding]) -> Iterator[tuple[Stamped, Position]]:
    """Yield (record, position behind it) from a position on; an unfinished tail is a finding like any other."""
    for segment in _segments_from(folder, at.segment, findings):
        is_first = segment.header.number == at.segment
        offset = at.offset if is_first else HEADER_BYTES
        next_seq = at.next_seq if is_first and at.next_seq else segment.header.first_seq
        if not is_first and next_seq != at.next_seq:
            findings.append(_gap(segment, at.next_seq))
            return
        for frame in segment.frames(offset, next_seq):
            offset, next_seq = frame.end, frame.seq + 1
            yield stamped(segment, frame), Position(segment.header.number, offset, next_seq)
        at = Position(segment.header.number, offset, next_seq)
        finding = segment.finding(offset, next_seq)
        if finding is not None:
            findings.append(finding)
            return


def recover(folder: Path, *, folder_key: bytes | None = None) -> Recovery | None:
    """Fold what a start needs: the newest segment begins with a snapshot, so only it is read; None: no journal.

    When the newest cannot be read or its snapshot is not whole, the one before speaks, and the finding is damage.
    Raises StateDamaged when no segment speaks, for a record this version does not know, and for a folder that
    belongs to another account.
    """
    segments = list_segments(folder)
    worst: Finding | None = None
    for _, path in reversed(segments):
        try:
            segment = load_segment(path)
        except StateDamaged as error:
            worst = worst or Finding(path, Damage(0, str(error), False))
            continue
        if folder_key is not None and segment.header.folder_key != folder_key:
            raise StateDamaged(f"{path}: belongs to another account or venue session")
        found = _recover_segment(segment)
        if found is not None and worst is not None:
            found.finding = worst
        if found is not None:
            return found
        stop = segment.finding(HEADER_BYTES, segment.header.first_seq)
        offset = HEADER_BYTES if stop is None else stop.damage.offset
        worst = worst or Finding(path, Damage(offset, "its snapshot is not whole", False))
    if worst is None:
        return None
    raise StateDamaged(f"no segment of {folder} can be read: {worst.text()}")


def _recover_segment(segment: Segment) -> Recovery | None:
    """Fold one segment; None when its snapshot is not whole."""
    folding, records = Fold(), 0
    offset, next_seq = HEADER_BYTES, segment.header.first_seq
    for frame in segment.frames(offset, next_seq):
        folding.apply(stamped(segment, frame))
        offset, next_seq, records = frame.end, frame.seq + 1, records + 1
    if not folding.snapshots:
        return None
    return Recovery(
        state=folding.state,
        end=Position(segment.header.number, offset, next_seq),
        finding=segment.finding(offset, next_seq),
        records=records,
    )


def _walk(folder: Path, at: Position, findings: list[Finding]) -> Iterator[Stamped]:
    for item, _ in read_from(folder, at, findings=findings):
        yield item


def _segments_from(folder: Path, number: int, findings: list[Finding]) -> Iterator[Segment]:
    for at, path in list_segments(folder):
        if at < number:
            continue
        try:
            yield load_segment(path)
        except StateDamaged as error:
            findings.append(Finding(path, Damage(0, str(error), False)))
            return


def load_segment(path: Path) -> Segment:
    """Read a whole segment, packed or plain; raises StateDamaged."""
    try:
        if path.name.endswith(PACKED_SUFFIX):
            with gzip.open(path) as file:
                data = file.read(MAX_SEGMENT_BYTES + 1)
        else:
            with path.open("rb") as file:
                end = data_end(file.fileno())
                file.seek(0)
                data = file.read(min(end, MAX_SEGMENT_BYTES + 1))
    except (OSError, EOFError) as error:
        raise StateDamaged(f"{path}: {error}") from error
    if len(data) > MAX_SEGMENT_BYTES:
        raise StateDamaged(f"{path}: more than {MAX_SEGMENT_BYTES} bytes")
    header = SegmentHeader.from_bytes(data[:HEADER_BYTES])
    if header.number != int(path.name[:6]):
        raise StateDamaged(f"{path}: says it is segment {header.number}")
    return Segment(path, header, data)


def stamped(segment: Segment, frame: Frame) -> Stamped:
    """Decode one frame; raises StateDamaged naming file and offset."""
    try:
        if frame.flags & ~RESTATED:
            raise StateDamaged(f"flags {frame.flags} are not known to this version")
        record = decode(frame.kind, frame.version, frame.payload)
    except StateDamaged as error:
        raise StateDamaged(f"{segment.path}: record {frame.seq} at offset {frame.offset}: {error}") from error
    return Stamped(frame.seq, frame.ns, record, bool(frame.flags & RESTATED))


def _gap(segment: Segment, wanted: int) -> Finding:
    first = segment.header.first_seq
    return Finding(segment.path, Damage(HEADER_BYTES, f"begins at record {first}, {wanted} was next", False))
