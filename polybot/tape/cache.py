"""The decoded events of a tape as a file that is mapped into memory, made when it is not there or not right.

Owns events.bin (EVENT_DTYPE records, nothing else) and events.json, which binds it to the raw bytes, the decoders and
its own checksum; a cache that does not match in all of them is made anew.  Both are written beside their place and
moved there, the note last.  A folder that cannot be written gets its events in memory.
Called by reader.
"""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polybot._fast.event import EVENT_DTYPE
from polybot.market.spec import MarketSpec
from polybot.tape.content import Content
from polybot.tape.decoding import TapeDecoder, decode, decoder_version

__all__ = ["EVENTS_NAME", "load_events"]

EVENTS_NAME = "events.bin"
NOTE_NAME = "events.json"
PIECE_RECORDS = 1 << 16

Events = npt.NDArray[np.void]


def load_events(
    folder: Path, content: Content, *, symbols: Mapping[str, str], spec: MarketSpec | None
) -> tuple[Events, dict[str, Any]]:
    """Return (events, note); the events are read-only, mapped when the folder takes files.

    The note has `count`, `counters` of the decoders and `made` (True: they were decoded now).
    """
    bound = {"decoder": decoder_version(), "raw": content.sha256}
    note = _note(folder / NOTE_NAME)
    if note is not None and {key: note.get(key) for key in bound} == bound:
        events = _mapped(folder / EVENTS_NAME, note)
        if events is not None:
            return events, {**note, "made": False}
    decoder = TapeDecoder(symbols, spec)
    try:
        events, crc = _write(folder, content, decoder)
    except OSError:
        pieces = list(decode(content.entries(), decoder))
        events = np.concatenate(pieces)
        events.flags.writeable = False
        return events, {**bound, "count": len(events), "counters": decoder.counters(), "made": True}
    note = {**bound, "count": len(events), "crc32": crc, "counters": decoder.counters()}
    new = folder / (NOTE_NAME + ".new")
    new.write_text(json.dumps(note, indent=1) + "\n")
    new.replace(folder / NOTE_NAME)
    return events, {**note, "made": True}


def _note(path: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def _mapped(path: Path, note: Mapping[str, Any]) -> Events | None:
    """The file as events, None when it is not the one the note tells of."""
    try:
        if path.stat().st_size != note["count"] * EVENT_DTYPE.itemsize:
            return None
        events = _map(path)
    except (OSError, KeyError, TypeError, ValueError):
        return None
    crc = 0
    for start in range(0, len(events), PIECE_RECORDS):
        crc = zlib.crc32(np.ascontiguousarray(events[start : start + PIECE_RECORDS]).tobytes(), crc)
    return events if crc == note.get("crc32") else None


def _map(path: Path) -> Events:
    if path.stat().st_size == 0:  # nothing cannot be mapped
        return np.empty(0, EVENT_DTYPE)
    return np.memmap(path, EVENT_DTYPE, mode="r")


def _write(folder: Path, content: Content, decoder: TapeDecoder) -> tuple[Events, int]:
    """Decode into events.bin; returns the mapped events and their checksum; raises OSError."""
    new, crc = folder / (EVENTS_NAME + ".new"), 0
    (folder / NOTE_NAME).unlink(missing_ok=True)
    try:
        with new.open("wb") as file:
            for piece in decode(content.entries(), decoder):
                data = piece.tobytes()
                crc = zlib.crc32(data, crc)
                file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        new.replace(folder / EVENTS_NAME)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return _map(folder / EVENTS_NAME), crc
