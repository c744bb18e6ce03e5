"""A log run again: the engine is built as then and given everything in order; every Command is compared byte for byte.

`Player` is the engine and where it stands, turn by turn (the stepper uses it); `verify` plays a log to its end or to
the first difference, which it tells in words.  The settings are the log's, not the command line's; the hard ceilings
are what the environment had said then.
Must not write anything.  Called by replay.command, the stepper and tests.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

import polybot
from polybot._fast.engine import Engine
from polybot._fast.event import COMMAND_DTYPE, EVENT_DTYPE, CommandKind, EventBuffer, EventKind
from polybot.assembly import HARD_MAX_ENV, build_engine
from polybot.config import Config, config_from_mapping, config_to_mapping, default_config
from polybot.errors import TapeError
from polybot.replay.calls import apply_call
from polybot.replay.inputs import InputsLog, Turn
from polybot.tape.decoding import decoder_version

__all__ = ["Player", "Verdict", "config_of", "verify"]

# Sections of the settings that decide what an engine is; the others are today's.
SECTIONS = ("interval", "asset", "mode", "risk", "strategy", "model", "engine", "paper")
PROGRESS_TURNS = 20_000
MAX_FIELDS = 12  # of a difference that are told
Notes = list[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a replay came to."""

    steps: int  # batches and calls played
    commands: int  # compared and equal
    sha256: str  # over the commands somebody acted on, in order
    difference: str  # "" when none was found
    ending: str  # why exactness ended before the log did, "" when it did not
    is_ended: bool  # the log was closed in order
    notes: tuple[str, ...]  # what a person should know: other versions, damage

    @property
    def is_identical(self) -> bool:
        """Is everything that is there the same?"""
        return not self.difference and not self.ending

    def text(self) -> str:
        """The result in a line."""
        done = f"{self.steps:,} steps, {self.commands:,} commands"
        if self.difference:
            return f"DIFFERENT after {done} that are identical: {self.difference}"
        if self.ending:
            return f"{done}, identical up to here (sha256 {self.sha256}); exactness ends: {self.ending}"
        end = "" if self.is_ended else "; the process ended without closing the log"
        return f"{done}, identical (sha256 {self.sha256}){end}"


class Player:
    """An engine as it was at the start of a log, and the way on from there."""

    def __init__(self, log: InputsLog) -> None:
        """Build the engine; raises ConfigError for a strategy or setting that is not there any more."""
        self.log = log
        self.notes: Notes = _version_notes(log)
        self.config = config_of(log, self.notes)
        self.engine: Engine = build_engine(self.config, environ={HARD_MAX_ENV: str(log.facts["hard_max_usd"])})
        self.turn: Turn | None = None  # the last one played
        self._turns: Iterator[Turn] = log.turns()
        self._buffer = EventBuffer()

    def step(self) -> tuple[Turn, bytes] | None:
        """Play the next turn; returns it with the engine's Commands, None at the end."""
        turn = next(self._turns, None)
        if turn is None:
            return None
        self.turn = turn
        return turn, self.play(turn)

    def play(self, turn: Turn) -> bytes:
        """Give the engine one turn; returns its Commands.  Raises TapeError for one it cannot take."""
        if turn.call is not None:
            self._call(turn)
            return b""
        self._buffer.reset()
        self._buffer.extend(np.frombuffer(turn.events, EVENT_DTYPE))
        try:
            commands = self.engine.process(self._buffer).to_bytes()
        except Exception as error:  # the guard of a replay: what raised then must raise again, nothing else may
            if not turn.has_raised:
                raise TapeError(f"{_place(turn)}: the engine raised {type(error).__name__}: {error}") from error
            return b""
        if turn.has_raised:
            raise TapeError(f"{_place(turn)}: the engine raised then and does not now")
        return commands

    def _call(self, turn: Turn) -> None:
        assert turn.call is not None
        name = turn.call.name
        try:
            apply_call(self.engine, name, turn.call.args)
        except (KeyError, TypeError, ValueError) as error:
            raise TapeError(f"{_place(turn)}: {name} cannot be done: {type(error).__name__}: {error}") from error


def verify(log: InputsLog, *, on_progress: Callable[[Turn], None] | None = None) -> Verdict:
    """Play a log and compare; stops at the first difference."""
    player, digest = Player(log), hashlib.sha256()
    steps = commands = 0
    difference = ""
    while not difference:
        try:
            played = player.step()
        except TapeError as error:
            difference = str(error)
            break
        if played is None:
            break
        turn, made = played
        if turn.commands is not None:
            difference = _difference(turn, made) if made != turn.commands else ""
            commands += 0 if difference else len(made) // COMMAND_DTYPE.itemsize
        if not turn.is_quiet and not difference and turn.commands is not None:
            digest.update(made)
        steps += not difference
        if on_progress is not None and turn.number % PROGRESS_TURNS == 0:
            on_progress(turn)
    return Verdict(
        steps=steps,
        commands=commands,
        sha256=digest.hexdigest(),
        difference=difference,
        ending="" if difference else log.ending,
        is_ended=log.is_ended,
        notes=(*player.notes, *(damage.text() for damage in log.damages)),
    )


