"""The command `replay`: one log or all logs below a folder run again, each with its result in a line.

Exit codes: 0 everything that is there is identical (also of a process that was killed), 1 a difference, or entries are
missing in the middle, or the beginning was removed, 2 nothing to replay.  Called by polybot.cli.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from polybot.clock import wall_clock
from polybot.config import Config
from polybot.errors import ConfigError
from polybot.replay.inputs import InputsLog, Turn, find_inputs, open_inputs
from polybot.replay.step import run_step
from polybot.replay.verify import Verdict, verify

__all__ = ["run"]

EXIT_OK, EXIT_FAILED = 0, 1
MAX_NOTES = 20


def run(config: Config, *, out: TextIO = sys.stdout) -> int:
    """Replay what `replay.source` names; returns the exit code."""
    if config.replay.step:
        return run_step(config)
    source = config.replay.source
    if not source:
        raise ConfigError("replay needs source=FOLDER: a log, or a folder with logs below it (source=logs)")
    found = find_inputs(Path(source))
    if not found:
        raise ConfigError(f"replay.source={source} is not allowed: there is no inputs log in it")
    code = EXIT_OK
    for folder in found:
        log = open_inputs(folder)
        verdict = _replay(log, out)
        code = code if verdict.is_identical else EXIT_FAILED
    if len(found) > 1:
        out.write(f"{len(found)} logs replayed\n")
    return code


def _replay(log: InputsLog, out: TextIO) -> Verdict:
    interval, asset = (log.config[name]["name"] for name in ("interval", "asset"))
    out.write(f"replay {log.folder}: {asset} {interval}, {log.program}, {len(log.parts)} parts\n")
    begun_ns = wall_clock().mono_ns()
    verdict = verify(log, on_progress=_progress(out))
    took_s = (wall_clock().mono_ns() - begun_ns) / 1e9
    for note in verdict.notes[:MAX_NOTES]:
        out.write(f"  {note}\n")
    if len(verdict.notes) > MAX_NOTES:
        out.write(f"  ... and {len(verdict.notes) - MAX_NOTES} more\n")
    out.write(f"{verdict.text()}\n  {took_s:.1f} s\n")
    return verdict


def _progress(out: TextIO) -> Callable[[Turn], None]:
    """A line that is written over on a terminal, plain lines elsewhere."""
    end = "\r" if out.isatty() else "\n"

    def tell(turn: Turn) -> None:
        at = datetime.fromtimestamp(turn.recv_ns / 1e9, UTC)
        out.write(f"  step {turn.number:,}, {at:%Y-%m-%d %H:%M:%S} UTC{end}")
        out.flush()

    return tell
