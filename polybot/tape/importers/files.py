"""Recorded files as lines of bytes, whatever they are packed with; every error names file and line.

Owns the packings (.gz, .xz, .zst, .zip, none) and their errors: a file that ends early gives the lines before its end
and raises at it.  Must not know what lines mean.  Called by the importers of this folder.
"""

import gzip
import io
import lzma
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from polybot.errors import TapeError

__all__ = ["open_binary", "read_lines", "stem_of"]

PACKED = (".gz", ".xz", ".zst", ".zip")
MAX_LINE_BYTES = 64 << 20
_UNREADABLE = (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, ValueError)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file unpacked; a .zip must hold exactly one file.  Raises TapeError."""
    try:
        if path.suffix == ".zip":
            archive = zipfile.ZipFile(path)
            names = archive.namelist()
            if len(names) != 1:
                raise TapeError(f"{path}: holds {len(names)} files, expected one")
            return archive.open(names[0])
        openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".zst": _open_zst}
        stream: IO[bytes] = openers.get(path.suffix, open)(path, "rb")
    except _UNREADABLE as error:
        raise TapeError(f"{path}: cannot be read: {error}") from error
    return stream


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line without its end), empty lines left out; raises TapeError where it stops."""
    number = 0
    with open_binary(path) as stream:
        try:
            while line := stream.readline(MAX_LINE_BYTES):
                number += 1
                text = line.rstrip(b"\r\n")
                if text:
                    yield number, text
        except _UNREADABLE as error:
            raise TapeError(f"{path}: cannot be read behind line {number}: {error}") from error


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
