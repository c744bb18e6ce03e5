"""Why no new order may leave now: pauses that end by themselves and blocks that are lifted.

Owns the flag the daemon reads.  No I/O, no clock.  Called by gateway.clob.

    OPEN    --pause(reason, s)-->          PAUSED   until a venue time: what the venue asked for (Retry-After), at
                                                    least; without a wish of its own a full-jitter backoff
    PAUSED  --its time is over-->          PROVING  one order may leave, and no other while it is not answered
    PROVING --the venue dealt with it-->   OPEN     resumed()
    PROVING --pause()-->                   PAUSED   for longer
A block (heartbeat lost, venue silent, blocked place, hang) is on top of that and stays until lifted.
"""

from random import Random

from polybot.gateway.reasons import RejectReason

__all__ = ["EntryPause"]

NS = 1_000_000_000
MIN_BACKOFF_S = 1.0  # at most one trial order per second
MAX_BACKOFF_S = 10.0
_NONE = RejectReason.NONE


class EntryPause:
    """Collects reasons against new orders; cancels are never affected."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._until_ns: dict[RejectReason, int] = {}
        self._blocks: dict[RejectReason, str] = {}
        self._ceiling_s = 2.0 * MIN_BACKOFF_S
        self._is_proving = False
        self._trial = 0  # order_seq of the order that proves; 0: none is out
        self._trial_from_ns = 0  # the next one not before

    def reason(self, now_ns: int) -> RejectReason:
        """Return why entries are paused now, NONE when they are not."""
        for reason in self._blocks:
            return reason
        for reason, until_ns in self._until_ns.items():
            if now_ns < until_ns:
                return reason
        return _NONE

    def detail(self) -> str:
        """Return the blocks in words, "" when there are none."""
        return "; ".join(f"{reason.name}: {text}" for reason, text in self._blocks.items())

    def is_blocked(self, reason: RejectReason) -> bool:
        """True while this block stands."""
        return reason in self._blocks

    def pause(self, reason: RejectReason, asked_s: float, *, now_ns: int) -> None:
        """Pause for the venue seconds the venue asked for, at least for the backoff of this moment."""
        backoff_s = self._rng.uniform(MIN_BACKOFF_S, self._ceiling_s)
        self._ceiling_s = min(MAX_BACKOFF_S, 2.0 * self._ceiling_s)
        until_ns = now_ns + round(max(asked_s, backoff_s) * NS)
        self._until_ns[reason] = max(until_ns, self._until_ns.get(reason, 0))
        self._is_proving = True
        self._trial = 0

    def admits(self, order_seq: int, *, now_ns: int) -> RejectReason:
        """May this order leave now?  After a pause only one may, until it is answered."""
        reason = self.reason(now_ns)
        if reason is not _NONE or not self._is_proving:
            return reason
        if self._trial not in (0, order_seq) or now_ns < self._trial_from_ns:
            return RejectReason.VENUE_DOWN
        return _NONE

    def started(self, order_seq: int) -> None:
        """This order is on its way."""
        if self._is_proving:
            self._trial = order_seq

    def answered(self, order_seq: int, *, now_ns: int) -> None:
        """This order's answer is here, or will not come: another one may prove, but not at once."""
        if self._trial == order_seq:
            self._trial = 0
            self._trial_from_ns = now_ns + round(MIN_BACKOFF_S * NS)

    def resumed(self) -> None:
        """The venue dealt with an order: the next pause starts short again."""
        self._ceiling_s = 2.0 * MIN_BACKOFF_S
        self._is_proving = False
        self._trial = 0

    def block(self, reason: RejectReason, detail: str) -> None:
        """Stop entries until lift(reason)."""
        self._blocks[reason] = detail

    def lift(self, reason: RejectReason) -> None:
        """End a block."""
        self._blocks.pop(reason, None)