def config_of(log: InputsLog, notes: Notes) -> Config:
    """The settings a log was written with, as far as they make the engine; what differs from today's goes to `notes`.

    Raises ConfigError for values this program refuses.
    """
    told, today = log.config, config_to_mapping(default_config())
    mapping: dict[str, Any] = dict(today)
    for name in SECTIONS:
        if name == "strategy":
            mapping[name] = {key: _strategy(key, item, today[name], notes) for key, item in told[name].items()}
        elif name in told:
            mapping[name] = _merged(told[name], today[name], name, notes)
    mapping["venue"] = {**today["venue"], "speed": told["venue"]["speed"], "seed": told["venue"].get("seed", 0)}
    return config_from_mapping(mapping)


def _merged(told: Any, today: Any, path: str, notes: Notes) -> Any:
    """The log's values; a setting that is not known any more is left out, a new one gets today's default."""
    if not isinstance(told, Mapping) or not isinstance(today, Mapping) or not today or _is_table(path):
        return told
    for key in told.keys() - today.keys():
        notes.append(f"setting {path}.{key} of the log is not known to this program and is left out")
    for key in today.keys() - told.keys():
        notes.append(f"setting {path}.{key} was not known then: today's default {today[key]} is used")
    return {
        key: _merged(told[key], today[key], f"{path}.{key}", notes) if key in told else today[key] for key in today
    }


def _strategy(name: str, told: Mapping[str, Any], today: Mapping[str, Any], notes: Notes) -> Any:
    """A built-in strategy's parameters as above; of one of somebody's own exactly those of then."""
    ours = today.get(name)
    if ours is None or ours["_target_"] != told["_target_"]:
        return told
    return _merged(told, ours, f"strategy.{name}", notes)


def _is_table(path: str) -> bool:
    """Whether the keys at this path are names, and not settings."""
    return path in ("risk.strategies", "asset.series_slugs", "engine.observe_rules", "model.vol")


def _version_notes(log: InputsLog) -> Notes:
    notes = []
    ours = f"polybot {polybot.__version__}"
    if log.program != ours:
        notes.append(f"WARNING: written by {log.program}, replayed by {ours}: a difference may be the version's")
    if log.facts["decoder"] != decoder_version():
        notes.append("the decoders are of another build; a replay does not need them: it has their events")
    return notes


# -- differences in words ---------------------------------------------------------------------------------------


def _place(turn: Turn) -> str:
    at = datetime.fromtimestamp(turn.recv_ns // 1_000_000_000, UTC)
    return f"step {turn.number} at {at:%Y-%m-%d %H:%M:%S}.{turn.recv_ns % 1_000_000_000:09d} UTC"


def _difference(turn: Turn, made: bytes) -> str:
    """The first Command that is not the same, both sides, and what the engine had been given."""
    assert turn.commands is not None
    logged, now = (np.frombuffer(raw, COMMAND_DTYPE) for raw in (turn.commands, made))
    given = ", ".join(dict.fromkeys(EventKind(kind).name for kind in _kinds(turn.events)))
    where = f"{_place(turn)} ({given})"
    size = COMMAND_DTYPE.itemsize
    for index in range(min(len(logged), len(now))):
        pair = turn.commands[index * size : (index + 1) * size], made[index * size : (index + 1) * size]
        if pair[0] != pair[1]:
            return f"{where}, command {index + 1}: {_fields(logged[index], now[index])}"
    more, whose = (logged, "the log") if len(logged) > len(now) else (now, "the replay")
    extra = more[min(len(logged), len(now))]
    return (
        f"{where}: the log has {len(logged)} commands, the replay made {len(now)}; "
        f"only {whose} has {_shown(extra)}"
    )


def _kinds(events: bytes) -> list[int]:
    known = {int(kind) for kind in EventKind}
    return [int(kind) for kind in np.frombuffer(events, EVENT_DTYPE)["kind"] if int(kind) in known]


def _fields(logged: Any, now: Any) -> str:
    names = [name for name in COMMAND_DTYPE.names or () if logged[name].tobytes() != now[name].tobytes()]
    told = ", ".join(f"{name} {logged[name]} in the log, {now[name]} now" for name in names[:MAX_FIELDS])
    return f"{_shown(logged)}: {told}"


def _shown(record: Any) -> str:
    kind = int(record["kind"])
    name = CommandKind(kind).name if kind in set(CommandKind) else f"kind {kind}"
    return f"{name} of market {record['market']}, order {record['order_seq']}, strategy {record['strategy']}"
