"""What one entry of a tape is: its head, its kinds, and how a tail file holds it so that a crash is seen.

A tail is a header of 64 bytes and entries one behind the other; zeros follow the last one:

    size u32 | crc32 u32 | seq u64 | recv_ns i64 | feed u8 | kind u8 | aux u16 | payload

`size` counts the whole entry, so it is never 0; the checksum covers everything behind it and is seeded with size
and the tail's number, so that an entry of another tail does not pass.  `seq` counts all entries of one recording,
over all its tapes: tapes of one recording can be put together again exactly.
Must not open files.  Called by tail (writing), blocks and reader.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from polybot.errors import TapeError

__all__ = [
    "AUX_BEFORE",
    "FEED_NAMES",
    "HEAD_BYTES",
    "TAIL_HEADER_BYTES",
    "Damage",
    "Entry",
    "EntryKind",
    "TapeFeed",
    "build_entry",
    "build_tail_header",
    "read_tail",
    "tail_number",
]

TAIL_MAGIC = b"PBTAIL01"
FORMAT_VERSION = 1
TAIL_HEADER_BYTES = 64
_HEADER = struct.Struct("<8sHHI")  # magic, version, size, number; the checksum follows
_FRONT = struct.Struct("<II")
_BODY = struct.Struct("<QqBBH")
_CRC = struct.Struct("<I")
HEAD_BYTES = _FRONT.size + _BODY.size
# Behind a damaged place an entry is believed only if it was received so near to the one before.
NEAR_NS = 86_400 * 1_000_000_000


class TapeFeed(IntEnum):
    """Where an entry came from."""

    SPOT = 0  # spot exchange: trades and best quotes
    RTDS = 1  # oracle without account
    MARKET = 2  # CLOB market channel
    POLYBOLT = 4  # oracle with account
    REST = 5  # answers to public GETs
    OWN = 6  # what the recorder itself says


class EntryKind(IntEnum):
    """What an entry is."""

    FRAME = 1  # a websocket message, exactly as received
    OPEN = 2  # a socket is up
    CLOSE = 3  # a socket is gone; the payload says why
    ANSWER = 4  # `METHOD url\nstatus\n` and the body exactly as received
    EVENTS = 5  # decoded events of our own (feed states, strike, close, outcome), 64 bytes each
    GAP = 6  # JSON: feed, cause, from_ns, to_ns, frames (null: not known), detail
    RESET = 7  # the feed's decoder forgot its ids here
    END = 8  # closed in order; nothing follows
    META = 9  # JSON: the manifest as it was then
    CALL = 10  # inputs log: JSON, what was done to the engine that is no event
    COMMANDS = 11  # inputs log: what the engine answered to the EVENTS before, 128 bytes each


FEED_NAMES = {int(feed): feed.name.lower() for feed in TapeFeed}
# `aux` of EVENTS: they were told before the events of the frame they follow.
AUX_BEFORE = 1


class Entry(NamedTuple):
    """One entry as read."""

    seq: int
    recv_ns: int
    feed: int
    kind: int
    aux: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A place of a file that cannot be believed: file name, offset, what is wrong, entries lost (-1: not known)."""

    file: str
    offset: int
    detail: str
    lost: int = -1

    def text(self) -> str:
        """One line for people."""
        lost = "an unknown number of entries" if self.lost < 0 else f"{self.lost} entries"
        return f"{self.file}: damaged at offset {self.offset}: {self.detail} ({lost} lost)"


def build_tail_header(number: int) -> bytes:
    """Return the first 64 bytes of tail `number`."""
    head = _HEADER.pack(TAIL_MAGIC, FORMAT_VERSION, TAIL_HEADER_BYTES, number)
    return (head + _CRC.pack(zlib.crc32(head))).ljust(TAIL_HEADER_BYTES, b"\0")


def tail_number(data: bytes | memoryview) -> int:
    """Read a tail's header, -1 when it is not whole; raises TapeError for one of another version."""
    head = bytes(data[: _HEADER.size])
    if len(data) < TAIL_HEADER_BYTES or head[:8] != TAIL_MAGIC:
        return -1
    if _CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(head):
        return -1
    _, version, size, number = _HEADER.unpack(head)
    if (version, size) != (FORMAT_VERSION, TAIL_HEADER_BYTES):
        raise TapeError(f"format version {version}, this program reads {FORMAT_VERSION}")
    return int(number)


def build_entry(
    number: int, seq: int, recv_ns: int, *, feed: int, kind: int, aux: int, payload: bytes
) -> bytes:
    """Return one entry's bytes for tail `number`."""
    size = HEAD_BYTES + len(payload)
    body = _BODY.pack(seq, recv_ns, feed, kind, aux)
    crc = zlib.crc32(payload, zlib.crc32(body, size ^ number))
    return _FRONT.pack(size, crc) + body + payload


def read_tail(data: bytes, *, file: str, damages: list[Damage], number: int) -> list[Entry]:
    """Return the whole entries of a tail; what is not whole is appended to `damages`, never guessed."""
    entries: list[Entry] = []
    at, end = TAIL_HEADER_BYTES, len(data)
    while at < end:
        entry = _entry_at(data, at, number)
        if entry is not None:
            entries.append(entry)
            at += HEAD_BYTES + len(entry.payload)
            continue
        if not np.frombuffer(data, dtype="u1", offset=at).any():
            break
        after = _find_entry(data, at + 1, number, entries[-1].recv_ns if entries else 0)
        detail = "an entry is not whole" if after < end else "the last entry is not whole"
        damages.append(Damage(file, at, detail, -1 if after < end else 1))
        at = after
    return entries


def _entry_at(data: bytes, at: int, number: int) -> Entry | None:
    if at + HEAD_BYTES > len(data):
        return None
    size, crc = _FRONT.unpack_from(data, at)
    if not HEAD_BYTES <= size <= len(data) - at:
        return None
    if zlib.crc32(memoryview(data)[at + _FRONT.size : at + size], size ^ number) != crc:
        return None
    seq, recv_ns, feed, kind, aux = _BODY.unpack_from(data, at + _FRONT.size)
    return Entry(seq, recv_ns, feed, kind, aux, data[at + HEAD_BYTES : at + size])


def _find_entry(data: bytes, at: int, number: int, near_ns: int) -> int:
    """Offset of the next whole entry at or behind `at`, len(data) when there is none.

    Every offset whose fields could be a head is tried; the checksum decides.
    """
    count = len(data) - at - HEAD_BYTES + 1
    if count <= 0:
        return len(data)
    raw = np.frombuffer(data, dtype="u1")
    size = sum(raw[at + k : at + k + count].astype(np.int64) << (8 * k) for k in range(4))
    kind, feed = (raw[at + _FRONT.size + k : at + _FRONT.size + k + count] for k in (17, 16))
    likely = (size >= HEAD_BYTES) & (size <= len(data) - at) & (kind >= 1) & (kind <= max(EntryKind)) & (feed <= 6)
    for offset in np.flatnonzero(likely):
        entry = _entry_at(data, at + int(offset), number)
        if entry is not None and (not near_ns or abs(entry.recv_ns - near_ns) < NEAR_NS):
            return at + int(offset)
    return len(data)
