"""An imported recording on its way to a tape: what every importer hands over, and the writing of it.

Owns the labels: a tape that was imported says so, whose clock its receive times are, whether its frames are raw, and
what it lacks.  An importer yields entries and may add to `warnings` while it does.  Must not know formats.
Called by the importers of this folder.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from polybot._fast.event import EventBuffer
from polybot.errors import TapeError
from polybot.market.spec import MarketSpec
from polybot.tape.manifest import new_manifest
from polybot.tape.packer import Packer
from polybot.tape.records import EntryKind
from polybot.tape.writer import TapeSettings, TapeWriter

__all__ = ["Imported", "Item", "add_events", "write_import"]

# Decoded events of one entry at most: a crash while importing costs nothing, but a reader takes an entry at once.
EVENTS_PER_ENTRY = 512
SPARE = "an entry does not fit into a tail"


class Item(NamedTuple):
    """One entry to be: frames raw as recorded, or events where the source has no frames."""

    recv_ns: int
    feed: int
    kind: int
    payload: bytes


@dataclass(slots=True, kw_only=True)
class Imported:
    """One tape to be written."""

    name: str
    label: str  # what it is, in words
    items: Iterable[Item]
    clock: str  # whose time recv_ns is
    raw: bool  # frames as received; else events made from a table
    symbols: Mapping[str, str]
    spec: MarketSpec | None = None
    missing: Sequence[str] = ()
    warnings: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)  # further manifest fields: strike, outcome, markets
    assumptions: Sequence[str] = ()  # what stands in for what the source does not tell, in words


def write_import(imported: Imported, out_dir: Path, *, file: Path, settings: TapeSettings) -> Path:
    """Write one tape; returns its folder.  Raises TapeError for an entry that is too large, OSError for a full disk."""
    packer = Packer(out_dir, settings)
    items = iter(imported.items)
    first = next(items, None)
    start_ns = 0 if first is None else first.recv_ns
    manifest = new_manifest(
        kind="import" if imported.spec is None else "market",
        name=imported.name,
        created_ns=start_ns,
        source={"label": imported.label, "file": file.name, "clock": imported.clock, "raw": imported.raw},
        symbols=imported.symbols,
        spec=imported.spec,
        missing=tuple(imported.missing),
    )
    manifest.update(imported.told, assumptions=list(imported.assumptions))
    tape = packer.open(imported.name, manifest)
    tape.own(start_ns, EntryKind.META, json.dumps(manifest).encode())
    last_ns = start_ns
    if first is not None:
        _put(tape, first)
        for item in items:
            _put(tape, item)
            last_ns = item.recv_ns
    tape.save(warnings=list(imported.warnings), missing=list(imported.missing), **imported.told)
    tape.close(last_ns, state="imported")
    packer.stop()
    if tape.error:
        raise OSError(0, tape.error)
    return tape.folder


def add_events(out: list[Item], events: EventBuffer, *, feed: int, force: bool = False) -> None:
    """Move the events of a buffer into an item when there are enough of them."""
    if len(events) >= EVENTS_PER_ENTRY or (force and len(events)):
        out.append(Item(events.recv_ns_at(len(events) - 1), feed, EntryKind.EVENTS, events.to_bytes()))
        events.reset()


def _put(tape: TapeWriter, item: Item) -> None:
    if item.kind == EntryKind.GAP:
        tape.gap(**json.loads(item.payload))
        return
    if not tape.own(item.recv_ns, item.kind, item.payload, feed=item.feed):
        raise TapeError(f"an entry of {len(item.payload)} bytes does not fit, or the disk is full: {tape.error}")
