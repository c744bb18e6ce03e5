"""The way from a frame to its events: against a plain-Python inlet, on frames of every kind, in random order."""

import json
import random

import pytest

from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import EventBuffer, EventKind, Special
from polybot._fast.inlet import Inlet, Pulse
from polybot._fast.scan import DecodeResult
from polybot._fast.sink import as_sink

NS = 1_000_000_000
T0_NS = 1_790_616_600 * NS
NO_MARKET = int(Special.NO_MARKET)
UNSUPPORTED, IGNORED = DecodeResult.DEC_UNSUPPORTED, DecodeResult.DEC_IGNORED
SNAPSHOT_BIT, TICK_BIT = 1 << EventKind.EV_BOOK_SNAPSHOT, 1 << EventKind.EV_TICK_SIZE


class TellingPulse(Pulse):
    """Tells of data after staleness, as a feed's liveness does."""

    def __init__(self, log, name):
        self.log, self.name = log, name

    def on_data(self, recv_ns):
        super().on_data(recv_ns)
        self.log.append(("alive", self.name, recv_ns))


class SlowInlet:
    """The same in plain Python."""

    def __init__(self, decoder, sink, *, on_odd, odd, on_watched=None, pong=b""):
        self.decoder, self.sink, self.on_odd, self.on_watched = decoder, sink, on_odd, on_watched
        self.odd, self.pong, self.watched = set(odd), pong, 0
        self.events, self.pulses = EventBuffer(), {}
        self.now_ns = self.data_ns = self.pong_ns = self.pongs = self.payloads = 0

    def watch(self, mask):
        self.watched = mask

    def follow(self, market, pulse):
        self.pulses[market] = pulse

    def leave(self, market):
        self.pulses.pop(market, None)

    def feed(self, payload, recv_ns):
        self.now_ns = recv_ns
        if self.pong and bytes(payload) == self.pong:
            self.pong_ns = recv_ns
            self.pongs += 1
            return
        self.events.reset()
        result = self.decoder.feed(payload, recv_ns, self.events)
        if not len(self.events) and result in self.odd:
            self.on_odd(result, bytes(payload), recv_ns, self.events)
        self.payloads += 1
        if not len(self.events):
            return
        mask, pulse = self.events.kind_mask(), self.pulses.get(self.events.market_at(0))
        self.data_ns = recv_ns
        self.sink(self.events)
        if pulse is not None and pulse.stale:
            pulse.on_data(recv_ns)
        elif pulse is not None:
            pulse.beat(recv_ns)
        if mask & self.watched:
            self.on_watched(self.events, recv_ns)


class World:
    """An inlet with everything it calls written down."""

    def __init__(self, make, decoder, *, odd, pong=b"PONG", raises_at=0):
        self.log, self.raises_at, self.decoder = [], raises_at, decoder
        self.inlet = make(
            decoder, self.take if make is SlowInlet else as_sink(self.take),
            on_odd=self.odd, odd=odd, on_watched=self.watched, pong=pong,
        )  # fmt: skip
        self.pulses = {market: TellingPulse(self.log, market) for market in (NO_MARKET, 0, 1, 2)}
        for market, pulse in self.pulses.items():
            self.inlet.follow(market, pulse)

    def take(self, events):
        self.log.append(("events", events.to_bytes()))
        if self.raises_at and len(self.log) % self.raises_at == 0:
            raise RuntimeError("an outlet failed")

    def odd(self, result, payload, recv_ns, events):
        self.log.append(("odd", int(result), payload, recv_ns))
        if b"slow" in payload:  # what the slow path finds is handed on like any other event
            events.add(EventKind.EV_PUBLIC_TRADE, recv_ns=recv_ns, market=1)

    def watched(self, events, recv_ns):
        self.log.append(("watched", len(events), recv_ns))

    def state(self):
        inlet = self.inlet
        stamps = (inlet.now_ns, inlet.data_ns, inlet.pong_ns, inlet.pongs, inlet.payloads)
        return stamps, {market: (pulse.data_ns, pulse.stale) for market, pulse in self.pulses.items()}


