"""A picows frame through the listener: stamp, inlet, decoder and a sink of Python's own, without a socket.

picows calls a listener from C; here Python does, which costs more than it.  The socket is in bench_p07_receive.
"""

from collections.abc import Callable

from picows import WSMsgType, WSTransport
from picows.picows import _make_test_ws_frame

from bench.event_stream import START_NS
from bench.frame_stream import spot_frames
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import EventBuffer
from polybot._fast.inlet import Inlet
from polybot._fast.listener import FrameListener
from polybot._fast.sink import as_sink
from polybot.clock import wall_clock

Budget = Callable[..., float]
COUNT = 1_000
FRAME_NS = 1_000


def test_frames_through_the_listener(budget: Budget) -> None:
    heard, clock, decoder = [0], wall_clock(), SpotDecoder("BTCUSDT")

    def sink(events: EventBuffer) -> None:
        heard[0] += len(events)

    inlet = Inlet(decoder, as_sink(sink), on_odd=print, odd=())
    listener = FrameListener(object(), clock.now_ns, stamp=clock.stamp(), inlet=inlet)
    transport = WSTransport.__new__(WSTransport)
    frames = [_make_test_ws_frame(WSMsgType.TEXT, payload, True, False) for payload in spot_frames(COUNT, START_NS)]

    def run() -> None:
        decoder.reset_ids()
        take = listener.on_ws_frame
        for frame in frames:
            take(transport, frame)

    budget(run, name="listener: spot frame to a Python sink", median_ns=FRAME_NS, inner=COUNT)
    assert heard[0] > 0
    assert heard[0] % COUNT == 0
