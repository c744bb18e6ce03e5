"""An inputs log opened for reading: its parts in order, what the engine was given and what it answered.

A log is a folder of parts `part-0001`, `part-0002` ..., each a tape folder with entries META (the manifest), EVENTS
(one batch as it was given to `engine.process`), COMMANDS (the answer), CALL (JSON: an act that is no event), GAP, END.
Entries are numbered over all parts, so that what is missing is seen.  Memory is bounded by one part's heads and one
block.  Damage never raises: `damages` names file and offset, and what is sound is there.
Must not run an engine.  Called through polybot.replay.open_inputs, by replay.verify, the stepper and the backtest.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE, EventKind
from polybot.errors import TapeError
from polybot.replay.calls import AUX_COMMANDS, AUX_MORE, AUX_QUIET, AUX_RAISED, INPUTS_KIND, PART_GLOB
from polybot.tape.content import Content, read_content
from polybot.tape.manifest import MANIFEST_NAME, read_manifest
from polybot.tape.records import Damage, Entry, EntryKind
from polybot.tape.writer import FRAMES_NAME

__all__ = ["INPUTS_KIND", "OWN_KINDS", "Call", "InputsLog", "Step", "Turn", "find_inputs", "open_inputs"]

EVENTS, CALL, COMMANDS = int(EntryKind.EVENTS), int(EntryKind.CALL), int(EntryKind.COMMANDS)
GAP, END, META = int(EntryKind.GAP), int(EntryKind.END), int(EntryKind.META)
# What only concerns our own account: a backtest makes these itself.
OWN_KINDS = (int(EventKind.EV_ORDER_UPDATE), int(EventKind.EV_FILL), int(EventKind.EV_BALANCE))
CHUNK_RECORDS = 65_536
CLOSED_STATES = ("complete", "stopped")  # a manifest's, when the process closed its log itself

Records = npt.NDArray[np.void]


class Step(NamedTuple):
    """One entry: kind EVENTS or COMMANDS with records, or CALL with a mapping (`do` names the act)."""

    kind: int
    recv_ns: int
    payload: Any


@dataclass(frozen=True, slots=True)
class Call:
    """An act on the engine that is no event."""

    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """What happened in one go: a batch of events with its answer, or a call."""

    number: int  # from 1
    recv_ns: int
    call: Call | None = None
    events: bytes = b""
    commands: bytes | None = b""  # None: the log ends before the answer was written
    is_quiet: bool = False  # restored: nobody acted on the commands
    has_raised: bool = False


class InputsLog:
    """One log; times are ns since the epoch."""

    def __init__(self, folder: Path) -> None:
        """Use `open_inputs`."""
        self.folder = folder
        self.parts = sorted(path for path in folder.glob(PART_GLOB) if _is_part(path))
        if not self.parts:
            raise TapeError(f"{folder} is no inputs log: no part-0001 in it")
        self.ending = ""  # after turns(): why exactness ended before the last entry; "" when it did not
        self.is_ended = False  # after turns(): was the log closed in order?
        self._damages: dict[Path, list[Damage]] = {}
        self.manifest = _manifest_of(self.parts[0], self._read(self.parts[0]) if _is_broken(self.parts[0]) else None)
        self._facts: Mapping[str, Any] = json.loads(self.manifest["facts"])

    def __repr__(self) -> str:
        return f"InputsLog({self.name!r}, {len(self.parts)} parts)"

    # -- what it is of ----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Start and session."""
        return str(self.manifest["name"])

    @property
    def program(self) -> str:
        """The program that wrote it, with its version."""
        return str(self.manifest["program"])

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the writer said of itself: config, strategies, decoder, hard_max_usd."""
        return self._facts

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings it ran with, resolved, without secrets."""
        told: Mapping[str, Any] = self._facts["config"]
        return told

    @property
    def damages(self) -> list[Damage]:
        """Places that cannot be believed, of all parts."""
        for part in self.parts:
            if part not in self._damages:
                self._read(part)
        return [damage for part in self.parts for damage in self._damages[part]]

    # -- what is in it ----------------------------------------------------------------------------------------

    def entries(self) -> Iterator[Entry]:
        """All entries in order, bounded memory."""
        for part in self.parts:
            yield from self._read(part).entries()

    def steps(self) -> Iterator[Step]:
        """(kind, recv_ns, payload) of every batch, answer and call, over gaps as well."""
        for entry in self.entries():
            if entry.kind == EVENTS:
                yield Step(EVENTS, entry.recv_ns, np.frombuffer(entry.payload, EVENT_DTYPE))
            elif entry.kind == COMMANDS:
                yield Step(COMMANDS, entry.recv_ns, np.frombuffer(entry.payload, COMMAND_DTYPE))
            elif entry.kind == CALL:
                yield Step(CALL, entry.recv_ns, json.loads(entry.payload))

    @property
    def calls(self) -> Iterator[tuple[int, Call]]:
        """(when, call) of every call."""
        for step in self.steps():
            if step.kind == CALL:
                yield step.recv_ns, _call_of(step.payload)

    def commands(self) -> Records:
        """Every Command that somebody acted on or told, in order (COMMAND_DTYPE)."""
        found = [
            entry.payload for entry in self.entries() if entry.kind == COMMANDS and not entry.aux & AUX_QUIET
        ]
        return np.frombuffer(b"".join(found), COMMAND_DTYPE)

    def events(self) -> Iterator[Records]:
        """Market data alone, in pieces, timers among them: what a backtest is given (see `items`)."""
        for item in self.items():
            if not isinstance(item, Call):
                yield item

    def items(
        self, *, without: tuple[int, ...] = OWN_KINDS, over_gaps: bool = True
    ) -> Iterator["Records | Call"]:
        """Calls, and between them events in pieces (EVENT_DTYPE), in order.

        Kinds in `without` are left out: as a rule what was told of our own orders and money.  over_gaps=False ends
        where the first entry is missing, and `ending` says so.
        """
        held: list[bytes] = []
        count = last_seq = 0
        if not over_gaps:
            self.ending = ""
        for entry in self.entries():
            if not over_gaps and (entry.kind == GAP or entry.seq != last_seq + 1):
                self.ending = self._gap_text(entry, last_seq)
                break
            last_seq = entry.seq
            if entry.kind == EVENTS:
                held.append(entry.payload)
                count += len(entry.payload) // EVENT_DTYPE.itemsize
            if held and (entry.kind == CALL or (count >= CHUNK_RECORDS and not entry.aux & AUX_MORE)):
                yield _joined(held, without)
                held, count = [], 0
            if entry.kind == CALL:
                yield _call_of(json.loads(entry.payload))
        if held:
            yield _joined(held, without)

    def turns(self) -> Iterator[Turn]:
        """Everything that can be run again exactly, from the start; then `ending` says why it is not more."""
        self.ending, self.is_ended = "", False
        if self.manifest["part"] != 1:
            self.ending = f"its beginning is not there any more ({self.parts[0].name} is the first part)"
            return
        held: list[bytes] = []
        answer: list[bytes] = []
        wants: Entry | None = None
        made = last_seq = 0
        for entry in self.entries():
            if entry.seq != last_seq + 1 or entry.kind == GAP:
                self.ending = self._gap_text(entry, last_seq)
                return
            last_seq = entry.seq
            if entry.kind == COMMANDS:
                answer.append(entry.payload)
            elif entry.kind == EVENTS:
                held.append(entry.payload)
                wants = entry
            if entry.kind not in (EVENTS, COMMANDS):
                self.is_ended = entry.kind == END and not entry.aux & AUX_MORE
                if entry.kind == CALL:
                    made += 1
                    yield Turn(made, entry.recv_ns, _call_of(json.loads(entry.payload)))
            elif not entry.aux & AUX_MORE and not (entry.kind == EVENTS and entry.aux & AUX_COMMANDS):
                made += 1
                yield _turn_of(made, wants or entry, held, b"".join(answer))
                held, answer, wants = [], [], None
        if wants is not None:  # the process ended between a batch and its answer
            yield _turn_of(made + 1, wants, held, None)
        if not self.is_ended:
            self.ending = self._last_gap_text()

    # -- within -----------------------------------------------------------------------------------------------

    def _read(self, part: Path) -> Content:
        content = read_content(part)
        self._damages[part] = [
            Damage(f"{part.name}/{one.file}", one.offset, one.detail, one.lost) for one in content.damages
        ]
        return content

    def _last_gap_text(self) -> str:
        """What was dropped up to a close in order: with no room for an entry the manifest alone says it."""
        if _is_broken(self.parts[-1]):
            return ""
        manifest = read_manifest(self.parts[-1] / MANIFEST_NAME)
        gaps = manifest.get("gaps") if manifest.get("state") in CLOSED_STATES else None
        return f"{gaps[-1]['frames']} entries were dropped: {gaps[-1]['detail']}" if gaps else ""

    def _gap_text(self, entry: Entry, last_seq: int) -> str:
        if entry.kind == GAP:
            told = json.loads(entry.payload)
            return f"{told['frames']} entries were dropped: {told['detail']}"
        damaged = "; ".join(damage.text() for damage in self.damages if damage.lost)
        return f"{entry.seq - last_seq - 1} entries are missing{f': {damaged}' if damaged else ''}"


