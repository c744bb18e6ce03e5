"""From a frame's bytes to the sink, decoding included, for a spot quote and for a price change."""

from collections.abc import Callable
from itertools import islice

from bench.event_stream import START_NS
from bench.frame_stream import TOKEN_DOWN, TOKEN_UP, market_frames, spot_frames
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import EventBuffer, Special
from polybot._fast.inlet import Inlet, Pulse
from polybot._fast.sink import as_sink

Budget = Callable[..., float]
COUNT = 2_000
SPOT_NS, MARKET_NS = 1_000, 5_000


class Counting:
    """A sink of Python's own."""

    def __init__(self) -> None:
        self.events = 0

    def __call__(self, events: EventBuffer) -> None:
        self.events += len(events)


def test_spot_frames_through_the_inlet(budget: Budget) -> None:
    frames, sink, decoder = list(spot_frames(COUNT, START_NS)), Counting(), SpotDecoder("BTCUSDT")
    inlet = Inlet(decoder, as_sink(sink), on_odd=print, odd=())
    inlet.follow(int(Special.NO_MARKET), Pulse())

    def run() -> None:
        decoder.reset_ids()
        feed = inlet.feed
        for frame in frames:
            feed(frame, START_NS)

    budget(run, name="inlet: spot frame to a Python sink", median_ns=SPOT_NS, inner=COUNT)
    assert sink.events > 0
    assert sink.events % COUNT == 0


def test_market_frames_through_the_inlet(budget: Budget) -> None:
    frames, sink, decoder = list(islice(market_frames(COUNT, START_NS), COUNT)), Counting(), ClobDecoder()
    decoder.add_market(0, TOKEN_UP.encode(), TOKEN_DOWN.encode())
    inlet = Inlet(decoder, as_sink(sink), on_odd=print, odd=())
    inlet.follow(0, Pulse())
    inlet.watch(1)

    def run() -> None:
        feed = inlet.feed
        for frame in frames:
            feed(frame, START_NS)

    budget(run, name="inlet: market frame to a Python sink", median_ns=MARKET_NS, inner=COUNT)
    assert sink.events > COUNT
