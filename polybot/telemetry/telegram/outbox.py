"""Alerts that wait for Telegram: bounded, in order, and exact about what it had to drop.

Owns the bound and its policy: beyond it the oldest silent alert goes, the oldest sounding one only when nothing else
is left; each is counted by kind until a message has told it.  What is taken for sending is out of the bound's reach.
Must not know Telegram.  Filled by telegram.follower, emptied by telegram.sender.
"""

import asyncio
from collections import Counter

from polybot.telemetry.telegram.alerts import Alert

__all__ = ["Outbox"]


class Outbox:
    """First in, first out."""

    def __init__(self, capacity: int) -> None:
        self.news = asyncio.Event()  # set while something waits
        self.dropped: Counter[str] = Counter()  # since the start, by kind
        self._untold: Counter[str] = Counter()
        self._capacity = capacity
        self._waiting: list[Alert] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_urgent(self) -> bool:
        """A sounding alert waits, or the box is full."""
        return len(self._waiting) >= self._capacity or any(alert.is_loud for alert in self._waiting)

    def put(self, alert: Alert) -> None:
        """Add one; may drop an older one."""
        self._waiting.append(alert)
        if len(self._waiting) > self._capacity:
            index = next((i for i, old in enumerate(self._waiting) if not old.is_loud), 0)
            old = self._waiting.pop(index)
            self.dropped[old.kind] += 1
            self._untold[old.kind] += 1
        self.news.set()

    def take(self) -> list[Alert]:
        """The longest beginning that makes one message: all silent, or all sounding."""
        count = 0
        while count < len(self._waiting) and self._waiting[count].is_loud == self._waiting[0].is_loud:
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        if not self._waiting:
            self.news.clear()
        return taken

    def take_drops(self) -> Counter[str]:
        """What was dropped and not told yet; told from now on."""
        drops, self._untold = self._untold, Counter()
        return drops

    def give_back_drops(self, drops: Counter[str]) -> None:
        """The message that should have told it never went out."""
        self._untold.update(drops)
