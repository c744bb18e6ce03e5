"""The packed part of a tape: blocks of entries, each readable without the others, damage confined to one.

A block is a header in a zstd skippable frame, then two zstd frames (so `zstd -t` accepts the file):

    0x184D2A5B u32 | size u32 | header 76 bytes | zstd(columns) | zstd(payloads)

The columns are payload size u32, seq and recv_ns as i64 differences, feed u8, kind u8, aux u16, each for all entries
of the block; the payloads stand one behind the other.  The header has both packed sizes and checksums of them and of
itself.  A block takes the entries of one tail and has its number.
Must not open files.  Called by packer (writing) and reader.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from polybot._fast.entries import Entries
from polybot.errors import TapeError
from polybot.tape.records import TAIL_HEADER_BYTES, Damage, Entry

__all__ = [
    "HEADS_DTYPE",
    "Block",
    "TailPacker",
    "build_block",
    "find_blocks",
    "unpack_heads",
    "unpack_payloads",
]

MAGIC = b"PBTAPE01"
FORMAT_VERSION = 1
SKIPPABLE = 0x184D2A5B
_SKIP = struct.Struct("<II")
# magic, version, size, number, first seq, last seq, first ns, last ns, entries, raw payload bytes,
# packed sizes and checksums of columns and payloads
_HEADER = struct.Struct("<8sHHIQQqqIIIIII")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size
FRONT_BYTES = _SKIP.size + HEADER_BYTES
MAX_RAW_BYTES = 1 << 30  # a header that promises more is none of ours
COLUMNS = (("size", "<u4"), ("seq", "<i8"), ("recv_ns", "<i8"), ("feed", "u1"), ("kind", "u1"), ("aux", "<u2"))
COLUMN_BYTES = sum(np.dtype(dtype).itemsize for _, dtype in COLUMNS)

# Heads of many entries: `offset` and `size` locate a payload among the payloads of its block.
HEADS_DTYPE = np.dtype(
    [
        ("recv_ns", "<i8"),
        ("seq", "<u8"),
        ("feed", "u1"),
        ("kind", "u1"),
        ("aux", "<u2"),
        ("size", "<u4"),
        ("offset", "<u4"),
        ("block", "<u4"),
    ]
)
Heads = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Block:
    """One sound block of a file: where it lies and what its header says."""

    number: int
    offset: int  # of the packed columns
    columns_bytes: int
    payloads_bytes: int
    count: int
    raw_bytes: int
    first_seq: int
    last_seq: int
    first_ns: int
    last_ns: int

    @property
    def end(self) -> int:
        """Offset behind the block."""
        return self.offset + self.columns_bytes + self.payloads_bytes


def build_block(number: int, entries: Sequence[Entry], *, level: int) -> bytes:
    """Return the bytes of one block; `entries` are at least one."""
    columns: list[npt.NDArray[Any]] = [
        np.array([len(entry.payload) for entry in entries], "<u4"),
        _differences(np.array([entry.seq for entry in entries], "<i8")),
        _differences(np.array([entry.recv_ns for entry in entries], "<i8")),
        *(np.array([getattr(entry, name) for entry in entries], dtype) for name, dtype in COLUMNS[3:]),
    ]
    first, last = entries[0], entries[-1]
    facts = (number, first.seq, last.seq, first.recv_ns, last.recv_ns, len(entries))
    raw = b"".join(entry.payload for entry in entries)
    return _assemble(facts, b"".join(column.tobytes() for column in columns), raw, _compressor(level))


class TailPacker:
    """Makes the same blocks of the bytes of our own tails, one after the other; what it needs for one serves the next.

    A tail read back from a disk goes through records.read_tail, which believes no byte of it; this one is still in
    our hands, and taking it apart entry by entry in Python would hold the interpreter for milliseconds.  Zeroed
    memory for each block anew would cost as much as the compression.
    """

    def __init__(self, level: int) -> None:
        """`level` of zstd; one thread at a time."""
        self._entries = Entries()
        self._compressor = _compressor(level)

    def block(self, number: int, data: bytes | memoryview) -> bytes:
        """Return the bytes of the block; `data` is the tail with its header; b"" for a tail without entries."""
        entries = self._entries
        if not entries.take(data, TAIL_HEADER_BYTES):
            return b""
        facts = (number, entries.first_seq, entries.last_seq, entries.first_ns, entries.last_ns, entries.count)
        return _assemble(facts, entries.columns, entries.payloads, self._compressor)


def _compressor(level: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)


def _assemble(
    facts: tuple[int, int, int, int, int, int],
    columns: bytes | memoryview,
    raw: bytes | memoryview,
    compressor: zstandard.ZstdCompressor,
) -> bytes:
    """Put a block together; facts are number, first and last seq, first and last ns, entries."""
    packed = compressor.compress(columns), compressor.compress(raw)
    header = _HEADER.pack(
        MAGIC,
        FORMAT_VERSION,
        HEADER_BYTES,
        *facts,
        len(raw),
        len(packed[0]),
        len(packed[1]),
        zlib.crc32(packed[0]),
        zlib.crc32(packed[1]),
    )
    return b"".join((_SKIP.pack(SKIPPABLE, HEADER_BYTES), header, _CRC.pack(zlib.crc32(header)), *packed))


def find_blocks(data: bytes | memoryview, *, file: str, damages: list[Damage]) -> Iterator[Block]:
    """Yield the sound blocks of a file in order; everything else is appended to `damages`."""
    at, end = 0, len(data)
    while at < end:
        found = _block_at(data, at)
        if isinstance(found, Block):
            if _SKIP.unpack_from(data, at) != (SKIPPABLE, HEADER_BYTES):
                damages.append(Damage(file, at, f"the frame around block {found.number}'s header", 0))
            yield found
            at = found.end
            continue
        lost, reach, detail = found
        text = bytes(data)  # only a damaged file is copied
        magic = text.find(MAGIC, reach)
        while magic >= 0 and magic - _SKIP.size >= at and not isinstance(_block_at(data, magic - _SKIP.size), Block):
            magic = text.find(MAGIC, magic + 1)
        damages.append(Damage(file, at, detail, lost))
        at = end if magic < 0 else magic - _SKIP.size


def _block_at(data: bytes | memoryview, at: int) -> "Block | tuple[int, int, str]":
    """The block at an offset, or (entries lost, where to look for the next magic, what is wrong)."""
    header = bytes(data[at + _SKIP.size : at + _SKIP.size + _HEADER.size])
    behind = at + _SKIP.size + len(MAGIC)
    if len(header) < _HEADER.size or at + FRONT_BYTES > len(data):
        return -1, behind, "a block's header is not whole"
    if _CRC.unpack_from(data, at + _SKIP.size + _HEADER.size)[0] != zlib.crc32(header):
        return -1, behind, "a block's header is wrong"
    fields = _HEADER.unpack(header)
    number, count, raw_bytes = fields[3], fields[8], fields[9]
    if (fields[0], fields[1], fields[2]) != (MAGIC, FORMAT_VERSION, HEADER_BYTES):
        raise TapeError(f"format version {fields[1]}, this program reads {FORMAT_VERSION}")
    offset = at + FRONT_BYTES
    middle, end = offset + fields[10], offset + fields[10] + fields[11]
    block = Block(number, offset, fields[10], fields[11], count, raw_bytes, *fields[4:8])
    if end > len(data):
        return count, len(data), f"block {number} is not whole"
    for part, crc, what in ((data[offset:middle], fields[12], "heads"), (data[middle:end], fields[13], "payloads")):
        if zlib.crc32(part) != crc:
            return count, end, f"the {what} of block {number} are wrong"
    return block


def unpack_heads(data: bytes | memoryview, block: Block, index: int) -> Heads:
    """Return the heads of a block (HEADS_DTYPE); `index` is what their field `block` says."""
    raw = _unpack(data[block.offset : block.offset + block.columns_bytes], block.count * COLUMN_BYTES)
    heads = np.empty(block.count, HEADS_DTYPE)
    at = 0
    for name, dtype in COLUMNS:
        column = np.frombuffer(raw, dtype, block.count, at)
        at += column.nbytes
        heads[name] = np.cumsum(column) if dtype == "<i8" else column
    heads["offset"] = np.cumsum(heads["size"], dtype=np.int64) - heads["size"]
    heads["block"] = index
    return heads


def unpack_payloads(data: bytes | memoryview, block: Block) -> bytes:
    """Return all payloads of a block, one behind the other."""
    return _unpack(data[block.offset + block.columns_bytes : block.end], block.raw_bytes)


def _unpack(packed: bytes | memoryview, size: int) -> bytes:
    if size == 0:
        return b""
    if size > MAX_RAW_BYTES:
        raise TapeError(f"a block of {size} bytes")
    raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    if len(raw) != size:
        raise TapeError(f"a block holds {len(raw)} bytes where {size} were promised")
    return raw


def _differences(column: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.diff(column, prepend=np.int64(0))
