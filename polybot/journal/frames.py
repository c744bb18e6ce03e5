"""The journal's file format: segments of checksummed frames, and what damage in one looks like.

A segment is a header of 64 bytes and frames, each padded to 8 bytes; zeros after the last frame are
preallocated space.  A frame is

    len u32 | crc32 u32 | seq u64 | ns i64 | unsynced u32 | type u16 | version u8 | flags u8 | payload | padding

len counts the payload; the checksum covers everything behind it and is seeded with len and the segment's own
header, so that a frame of another file does not pass; seq counts on from segment to segment without a gap.
`unsynced` says how many frames before this one (and it) were not known to be on disk when it was written:
a valid frame proves which earlier ones must be there, which tells a torn tail from a damaged file.
Must not know what records mean, nor open files.  Called by segment writer and reader.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from polybot.errors import StateDamaged
from polybot.journal.records import MAX_PAYLOAD

__all__ = [
    "FRAME_HEAD",
    "HEADER_BYTES",
    "RESTATED",
    "Damage",
    "Frame",
    "SegmentHeader",
    "build_frame",
    "find_damage",
    "read_frames",
    "used_bytes",
]

MAGIC = b"PBJOURN1"
FORMAT_VERSION = 1
HEADER_BYTES = 64
RESTATED = 1  # flag: part of a snapshot, said before
_HEADER = struct.Struct(
    "<8sHHIQQq16sI"
)  # magic, version, size, 0, number, first seq, created ns, folder key, 0
_CRC = struct.Struct("<I")
_FRONT = struct.Struct("<II")
_BODY = struct.Struct("<QqIHBB")
FRAME_HEAD = _FRONT.size + _BODY.size
ALIGN = 8
_PAD = tuple(bytes(count) for count in range(ALIGN))
# Behind damage, frames are looked for in so many bytes and sequence numbers.
LOOK_BEHIND_BYTES = 8 << 20
LOOK_AHEAD_SEQS = 1 << 24
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first 64 bytes of a segment; folder_key names account and venue session."""

    number: int
    first_seq: int
    created_ns: int
    folder_key: bytes

    def to_bytes(self) -> bytes:
        """The header with its checksum."""
        head = _HEADER.pack(
            MAGIC, FORMAT_VERSION, HEADER_BYTES, 0, self.number, self.first_seq, self.created_ns, self.folder_key, 0
        )  # fmt: skip
        return head + _CRC.pack(zlib.crc32(head))

    @classmethod
    def from_bytes(cls, raw: bytes) -> "SegmentHeader":
        """Read and check a header; raises StateDamaged."""
        if len(raw) < HEADER_BYTES or raw[:8] != MAGIC:
            raise StateDamaged("not a journal segment (magic or length)")
        head = raw[: _HEADER.size]
        if _CRC.unpack_from(raw, _HEADER.size)[0] != zlib.crc32(head):
            raise StateDamaged("the segment header's checksum is wrong")
        _, version, size, _, number, first_seq, created_ns, folder_key, _ = _HEADER.unpack(head)
        if (version, size) != (FORMAT_VERSION, HEADER_BYTES):
            raise StateDamaged(f"format version {version}, this program reads {FORMAT_VERSION}")
        return cls(number, first_seq, created_ns, folder_key)

    @property
    def seed(self) -> int:
        """What this segment's checksums start from."""
        return zlib.crc32(self.to_bytes())


class Frame(NamedTuple):
    """One whole frame as read; `end` is the offset behind it."""

    seq: int
    ns: int
    kind: int
    version: int
    flags: int
    durable_seq: int
    payload: bytes
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Where a segment stops making sense; `is_torn`: a tail that was never said to be on disk."""

    offset: int
    detail: str
    is_torn: bool
    records_behind: int = 0


def build_frame(
    seed: int,
    seq: int,
    ns: int,
    *,
    unsynced: int,
    kind: int,
    version: int,
    payload: bytes,
    flags: int = 0,
) -> bytes:
    """Return one frame's bytes."""
    length = len(payload)
    body = _BODY.pack(seq, ns, unsynced, kind, version, flags) + payload + _PAD[-length & 7]
    return _FRONT.pack(length, zlib.crc32(body, seed ^ length)) + body


def read_frames(data: bytes, seed: int, *, offset: int, next_seq: int) -> Iterator[Frame]:
    """Yield valid frames in sequence from offset; stops at the first place that holds none."""
    while (frame := _frame_at(data, seed, offset)) is not None and frame.seq == next_seq:
        yield frame
        offset, next_seq = frame.end, next_seq + 1


def find_damage(data: bytes, seed: int, *, offset: int, next_seq: int) -> Damage | None:
    """Say what is wrong at offset, where read_frames stopped; None when only preallocated zeros follow."""
    if used_bytes(data, offset) == 0:
        return None
    behind = _frames_behind(data, seed, offset, next_seq)
    proof = max((frame.durable_seq for frame in behind), default=0)
    detail = f"record {next_seq} is not whole"
    if proof >= next_seq:
        return Damage(offset, f"{detail}, though it was on disk once", False, len(behind))
    return Damage(offset, detail, True, len(behind))


def used_bytes(data: bytes, offset: int = 0) -> int:
    """How many bytes from offset on there are before only zeros follow (bytes.rstrip takes a second for 64 MiB)."""
    end = len(data)
    while end > offset:
        start = max(offset, end - PIECE_BYTES)
        piece = np.frombuffer(data, dtype="u1", offset=start, count=end - start)
        if np.count_nonzero(piece):
            return start + int(np.flatnonzero(piece)[-1]) + 1 - offset
        end = start
    return 0


def _frame_at(data: bytes, seed: int, offset: int) -> Frame | None:
    if offset + FRAME_HEAD > len(data):
        return None
    length, checksum = _FRONT.unpack_from(data, offset)
    if length > MAX_PAYLOAD:
        return None
    end = offset + FRAME_HEAD + length + (-length & 7)
    if end > len(data):
        return None
    body = data[offset + _FRONT.size : end]
    if zlib.crc32(body, seed ^ length) != checksum:
        return None
    seq, ns, unsynced, kind, version, flags = _BODY.unpack_from(body)
    payload = body[_BODY.size : _BODY.size + length]
    return Frame(seq, ns, kind, version, flags, seq - unsynced, payload, offset, end)


def _frames_behind(data: bytes, seed: int, offset: int, next_seq: int) -> list[Frame]:
    """Valid later frames behind a damaged place: wherever a word looks like a coming sequence number."""
    found: list[Frame] = []
    stop = min(len(data), offset + LOOK_BEHIND_BYTES)
    words = np.frombuffer(data, dtype="<u8", offset=offset, count=(stop - offset) // ALIGN)
    likely = np.flatnonzero((words >= next_seq) & (words < next_seq + LOOK_AHEAD_SEQS))
    least = offset
    for place in likely:
        at = offset + (int(place) - 1) * ALIGN
        frame = _frame_at(data, seed, at) if at >= least else None
        if frame is not None and frame.seq >= next_seq:
            found.append(frame)
            least = frame.end
    return found
