"""One tail file: preallocated, mapped into memory, written by the loop without a system call.

What is in the mapping survives the end of the process, however it ends; an entry that was being copied just then
fails its checksum.  All space is reserved when the file is made, so that a full disk cannot strike while writing.
Making, syncing and removing touch the disk and belong on the packer's thread; `add` does not and belongs on the loop.
Called by writer.
"""

import mmap
import os
from pathlib import Path

from polybot.journal.segment import sync_folder
from polybot.tape.records import HEAD_BYTES, TAIL_HEADER_BYTES, build_entry, build_tail_header

__all__ = ["NEW_SUFFIX", "TAIL_GLOB", "Tail", "tail_path"]

TAIL_GLOB = "tail-*.open"
NEW_SUFFIX = ".new"
FILE_MODE = 0o644


def tail_path(folder: Path, number: int) -> Path:
    """Where tail `number` of a tape lies."""
    return folder / f"tail-{number:06d}.open"


class Tail:
    """An open tail; `end` is where the next entry goes."""

    __slots__ = ("_fd", "_map", "end", "entries", "number", "path", "size")

    def __init__(self, folder: Path, number: int, size: int) -> None:
        """Make the file whole under another name, then give it its own; raises OSError (no space)."""
        self.number, self.size = number, size
        self.path = tail_path(folder, number)
        self.end, self.entries = TAIL_HEADER_BYTES, 0
        new = self.path.with_name(self.path.name + NEW_SUFFIX)
        self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        try:
            os.posix_fallocate(self._fd, 0, size)
            os.pwrite(self._fd, build_tail_header(number), 0)
            self._map = mmap.mmap(self._fd, size)
            new.rename(self.path)
            sync_folder(folder)
        except OSError:
            os.close(self._fd)
            new.unlink(missing_ok=True)
            raise

    def add(self, seq: int, recv_ns: int, *, feed: int, kind: int, aux: int, payload: bytes) -> bool:
        """Copy one entry in; False when it does not fit any more."""
        start, end = self.end, self.end + HEAD_BYTES + len(payload)
        if end > self.size:
            return False
        self._map[start:end] = build_entry(
            self.number, seq, recv_ns, feed=feed, kind=kind, aux=aux, payload=payload
        )
        self.end = end
        self.entries += 1
        return True

    def data(self) -> bytes:
        """Everything written so far, header included."""
        return self._map[: self.end]

    def sync(self) -> None:
        """Bring what is written to disk; raises OSError."""
        os.fdatasync(self._fd)

    def remove(self) -> None:
        """Close and delete: its entries are elsewhere, or there are none."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close and leave the file."""
        self._map.close()
        os.close(self._fd)
