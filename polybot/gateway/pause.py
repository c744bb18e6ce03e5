"""Why no new order may leave now: pauses that end by themselves and blocks that are lifted.

Owns the flag the daemon reads.  A pause (425, 503, 429) ends at a venue time and doubles while its
cause lasts; a block (heartbeat lost, blocked place, an answer that says stop) stays until lifted.
No I/O, no clock.  Called by gateway.clob.
"""

from polybot.gateway.reasons import RejectReason

__all__ = ["EntryPause"]

NS = 1_000_000_000
MAX_BACKOFF_S = 30.0


class EntryPause:
    """Collects reasons against new orders; cancels are never affected."""

    def __init__(self) -> None:
        self._until_ns: dict[RejectReason, int] = {}
        self._blocks: dict[RejectReason, str] = {}
        self._factor = 1.0

    def reason(self, now_ns: int) -> RejectReason:
        """Return why entries are paused now, NONE when they are not."""
        for reason in self._blocks:
            return reason
        for reason, until_ns in self._until_ns.items():
            if now_ns < until_ns:
                return reason
        return RejectReason.NONE

    def detail(self) -> str:
        """Return the blocks in words, "" when there are none."""
        return "; ".join(f"{reason.name}: {text}" for reason, text in self._blocks.items())

    def pause(self, reason: RejectReason, seconds: float, *, now_ns: int) -> None:
        """Pause entries for so many venue seconds, twice as long each time until resumed() is called."""
        length_s = max(seconds, min(MAX_BACKOFF_S, seconds * self._factor))
        self._factor *= 2.0 if self._factor < MAX_BACKOFF_S else 1.0
        until_ns = now_ns + round(length_s * NS)
        self._until_ns[reason] = max(until_ns, self._until_ns.get(reason, 0))

    def resumed(self) -> None:
        """The venue accepted an order: the next pause starts short again."""
        self._factor = 1.0

    def block(self, reason: RejectReason, detail: str) -> None:
        """Stop entries until lift(reason)."""
        self._blocks[reason] = detail

    def lift(self, reason: RejectReason) -> None:
        """End a block."""
        self._blocks.pop(reason, None)