def open_inputs(folder: Path | str) -> InputsLog:
    """Open one log; raises TapeError when the folder is none."""
    path = Path(folder)
    return InputsLog(path.parent if _is_part(path) and path.match(PART_GLOB) else path)


def find_inputs(folder: Path | str) -> list[Path]:
    """Folders of logs: this one, or all below it, in the order of their names; [] when there is none."""
    path = Path(folder)
    if any(_is_part(part) for part in path.glob(PART_GLOB)):
        return [path]
    return sorted({part.parent for part in path.rglob(PART_GLOB) if _is_part(part)}, key=lambda one: one.name)


def _is_part(path: Path) -> bool:
    return (path / FRAMES_NAME).exists() or (path / MANIFEST_NAME).exists()


def _is_broken(part: Path) -> bool:
    try:
        return bool(read_manifest(part / MANIFEST_NAME)["kind"] != INPUTS_KIND)
    except TapeError:
        return True


def _manifest_of(part: Path, content: Content | None) -> dict[str, Any]:
    """The manifest of a part, from its first entry when the file cannot be read; raises TapeError."""
    if content is None:
        return read_manifest(part / MANIFEST_NAME)
    metas = np.flatnonzero(content.heads["kind"] == META)
    document = json.loads(content.payload(int(metas[0]))) if len(metas) else None
    if not isinstance(document, dict) or document.get("kind") != INPUTS_KIND:
        raise TapeError(f"{part}: neither its manifest nor an entry says that this is an inputs log")
    return document


def _call_of(told: Mapping[str, Any]) -> Call:
    return Call(told["do"], {key: value for key, value in told.items() if key != "do"})


def _turn_of(number: int, entry: Entry, held: list[bytes], commands: bytes | None) -> Turn:
    return Turn(
        number,
        entry.recv_ns,
        events=b"".join(held),
        commands=commands,
        is_quiet=bool(entry.aux & AUX_QUIET),
        has_raised=bool(entry.aux & AUX_RAISED),
    )


def _joined(held: list[bytes], without: tuple[int, ...]) -> Records:
    records = np.frombuffer(b"".join(held), EVENT_DTYPE)
    return records[~np.isin(records["kind"], without)] if without else records
