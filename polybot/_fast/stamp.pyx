"""Venue time read in C, for receive stamps on the way from a socket to the engine.

Owns the reading of the monotonic clock in the core, and the arithmetic of clock.SystemClock on it, to the
nanosecond.  Handed out by SystemClock.stamp(); time stays an argument for everything behind the stamp, so
this unit must not be cimported by whatever decides.  Called by the listener and by the path that times it.
"""
from libc.stdint cimport int64_t


cdef extern from "<time.h>" nogil:
    ctypedef int clockid_t
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(clockid_t which, timespec* now)
    const clockid_t CLOCK_MONOTONIC


cdef class VenueStamp:
    """Venue clock of an anchor: epoch_ns is the venue time at monotonic mono_anchor_ns."""

    def __init__(self, int64_t epoch_ns, int64_t mono_anchor_ns, double speed=1.0):
        if not speed > 0.0:
            raise ValueError(f"a venue second takes time: speed {speed}")
        self.epoch_ns = epoch_ns
        self.mono_anchor_ns = mono_anchor_ns
        self.speed = speed

    cdef int64_t mono(self) noexcept nogil:
        """Raw monotonic ns, only for differences."""
        cdef timespec now
        clock_gettime(CLOCK_MONOTONIC, &now)
        return <int64_t> now.tv_sec * 1_000_000_000 + now.tv_nsec

    cdef int64_t now(self) noexcept nogil:
        """Venue time, ns since the epoch."""
        return self.venue_ns(self.mono())

    cdef int64_t venue_ns(self, int64_t mono_ns) noexcept nogil:
        """Venue time at a monotonic time; before the anchor it stands still just short of the epoch."""
        cdef int64_t elapsed = mono_ns - self.mono_anchor_ns
        if elapsed < 0:
            return self.epoch_ns - 1
        return self.epoch_ns + (elapsed if self.speed == 1.0 else <int64_t> (<double> elapsed * self.speed))

    def now_ns(self) -> int:
        """Venue time, ns since the epoch."""
        return self.now()

    def mono_ns(self) -> int:
        """Raw monotonic ns, only for differences."""
        return self.mono()

    def at_ns(self, int64_t mono_ns) -> int:
        """Venue time at a monotonic time."""
        return self.venue_ns(mono_ns)
