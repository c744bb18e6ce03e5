"""What happened lately, for whoever watches this process: a bounded ring of events, and the latest figures.

Owns the numbering of events and the count of what a watcher missed.  Theory of operation: one thread (the writer's)
adds, another one (the event loop) reads, and neither waits.  An event is encoded once, when it is added, with its
number beside it; its slot is filled before the number of the next one is raised.  A reader that finds another number
in a slot was overtaken: that event is missed, and counted.  Whole sets of figures are replaced, never changed.
Must not know sockets, files or consoles.  Filled by TelemetryWriter, read by polybot.control.watching.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["KINDS", "RecentEvents", "Seen"]

KINDS = (
    "start", "stop", "market_open", "strike", "market_end", "signal", "order", "fill", "rejection", "settlement",
    "halt", "resume", "feed_lost", "feed_back", "entries_closed", "entries_open", "reconcile", "redeemed",
    "refused_market", "notice",
)  # fmt: skip
# Longest text of an event, characters: a venue's refusal may be as long as it likes.
TEXT_MAX = 500
# Shorter ones cannot hold a secret (telemetry.redact registers none).
SECRET_CHARS_MIN = 8
# Hashes that are public, look like keys and are never masked: not worth the search.
PLAIN_KEYS = frozenset({"order_id", "slug"})


@dataclass(frozen=True, slots=True)
class Seen:
    """Events from a cursor on, each one JSON object; `next` is the cursor after them."""

    events: list[bytes]
    next: int
    missed: int


class RecentEvents:
    """The last `capacity` events, numbered from 1 on."""

    def __init__(self, capacity: int, *, scrub: Callable[[str], str]) -> None:
        """`scrub` masks secrets in every text that is added."""
        self.figures: Mapping[str, bytes] = {}  # JSON by name; replaced as a whole by the writer
        self.is_ended = False  # the event `stop` is in the ring: nothing follows it
        self._capacity = capacity
        self._scrub = scrub
        self._slots: list[tuple[int, bytes]] = [(0, b"")] * capacity
        self._next = 1

    @property
    def next(self) -> int:
        """The number the next event will have."""
        return self._next

    def add(
        self,
        kind: str,
        text: str,
        *,
        ts_ns: int,
        level: str = "INFO",
        slug: str = "",
        strategy: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Add one event (writer's thread only); `data` holds plain values, money in micro-USD."""
        assert kind in KINDS, f"an event of unknown kind {kind}"
        seq = self._next
        event = {
            "seq": seq,
            "ts_ns": ts_ns,
            "kind": kind,
            "level": level,
            "slug": slug,
            "strategy": strategy,
            "text": self._plain(text),
            "data": {key: self._clean(key, value) for key, value in (data or {}).items()},
        }
        self._slots[seq % self._capacity] = (seq, orjson.dumps(event))
        self._next = seq + 1
        self.is_ended = self.is_ended or kind == "stop"

    def since(self, cursor: int | None, *, limit: int, limit_bytes: int) -> Seen:
        """Events from `cursor` on, oldest first, at most so many and so long; None: only what is still to come.

        A cursor beyond the last event (another process's) is taken as None.
        """
        end = self._next
        if cursor is None or cursor > end:
            return Seen([], end, 0)
        begin = max(cursor, end - self._capacity, 1)
        missed = begin - max(cursor, 1)
        found = enumerate(self._copy(begin, min(end, begin + limit)), begin)
        # A slot with another number was overtaken by the writer since `end` was read.
        events = [event if seq == at else None for at, (seq, event) in found]
        if sum(len(event) for event in events if event) > limit_bytes:
            del events[_fitting(events, limit_bytes) :]
        kept = [event for event in events if event is not None]
        return Seen(kept, begin + len(events), missed + len(events) - len(kept))

    def newest(self, cursor: int, *, limit: int, limit_bytes: int) -> Seen:
        """The last word: the newest events from `cursor` on that fit, the others counted as missed."""
        end = self._next
        begin, room = end, limit_bytes
        while begin > max(cursor, end - self._capacity, end - limit, 1):
            room -= len(self._slots[(begin - 1) % self._capacity][1])
            if room < 0:
                break
            begin -= 1
        seen = self.since(begin, limit=limit, limit_bytes=limit_bytes)
        return Seen(seen.events, seen.next, seen.missed + max(0, begin - max(cursor, 1)))

    def _copy(self, begin: int, end: int) -> list[tuple[int, bytes]]:
        """The slots of these numbers, at most one round."""
        first, last = begin % self._capacity, begin % self._capacity + end - begin
        return self._slots[first:last] + self._slots[: max(0, last - self._capacity)]

    def _plain(self, text: str) -> str:
        """One printable line without secrets."""
        return " ".join(_printable(self._scrub(text)).split())[:TEXT_MAX]

    def _clean(self, key: str, value: Any) -> Any:
        if not isinstance(value, str) or key in PLAIN_KEYS:
            return value
        return self._plain(value) if len(value) >= SECRET_CHARS_MIN else _printable(value)


def _fitting(events: list[bytes | None], room: int) -> int:
    """How many of these go into so many bytes, one at least."""
    for count, event in enumerate(events):
        room -= len(event or b"")
        if room < 0:
            return max(1, count)
    return len(events)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
