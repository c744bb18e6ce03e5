"""Recorded files as lines of bytes, whatever they are packed with; everything wrong is named by file and line.

Owns the packings (.gz, .xz, .zst, .zip, none) and their damage: a file that ends early, or whose archive is torn,
gives the lines before that place, and `Faults` says where it was.  Must not know what lines mean.
Called by the importers of this folder.
"""

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from polybot.errors import TapeError

__all__ = ["Faults", "open_binary", "read_lines", "stem_of"]

PACKED = (".gz", ".xz", ".zst", ".zip")
MAX_LINE_BYTES = 64 << 20
MAX_NAMED = 20  # faults told one by one; the rest is counted
PIECE_BYTES = 1 << 16
# Head of a file in a zip (APPNOTE.TXT 4.3.7): signature, ..., method at 8, name and extra lengths at 26 and 28.
ZIP_HEAD, ZIP_HEAD_BYTES, DEFLATED = b"PK\x03\x04", 30, 8
_UNREADABLE = (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, zlib.error, ValueError)


class Faults:
    """Lines of one file that could not be used: the first are named, all are counted."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._named: list[str] = []
        self._stop: list[str] = []  # where reading ended too early

    def stop(self, number: int, why: object) -> None:
        """Remember that nothing from line `number` on could be read."""
        self.count += 1
        self._stop.append(f"{self._path.name}: line {number}: cannot be read from here on: {why}")

    def note(self, number: int, why: object) -> None:
        """Remember that line `number` was left out; an error that names file and line itself may be handed over."""
        self.count += 1
        if len(self._named) < MAX_NAMED:
            text = str(why).removeprefix(f"{self._path}: line {number}").lstrip(": ")
            self._named.append(f"{self._path.name}: line {number}: {text}")

    def texts(self) -> list[str]:
        """What a manifest says of them."""
        more = self.count - len(self._named) - len(self._stop)
        return [*self._named, *([f"{self._path.name}: {more} more lines were left out"] if more else []), *self._stop]

    def refuse(self) -> TapeError:
        """Return the error of a file in which nothing was usable."""
        texts = self.texts()
        return TapeError(f"{self._path.parent / texts[0]}" if texts else f"{self._path}: nothing in it")


def open_binary(path: Path) -> IO[bytes]:
    """Open a file unpacked; a .zip must hold exactly one file.  Raises TapeError."""
    try:
        if path.suffix == ".zip":
            return _open_zip(path)
        openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".zst": _open_zst}
        stream: IO[bytes] = openers.get(path.suffix, open)(path, "rb")
    except _UNREADABLE as error:
        raise TapeError(f"{path}: cannot be read: {error}") from error
    return stream


def read_lines(path: Path, faults: Faults | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line without its end), empty lines left out.

    Where reading stops before the end it raises TapeError, or ends and tells `faults` when there are some to tell.
    """
    number = 0
    with open_binary(path) as stream:
        try:
            while line := stream.readline(MAX_LINE_BYTES):
                number += 1
                text = line.rstrip(b"\r\n")
                if text:
                    yield number, text
        except _UNREADABLE as error:
            if faults is None:
                raise TapeError(f"{path}: cannot be read behind line {number}: {error}") from error
            faults.stop(number + 1, error)


def stem_of(path: Path) -> str:
    """File name without packing and type: btc-updown-5m-1776081900.jsonl.xz is btc-updown-5m-1776081900."""
    name = path.name
    for suffix in (*PACKED, ".jsonl", ".json", ".csv", ".ndjson", ".txt"):
        name = name.removesuffix(suffix)
    return name


def _open_zst(path: Path, mode: str) -> IO[bytes]:
    file = path.open(mode)
    reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=True)
    return io.BufferedReader(reader)


def _open_zip(path: Path) -> IO[bytes]:
    """The one file of an archive; of a torn archive, whose list of files is at its end, what is there of the first."""
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        with path.open("rb") as file:
            head = file.read(ZIP_HEAD_BYTES)
        if len(head) < ZIP_HEAD_BYTES or head[:4] != ZIP_HEAD or head[8] != DEFLATED:
            raise
        return io.BufferedReader(_TornZip(path, head))
    names = archive.namelist()
    if len(names) != 1:
        raise TapeError(f"{path}: holds {len(names)} files, expected one")
    return archive.open(names[0])


class _TornZip(io.RawIOBase):
    """The first file of an archive without an end: unpacked as far as it goes, then EOFError."""

    def __init__(self, path: Path, head: bytes) -> None:
        self._file = path.open("rb")
        self._file.seek(ZIP_HEAD_BYTES + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"))
        self._unpack = zlib.decompressobj(-zlib.MAX_WBITS)
        self._data = b""

    def readable(self) -> bool:
        """As any file for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; raises EOFError where the archive was cut."""
        while not self._data:
            if self._unpack.eof:
                raise EOFError("the archive's list of files is missing")
            piece = self._file.read(PIECE_BYTES)
            if not piece:
                raise EOFError("the archive ends too early")
            self._data = self._unpack.decompress(piece)
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def close(self) -> None:
        """Close the file below."""
        self._file.close()
        super().close()
