"""A process whose allocations are counted: frames of both feeds through listener, decoder, engine, telemetry, log.

Started by test_no_allocation.py with tests/allocation_counter.c before the C library; prints one JSON object:
what the loop's thread asked the allocator for, by what it was doing.  Nothing here decides whether that is right.
"""

import ctypes
import gc
import json
import sys
import tempfile
from pathlib import Path

from picows import WSMsgType, WSTransport
from picows.picows import _make_test_ws_frame

from bench.frame_stream import market_frames, spot_frames
from bench.whole_client import JOINED_NS, World
from polybot._fast.event import EventKind
from polybot._fast.listener import FrameListener
from polybot._fast.path import MarketPath
from polybot._fast.sink import CallableSink
from polybot.clock import SystemClock, wall_clock
from polybot.feeds.binance import SpotFeed
from polybot.feeds.polymarket import MarketFeed

COUNTER = ctypes.PyDLL(sys.argv[1])
WARM, COUNTED = 1_500, 1_000  # frames of each feed; what is counted fits into the log's open tail
MARKET_COUNTED = 140
SPEED = 1e-3  # venue seconds a second: nothing grows stale, however slow the machine is


def count(listener, transport, frames) -> int:
    """Allocations of this thread while the listener takes the frames; free lists are empty at the start."""
    take = listener.on_ws_frame
    gc.collect()
    COUNTER.begin()
    for frame in frames:
        take(transport, frame)
    COUNTER.end()
    return int(COUNTER.counted())


class Bench:
    """One world with its two feeds; `sink` stands before the path of the spot feed."""

    def __init__(self, folder: Path, sink=None) -> None:
        clock = SystemClock(JOINED_NS, wall_clock().mono_ns(), SPEED)
        self.world = world = World(folder, clock)
        world.begin()
        first = sink(world) if sink else world.runner.path
        self.spot = SpotFeed(["ws://spot"], "BTCUSDT", world.config.feeds, sink=first)
        way = MarketPath(world.runner.path, world.engine, 0, before=None, on_tick_size=lambda index, ticks: None)
        self.market = MarketFeed("ws://market", world.config.feeds, sink=way)
        self.market.add_market(0, world.spec)
        self.transport = WSTransport.__new__(WSTransport)
        self.listeners = {}
        for feed in (self.spot, self.market):
            feed.on_open(lambda text: None, clock.now_ns())
            self.listeners[feed.name] = FrameListener(object(), clock.now_ns, stamp=clock.stamp(), inlet=feed.inlet)

    def measure(self, name: str, frames: list) -> int:
        """Allocations for the last frames, after the first ones have made every buffer as large as it gets."""
        return count(self.listeners[name], self.transport, frames)

    def close(self) -> None:
        self.world.close()


def frames_of(payloads) -> list:
    return [_make_test_ws_frame(WSMsgType.TEXT, payload, True, False) for payload in payloads]


def honest(folder: Path) -> dict:
    """The real road, both feeds."""
    bench = Bench(folder)
    world, ring = bench.world, bench.world.inbox.ring
    spot = frames_of(spot_frames(WARM + COUNTED, JOINED_NS))
    market = frames_of(market_frames(2 * MARKET_COUNTED, JOINED_NS))
    bench.measure("market", market[:MARKET_COUNTED])
    bench.measure("spot", spot[:WARM])
    state = world.engine.markets[0]
    pushed, messages, trades = ring.pushed, world.runner.path.messages, world.engine.spot.trades
    counts, samples = world.inputs._tape.counts.entries, world.inbox.samples.pushed
    found = {
        "nothing": count(bench.listeners["spot"], bench.transport, []),
        "spot": bench.measure("spot", spot[WARM:]),
        "market": bench.measure("market", market[MARKET_COUNTED:]),
        "block_reason": state.block_reason,
        "messages": world.runner.path.messages - messages,
        "trades": world.engine.spot.trades - trades,
        "commands": ring.pushed - pushed,
        "logged": world.inputs._tape.counts.entries - counts,
        "samples": world.inbox.samples.pushed - samples,
        "orders": world.orders,
    }
    bench.close()
    return found


def planted(folder: Path, sink) -> int:
    """The same with a fault before the path."""
    bench = Bench(folder, sink)
    frames = frames_of(spot_frames(WARM + COUNTED, JOINED_NS))
    bench.measure("spot", frames[:WARM])
    found = bench.measure("spot", frames[WARM:])
    bench.close()
    return found


def every_frame(world):
    """A list of its own for every frame."""
    kept = []

    def sink(events) -> None:
        kept.append([events])
        world.runner.feed(events)

    return CallableSink(sink)


def one_float(world):
    """A float for every frame, which is given back at once: a free list takes it."""

    def sink(events) -> None:
        if len(events) * 0.37 > 0.0 and events.kind_at(0) != EventKind.EV_TIMER:
            world.runner.feed(events)

    return CallableSink(sink)


def main() -> None:
    sys.setswitchinterval(60.0)  # other threads give objects back to the free lists, which would hide some of ours
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = honest(folder / "honest")
        found["a list for every frame"] = planted(folder / "list", every_frame)
        found["a float for every frame"] = planted(folder / "float", one_float)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
