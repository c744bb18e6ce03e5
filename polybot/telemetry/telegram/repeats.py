"""The same alert again and again: told once, then how often it came.

Owns the memory of texts told lately (bounded) and the count of those held back; no count is ever lost: it is told
when the time is over, when the memory is full, or at the end.  Must not send or read a clock.
Called by telegram.follower.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from polybot.telemetry.telegram.alerts import Alert

__all__ = ["Repeats"]

NS = 1_000_000_000
MAX_TEXTS = 256


@dataclass(slots=True)
class _Told:
    """A text told at `since_ns`, and how often it came again."""

    alert: Alert
    since_ns: int
    again: int = 0


class Repeats:
    """Dedupe over a span of time."""

    def __init__(self, span_s: float) -> None:
        self._span_ns = int(span_s * NS)
        self._told: dict[str, _Told] = {}

    def admit(self, alert: Alert, now_ns: int) -> Iterator[Alert]:
        """The alerts to send now instead of this one: itself, nothing, or the count of an older text and itself."""
        if not alert.same_as or not self._span_ns:
            yield alert
            return
        told = self._told.get(alert.same_as)
        if told is not None and now_ns - told.since_ns < self._span_ns:
            told.again += 1
            return
        yield from self.due(now_ns)
        if len(self._told) >= MAX_TEXTS:
            yield from _count(self._told.pop(next(iter(self._told))))
        self._told[alert.same_as] = _Told(alert, now_ns)
        yield alert

    def due(self, now_ns: int, *, is_end: bool = False) -> Iterator[Alert]:
        """Counts whose time is over (`is_end`: all)."""
        for key, told in list(self._told.items()):
            if is_end or now_ns - told.since_ns >= self._span_ns:
                del self._told[key]
                yield from _count(told)


def _count(told: _Told) -> Iterator[Alert]:
    if told.again:
        line = f"🔁 {told.again} more like: {told.alert.line}"
        yield replace(told.alert, line=line, is_loud=False, same_as="", count=told.again)
