"""What the embedded venue as a whole allows just now: open, restarting, post-only, cancel-only, disabled.

    OPEN -> RESTARTING (425) -> POST_ONLY -> OPEN        the weekly restart of the matching engine
    OPEN -> CANCEL_ONLY | DISABLED (503) -> OPEN

Owns the mode, its refusals word for word (reference, section 4.3) and its end: every mode ends by itself.
The shape of some refusals is not documented; what is ours says so.  Must not touch orders or books.
Called by clob_rest before every private request; begun by sim.spells or by a test.
"""

from enum import Enum

from polybot.sim.ledger import Ledger
from polybot.sim.refusals import Refused
from polybot.sim.scheduler import Scheduler, Timer

__all__ = ["Mode", "Modes"]

NS = 1_000_000_000
TOO_EARLY = "Too Early"  # our text: the venue documents the status alone
DISABLED_TEXT = "Trading is currently disabled. New orders and cancels are not accepted."
CANCEL_ONLY_TEXT = "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
POST_ONLY_TEXT = "post-only mode: only post-only orders and cancels are allowed"


class Mode(Enum):
    """What is allowed."""

    OPEN = "open"
    RESTARTING = "restarting"
    POST_ONLY = "post-only"
    CANCEL_ONLY = "cancel-only"
    DISABLED = "disabled"


class Modes:
    """The mode of one exchange."""

    def __init__(self, scheduler: Scheduler, ledger: Ledger) -> None:
        self.now = Mode.OPEN
        self._scheduler = scheduler
        self._ledger = ledger
        self._end: Timer | None = None
        self._refused = 0

    def begin(self, mode: Mode, seconds: float, *, then_post_only_s: float = 0.0) -> None:
        """Let a mode hold for so many venue seconds, a restart with post-only after it; replaces what holds."""
        if self._end is not None:
            self._end.cancel()
        self.now = mode
        self._ledger.write("mode", self._scheduler.now_ns, mode=mode.value, seconds=seconds)
        if mode is Mode.OPEN:
            self._end = None
            return
        following = (Mode.POST_ONLY, then_post_only_s) if then_post_only_s > 0.0 else (Mode.OPEN, 0.0)
        due_ns = self._scheduler.now_ns + round(seconds * NS)
        self._end = self._scheduler.at(due_ns, lambda: self.begin(*following))

    def check(self, method: str, path: str) -> None:
        """Refuse a private request that the mode does not allow; raises Refused.

        While the engine restarts every private request is refused, reads and heartbeats too (our choice: it is
        documented for orders alone).
        """
        if self.now is Mode.OPEN or self.now is Mode.POST_ONLY:
            return
        is_place = method == "POST" and path in ("/order", "/orders")
        if self.now is Mode.RESTARTING:
            raise Refused(TOO_EARLY, 425)
        if self.now is Mode.DISABLED and (is_place or method == "DELETE"):
            raise Refused(DISABLED_TEXT, 503)
        if self.now is Mode.CANCEL_ONLY and is_place:
            raise Refused(CANCEL_ONLY_TEXT, 503)

    def check_order(self, *, post_only: bool) -> None:
        """Refuse an order that may take while only post-only ones are allowed; raises Refused.

        Both documented forms are used in turn: HTTP 503, and 200 with success and an errorMsg.
        """
        if self.now is Mode.POST_ONLY and not post_only:
            self._refused += 1
            raise Refused(POST_ONLY_TEXT, 503 if self._refused % 2 else 200)
