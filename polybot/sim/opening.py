"""When a fresh embedded venue starts, and what its session is called: all that a parent must know of it beforehand.

Owns the choice of the epoch (shortly before a window, or where a tape begins) and the session's name.
Must not import the venue: a daemon's start reads this and leaves the venue's modules to its process.
Called by sim.process, sim.child and the harness.
"""

from dataclasses import dataclass

from polybot.config import IntervalConfig, VenueConfig
from polybot.market.window import window_at
from polybot.sim.seeds import digest
from polybot.sim.tape import tape_start_ns

__all__ = ["WorldOpening", "new_session_id", "opening"]

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class WorldOpening:
    """When a fresh venue starts: `epoch_ns`, and the window it leads into."""

    epoch_ns: int
    first_window_ns: int


def opening(venue: VenueConfig, interval: IntervalConfig, real_now_ns: int) -> WorldOpening:
    """Epoch of a fresh venue: `lead_s` before the next window, or where the tape begins."""
    now_ns = real_now_ns
    if venue.tape:
        epoch_ns = tape_start_ns(venue.tape)
        return WorldOpening(epoch_ns, window_at(interval.name, epoch_ns).end_ns)
    start_ns = window_at(interval.name, now_ns).end_ns
    return WorldOpening(start_ns - int(venue.lead_s * NS), start_ns)


def new_session_id(seed: int, epoch_ns: int, salt: str) -> str:
    """16 hex digits that name one venue session."""
    return digest(seed, f"session/{epoch_ns}/{salt}").hex()[:16]
