"""Everything that can be believed in a tape's folder: entries of blocks and tails in order, and named damage.

Owns which of a block and its tail counts (the block when it is sound), and the reading of payloads block by block,
so that memory is bounded by a block and the heads.  Reading changes nothing in the folder.
Called by reader, cache and sealing.
"""

import hashlib
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polybot.tape.blocks import HEADS_DTYPE, Block, find_blocks, unpack_heads, unpack_payloads
from polybot.tape.records import Damage, Entry, EntryKind, read_tail, tail_number
from polybot.tape.tail import TAIL_GLOB
from polybot.tape.writer import FRAMES_NAME

__all__ = ["Content", "read_content"]

PIECE_BYTES = 1 << 20


class Content:
    """Heads of all entries, their payloads on demand, and what is wrong."""

    def __init__(
        self,
        heads: npt.NDArray[np.void],
        parts: list[Block | bytes],
        data: memoryview,
        *,
        damages: list[Damage],
        sha256: str,
    ) -> None:
        self.heads = heads
        self.damages = damages
        self.sha256 = sha256  # of all bytes that were read
        self._parts = parts
        self._data = data
        self._loaded: tuple[int, bytes] = (-1, b"")

    def __len__(self) -> int:
        return len(self.heads)

    @property
    def is_ended(self) -> bool:
        """Was the tape closed in order?"""
        return len(self) > 0 and int(self.heads["kind"][-1]) == EntryKind.END

    def payload(self, index: int) -> bytes:
        """Payload of one entry; its block is unpacked when it is not the last one asked for."""
        head = self.heads[index]
        start = int(head["offset"])
        return self._payloads(int(head["block"]))[start : start + int(head["size"])]

    def entry(self, index: int) -> Entry:
        """One entry."""
        head = self.heads[index]
        seq, recv_ns, feed, kind, aux = (int(head[name]) for name in ("seq", "recv_ns", "feed", "kind", "aux"))
        return Entry(seq, recv_ns, feed, kind, aux, self.payload(index))

    def entries(self) -> Iterator[Entry]:
        """All entries in order, block by block."""
        columns = ("seq", "recv_ns", "feed", "kind", "aux", "offset", "size", "block")
        for start in range(0, len(self), 65_536):
            rows = self.heads[start : start + 65_536]
            for seq, recv_ns, feed, kind, aux, offset, size, block in zip(
                *(rows[name].tolist() for name in columns), strict=True
            ):
                payload = self._payloads(block)[offset : offset + size]
                yield Entry(seq, recv_ns, feed, kind, aux, payload)

    def _payloads(self, block: int) -> bytes:
        if self._loaded[0] != block:
            part = self._parts[block]
            self._loaded = block, part if isinstance(part, bytes) else unpack_payloads(self._data, part)
        return self._loaded[1]


def read_content(folder: Path) -> Content:
    """Read a tape's folder; raises TapeError when it holds no frames at all."""
    damages: list[Damage] = []
    digest = hashlib.sha256()
    open_tails = _load_tails(folder, damages)  # before the blocks: one that is packed meanwhile is in both
    data = memoryview(_map(folder / FRAMES_NAME, damages))
    for start in range(0, len(data), PIECE_BYTES):
        digest.update(data[start : start + PIECE_BYTES])
    heads: list[npt.NDArray[np.void]] = []
    parts: list[Block | bytes] = []
    numbers: set[int] = set()
    broken: list[Damage] = []
    blocks = list(find_blocks(data, file=FRAMES_NAME, damages=broken))
    found: dict[int, npt.NDArray[np.void]] = {}
    for block in blocks:
        numbers.add(block.number)
        found[block.number] = unpack_heads(data, block, len(parts))
        parts.append(block)
    tails = _read_tails(open_tails, numbers, damages, digest)
    for number, entries in tails.items():
        if entries:
            found[number] = _heads_of(entries, len(parts))
            parts.append(b"".join(entry.payload for entry in entries))
    damages += [_mended(one, tails) for one in broken]
    missing = set(range(1, max(found, default=0))) - set(found)
    if missing and not broken:
        damages.append(Damage(FRAMES_NAME, 0, f"blocks are not there: {sorted(missing)}"))
    heads = [found[number] for number in sorted(found)]
    joined = np.concatenate(heads) if heads else np.empty(0, HEADS_DTYPE)
    return Content(joined, parts, data, damages=damages, sha256=digest.hexdigest())


def _map(path: Path, damages: list[Damage]) -> "mmap.mmap | bytes":
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return b""
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        damages.append(Damage(path.name, 0, f"cannot be read: {error.strerror}"))
        return b""


def _load_tails(folder: Path, damages: list[Damage]) -> dict[Path, bytes]:
    """The bytes of all tails that are there, oldest first."""
    found: dict[Path, bytes] = {}
    for path in sorted(folder.glob(TAIL_GLOB)):
        try:
            found[path] = path.read_bytes()
        except FileNotFoundError:  # packed just now: the recording goes on while it is read
            continue
        except OSError as error:
            damages.append(Damage(path.name, 0, f"cannot be read: {error.strerror}"))
    return found


def _read_tails(
    tails: Mapping[Path, bytes], sound: set[int], damages: list[Damage], digest: Any
) -> dict[int, list[Entry]]:
    """Entries of the tails whose block is not sound or not there, by number."""
    found: dict[int, list[Entry]] = {}
    for path, data in tails.items():
        number = tail_number(data)
        if number < 0:
            number = _named_number(path)
            if number in sound or not any(data):
                continue
            damages.append(Damage(path.name, 0, "the header of a tail is wrong", 0))
        if number not in sound:
            digest.update(data.rstrip(b"\0"))
            found[number] = read_tail(data, file=path.name, damages=damages, number=number)
    return found


def _named_number(path: Path) -> int:
    text = path.name.removeprefix("tail-").removesuffix(".open")
    return int(text) if text.isdigit() else 0


def _mended(damage: Damage, tails: dict[int, list[Entry]]) -> Damage:
    """A block that is not whole and whose tail is still there has lost nothing."""
    words = damage.detail.split()
    if damage.detail.endswith("is not whole") and words[0] == "block" and int(words[1]) in tails:
        return Damage(damage.file, damage.offset, f"{damage.detail}: its tail counts", 0)
    return damage


def _heads_of(entries: list[Entry], part: int) -> npt.NDArray[np.void]:
    heads = np.zeros(len(entries), HEADS_DTYPE)
    for name in ("seq", "recv_ns", "feed", "kind", "aux"):
        heads[name] = [getattr(entry, name) for entry in entries]
    heads["size"] = [len(entry.payload) for entry in entries]
    heads["offset"] = np.cumsum(heads["size"], dtype=np.int64) - heads["size"]
    heads["block"] = part
    return heads
