"""What earlier recordings left behind: tapes of killed recorders, and markets whose outcome was not known yet.

Owns when they are looked at: once, at the start of a recording.  Sealing is polybot.tape.sealing's; the outcome is
the venue's own answer for the very market of the tape (condition id), asked once.
Called by record.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from polybot.clock import Clock
from polybot.config import Config
from polybot.errors import TapeError
from polybot.market.resolution import OutcomePoller, OutcomeUnknown
from polybot.tape.manifest import MANIFEST_NAME, read_manifest, spec_of
from polybot.tape.reader import find_tapes
from polybot.tape.sealing import is_unsealed, put_outcome, seal
from polybot.tape.writer import TapeSettings
from polybot.transport import HttpClient

__all__ = ["ask_outcomes", "seal_all"]

MAX_ASKED = 100  # of the newest tapes without an outcome: a venue forgets nothing, a start has to end
Notice = Callable[[str, str], None]


def seal_all(folder: Path, *, settings: TapeSettings) -> list[tuple[str, str]]:
    """Seal every tape below a folder that nobody closed; returns (level, text) lines for the operator."""
    lines = []
    for path in find_tapes(folder):
        if not is_unsealed(path):
            continue
        try:
            lines.append(("RECORD", f"{path.name}: {seal(path, settings=settings)}"))
        except (TapeError, OSError) as error:
            lines.append(("WARNING", f"{path.name}: not sealed: {error}"))
    return lines


async def ask_outcomes(folder: Path, config: Config, clock: Clock, http: HttpClient, notice: Notice) -> int:
    """Ask the venue for the outcomes of its ended windows whose tapes lack them; returns how many were found.

    An embedded venue that was just started knows no window of an earlier one and is not asked.
    """
    if config.venue.name == "sim" and not config.venue.attach:
        return 0
    poller = OutcomePoller(http, clock, config.venue, replace(config.engine, outcome_wait_s=0.0))
    lacking = _without_outcome(folder, config.venue.name, clock.now_ns())[-MAX_ASKED:]
    found = 0
    for path in reversed(lacking):
        try:
            spec = spec_of(read_manifest(path / MANIFEST_NAME))
            assert spec is not None, "only tapes of markets are asked for"
            outcome = await poller.wait(spec)
            put_outcome(path, outcome, source="the venue, asked later")
        except OutcomeUnknown:
            continue
        except (TapeError, OSError) as error:
            notice("WARNING", f"{path.name}: its outcome was not put in: {error}")
            continue
        found += 1
        notice("RECORD", f"{path.name}: the venue says {'Down' if outcome else 'Up'}")
    if len(lacking) > found:
        notice("WARNING", f"{len(lacking) - found} earlier tapes are still without an outcome")
    return found


def _without_outcome(folder: Path, venue: str, now_ns: int) -> list[Path]:
    """Closed tapes of ended markets of this venue that lack the outcome, oldest first."""
    found = []
    for path in find_tapes(folder):
        try:
            manifest = read_manifest(path / MANIFEST_NAME)
        except TapeError:
            continue
        market = manifest["market"]
        if market is None or manifest["outcome"] is not None or manifest["state"] == "recording":
            continue
        if manifest["source"].get("venue") == venue and market["end_ns"] < now_ns:
            found.append((market["end_ns"], path))
    return [path for _, path in sorted(found)]
