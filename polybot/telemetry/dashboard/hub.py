"""All daemons of one state folder: found, followed each by a task of its own, and the one a page means.

Owns the followers and their bound: of more than `daemons_count` those that have been gone longest are forgotten.
With a target (the dashboard as a daemon's child) nobody else is looked for.  Must not serve.  Called by server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from polybot.clock import Clock
from polybot.config_dashboard import DashboardConfig
from polybot.telemetry.dashboard.follower import Follower, Source

__all__ = ["Hub"]

FIND_S = 1.0  # wall; between two looks for daemons
SHOWN = ("mode", "venue", "asset", "interval", "account", "session")


class Hub:
    """Follows every daemon there is."""

    def __init__(
        self,
        find: Callable[[], Awaitable[Sequence[str]]],
        make_source: Callable[[str], Source],
        settings: DashboardConfig,
        clock: Clock,
    ) -> None:
        """`find` names the daemons that listen now, `make_source` makes what one of them is asked with."""
        self.followers: dict[str, Follower] = {}
        self.count = 0  # daemons that were found since the start
        self._find = find
        self._make_source = make_source
        self._settings = settings
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._found = asyncio.Event()

    async def run(self) -> None:
        """Look for daemons and follow them, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                for name in await self._find():
                    if name not in self.followers and self._has_room():
                        follower = Follower(name, self._make_source(name), self._settings, self._clock)
                        self.followers[name] = follower
                        self._tasks[name] = group.create_task(follower.run())
                        self.count += 1
                        self._found.set()
                        self._found = asyncio.Event()
                await self._clock.sleep(FIND_S)

    async def more_than(self, count: int) -> None:
        """Wait until more daemons than so many were found."""
        while self.count <= count:
            await self._found.wait()

    def chosen(self, name: str = "") -> Follower | None:
        """The one that is named; else the one that lives and was found last, else the one that is gone the shortest."""
        if name:
            return self.followers.get(name)
        rank = {follower: at for at, follower in enumerate(self.followers.values())}
        return max(rank, key=lambda one: (one.is_live, one.gone_ms or 0, rank[one]), default=None)

    def listed(self) -> list[dict[str, Any]]:
        """Every daemon in a line, for choosing."""
        return [
            {
                "name": follower.name,
                "live": follower.is_live,
                **{key: follower.newest.answer.get(key) for key in SHOWN if follower.newest is not None},
            }
            for follower in self.followers.values()
        ]

    def _has_room(self) -> bool:
        """Room for one more, made by forgetting one that is gone."""
        if len(self.followers) < self._settings.daemons_count:
            return True
        gone = [one for one in self.followers.values() if one.gone_ms is not None]
        if not gone:
            return False
        oldest = min(gone, key=lambda one: one.gone_ms or 0)
        del self.followers[oldest.name]
        self._tasks.pop(oldest.name).cancel()
        return True
