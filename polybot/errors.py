"""The whole exception tree of polybot; user and venue input raises these, asserts state invariants of our own.

    PolybotError
    +-- ConfigError          a setting is wrong: exit code 2, one line, nothing connected
    +-- DecodeError          bytes from a venue that cannot be what they claim
    +-- MarketRefused        a market we must not trade (unknown rule, missing ids, ...)
    +-- SigningError         an order that cannot be signed as asked
    +-- VenueError           the venue answered and said no, or answered nonsense
    |   +-- VenueUnavailable no answer (timeout, reset); its kind NotSent: nothing had left
    +-- StateDamaged         a file of ours that cannot be what it claims: entries stay halted
    +-- TapeError            a tape or a recording that cannot be read as what it should be
    +-- JobsFailed, JournalError        work on other cores; the money journal took no record: nothing may be sent
    +-- AlreadyRunning, KillFileFound, NotReady, NoDaemon     who may start, and whom a command may talk to
    +-- InvariantBroken      our own state contradicts itself: latch, cancel all, exit 70
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AlreadyRunning",
    "ConfigError",
    "DecodeError",
    "InvariantBroken",
    "JobsFailed",
    "JournalError",
    "KillFileFound",
    "MarketRefused",
    "NoDaemon",
    "NotReady",
    "NotSent",
    "PolybotError",
    "SigningError",
    "StateDamaged",
    "TapeError",
    "VenueError",
    "VenueUnavailable",
]


class PolybotError(Exception):
    """Anything polybot raises on purpose."""


class ConfigError(PolybotError):
    """A setting is wrong; the message names key, value, what is allowed and the nearest match."""


class DecodeError(PolybotError):
    """Bytes from a venue that cannot be what they claim; `code` is a short counter name."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


class MarketRefused(PolybotError):
    """A market polybot must not trade; `code` is a short counter name, the message says why."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


class SigningError(PolybotError):
    """An order cannot be signed as asked (wallet type, exchange version, field range)."""


class VenueError(PolybotError):
    """The venue answered and refused, or its answer is not what its API promises."""


class VenueUnavailable(VenueError):
    """No answer at all: timeout, reset, refused connection. Says nothing about what happened."""


class NotSent(VenueUnavailable):
    """The request was given up before its first byte was written: the venue cannot know of it."""


class StateDamaged(PolybotError):
    """A file of ours cannot be what it claims; the message names the file and what is wrong."""


class TapeError(PolybotError):
    """A tape, or a recording to be imported, that cannot be read; the message names file and offset or line."""


class JobsFailed(PolybotError):
    """Items whose worker raised or died: `failures` by index says why, `results` has None in their place."""

    def __init__(self, failures: Mapping[int, str], results: Sequence[Any]) -> None:
        first = min(failures)
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        super().__init__(f"item {first} of {len(results)}: {failures[first]}{more}")
        self.failures = dict(failures)
        self.results = list(results)


class JournalError(PolybotError):
    """The money journal did not take a record; what it should have told must not happen."""


class AlreadyRunning(PolybotError):
    """Another process holds this account; the message names its process id and the lock file."""


class KillFileFound(PolybotError):
    """The kill file lies in the state folder; the message names it."""


class NoDaemon(PolybotError):
    """No running daemon fits what a control command was told; the message says what to do."""


class NotReady(PolybotError):
    """A pre-flight check failed; the message lists what, and how each is mended."""


class InvariantBroken(PolybotError):
    """Our own state contradicts itself."""
