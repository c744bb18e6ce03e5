"""A tape opened for reading: manifest, frames, events, gaps and damage, for programs and notebooks.

Owns what a reader is told when the manifest is damaged or was not finished: then the entries say it.  Damage never
raises; it is in `damages`, what it took is in `gaps`, and the sound rest is there.  Changes nothing in the folder but
the cache of events.  Called through polybot.tape.open.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from polybot._fast.event import EVENT_DTYPE, EventKind
from polybot.errors import TapeError
from polybot.market.spec import MarketSpec
from polybot.tape import csv_views, export
from polybot.tape.cache import load_events
from polybot.tape.content import Content, read_content
from polybot.tape.manifest import MANIFEST_NAME, read_manifest, spec_of
from polybot.tape.records import Damage, Entry, EntryKind
from polybot.tape.writer import FRAMES_NAME

__all__ = ["Gap", "Tape", "find_tapes", "open_tape"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is missing: between from_ns and to_ns, `frames` of them (None: not known)."""

    feed: str
    cause: str  # reconnect, silence, dropped, stopped, damage
    from_ns: int
    to_ns: int
    frames: int | None
    detail: str


class Tape:
    """One tape; arrays are numpy, times ns since the epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content: Content | None = None
        self._events: tuple[npt.NDArray[np.void], npt.NDArray[np.void], dict[str, Any]] | None = None
        self._manifest_damage: Damage | None = None
        self._manifest: dict[str, Any] | None = None
        try:
            self._manifest = read_manifest(path / MANIFEST_NAME)
        except TapeError as error:
            self._manifest_damage = Damage(MANIFEST_NAME, 0, str(error), 0)
        if self._manifest is None or self._manifest["state"] == "recording":
            self._manifest = self._summed_up(self._manifest)

    def __repr__(self) -> str:
        return f"Tape({self.name!r}, {self.manifest['state']}, {len(self.content)} entries)"

    # -- what it is of ----------------------------------------------------------------------------------------

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Everything the manifest says."""
        assert self._manifest is not None
        return self._manifest

    @property
    def name(self) -> str:
        """The market's slug, or what else the tape is called."""
        return str(self.manifest["name"])

    @property
    def spec(self) -> MarketSpec | None:
        """The market, None for a tape without one."""
        return spec_of(self.manifest)

    @property
    def strike(self) -> float | None:
        """The price the window resolves against, None: not known."""
        told = self.manifest["strike"]
        return None if told is None else float(told["value"])

    @property
    def outcome(self) -> int | None:
        """0 Up, 1 Down as the venue published it, None: not known."""
        told = self.manifest["outcome"]
        return None if told is None else int(told)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is missing, as far as it is known."""
        return (*(Gap(**told) for told in self.manifest.get("gaps", ())), *self._damage_gaps())

    @property
    def damages(self) -> tuple[Damage, ...]:
        """Places that cannot be believed, manifest included."""
        found = list(self.content.damages)
        if self._manifest_damage is not None:
            found.insert(0, self._manifest_damage)
        if not found:
            found += self._shortfall()
        return tuple(found)

    # -- what is in it ----------------------------------------------------------------------------------------

    @property
    def content(self) -> Content:
        """All entries."""
        if self._content is None:
            self._content = read_content(self.path)
        return self._content

    @property
    def frames(self) -> npt.NDArray[np.void]:
        """Heads of all entries: recv_ns, seq, feed, kind, aux, size (and where the payload lies)."""
        return self.content.heads

    def payload(self, index: int) -> bytes:
        """Payload of entry `index`, exactly as received."""
        return self.content.payload(index)

    def entries(self) -> Iterator[Entry]:
        """All entries in order, bounded memory."""
        return self.content.entries()

    @property
    def events(self) -> npt.NDArray[np.void]:
        """Decoded events (EVENT_DTYPE), read-only; market events have index 0."""
        return self._load()[0]

    @property
    def units(self) -> npt.NDArray[np.void]:
        """Which entry became which events (polybot.tape.decoding.UNITS_DTYPE): `end` counts the events so far."""
        return self._load()[1]

    @property
    def decoding(self) -> Mapping[str, Any]:
        """What the decoders made of the frames: `counters` by feed, `made` (decoded now, not from the cache)."""
        return self._load()[2]

    # -- other forms ------------------------------------------------------------------------------------------

    def columns(self, what: str = "events") -> export.Columns:
        """`events`, `frames`, `trades`, `quotes`, `oracle` or `book` as a dict of numpy columns."""
        return export.columns(self, what)

    def to_pandas(self, what: str = "events") -> Any:
        """Return columns(what) as a DataFrame; raises TapeError without pandas."""
        return export.to_pandas(self, what)

    def to_parquet(self, folder: Path | str) -> list[Path]:
        """Write events, frames and what follows from them as Parquet; raises TapeError without pyarrow."""
        return export.to_parquet(self, Path(folder))

    def to_csv(self, folder: Path | str) -> list[Path]:
        """Write binance.csv, polymarket.csv, book.csv and market_info.json."""
        return csv_views.to_csv(self, Path(folder))

    # -- within -----------------------------------------------------------------------------------------------

    def _load(self) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void], dict[str, Any]]:
        if self._events is None:
            symbols = self.manifest["symbols"]
            self._events = load_events(self.path, self.content, symbols=symbols, spec=self.spec)
        return self._events

    def _summed_up(self, manifest: dict[str, Any] | None) -> dict[str, Any]:
        """The manifest as the entries tell it: of a tape that was not closed, or whose manifest is damaged."""
        content = self.content
        kinds = content.heads["kind"]
        if manifest is None:
            metas = np.flatnonzero(kinds == EntryKind.META)
            if not len(metas):
                raise TapeError(f"{self.path}: neither a manifest nor an entry that says what this tape is of")
            manifest = json.loads(content.payload(int(metas[0])))
            assert isinstance(manifest, dict)
        gaps = [json.loads(content.payload(int(at))) for at in np.flatnonzero(kinds == EntryKind.GAP)]
        recv_ns = content.heads["recv_ns"]
        manifest["gaps"] = gaps
        manifest["state"] = "complete" if content.is_ended else "interrupted"
        manifest["content"] = {
            "entries": len(content),
            "raw_bytes": int(content.heads["size"].sum()),
            "first_ns": int(recv_ns[0]) if len(content) else 0,
            "last_ns": int(recv_ns[-1]) if len(content) else 0,
        }
        self._manifest = manifest
        for row in self._own_events():
            if row["kind"] == EventKind.EV_STRIKE:
                told = {"value": float(row["x"]), "source": int(row["i"]), "stamp_ns": int(row["venue_ns"])}
                manifest["strike"] = {**told, "variance": float(row["y"])}
            elif row["kind"] == EventKind.EV_OUTCOME:
                manifest["outcome"] = int(row["outcome"])
        return manifest

    def _own_events(self) -> npt.NDArray[np.void]:
        at = np.flatnonzero(self.content.heads["kind"] == EntryKind.EVENTS)
        return np.frombuffer(b"".join(self.content.payload(int(index)) for index in at), EVENT_DTYPE)

    def _damage_gaps(self) -> Iterator[Gap]:
        first, last = (self.manifest["content"].get(key, 0) for key in ("first_ns", "last_ns"))
        for damage in self.damages:
            if damage.lost:
                lost = None if damage.lost < 0 else damage.lost
                yield Gap("all", "damage", first, last, lost, damage.text())

    def _shortfall(self) -> list[Damage]:
        """A closed tape that has fewer entries than it was closed with: files are missing or cut between blocks."""
        told = self.manifest["content"].get("entries", 0)
        have = len(self.content)
        if have == told:
            return []
        return [Damage(FRAMES_NAME, 0, f"{have} entries of the {told} it was closed with", max(0, told - have))]


def open_tape(path: Path | str) -> Tape:
    """Open a tape's folder; raises TapeError when it is none.  Damage does not raise: see `damages`."""
    folder = Path(path)
    if not (folder / FRAMES_NAME).exists() and not (folder / MANIFEST_NAME).exists():
        raise TapeError(f"{folder} is not a tape: neither {MANIFEST_NAME} nor {FRAMES_NAME} in it")
    return Tape(folder)


def find_tapes(folder: Path | str) -> list[Path]:
    """Folders of tapes below a folder, sorted by name."""
    return sorted(path.parent for path in Path(folder).rglob(FRAMES_NAME))
