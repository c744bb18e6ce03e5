"""One live process with several markets: frames from bytes through feeds and the runner's C road to the engine.

Owns the worlds that P13 compares, each with the daemon's five default strategies (or all six), one spot feed, and one
market feed per window as the daemon has.  Two kinds: "daemon" holds what one daemon can hold (one window that is
traded, the others in equal parts observed, joined early, or over and waiting for their outcome, which get no messages
any more); "traded" has every window open and traded at once, which no daemon does: every spot trade is a question to
each of them.  The messages are the same in number and kind whatever the number of markets: those of the market channel
are dealt in turn to the markets that still get any.  Orders go nowhere.  Must not judge.
"""

import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from scenario import make_spec

from bench.event_stream import START_NS, STRIKE, window_events
from bench.frame_stream import MARKET, TOKEN_DOWN, TOKEN_UP, market_frames, spot_frames
from bench.quiet_venue import run_script
from polybot._fast.event import EventBuffer, EventKind
from polybot.assembly import build_engine
from polybot.clock import SystemClock, wall_clock
from polybot.config import default_config
from polybot.feeds.binance import SpotFeed
from polybot.feeds.polymarket import MarketFeed
from polybot.loop_heap import private_mb
from polybot.market.spec import MarketSpec
from polybot.runner import Runner
from polybot.telemetry.inbox import TelemetryInbox

__all__ = ["FRAMES", "ManyMarkets", "market_kb"]

FRAMES = 2_000  # of one round
SPOT_SHARE = 145 / 215  # of them, as measured on the real venues
TRADED, OBSERVED, EARLY, OVER = "traded", "observed", "early", "over"
ROLES = (OBSERVED, EARLY, OVER)
KB, NS = 1_024, 1_000_000_000
JOINED_S = 60.0  # of the windows, when the sockets are opened
JOINED_NS = START_NS + int(JOINED_S * NS)


