"""An inputs log as a script for the stepper: what one session's engine was given, fed to the same engine again.

Owns the turning of turns into events and calls, and what a person must know of the log: damage, where exactness ends,
other versions.  What the session itself said goes along, so that a program that decides otherwise is noticed.
Must not decide.  Called by step.
"""

from functools import partial

import numpy as np

from polybot._fast.event import COMMAND_DTYPE
from polybot.assembly import HARD_MAX_ENV, build_engine
from polybot.config import Config
from polybot.replay.calls import apply_call
from polybot.replay.inputs import Call as LoggedCall
from polybot.replay.inputs import InputsLog
from polybot.replay.step_script import NOTED_KINDS, Call, Commands, EngineMachine, Script, Spool
from polybot.replay.verify import Player

__all__ = ["INPUTS_TITLE", "inputs_script"]

HELD_ANSWERS = 1_024  # sifted at once
INPUTS_TITLE = "SESSION, its own engine fed again: orders and fills as they were"


def inputs_script(log: InputsLog) -> Script:
    """Make a script of one log, as far as it can be run again exactly.

    Raises ConfigError for a strategy or setting that is not there any more.
    """
    player = Player(log)
    calls: list[Call] = []
    told = _Told()
    warnings = [*player.notes, *(f"DAMAGE {damage.text()}" for damage in log.damages)]
    with Spool() as spool:
        for turn in log.turns():
            if turn.call is not None:
                calls.append(Call(spool.count, partial(_apply, call=turn.call)))
            elif turn.has_raised:
                warnings.append("the engine raised here: the session is shown up to it")
                break
            else:
                spool.add_bytes(turn.events)
                told.add(turn.commands)
        events = spool.events()
    if log.ending:
        warnings.append(f"shown up to here: {log.ending}")
    return Script(
        title=INPUTS_TITLE,
        events=events,
        calls=tuple(calls),
        build=partial(_machine, player.config, str(log.facts["hard_max_usd"])),
        warnings=tuple(warnings),
        told=told.rows(),
    )


def _machine(config: Config, hard_max_usd: str) -> EngineMachine:
    return EngineMachine(build_engine(config, environ={HARD_MAX_ENV: hard_max_usd}))


def _apply(machine: EngineMachine, *, call: LoggedCall) -> None:
    apply_call(machine.engine, call.name, call.args)


class _Told:
    """What the session said, of NOTED_KINDS; up to the first answer that was not written."""

    def __init__(self) -> None:
        self._rows: list[Commands] = []
        self._held: list[bytes] = []
        self._is_whole = True

    def add(self, commands: bytes | None) -> None:
        """One answer; None: the process ended before it was written."""
        self._is_whole = self._is_whole and commands is not None
        if commands and self._is_whole:
            self._held.append(commands)
            if len(self._held) >= HELD_ANSWERS:
                self._sift()

    def rows(self) -> Commands:
        """All of them."""
        self._sift()
        return np.concatenate(self._rows)

    def _sift(self) -> None:
        rows = np.frombuffer(b"".join(self._held), COMMAND_DTYPE)
        self._rows.append(rows[np.isin(rows["kind"], NOTED_KINDS)])
        self._held = []
