"""Did this process run all the time?  Tells a hang: a stopped process, a blocked loop, a suspended machine.

Owns the time of the last beat.  A beat is late when more than HANG_VENUE_S of venue time and more than HANG_WALL_S
of wall time lie between two: what was decided before or while the process slept may be about a world that is gone.
Must not act: the gateway refuses orders while a beat is overdue or a hang was not followed by a comparison
with the venue.  Called by gateway.clob.
"""

from polybot.clock import Clock

__all__ = ["Pulse"]

NS = 1_000_000_000
# Both must be exceeded: a fast venue has done a lot in 5 s of its time, but a venue that runs 100 times
# faster than the wall must not make a busy moment a hang.
HANG_VENUE_S = 5.0
HANG_WALL_S = 2.0


class Pulse:
    """The beats of one process."""

    __slots__ = ("_clock", "_last_mono_ns", "_last_ns", "hangs")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns = self._last_mono_ns = 0
        self.hangs = 0

    def beat(self) -> bool:
        """Beat; True when this beat came so late that the process was hanging."""
        is_late = self.is_late()
        self.hangs += is_late
        self._last_ns, self._last_mono_ns = self._clock.now_ns(), self._clock.mono_ns()
        return is_late

    def is_late(self) -> bool:
        """True when the next beat is already overdue; never before the first one."""
        if not self._last_ns:
            return False
        return (
            self._clock.mono_ns() - self._last_mono_ns > HANG_WALL_S * NS
            and self._clock.now_ns() - self._last_ns > HANG_VENUE_S * NS
        )
