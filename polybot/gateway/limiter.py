"""Token buckets at half the venue's documented limits, so that its own limiter is never met.

Owns no clock: the caller passes venue time.  Places are refused when their bucket is empty (an old
order is worse than none), cancels and reads wait.  Called by gateway.clob and gateway.rest.
"""

from polybot.clock import Clock

__all__ = ["TokenBucket"]

NS = 1_000_000_000


class TokenBucket:
    """At most `burst` at once and `per_s` per second of venue time in the long run."""

    __slots__ = ("_burst_ns", "_free_ns", "_step_ns")

    def __init__(self, per_s: float, burst: int) -> None:
        assert per_s > 0
        assert burst >= 1
        self._step_ns = max(1, round(NS / per_s))
        self._burst_ns = self._step_ns * (burst - 1)
        self._free_ns = -(1 << 62)  # when the bucket would be full again, less its depth

    def take(self, now_ns: int) -> bool:
        """Take one token, or say that there is none."""
        return self.take_or_wait(now_ns) == 0

    def take_or_wait(self, now_ns: int) -> int:
        """Take one token and return 0, or return the ns until there will be one."""
        start_ns = max(self._free_ns, now_ns - self._burst_ns)
        if start_ns > now_ns:
            return start_ns - now_ns
        self._free_ns = start_ns + self._step_ns
        return 0

    async def acquire(self, clock: Clock) -> None:
        """Wait for a token."""
        while wait_ns := self.take_or_wait(clock.now_ns()):
            await clock.sleep(wait_ns / NS)
