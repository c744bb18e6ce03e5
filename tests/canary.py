"""Canaries: secrets made up for a test, and a search that finds one in any form it could leak in.

A canary is searched for by halves of each of its forms, so a cut-off or line-wrapped leak counts too.  Forms: the
text itself (also UTF-16, escaped, percent-encoded), the bytes it stands for, hex in any letter case with or without
0x and with separators, base64 and urlsafe base64 at any alignment and padding, base32, decimal (both byte orders),
lists of numbers, and all of them backwards.  Compressed files are searched unpacked, SQLite files row by row too.
`tests/test_canaries.py` proves that the search finds what is planted.
"""

import base64
import gzip
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import zstandard

__all__ = ["Canary", "find_in_bytes", "find_in_files", "forms_of"]

MIN_PART = 12  # bytes of a form's half; shorter ones could occur by chance
_SEPARATORS = re.compile(rb"[\s:,_-]+|\\x|0x")


@dataclass(frozen=True)
class Canary:
    """One secret: its name, its text as given, and the bytes that text stands for (b"": none but itself)."""

    name: str
    text: str
    raw: bytes = b""


def forms_of(canary: Canary) -> Mapping[str, bytes]:
    """Return every form by name; those called hex are found in any letter case."""
    forms = dict(_text_forms(canary.text))
    for label, raw in (("text", canary.text.encode()), ("bytes", canary.raw)):
        if raw:
            forms |= {f"{name} of {label}": form for name, form in _raw_forms(raw)}
    forms |= {f"{name} backwards": form[::-1] for name, form in list(forms.items())}
    return {name: form for name, form in forms.items() if len(form) >= 2 * MIN_PART}


def find_in_bytes(data: bytes, canaries: list[Canary], *, where: str = "") -> list[str]:
    """Say which canary is where in which form; empty when none is."""
    lowered = data.lower()
    bare = _SEPARATORS.sub(b"", lowered)
    hits = []
    for canary in canaries:
        for name, form in forms_of(canary).items():
            is_hex = name.startswith("hex")
            texts = (lowered, bare) if is_hex else (data,)
            parts = _halves(form.lower() if is_hex else form)
            if any(part in text for part in parts for text in texts):
                hits.append(f"{canary.name} as {name} in {where or 'the data'}")
    return hits


def find_in_files(folder: Path, canaries: list[Canary]) -> list[str]:
    """Search every file below a folder: names, contents, unpacked contents, database rows."""
    hits = []
    for path in sorted(folder.rglob("*")):
        where = path.relative_to(folder).as_posix()
        hits += find_in_bytes(where.encode(), canaries, where=f"the name {where}")
        if path.is_file():
            for data in _contents(path):
                hits += find_in_bytes(data, canaries, where=where)
    return hits


def _contents(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    yield data.rstrip(b"\0")  # a journal takes its room ahead
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    if path.suffix == ".zst":  # blocks of a tape or of the inputs log
        yield zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    if data.startswith(b"SQLite format 3\x00"):
        yield _rows(path)


def _rows(path: Path) -> bytes:
    """All rows of a database, blobs as they are."""
    parts: list[bytes] = []
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        tables = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in database.execute(f'select * from "{table}"'):
                parts += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    finally:
        database.close()
    return b"\n".join(parts)


def _text_forms(text: str) -> Iterator[tuple[str, bytes]]:
    yield "text", text.encode()
    yield "UTF-16 little", text.encode("utf-16-le")
    yield "UTF-16 big", text.encode("utf-16-be")
    yield "percent-encoded", quote(text, safe="").encode()
    yield "JSON", json.dumps(text)[1:-1].encode()
    yield "upper case", text.upper().encode()


def _raw_forms(raw: bytes) -> Iterator[tuple[str, bytes]]:
    yield "bytes", raw
    yield "hex", raw.hex().encode()
    yield "hex little-endian", raw[::-1].hex().encode()
    yield "decimal", str(int.from_bytes(raw, "big")).encode()
    yield "decimal little-endian", str(int.from_bytes(raw, "little")).encode()
    yield "list of numbers", ", ".join(map(str, raw)).encode()
    yield "compact list of numbers", ",".join(map(str, raw)).encode()
    yield "escapes", repr(raw)[2:-1].encode()
    yield "base32", base64.b32encode(raw).rstrip(b"=")
    for lead in range(3):
        first, last = -(-lead * 8 // 6), (lead + len(raw)) * 8 // 6
        yield f"base64 at {lead}", base64.b64encode(bytes(lead) + raw)[first:last]
        yield f"urlsafe base64 at {lead}", base64.urlsafe_b64encode(bytes(lead) + raw)[first:last]


def _halves(form: bytes) -> tuple[bytes, bytes]:
    middle = len(form) // 2
    return form[:middle], form[middle:]
