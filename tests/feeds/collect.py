"""A sink that keeps copies, and a sender that keeps texts, for sans-I/O feed tests."""

from typing import Any

import numpy as np

from polybot._fast.event import EventBuffer, EventKind, FeedState

NS = 1_000_000_000
T0_NS = 1_790_616_600 * NS


class Collector:
    """Sink of a feed: every buffer as a structured array."""

    def __init__(self) -> None:
        self.buffers: list[np.ndarray[Any, Any]] = []

    def __call__(self, events: EventBuffer) -> None:
        self.buffers.append(events.to_numpy())

    @property
    def rows(self) -> list[np.void]:
        return [row for buffer in self.buffers for row in buffer]

    def of(self, *kinds: EventKind) -> list[np.void]:
        return [row for row in self.rows if int(row["kind"]) in kinds]

    def states(self, market: int | None = None) -> list[str]:
        """Names of the feed states told, in order."""
        return [
            FeedState(int(row["j"])).name.removeprefix("FS_")
            for row in self.of(EventKind.EV_FEED_STATE)
            if market is None or int(row["market"]) == market
        ]


class Sent:
    """What a feed sent on its link."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str) -> None:
        self.texts.append(text)

    def take(self) -> list[str]:
        texts, self.texts = self.texts, []
        return texts
