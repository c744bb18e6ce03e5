"""Whether a feed's data lives: connected, stale, back again, as EV_FEED_STATE events.

Owns the state of one feed, or of one market on a feed, by age of data alone: a socket that answers
pings and brings nothing is stale.  Must not decide what to do about it; the feeds do.
    (none) --on_open--> CONNECTED        any --last link closed--> DISCONNECTED
    DISCONNECTED --on_open--> RECONNECTED (still stale until data comes)
    fresh --silence_s without data--> STALE, told once        stale --data--> CONNECTED
The age itself is a _fast.inlet.Pulse, which the C road of the frames moves on without asking.
Called by feeds.binance, feeds.polymarket and feeds.oracle.
"""

from collections.abc import Callable
from dataclasses import replace

from polybot._fast.event import EventBuffer, EventKind, FeedState, Special
from polybot._fast.inlet import Pulse
from polybot.config import FeedsConfig

__all__ = ["Liveness", "Sink", "patient"]

Sink = Callable[[EventBuffer], None]

NS = 1_000_000_000
NO_MARKET = int(Special.NO_MARKET)
# Watchdogs count venue seconds; on a fast clock they must not take a busy machine for a dead feed.
LEAST_SILENCE_WALL_S = 2.0


class Liveness(Pulse):
    """Connection and data age of one feed (or of one market on it); all times venue ns."""

    __slots__ = ("_events", "_feed", "_market", "_silence_ns", "_sink", "links", "opened")

    def __init__(self, feed: int, sink: Sink, *, silence_s: float, market: int = NO_MARKET) -> None:
        """`feed` is a FeedId; `silence_s` venue seconds without data make it stale."""
        self._feed = int(feed)
        self._market = market
        self._sink = sink
        self._silence_ns = round(silence_s * NS)
        self._events = EventBuffer(1)
        self.links = 0  # two during a rollover
        self.opened = 0  # times it went from no link to one

    def on_open(self, now_ns: int) -> None:
        """A link is up; tells CONNECTED or RECONNECTED unless another one already was."""
        self.links += 1
        if self.links > 1:
            return
        self.opened += 1
        self.beat(now_ns)
        self._tell(FeedState.FS_CONNECTED if self.opened == 1 else FeedState.FS_RECONNECTED, now_ns)

    def on_close(self, now_ns: int) -> None:
        """A link is gone; tells DISCONNECTED when it was the last."""
        assert self.links > 0, "closed more links than were opened"
        self.links -= 1
        if self.links == 0:
            self._tell(FeedState.FS_DISCONNECTED, now_ns)

    def on_data(self, recv_ns: int) -> None:
        """Data came."""
        self.beat(recv_ns)
        if self.stale:
            self.set_stale(False)
            self._tell(FeedState.FS_CONNECTED, recv_ns)

    def is_silent(self, now_ns: int) -> bool:
        """Is a link up and its data too old?  Tells STALE the first time."""
        if self.links == 0 or now_ns - self.data_ns < self._silence_ns:
            return False
        if not self.stale:
            self.set_stale(True)
            self._tell(FeedState.FS_STALE, now_ns)
        return True

    def restart(self, now_ns: int) -> None:
        """Give it another silence_s before it counts as silent again."""
        self.beat(now_ns)

    def _tell(self, state: int, now_ns: int) -> None:
        self._events.reset()
        self._events.add(
            EventKind.EV_FEED_STATE, recv_ns=now_ns, market=self._market, i=self._feed, j=int(state)
        )
        self._sink(self._events)


def patient(feeds: FeedsConfig, speed: float) -> FeedsConfig:
    """The limits of silence on a venue clock of this speed, none shorter than LEAST_SILENCE_WALL_S on the wall."""
    least_s = LEAST_SILENCE_WALL_S * speed
    return replace(
        feeds,
        spot_silence_s=max(feeds.spot_silence_s, least_s),
        market_silence_s=max(feeds.market_silence_s, least_s),
        oracle_silence_s=max(feeds.oracle_silence_s, least_s),
        pong_timeout_s=max(feeds.pong_timeout_s, least_s),
    )
