"""P6: a picows frame -> the order in the hands of the gateway, at the median of frames that each make an order.

The frame is a real WSFrame that the listener is given as picows gives it; behind it stand what a daemon has: the
feed's inlet and decoder, the runner's path with a money journal and the inputs log, an engine with six strategies and
its risk.  The measure begins with the listener's own stamp of the frame, which it takes first thing, and ends where
the gateway, a Python callable, has read the clock in turn; both readings are of one clock, the second one is in the
figure.  Between two frames the order before is cancelled, outside the measurement; risk lets 64 orders a second
through, so that every ORDERS frames have a world of their own: the median of the least disturbed world is the figure.
As every absolute budget it is of the reference machine: divided by how much slower a fixed piece of work ran beside it,
never by less than 1, and by the smaller of two readings, since one that was disturbed would flatter.
"""

import statistics
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

from loguru import logger
from picows import WSMsgType, WSTransport
from picows.picows import _make_test_ws_frame
from scenario import Scenario, make_risk

from bench.bench_engine import trade_frames
from bench.bench_inputs import recorder
from bench.bench_path import NoMoney
from bench.timing import calibrate, scale_of
from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.convexity_fade import ConvexityFade
from polybot._fast.cross_timeframe import CrossTimeframe
from polybot._fast.event import CommandBuffer, EventBuffer, EventKind, OrderStatus
from polybot._fast.latency_arb import LatencyArb
from polybot._fast.listener import FrameListener
from polybot._fast.lp_extreme import LpExtreme
from polybot._fast.sink import CallableSink, EventSink
from polybot._fast.strike_misalign import StrikeMisalign
from polybot.clock import SystemClock, wall_clock
from polybot.config import FeedsConfig
from polybot.feeds.binance import SpotFeed
from polybot.replay.recorder import InputsRecorder
from polybot.runner import Runner
from polybot.telemetry.inbox import TelemetryInbox

LIMIT_NS = 1_000
ORDERS = 60  # risk's ceiling is 64 a second
WORLDS = 12
STEP_US = 1_000  # between two trades of the stream
FIRST_SEQ = 1_000
Burden = Callable[[EventSink], EventSink]


class Desk:
    """A listener and a path whose gateway notes when it was given an order."""

    def __init__(self, log: InputsRecorder, burden: Burden | None) -> None:
        """`burden`: the planted fault, something that stands before the path."""
        self.scenario = _armed()
        self.clock = SystemClock(self.scenario.at(20.5), wall_clock().mono_ns())
        self.raw_ns = self.clock.mono_anchor_ns - self.clock.epoch_ns  # from a venue time to the clock's
        path = Runner(
            self.scenario.engine,
            clock=self.clock,
            inbox=TelemetryInbox(),
            gateway=self._gateway,
            on_feed_command=print,
            journal=NoMoney(),
            inputs=log,
        ).path
        feed = SpotFeed(("ws://spot",), "BTCUSDT", FeedsConfig(), sink=burden(path) if burden else path)
        feed.on_open(lambda text: None, self.clock.now_ns())
        self.listener = FrameListener(object(), self.clock.now_ns, stamp=self.clock.stamp(), inlet=feed.inlet)
        self.orders = self.at_ns = 0

    def _gateway(self, commands: CommandBuffer) -> None:
        self.at_ns = monotonic_ns()
        self.orders += 1

    def times(self) -> list[int]:
        """ns of each of ORDERS frames, all of which make an order."""
        stamps_us = [self.scenario.at(20.5) // 1_000 + k * STEP_US for k in range(ORDERS)]
        payloads = trade_frames(ORDERS, 1, stamps_us)
        frames = [_make_test_ws_frame(WSMsgType.TEXT, payload, True, False) for payload in payloads]
        listener, transport = self.listener, WSTransport.__new__(WSTransport)
        process, found = self.scenario.engine.process, []
        for number, (frame, cancel) in enumerate(zip(frames, self._cancels(), strict=True)):
            listener.on_ws_frame(transport, frame)
            found.append(self.at_ns - (listener.last_ns + self.raw_ns))
            assert self.orders == number + 1, "a frame without an order"
            process(cancel)
        return found

    def _cancels(self) -> list[EventBuffer]:
        """What ends each of the orders; the book is told once more first."""
        made = []
        for number in range(ORDERS):
            made.append(EventBuffer(1))
            made[-1].add(
                EventKind.EV_ORDER_UPDATE,
                recv_ns=self.clock.now_ns(),
                seq=FIRST_SEQ + number,
                i=OrderStatus.OS_CANCELED,
                j=0,
            )
        seconds = (self.clock.now_ns() - self.scenario.spec.start_ns) / 1e9
        self.scenario.oracle(seconds, 100_000.0)
        self.scenario.book(seconds, [(3_900, 1_000)], [(4_000, 1_000)])
        self.scenario.go()
        return made


def _armed() -> Scenario:
    """A live market at 20 s in which every trade makes an order of latency_arb; the other strategies are asked too."""
    first = LatencyArb(require_move=False, edge_se_multiple=0.0)
    others = [CertaintyCapture(), ConvexityFade(), StrikeMisalign(), LpExtreme(), CrossTimeframe()]
    scenario = Scenario([first, *others], risk=make_risk(orders_per_s=64.0))
    scenario.risk.set_limits(0, per_trade_frac=0.02, total_frac=1.0, cooldown_ns=0, max_orders=1 << 30)
    scenario.warm(bid=3_900, ask=4_000)
    return scenario


def logged(path: EventSink) -> EventSink:
    """A line for every batch, as a careless hand would write it into the path."""

    def sink(events: EventBuffer) -> None:
        logger.info("{} events from {}", len(events), events.recv_ns_at(0))
        path.feed(events)

    return CallableSink(sink)


def test_a_frame_to_an_order_in_the_gateways_hands(gate: Any, tmp_path: Path) -> None:
    logger.remove()
    logger.add(lambda message: None)
    log = recorder(tmp_path)

    def median(burden: Burden | None = None) -> float:
        before_ns = calibrate()
        least_ns = min(statistics.median(Desk(log, burden).times()) for _ in range(WORLDS))
        slower_ns = min(before_ns, calibrate())
        return least_ns / scale_of(slower_ns, slower_ns)

    gate.value(
        "P6",
        "frame to order at the gateway, median",
        median,
        planted=lambda: median(logged),
        at_most=LIMIT_NS,
        unit="ns",
    )
    assert log.dropped == 0
    log.close()
    log.wait()
