"""Places where a test may let this process die at once, as `kill -9` would: the crash campaign's own switch.

Armed only by the environment variable POLYBOT_CRASH_AT, `name` or `name:n` (the n-th time the place is
reached), read once at import; otherwise `reach` is one comparison.  The names say what had just happened.
Must not do anything else: no clean-up, no message.  Called at the named places of journal, gateway and trader.
"""

import itertools
import os
import signal
from collections.abc import Iterator

from polybot.errors import ConfigError

__all__ = ["CRASH_ENV", "CRASH_POINTS", "is_armed", "reach"]

CRASH_ENV = "POLYBOT_CRASH_AT"
CRASH_POINTS = (
    "before_intent",  # an order is signed, its intent not written
    "after_intent",  # the intent is in the file, nothing was sent
    "before_post",  # the request is about to be written
    "after_post",  # its bytes were written, no answer was read
    "after_answer",  # the answer was read, nothing was told of it
    "before_fill_journal",  # a fill is known and not written
    "after_fill_journal",  # it is written and not booked
    "mid_settle",  # the outcome is booked, the market not dropped
    "mid_rotate",  # the next segment is made and has no name yet
    "before_ledger_commit",  # SQLite has a batch of records that is not committed
    "after_ledger_commit",
    "mid_start",  # the journal is replayed, the venue was not asked yet
    "mid_stop",  # resting orders are cancelled, the end is not written
)


def _read_environment() -> tuple[str, int]:
    """(name, how often it must be reached); ("", 0) when nothing is armed."""
    name, _, count = os.environ.get(CRASH_ENV, "").partition(":")
    if not name:
        return "", 0
    if name not in CRASH_POINTS or not (count or "1").isdecimal() or int(count or "1") < 1:
        raise ConfigError(f"{CRASH_ENV} is not allowed: must be name or name:n with one of {', '.join(CRASH_POINTS)}")
    return name, int(count or "1")


_ARMED, _AT = _read_environment()
_REACHED: Iterator[int] = itertools.count(1)


def is_armed(name: str) -> bool:
    """True when the process is to die at this place."""
    return name == _ARMED


def reach(name: str) -> None:
    """Die here, if this place is the one and its time has come."""
    if name == _ARMED and next(_REACHED) == _AT:
        os.kill(os.getpid(), signal.SIGKILL)
