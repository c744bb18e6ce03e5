"""The decoded events of a tape as files that are mapped into memory, made when they are not there or not right.

Owns events.bin (EVENT_DTYPE records, nothing else), units.bin (UNITS_DTYPE: which entry became which of them) and
events.json, which binds both to the raw bytes, the decoders and their own checksums; a cache that does not match in
all of them is made anew.  All are written beside their place and moved there, the note last.  A folder that cannot be
written gets its events in memory.
Called by reader.
"""

import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polybot._fast.event import EVENT_DTYPE
from polybot.market.spec import MarketSpec
from polybot.tape.content import Content
from polybot.tape.decoding import UNITS_DTYPE, TapeDecoder, UnitLog, decode, decoder_version

__all__ = ["EVENTS_NAME", "load_events"]

EVENTS_NAME = "events.bin"
UNITS_NAME = "units.bin"
NOTE_NAME = "events.json"
MODE = 0o644
PIECE_RECORDS = 1 << 16

Events = npt.NDArray[np.void]


def load_events(
    folder: Path, content: Content, *, symbols: Mapping[str, str], spec: MarketSpec | None
) -> tuple[Events, Events, dict[str, Any]]:
    """Return (events, units, note); the arrays are read-only, mapped when the folder takes files.

    The note has `count`, `counters` of the decoders and `made` (True: they were decoded now).
    """
    bound = {"decoder": decoder_version(), "raw": content.sha256}
    note = _note(folder / NOTE_NAME)
    if note is not None and {key: note.get(key) for key in bound} == bound:
        events = _mapped(folder / EVENTS_NAME, note.get("count"), note.get("crc32"), EVENT_DTYPE)
        units = _mapped(folder / UNITS_NAME, note.get("units"), note.get("units_crc32"), UNITS_DTYPE)
        if events is not None and units is not None:
            return events, units, {**note, "made": False}
    decoder = TapeDecoder(symbols, spec)
    told = UnitLog()
    try:
        (folder / NOTE_NAME).unlink(missing_ok=True)
        events, crc = _write(folder / EVENTS_NAME, decode(content.entries(), decoder, told), EVENT_DTYPE)
        units, units_crc = _write(folder / UNITS_NAME, iter([told.to_numpy()]), UNITS_DTYPE)
    except OSError:
        told = UnitLog()
        decoder = TapeDecoder(symbols, spec)
        events = np.concatenate(list(decode(content.entries(), decoder, told)))
        events.flags.writeable = False
        note = {**bound, "count": len(events), "counters": decoder.counters(), "made": True}
        return events, told.to_numpy(), note
    note = {**bound, "count": len(events), "crc32": crc, "units": len(units), "units_crc32": units_crc}
    note["counters"] = decoder.counters()
    _replace(folder / NOTE_NAME, iter([json.dumps(note, indent=1).encode() + b"\n"]))
    return events, units, {**note, "made": True}


def _note(path: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def _mapped(path: Path, count: Any, told: Any, dtype: "np.dtype[Any]") -> Events | None:
    """The file as records, None when it is not the one the note tells of."""
    try:
        if path.stat().st_size != count * dtype.itemsize:
            return None
        records = _map(path, dtype)
    except (OSError, TypeError, ValueError):
        return None
    crc = 0
    for start in range(0, len(records), PIECE_RECORDS):
        crc = zlib.crc32(records[start : start + PIECE_RECORDS].view(np.uint8).data, crc)
    return records if crc == told else None


def _map(path: Path, dtype: "np.dtype[Any]") -> Events:
    if path.stat().st_size == 0:  # nothing cannot be mapped
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")


def _write(path: Path, pieces: Iterator[Events], dtype: "np.dtype[Any]") -> tuple[Events, int]:
    """Write records beside their place and move them there; returns them mapped, and their checksum; raises OSError."""
    crc = 0

    def told() -> Iterator[bytes]:
        nonlocal crc
        for piece in pieces:
            data = piece.tobytes()
            crc = zlib.crc32(data, crc)
            yield data

    _replace(path, told())
    return _map(path, dtype), crc


def _replace(path: Path, pieces: Iterator[bytes]) -> None:
    """Write a file beside its place, under a name nobody else has (others may be making it too), and move it there."""
    fd, name = tempfile.mkstemp(prefix=f"{path.name}.new-", dir=path.parent)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, MODE)
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fdatasync(fd)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
