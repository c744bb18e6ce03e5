"""One tail file: preallocated, mapped into memory, written by the loop without a system call.

What is in the mapping survives the end of the process, however it ends; an entry that was being copied just then
fails its checksum.  All space is reserved when the file is made, so that a full disk cannot strike while writing.
Making, syncing and removing touch the disk and belong on the packer's thread; writing into `space`, which is done in C
(_fast.tail), does not and belongs on the loop.
Called by writer.
"""

import mmap
import os
from pathlib import Path

from polybot._fast.tail import MappedTail
from polybot.journal.segment import sync_folder
from polybot.tape.records import TAIL_HEADER_BYTES, build_tail_header

__all__ = ["NEW_SUFFIX", "TAIL_GLOB", "Tail", "tail_path"]

TAIL_GLOB = "tail-*.open"
NEW_SUFFIX = ".new"
FILE_MODE = 0o644
# After a sync so much is made ready for what comes until the next one: more is written to disk for nothing, less costs
# the loop a page fault (3 to 5 us) every 4 kB.
PREPARE_TIMES = 2  # of what came since the last one
PREPARE_BYTES = 1 << 14


ZEROS = bytes(1 << 18)


def tail_path(folder: Path, number: int) -> Path:
    """Where tail `number` of a tape lies."""
    return folder / f"tail-{number:06d}.open"


class Tail:
    """An open tail; `space` is what entries are written into."""

    __slots__ = ("_fd", "_map", "number", "path", "size", "space")

    def __init__(self, folder: Path, number: int, size: int) -> None:
        """Make the file whole under another name, then give it its own; raises OSError (no space)."""
        self.number, self.size = number, size
        self.path = tail_path(folder, number)
        new = self.path.with_name(self.path.name + NEW_SUFFIX)
        self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        try:
            os.posix_fallocate(self._fd, 0, size)
            _write_zeros(self._fd, size)
            os.pwrite(self._fd, build_tail_header(number), 0)
            self._map = mmap.mmap(self._fd, size)
            self.space = MappedTail(self._map, number, TAIL_HEADER_BYTES)
            self.space.prepare(size)
            new.rename(self.path)
            sync_folder(folder)
        except OSError:
            os.close(self._fd)
            new.unlink(missing_ok=True)
            raise

    def add(self, seq: int, recv_ns: int, *, feed: int, kind: int, aux: int, payload: bytes) -> bool:
        """Copy one entry in; False when it does not fit any more."""
        return self.space.add(seq, recv_ns, feed=feed, kind=kind, aux=aux, payload=payload)

    @property
    def end(self) -> int:
        """Where the next entry goes, bytes from the start."""
        return self.space.end

    @property
    def entries(self) -> int:
        """How many were written."""
        return self.space.entries

    def data(self) -> bytes:
        """Everything written so far, header included."""
        return self._map[: self.end]

    def written(self) -> memoryview:
        """The same where it lies; to be released before the tail is closed."""
        return memoryview(self._map)[: self.end]

    def sync(self, since: int) -> None:
        """Bring what is written to disk, `since` is the `end` of the last time (maybe of another tail); raises OSError.

        A sync write-protects the pages of a mapping: those that the loop will want next are given back at once.
        """
        end = self.end
        os.fdatasync(self._fd)
        self.space.prepare(max(PREPARE_BYTES, PREPARE_TIMES * (end - (since if since < end else 0))))

    def remove(self) -> None:
        """Close and delete: its entries are elsewhere, or there are none."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close and leave the file."""
        self.space.release()
        self._map.close()
        os.close(self._fd)


def _write_zeros(fd: int, size: int) -> None:
    """Zeros they would be anyway; written in large pieces the system's memory for them comes in large pieces too.

    Mapping that, making it writable and giving it back costs a third of what single pages of 4 kB do.
    """
    at = 0
    while at < size:
        at += os.pwrite(fd, memoryview(ZEROS)[: size - at], at)
