"""What the stepper walks over: recorded events with the calls between them, and what takes them.

Owns the script of a walk (events in the order an engine got them, calls at their places), the walk itself and the one
pass that notes where commands came out.  Everything is deterministic, so going back is going again from the start:
an engine takes some ten million events a second.  Must not read files, know a screen or hold a second copy of a rule.
Called by step_model; step_sources makes scripts.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from polybot._fast.engine import Engine
from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE, CommandKind, EventBuffer, EventFlag, EventKind
from polybot.market.spec import MarketSpec

__all__ = [
    "NOTED_KINDS",
    "NO_COMMANDS",
    "Call",
    "Commands",
    "EngineMachine",
    "Events",
    "Life",
    "Machine",
    "Noted",
    "Script",
    "Spool",
    "Walk",
    "find_ends",
    "note_commands",
    "times_of",
]

Events = npt.NDArray[np.void]
Commands = npt.NDArray[np.void]
NO_COMMANDS: Commands = np.empty(0, COMMAND_DTYPE)
CHUNK_EVENTS = 4_096  # fed at once where nothing between two messages matters
BLOCK_MESSAGES = 2_048
NOTED_KINDS = tuple(
    int(kind)
    for kind in (
        CommandKind.CMD_SIGNAL,
        CommandKind.CMD_ORDER,
        CommandKind.CMD_FILL,
        CommandKind.CMD_SETTLEMENT,
    )
)


class Machine(Protocol):
    """Something that takes events and decides; built anew for every walk."""

    engine: Engine

    def feed(self, events: Events) -> Commands:
        """Take whole messages in order; the commands that came out."""
        ...


class EngineMachine:
    """The plain engine: what it got is on record, answers to its orders included."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._buffer = EventBuffer(CHUNK_EVENTS)

    def feed(self, events: Events) -> Commands:
        """Process the events."""
        self._buffer.reset()
        self._buffer.extend(events)
        out = self.engine.process(self._buffer)
        return out.to_numpy() if len(out) else NO_COMMANDS


class Spool:
    """Events gathered piece by piece in a file without a name, so that a long session needs no memory."""

    def __init__(self) -> None:
        self.count = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *caught: object) -> None:
        self._file.close()

    def add(self, events: Events) -> None:
        """Append a piece."""
        self.add_bytes(np.ascontiguousarray(events).tobytes())

    def add_bytes(self, raw: bytes) -> None:
        """Append a piece as it lies in memory."""
        self._file.write(raw)
        self.count += len(raw) // EVENT_DTYPE.itemsize

    def events(self) -> Events:
        """All of it, mapped; the mapping outlives this spool."""
        self._file.flush()
        if not self.count:
            return np.empty(0, EVENT_DTYPE)
        return np.asarray(np.memmap(self._file, EVENT_DTYPE, mode="r"))


@dataclass(frozen=True, slots=True)
class Call:
    """Something that was done between two messages: a market opened or dropped, say."""

    at: int  # number of events that came before it; it is made before the next one
    apply: Callable[[Any], Any]  # is given the machine


@dataclass(frozen=True, slots=True)
class Script:
    """Everything a walk needs; `title` says on the screen what is walked over and by what."""

    title: str
    events: Events
    calls: tuple[Call, ...]
    build: Callable[[], Machine]
    warnings: tuple[str, ...] = ()
    told: Commands | None = None  # what the session itself said, of NOTED_KINDS; None: nobody knows


@dataclass(frozen=True, slots=True)
class Life:
    """One market's time in the engine: it is there after `first` events and until `last` events were taken."""

    index: int
    spec: MarketSpec
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Noted:
    """What one pass over the whole script found: commands, after how many events each came, markets."""

    rows: Commands
    at: npt.NDArray[np.int64]
    lives: tuple[Life, ...]


