"""Packs journal segments that nobody writes to any more: gzip beside, checked by reading back, then the original goes.

gzip of the standard library: the files stay readable with zcat, and one day of money is a few megabytes at most.
Must not touch the newest segment.  Called by the ledger thread, when it has read them.
"""

import gzip
import os
import shutil
from pathlib import Path

from polybot.errors import StateDamaged
from polybot.journal.reader import SEGMENT_SUFFIX, list_segments
from polybot.journal.segment import FILE_MODE, sync_folder

__all__ = ["pack_segments"]

NEW_SUFFIX = ".new"
PIECE_BYTES = 1 << 16


def pack_segments(folder: Path, before: int) -> list[Path]:
    """Pack every plain segment with a number below `before`; returns the new files.

    Raises OSError when the disk refuses and StateDamaged when what was written does not read back the same; the
    original is still there then.
    """
    packed = []
    for number, path in list_segments(folder)[:-1]:
        if number < before and path.suffix == SEGMENT_SUFFIX:
            packed.append(_pack(path))
    if packed:
        sync_folder(folder)
    return packed


def _pack(path: Path) -> Path:
    target = path.with_name(path.name + ".gz")
    fresh = target.with_name(target.name + NEW_SUFFIX)
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(fd, "wb") as raw:
        with path.open("rb") as source, gzip.GzipFile("", "wb", 6, raw, mtime=0) as sink:
            shutil.copyfileobj(source, sink, PIECE_BYTES)
        raw.flush()
        os.fsync(raw.fileno())
    if not _is_same(path, fresh):
        fresh.unlink()
        raise StateDamaged(f"{fresh}: does not read back as {path.name}")
    fresh.rename(target)
    path.unlink()
    return target


def _is_same(plain: Path, packed: Path) -> bool:
    with plain.open("rb") as left, gzip.open(packed) as right:
        while True:
            mine, theirs = left.read(PIECE_BYTES), right.read(PIECE_BYTES)
            if mine != theirs:
                return False
            if not mine:
                return True