class ManyMarkets:
    """A world of `count` markets; the first is traded."""

    def __init__(
        self, count: int, *, kind: str = "daemon", all_six: bool = False, spot_share: float = SPOT_SHARE
    ) -> None:
        """`spot_share` of the messages are the spot exchange's."""
        settings: dict[str, Any] = {"strategy.cross_timeframe.enabled": True} if all_six else {}
        config = default_config(**settings)
        self.engine = build_engine(config, environ={})
        clock = SystemClock(JOINED_NS, wall_clock().mono_ns())
        self._runner = Runner(
            self.engine,
            clock=clock,
            inbox=TelemetryInbox(),
            gateway=lambda commands: None,
            on_feed_command=lambda kind, market: None,
        )
        self._spot = SpotFeed(["ws://spot"], "BTCUSDT", config.feeds, sink=self._runner.path)
        self._spot.on_open(lambda text: None, JOINED_NS)
        self._spot_share = spot_share
        self._roles = [TRADED if kind == "traded" else ROLES[number % len(ROLES)] for number in range(count)]
        self._roles[0] = TRADED
        self._specs = [_spec(number, is_early=role == EARLY) for number, role in enumerate(self._roles)]
        self._feeds = [MarketFeed("ws://market", config.feeds, sink=self._runner.path) for _ in range(count)]
        self._warm()
        self._frames = self._made()
        self.fault_markets = 0  # planted: so many markets are looked at after every message

    def round_ns(self) -> float:
        """CPU ns per message of FRAMES messages."""
        self._spot._decoder.reset_ids()  # the same frames again
        markets = list(self.engine.markets.values())[: self.fault_markets]
        start_ns = time.thread_time_ns()
        if markets:
            for feed, frame, recv_ns in self._frames:
                feed(frame, recv_ns)
                for market in markets:
                    market.best_bid(0)
        else:
            for feed, frame, recv_ns in self._frames:
                feed(frame, recv_ns)
        return (time.thread_time_ns() - start_ns) / FRAMES

    def is_trading(self) -> bool:
        """Nothing blocks any of the markets that are traded, and each was asked."""
        markets = self.engine.markets
        return all(
            markets[number].block_reason == 0 and markets[number].book_ns > 0
            for number, role in enumerate(self._roles)
            if role == TRADED
        )

    def _warm(self) -> None:
        """Two minutes of spot, a minute of the windows, a strike each."""
        batch = EventBuffer()
        events = window_events(JOINED_S)
        for number, (spec, feed) in enumerate(zip(self._specs, self._feeds, strict=True)):
            is_observed = self._roles[number] == OBSERVED
            self.engine.open_market(number, spec, order_seq_base=1 + number * 1_000_000, observed=is_observed)
            feed.add_market(number, spec)
            feed.on_open(lambda text: None, JOINED_NS)
        for at in range(0, len(events), 5_000):
            batch.reset()
            batch.extend(events[at : at + 5_000])
            self._runner.feed(batch)
        batch.reset()
        for number in range(len(self._specs)):
            batch.add(EventKind.EV_STRIKE, recv_ns=JOINED_NS, market=number, x=STRIKE, venue_ns=START_NS, i=2)
            if self._roles[number] == OVER:
                batch.add(EventKind.EV_MARKET_CLOSE, recv_ns=JOINED_NS, market=number)
        self._runner.feed(batch)

    def _made(self) -> list[tuple[Any, bytes, int]]:
        """(who takes it, frame, receive time) of one round; the first messages bring every market its book."""
        spot = spot_frames(FRAMES, JOINED_NS)
        market = market_frames(FRAMES, JOINED_NS)
        for number in range(len(self._specs)):
            feed, frame, recv_ns = self._dealt(number, _first_book(), JOINED_NS)
            feed(frame, recv_ns)
        frames: list[tuple[Any, bytes, int]] = []
        heard = [number for number, role in enumerate(self._roles) if role != OVER]
        dealt = spots = 0
        for number in range(FRAMES):
            recv_ns = JOINED_NS + number * 1_000 + 200_000
            if spots < (number + 1) * self._spot_share:
                spots += 1
                frames.append((self._spot.inlet.feed, next(spot), recv_ns))
            else:
                frames.append(self._dealt(heard[dealt % len(heard)], next(market), recv_ns))
                dealt += 1
        return frames

    def _dealt(self, number: int, frame: bytes, recv_ns: int) -> tuple[Any, bytes, int]:
        """A frame of the one market there is, as another market's."""
        spec = self._specs[number]
        for theirs, ours in (
            (MARKET, spec.condition_id), (TOKEN_UP, spec.token_up), (TOKEN_DOWN, spec.token_down)
        ):  # fmt: skip
            frame = frame.replace(theirs.encode(), ours.encode())
        return self._feeds[number].inlet.feed, frame, recv_ns


def market_kb() -> float:
    """Private memory that one more market takes, KB, in a process of its own: what others freed is not used again."""
    return float(run_script(Path(__file__).name)["kb"])


def _measured_kb(count: int = 256) -> float:
    """Of this process: the market's state in the engine, its feed, a full book."""
    world = ManyMarkets(1)
    config = default_config()
    before_mb = private_mb()
    kept = []
    for number in range(1, count + 1):
        spec = _spec(number)
        market = world.engine.open_market(number, spec, order_seq_base=number * 1_000_000)
        feed = MarketFeed("ws://market", config.feeds, sink=world._runner.path)
        feed.add_market(number, spec)
        feed.on_open(lambda text: None, JOINED_NS)
        frame = _first_book().replace(MARKET.encode(), spec.condition_id.encode())
        feed.inlet.feed(frame.replace(TOKEN_UP.encode(), spec.token_up.encode()), JOINED_NS)
        assert market.book_ns > 0, "the market has no book"
        kept.append((market, feed))
    return (private_mb() - before_mb) * KB / len(kept)


def _first_book() -> bytes:
    return next(islice(market_frames(1, JOINED_NS), 1))


def _spec(number: int, *, is_early: bool = False) -> MarketSpec:
    """The number-th window, with ids of its own; all of the same time, or of the next one."""
    start_ns = START_NS + 300 * NS * is_early
    return make_spec(
        start_ns=start_ns,
        end_ns=start_ns + 300 * NS,
        condition_id=f"0x{number + 1:064x}",
        token_up=str(7 * 10**76 + number),
        token_down=str(6 * 10**76 + number),
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"kb": _measured_kb()}) + "\n")
