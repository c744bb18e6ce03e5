"""The only reader of time.

Venue time (`now_ns`) is what windows, staleness and events live in; it may run faster than the
wall (`venue.speed`) and is derived from three numbers shared with the embedded venue's process:
(epoch_ns, mono_ns, speed).  `mono_ns` is the raw monotonic clock, for latency stages only.
Everything else receives time as an argument; the stamps of frames are read in C (_fast.stamp), from the same anchor.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from polybot._fast.stamp import VenueStamp

__all__ = ["Clock", "SystemClock", "VirtualClock", "wall_clock"]

NS = 1_000_000_000


class Clock(Protocol):
    """What the shell may know about time."""

    def now_ns(self) -> int:
        """Venue time, ns since the epoch."""
        ...

    def mono_ns(self) -> int:
        """Raw monotonic ns, only for differences."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for venue seconds."""
        ...

    def real_s(self, seconds: float) -> float:
        """Wall seconds that `seconds` of venue time take (for loop timers and timeouts)."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """Venue clock from a shared anchor: epoch_ns is the venue time at monotonic mono_anchor_ns.

    Before the anchor venue time stands still just short of the epoch: nothing ages while a venue starts.
    """

    epoch_ns: int
    mono_anchor_ns: int
    speed: float = 1.0

    def now_ns(self) -> int:
        elapsed = time.monotonic_ns() - self.mono_anchor_ns
        if elapsed < 0:
            return self.epoch_ns - 1
        return self.epoch_ns + (elapsed if self.speed == 1.0 else int(elapsed * self.speed))

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def stamp(self) -> VenueStamp:
        """Make a reader of this very time for C."""
        return VenueStamp(self.epoch_ns, self.mono_anchor_ns, self.speed)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0.0:
            await asyncio.sleep(0)
            return
        # No venue second passes before the anchor.
        still_ns = max(0, self.mono_anchor_ns - time.monotonic_ns())
        await asyncio.sleep(still_ns / NS + seconds / self.speed)

    def real_s(self, seconds: float) -> float:
        return seconds / self.speed


class VirtualClock:
    """Clock of a virtual-time loop: both clocks are `loop.time()`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch_ns: int) -> None:
        self._time = loop.time
        self._epoch_ns = epoch_ns
        self._at = -1.0  # loop time of the last reading
        self._mono_ns = 0

    def now_ns(self) -> int:
        return self._epoch_ns + (self._mono_ns if self._time() == self._at else self.mono_ns())

    def mono_ns(self) -> int:
        at = self._time()
        if at != self._at:
            self._at = at
            self._mono_ns = round(at * 1_000_000) * 1_000
        return self._mono_ns

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def real_s(self, seconds: float) -> float:
        return seconds


def wall_clock() -> SystemClock:
    """Real time: the anchor is now, speed 1."""
    return SystemClock(epoch_ns=time.time_ns(), mono_anchor_ns=time.monotonic_ns())
