"""One daemon followed: looked at regularly, its answers numbered, what pages need kept, and the moment it was gone.

Theory of operation.  `run` asks the source again and again; an answer makes the follower live, a NoDaemon makes it
gone, with the wall time of that moment; it goes on asking, so a daemon that comes back is live again by itself.
Pages wait `beyond` what they know and take the newest look only; events they take by number, so that within what is
kept none is lost to a slow page.  Must not act on the daemon.  Called by hub.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from polybot.clock import Clock
from polybot.config_dashboard import DashboardConfig
from polybot.errors import NoDaemon
from polybot.telemetry.dashboard.history import History

__all__ = ["Follower", "Look", "Source"]

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
Facts = Mapping[str, Any]


class Source(Protocol):
    """What is asked: polybot.control.watcher.Watcher, or a test's."""

    async def watch(self) -> dict[str, Any]: ...


class Look:
    """One answer with its number, the wall time it came at, and how many events were known by then."""

    __slots__ = ("answer", "events", "number", "wall_ms")

    def __init__(self, number: int, answer: dict[str, Any], *, wall_ms: int, events: int) -> None:
        self.number = number
        self.answer = answer
        self.wall_ms = wall_ms
        self.events = events


class Follower:
    """Follows one daemon."""

    def __init__(self, name: str, source: Source, settings: DashboardConfig, clock: Clock) -> None:
        """`clock` is the wall's."""
        self.name = name
        self.history = History(
            windows=settings.windows_count, points=settings.points_count, events=settings.events_count
        )
        self.gone_ms: int | None = clock.now_ns() // NS_PER_MS  # None: it answered the last time
        self.gone_why = "not looked for yet"
        self.changes = 0
        self.missed = 0  # events that were dropped before this process could ask for them
        self._source = source
        self._every_s = settings.watch_ms / 1000.0
        self._clock = clock
        self._looks: deque[Look] = deque(maxlen=settings.looks_count)
        self._changed = asyncio.Event()

    @property
    def newest(self) -> Look | None:
        """The last answer, however old."""
        return self._looks[-1] if self._looks else None

    @property
    def is_live(self) -> bool:
        """Did it answer when it was asked last?"""
        return self.gone_ms is None

    def look(self, number: int) -> Look | None:
        """One of the last answers by number."""
        return next((look for look in self._looks if look.number == number), None)

    async def beyond(self, changes: int) -> None:
        """Wait until there were more changes than so many: an answer came, or the daemon is gone."""
        while self.changes <= changes:
            await self._changed.wait()

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            begun_ns = self._clock.mono_ns()
            try:
                self.on_answer(await self._source.watch())
            except NoDaemon as error:
                self.on_gone(str(error))
            except Exception as error:  # another version's answer, say: one daemon's trouble is not the others'
                self.on_gone(f"its answer was not understood: {error!r}")
            spent_s = (self._clock.mono_ns() - begun_ns) / NS_PER_S
            await self._clock.sleep(max(0.01, self._every_s - spent_s))

    def on_answer(self, answer: dict[str, Any]) -> None:
        """Take one answer: a look, a refusal, or the last word of a daemon that ends."""
        if answer.get("ended"):
            self.history.events.add(answer.get("events", ()))
            open_orders = answer.get("orders_may_be_open")
            self.on_gone("it ended, and ORDERS MAY BE OPEN: look at the venue" if open_orders else "it ended in order")
            return
        if not answer.get("ok"):
            self.on_gone(str(answer.get("error", "it refused to answer")))
            return
        self.gone_ms, self.gone_why = None, ""
        self.missed += int(answer.get("events_missed", 0))
        self.history.add(answer)
        number = self._looks[-1].number + 1 if self._looks else 1
        wall_ms = self._clock.now_ns() // NS_PER_MS
        self._looks.append(Look(number, answer, wall_ms=wall_ms, events=self.history.events.newest))
        self._tell()

    def on_gone(self, why: str) -> None:
        """It does not answer; the first such moment counts."""
        if self.gone_ms is None:
            self.gone_ms, self.gone_why = self._clock.now_ns() // NS_PER_MS, why
            self._tell()

    def _tell(self) -> None:
        self.changes += 1
        self._changed.set()
        self._changed = asyncio.Event()
