"""One segment file on disk: made whole before it gets its name, written to, sealed, cut.

A new segment is written as `<name>.new` with header, snapshot and preallocated zeros, synced, and only then
renamed: a file with a segment's name always began with a whole snapshot.  Folders are 0700, files 0600.
Must not know records or threads.  Called by writer and journal.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from polybot.journal.frames import HEADER_BYTES, RESTATED, SegmentHeader, build_frame, used_bytes
from polybot.journal.records import VERSION

__all__ = ["SegmentFile", "cut_tail", "data_end", "make_folder", "sync_folder"]

FILE_MODE = 0o600
FOLDER_MODE = 0o700
NEW_SUFFIX = ".new"
CUT_SUFFIX = ".cut"
# Of a torn tail, so much is kept beside the segment for whoever wants to look.
KEEP_CUT_BYTES = 1 << 20

Restated = tuple[int, int, bytes]  # (ns, record type, payload)


class SegmentFile:
    """An open segment; `offset` is where the next frame goes, `allocated` how far space is reserved."""

    __slots__ = ("allocated", "fd", "header", "next_seq", "offset", "path", "seed")

    def __init__(
        self, path: Path, header: SegmentHeader, snapshot: Sequence[Restated], preallocate: int
    ) -> None:
        """Write `<path>.new` whole and sync it; raises OSError."""
        self.path, self.header, self.seed = path, header, header.seed
        parts, seq = [header.to_bytes()], header.first_seq
        for ns, kind, payload in snapshot:
            parts.append(
                build_frame(
                    self.seed,
                    seq,
                    ns,
                    unsynced=0,
                    kind=kind,
                    version=VERSION,
                    payload=payload,
                    flags=RESTATED,
                )
            )
            seq += 1
        data = b"".join(parts)
        self.next_seq, self.offset, self.allocated = seq, len(data), len(data) + preallocate
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self.fd = os.open(self._new_path, flags, FILE_MODE)
        try:
            os.posix_fallocate(self.fd, 0, self.allocated)
            write_whole(self.fd, data)
            os.fdatasync(self.fd)
        except OSError:
            self.discard()
            raise

    @property
    def _new_path(self) -> Path:
        return self.path.with_name(self.path.name + NEW_SUFFIX)

    def publish(self) -> None:
        """Give the file its name; the folder is synced by whoever says what is on disk."""
        self._new_path.rename(self.path)

    def discard(self) -> None:
        """Throw away a segment that was never published."""
        os.close(self.fd)
        self._new_path.unlink(missing_ok=True)

    def extend(self, by: int) -> None:
        """Reserve more space behind what is reserved; raises OSError when there is none."""
        os.posix_fallocate(self.fd, self.allocated, by)
        self.allocated += by

    def seal(self) -> None:
        """Give back the space behind the last frame, sync and close; raises OSError."""
        try:
            os.ftruncate(self.fd, self.offset)
            os.fsync(self.fd)
        finally:
            os.close(self.fd)


def write_whole(fd: int, data: bytes) -> None:
    """One write; OSError when it is short."""
    written = os.write(fd, data)
    if written != len(data):
        raise OSError(f"short write: {written} of {len(data)} bytes")


def make_folder(folder: Path) -> None:
    """Make the folder for this user alone, and remove segments that never got their name."""
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    for path in folder.glob(f"*{NEW_SUFFIX}"):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Bring names of files to disk; raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def data_end(fd: int) -> int:
    """Where the last written byte of a file is, as far as the file system tells: behind it are reserved zeros.

    Spares a start the reading of what a killed process had only reserved.
    """
    size = os.fstat(fd).st_size
    at = 0
    try:
        while at < size:
            at = os.lseek(fd, os.lseek(fd, at, os.SEEK_DATA), os.SEEK_HOLE)
    except OSError as error:
        return at if error.errno == errno.ENXIO else size
    return at


def cut_tail(path: Path, offset: int) -> int:
    """Cut a segment behind its last whole frame; returns how many bytes were not zero there (kept in <name>.cut)."""
    assert offset >= HEADER_BYTES, "a header is never cut"
    with path.open("r+b") as file:
        end = data_end(file.fileno())
        file.seek(offset)
        rest = file.read(max(0, end - offset))
        tail = rest[: used_bytes(rest)]
        if tail:
            kept = path.with_name(path.name + CUT_SUFFIX)
            kept.touch(FILE_MODE)
            kept.write_bytes(tail[:KEEP_CUT_BYTES])
        file.truncate(offset)
        os.fsync(file.fileno())
    return len(tail)
