"""Timers of the embedded venue: callbacks in venue time, run in a fixed order.

Owns the venue's notion of now.  Callbacks due at the same nanosecond run in the order they were
scheduled, so the same seed gives the same bytes.  It never sleeps and never reads a clock: the
shell asks `next_ns()` and calls `advance()`.  The queue itself is _fast.timers.  Used by the
exchange and by the venue's world half.
"""

from polybot._fast.timers import COMPACT_AT, Scheduler, Timer

__all__ = ["COMPACT_AT", "Scheduler", "Timer"]