def spot_frames():
    trade = (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"78803.71","q":"0.0012",'
        '"T":%d,"m":true,"M":true}}'
    )
    frames = [(trade % (T0_NS // 1_000, number, T0_NS // 1_000)).encode() for number in (1, 2, 2, 3, 7, 8)]
    return [
        *frames,
        frames[0].replace(b"78803.71", b"78803.7\\u0031"),
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
        b'{"result":null,"id":1}',
        frames[0].replace(b"BTCUSDT", b"ETHUSDT"),
        b'{"e":"trade","slow":"\xff"}',
        b"",
        b"{",
        b"PONG",
    ]


def clob_frames():
    def of(kind, token, **fields):
        head = {"event_type": kind, "market": "0xab", "asset_id": token, "timestamp": "1790616612345"}
        return json.dumps(head | fields)

    sides = {"bids": [{"price": "0.50", "size": "200"}], "asks": [{"price": "0.52", "size": "150"}]}
    change = {"price": "0.51", "size": "120", "side": "BUY", "best_bid": "0.51", "best_ask": "0.52"}
    texts = [
        of("book", "111", **sides, tick_size="0.01"),
        of("book", "222", **sides),
        of("book", "999", **sides),
        of("tick_size_change", "111", old_tick_size="0.01", new_tick_size="0.001"),
        of("price_change", "111", price_changes=[{"asset_id": "111", **change}, {"asset_id": "999", **change}]),
        of("last_trade_price", "333", price="0.5", size="3", side="BUY"),
        of("new_market", "111"),
        of("book", "111", **sides).replace("0.50", "0.5\\u0030"),
        "[" + of("book", "111", **sides) + "," + of("book", "333", **sides) + "]",
        '{"slow":"\\ud800"}',
    ]
    return [*(text.encode() for text in texts), b"PONG", b"PONGS", b"PON", b"", b"{]"]


def clob_decoder():
    decoder = ClobDecoder()
    decoder.add_market(0, b"111", b"222")
    decoder.add_market(1, b"333", b"444")
    return decoder


KINDS = {
    "spot": (lambda: SpotDecoder("BTCUSDT"), spot_frames, (UNSUPPORTED, IGNORED)),
    "market": (clob_decoder, clob_frames, (UNSUPPORTED,)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_random_lives_are_those_of_the_plain_inlet(kind, seed, wrap):
    make_decoder, make_frames, odd = KINDS[kind]
    rng, frames = random.Random(seed), make_frames()
    worlds = [World(make, make_decoder(), odd=odd) for make in (SlowInlet, Inlet)]
    heard = set()
    for step in range(400):
        choice, frame = rng.random(), rng.choice(frames)
        mask = rng.choice((0, TICK_BIT, TICK_BIT | SNAPSHOT_BIT))
        market, stale = rng.choice((NO_MARKET, 0, 1)), rng.random() < 0.5
        for world in worlds:
            if choice < 0.05:
                world.inlet.watch(mask)
            elif choice < 0.15:
                world.pulses[market].set_stale(stale)
            elif choice < 0.20:
                world.inlet.leave(market)
            elif choice < 0.25:
                world.inlet.follow(market, world.pulses[market])
            else:
                world.inlet.feed(wrap(frame), T0_NS + step)
        slow, fast = worlds
        assert fast.log == slow.log
        assert fast.state() == slow.state()
        heard |= {entry[0] for entry in fast.log}
    assert heard == {"events", "odd", "alive"} | ({"watched"} if kind == "market" else set())
    assert worlds[1].decoder.counters() == worlds[0].decoder.counters()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_sink_raises_passes_and_the_next_frame_goes_on(kind):
    make_decoder, make_frames, odd = KINDS[kind]
    worlds = [World(make, make_decoder(), odd=odd, raises_at=3) for make in (SlowInlet, Inlet)]
    raised = []
    for world in worlds:
        count = 0
        for step, frame in enumerate(make_frames() * 3):
            try:
                world.inlet.feed(frame, T0_NS + step)
            except RuntimeError:
                count += 1
        raised.append(count)
    assert raised[0] == raised[1] > 0
    assert worlds[1].log == worlds[0].log
    assert worlds[1].state() == worlds[0].state()


def test_a_request_from_inside_the_sink_is_seen_by_the_same_frame():
    """A market that begins to wait while its snapshot is handed on hears of that very snapshot."""
    heard = []
    inlet = Inlet(
        clob_decoder(), as_sink(lambda events: inlet.watch(SNAPSHOT_BIT)), on_odd=lambda *odd: None, odd=(),
        on_watched=lambda events, recv_ns: heard.append(recv_ns),
    )  # fmt: skip
    inlet.watch(TICK_BIT)
    inlet.feed(clob_frames()[0], T0_NS)
    assert heard == [T0_NS]


def test_markets_beyond_the_limit_are_refused_and_one_left_makes_room():
    inlet = Inlet(clob_decoder(), as_sink(print), on_odd=print, odd=())
    for market in range(64):
        inlet.follow(market, Pulse())
    with pytest.raises(ValueError, match="more than 64"):
        inlet.follow(64, Pulse())
    inlet.follow(5, Pulse())  # replaces
    inlet.leave(7)
    inlet.follow(64, Pulse())


def test_an_opening_and_a_witness_move_the_stamps():
    inlet = Inlet(clob_decoder(), as_sink(print), on_odd=print, odd=())
    inlet.on_open(5)
    assert (inlet.now_ns, inlet.data_ns, inlet.pong_ns) == (5, 5, 5)
    inlet.on_time(6)
    inlet.on_data(7)
    assert (inlet.now_ns, inlet.data_ns, inlet.pong_ns) == (6, 7, 5)
