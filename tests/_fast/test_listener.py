"""The listener on real loopback sockets: what comes off the wire against a list of what was put on it."""

import asyncio
import random

import pytest
from picows import WSAutoPingStrategy, WSFrame, WSTransport, ws_connect

from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import Special
from polybot._fast.inlet import Inlet, Pulse
from polybot._fast.listener import FrameListener
from polybot._fast.sink import as_sink
from polybot.clock import wall_clock
from tests.feeds.peer import WAIT_S, Peer, listen, peer_of

NO_MARKET = int(Special.NO_MARKET)
TEXT, BINARY, CONTINUATION, PING, FIN = 1, 2, 0, 9, 0x80


class PlainLink:
    """The slow reference: keeps every message as an object, puts fragments together."""

    def __init__(self):
        self.messages, self.errors, self.frames, self.parts = [], [], 0, b""
        self.listener = None
        self.connected = asyncio.Event()
        self.news = asyncio.Event()

    def on_connected(self, transport: WSTransport):
        self.connected.set()

    def on_frame(self, frame: WSFrame):
        self.frames += 1
        if frame.msg_type.value in (TEXT, BINARY, CONTINUATION):
            self.parts = (self.parts if frame.msg_type.value == CONTINUATION else b"") + frame.get_payload_as_bytes()
            if frame.fin:
                whole, self.parts = self.parts, b""
                self.listener.deliver(whole)

    def on_message(self, payload: bytes, recv_ns: int):
        self.messages.append((payload, recv_ns))
        self.news.set()
        if payload.startswith(b"raise"):
            raise ValueError(payload)

    def on_error(self, error: Exception):
        self.errors.append(str(error))

    async def reach(self, count):
        async with asyncio.timeout(WAIT_S):
            while len(self.messages) < count:
                self.news.clear()
                await self.news.wait()


def trade(number):
    stamp = 1_790_616_600_000_000 + number
    return (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"78803.71","q":"0.0012",'
        b'"T":%d,"m":true,"M":true}}' % (stamp, number, stamp)
    )


def framed(opcode, payload, fin=FIN):
    size = len(payload)
    head = bytes([fin | opcode, size]) if size < 126 else bytes([fin | opcode, 126]) + size.to_bytes(2, "big")
    return head + payload


def random_wire(seed, payloads):
    """The payloads as frames: whole or in pieces, text or binary, with pings in between."""
    rng, wire = random.Random(seed), b""
    for payload in payloads:
        opcode = rng.choice((TEXT, TEXT, BINARY))
        if rng.random() < 0.2:
            wire += framed(PING, b"now")
        cuts = sorted(rng.choices(range(len(payload) + 1), k=rng.choice((0, 0, 0, 1, 2))))
        pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for k, piece in enumerate(pieces):
            last = k == len(pieces) - 1
            wire += framed(opcode if k == 0 else CONTINUATION, piece, FIN if last else 0)
            if not last and rng.random() < 0.5:
                wire += framed(PING, b"between")
    return wire


async def receive(link, make_listener, wire, done, seed):
    """Send the wire in chunks of random length and wait for `done`."""

    async def handler(peer: Peer, socket):
        rng, at = random.Random(seed), 0
        transport = socket._req.transport
        while at < len(wire):
            size = rng.choice((1, 3, 50, 400, 5_000))
            transport.write(wire[at : at + size])
            at += size
            await asyncio.sleep(0)
        await listen(peer, socket)

    async with peer_of(handler) as peer:
        link.listener = make_listener(link)
        transport, _ = await ws_connect(
            lambda request, response: link.listener, peer.url, auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE
        )
        await link.connected.wait()
        await done()
        transport.disconnect(False)
        await transport.wait_disconnected()


@pytest.mark.parametrize("seed", range(4))
def test_messages_of_any_shape_arrive_whole_and_in_order_on_the_python_road(seed):
    rng = random.Random(seed)
    payloads = [rng.randbytes(rng.choice((1, 7, 125, 126, 300, 2_000))) for _ in range(60)]
    payloads += [b"raise me", b"the last"]
    clock = wall_clock()

    async def scenario():
        link = PlainLink()
        await receive(
            link,
            lambda link: FrameListener(link, clock.now_ns, stamp=clock.stamp()),
            random_wire(seed, payloads),
            lambda: link.reach(len(payloads)),
            seed,
        )
        return link

    link = asyncio.run(scenario())
    assert [payload for payload, _ in link.messages] == payloads
    stamps = [recv_ns for _, recv_ns in link.messages]
    assert stamps == sorted(stamps)
    assert (link.listener.first_ns, link.listener.last_ns) == (stamps[0], stamps[-1])
    assert link.errors == ["b'raise me'"]
    assert link.frames > 0


@pytest.mark.parametrize("seed", range(4))
def test_the_c_road_gives_the_events_of_the_decoder_alone(seed):
    rng = random.Random(seed)
    payloads = [rng.choice((trade(number), trade(number // 2), b"{}", b"nonsense")) for number in range(1, 80)]
    payloads.append(trade(1_000))
    expected, plain = [], SpotDecoder("BTCUSDT")
    plain_inlet = Inlet(plain, as_sink(lambda events: expected.append(events.to_numpy())), on_odd=print, odd=())
    for payload in payloads:
        plain_inlet.feed(payload, 1)
    clock, got, decoder = wall_clock(), [], SpotDecoder("BTCUSDT")
    arrived = asyncio.Event()

    def take(events):
        got.append(events.to_numpy().copy())
        if got[-1]["seq"][0] == 1_000:
            arrived.set()
        if len(got) % 7 == 0:
            raise RuntimeError("an outlet failed")

    inlet = Inlet(decoder, as_sink(take), on_odd=print, odd=())
    pulse = Pulse()
    inlet.follow(NO_MARKET, pulse)

    async def scenario():
        async def done():
            async with asyncio.timeout(WAIT_S):
                await arrived.wait()

        link = PlainLink()
        await receive(
            link,
            lambda link: FrameListener(link, clock.now_ns, stamp=clock.stamp(), inlet=inlet),
            random_wire(seed, payloads),
            done,
            seed,
        )
        return link

    link = asyncio.run(scenario())
    assert link.messages == []
    assert len(link.errors) == len(got) // 7 > 0
    assert decoder.counters() == plain.counters()
    assert inlet.payloads == len(payloads)
    stamps = [int(rows["recv_ns"][0]) for rows in got]
    for rows in got:
        rows["recv_ns"] = 1
    assert [rows.tobytes() for rows in got] == [rows.tobytes() for rows in expected]
    assert stamps == sorted(stamps)
    assert inlet.data_ns == stamps[-1] == link.listener.last_ns
    assert pulse.data_ns in stamps


def test_a_listener_that_was_let_go_drops_what_still_comes():
    clock = wall_clock()
    link = PlainLink()
    listener = FrameListener(link, clock.now_ns, stamp=clock.stamp())
    listener.deliver(b"one")
    listener.let_go()
    listener.deliver(b"two")
    assert [payload for payload, _ in link.messages] == [b"one"]
    assert listener.first_ns == listener.last_ns == link.messages[0][1]


def test_without_a_stamp_the_clock_of_python_is_asked():
    link = PlainLink()
    listener = FrameListener(link, lambda: 42)
    listener.deliver(b"one")
    assert link.messages == [(b"one", 42)]