class Walk:
    """One machine on its way through a script; forward only."""

    def __init__(self, script: Script, ends: npt.NDArray[np.int64]) -> None:
        self.machine = script.build()
        self.at = 0  # events taken
        self._script = script
        self._ends = ends
        self._calls = 0  # calls made
        self._opened: dict[int, tuple[MarketSpec, int]] = {}
        self._lives: list[Life] = []

    @property
    def engine(self) -> Engine:
        """The machine's engine."""
        return self.machine.engine

    @property
    def lives(self) -> tuple[Life, ...]:
        """Markets met so far, in the order they came; one that is still there lives until `at`."""
        still = [Life(index, spec, first, self.at) for index, (spec, first) in self._opened.items()]
        return tuple(sorted([*self._lives, *still], key=lambda life: (life.first, life.index)))

    def go(self, at: int) -> None:
        """Take events until `at` of them are taken; calls that stand there are made when it goes on."""
        for _ in self.parts(at):
            pass

    def parts(self, at: int) -> Iterator[tuple[int, Commands]]:
        """Go to `at`; yields (events taken, commands) of every part that brought commands."""
        assert at >= self.at, "a walk goes forward only"
        while self.at < at:
            self._make_calls()
            until = min(at, self._next_call(), self._part_end())
            commands = self.machine.feed(self._script.events[self.at : until])
            self.at = until
            if len(commands):
                yield until, commands

    def _part_end(self) -> int:
        """End of the message in which a chunk would end: a message is never cut."""
        place = int(np.searchsorted(self._ends, self.at + CHUNK_EVENTS))
        return int(self._ends[min(place, len(self._ends) - 1)])

    def _next_call(self) -> int:
        calls = self._script.calls
        return calls[self._calls].at if self._calls < len(calls) else len(self._script.events)

    def _make_calls(self) -> None:
        calls = self._script.calls
        while self._calls < len(calls) and calls[self._calls].at <= self.at:
            calls[self._calls].apply(self.machine)
            self._calls += 1
            self._note_markets()

    def _note_markets(self) -> None:
        """A call may have opened or dropped markets."""
        markets = self.engine.markets
        for index in [index for index in self._opened if index not in markets]:
            spec, first = self._opened.pop(index)
            self._lives.append(Life(index, spec, first, self.at))
        for index, market in markets.items():
            self._opened.setdefault(index, (market.spec, self.at))


def find_ends(script: Script) -> npt.NDArray[np.int64]:
    """Numbers of events after which a message is complete or a call is made; the last one is all of them.

    A message is cut as the pump cuts it: up to F_END, within one receipt; what is no venue's data stands alone.
    """
    events = script.events
    if not len(events):
        return np.empty(0, np.int64)
    alone = events["kind"] > int(EventKind.EV_RESOLVED)
    ended = alone | ((events["flags"] & int(EventFlag.F_END)) != 0)
    ended[:-1] |= alone[1:] | (events["recv_ns"][1:] != events["recv_ns"][:-1])
    ended[-1] = True
    called = np.array([call.at for call in script.calls if call.at > 0], np.int64)
    return np.union1d(np.flatnonzero(ended) + 1, called).astype(np.int64)


def times_of(script: Script, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Receive time of the messages that end there, ns; an engine's time never goes back."""
    times: npt.NDArray[np.int64] = np.maximum.accumulate(script.events["recv_ns"])[ends - 1]
    return times


def note_commands(script: Script, ends: npt.NDArray[np.int64]) -> Noted:
    """Go through the whole script and note what came out and after which message, and which markets lived.

    Two walks: the first finds blocks in which anything is said at all, the second feeds the messages of those instants
    one by one, so that the place of every command is exact and a quiet day is not walked message by message.
    """
    scout, walk = Walk(script, ends), Walk(script, ends)
    times = times_of(script, ends)
    found: list[Commands] = []
    places: list[npt.NDArray[np.int64]] = []
    for first in range(0, len(ends), BLOCK_MESSAGES):
        last = min(first + BLOCK_MESSAGES, len(ends))
        heard = [_kept(rows)["decided_ns"] for _, rows in scout.parts(int(ends[last - 1]))]
        for number in _messages_at(np.concatenate(heard), times) if heard else ():
            if first <= number < last:
                _note(walk, int(ends[number - 1]) if number else 0, found, places)
                _note(walk, int(ends[number]), found, places)
        _note(walk, int(ends[last - 1]), found, places)
    rows = np.concatenate(found) if found else NO_COMMANDS
    return Noted(rows, np.concatenate(places) if places else np.empty(0, np.int64), walk.lives)


def _kept(rows: Commands) -> Commands:
    kept: Commands = rows[np.isin(rows["kind"], NOTED_KINDS)]
    return kept


def _messages_at(decided_ns: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> list[int]:
    """Numbers of the messages that may have brought these commands, in order.

    A command is of a message received at its time, or of the next one (a simulated venue's answer, a heartbeat).
    """
    numbers: set[int] = set()
    for at_ns in np.unique(decided_ns):
        low = int(np.searchsorted(times, at_ns))
        if low < len(times):
            numbers.update(range(low, int(np.searchsorted(times, times[low], side="right")) + 1))
    return sorted(numbers)


def _note(walk: Walk, at: int, found: list[Commands], places: list[npt.NDArray[np.int64]]) -> None:
    if at <= walk.at:
        return
    for taken, rows in walk.parts(at):
        kept = _kept(rows)
        if len(kept):
            found.append(kept)
            places.append(np.full(len(kept), taken, np.int64))
