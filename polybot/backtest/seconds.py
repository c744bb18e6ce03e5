"""In which seconds which feed brought something: one small row per second of the data a run was given.

Owns the bits and the counting.  Seconds are of the receive clock.  Pieces of a run may tell one second twice; whoever
counts takes them together.  Must not look at what a message says.  Called by run (writing) and conditions (counting).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot._fast.event import EventKind

__all__ = ["BIT_BOOK", "BIT_ORACLE", "BIT_SPOT", "SECONDS_DTYPE", "seconds_inside", "seconds_of"]

SECONDS_DTYPE = np.dtype([("second", "<i8"), ("feeds", "u1")])  # UTC since the epoch; bits below
BIT_SPOT, BIT_ORACLE, BIT_BOOK = 1, 2, 4
NS = 1_000_000_000
KINDS = {
    BIT_SPOT: (EventKind.EV_SPOT_TRADE, EventKind.EV_SPOT_QUOTE),
    BIT_ORACLE: (EventKind.EV_ORACLE_SPOT, EventKind.EV_ORACLE_TWAP),
    BIT_BOOK: (
        EventKind.EV_BOOK_SNAPSHOT,
        EventKind.EV_BOOK_LEVEL,
        EventKind.EV_BOOK_DELTA,
        EventKind.EV_PUBLIC_QUOTE,
    ),
}


def _bits() -> NDArray[np.uint8]:
    """Bits by kind; the last stands for all kinds beyond."""
    bits = np.zeros(max(EventKind) + 2, dtype=np.uint8)
    for bit, kinds in KINDS.items():
        bits[list(kinds)] = bit
    bits.flags.writeable = False
    return bits


_BITS = _bits()


def seconds_of(events: Any) -> NDArray[np.void]:
    """Rows of SECONDS_DTYPE for events in order of receipt (EVENT_DTYPE, shape (n,))."""
    if not len(events):
        return np.zeros(0, SECONDS_DTYPE)
    at_ns = events["recv_ns"]
    first, last = int(at_ns[0]) // NS, int(at_ns[-1]) // NS
    if last - first < len(events):  # edges searched for: a tenth of the time of a division per event
        seconds = np.arange(first, last + 1)
        starts = np.searchsorted(at_ns, seconds * NS)
        starts[0] = 0
        filled = np.diff(starts, append=len(events)) > 0
        seconds, starts = seconds[filled], starts[filled]
    else:
        seconds, starts = np.unique(at_ns // NS, return_index=True)
    rows = np.zeros(len(starts), SECONDS_DTYPE)
    rows["second"] = seconds
    rows["feeds"] = np.bitwise_or.reduceat(_BITS.take(events["kind"], mode="clip"), starts)
    return rows


def seconds_inside(rows: Any, bit: int, start_ns: Any, end_ns: Any) -> NDArray[np.int64]:
    """Count for each [start, end) the seconds that have the bit; rows may be in any order and repeat seconds."""
    known = np.unique(rows["second"][(rows["feeds"] & bit) != 0])
    first, end = (np.searchsorted(known, np.asarray(at_ns) // NS) for at_ns in (start_ns, end_ns))
    return np.asarray(end - first, dtype=np.int64)
