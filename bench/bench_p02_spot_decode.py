"""P2: decoding a spot trade from its bytes, beside a typed parser and a general one that end at the same numbers.

The frame is the one the daemon gets (a combined stream's), as its bytes come, and called from Python as theirs are.
The plant is what the feed falls back to on frames the scanner will not read: general JSON parsing.
"""

import random
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from bench.gate import Gate
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import EventBuffer
from polybot._fast.scan import DEC_OK

FRAMES = 200
CHECKED = 20_000
FRAME = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"%.8f","q":"%.8f","T":%d,"m":%s,"M":true}}'
)
Data = msgspec.defstruct("Data", [("t", int), ("p", float), ("q", float), ("T", int), ("m", bool)])
TYPED = msgspec.json.Decoder(msgspec.defstruct("Frame", [("data", Data)]), strict=False)


def trades(count: int) -> list[bytes]:
    """Frames of consecutive trades with random prices, sizes and sides."""
    rng = random.Random(5)
    frames = []
    for k in range(count):
        stamp_us = 1_790_000_000_000_000 + 1_000 * k
        price, size, is_maker = rng.uniform(1e4, 2e5), rng.uniform(1e-5, 9.0), rng.choice(("true", "false"))
        frames.append((FRAME % (stamp_us, 3_735_693_015 + k, price, size, stamp_us, is_maker)).encode())
    return frames


def by_scanner(frames: list[bytes]) -> Callable[[], EventBuffer]:
    decoder, out = SpotDecoder("BTCUSDT"), EventBuffer()

    def run() -> EventBuffer:
        out.reset()
        decoder.reset_ids()
        for frame in frames:
            decoder.feed(frame, 1, out)
        return out

    return run


def by_orjson(frames: list[bytes]) -> Callable[[], list[Any]]:
    def run() -> list[Any]:
        found = []
        for frame in frames:
            data = orjson.loads(frame)["data"]
            found.append((data["t"], float(data["p"]), float(data["q"]), data["T"], data["m"]))
        return found

    return run


def by_msgspec(frames: list[bytes]) -> Callable[[], None]:
    def run() -> None:
        for frame in frames:
            TYPED.decode(frame)

    return run


def test_values_are_identical_and_a_typed_parser_is_slower(gate: Gate) -> None:
    frames = trades(CHECKED)
    decoder, out = SpotDecoder("BTCUSDT"), EventBuffer()
    found = []
    for frame in frames:
        out.reset()
        assert decoder.feed(frame, 1, out) == DEC_OK
        found.append(tuple(out.to_numpy()[["i", "x", "y", "venue_ns", "side"]][0].tolist()))
    theirs = [TYPED.decode(frame).data for frame in frames]
    assert found == [(t.t, t.p, t.q, t.T * 1_000, t.m) for t in theirs]
    assert [(t.t, t.p, t.q, t.T, t.m) for t in theirs] == by_orjson(frames)()
    gate.ratio(
        "P2",
        "spot trade decoded, against msgspec typed",
        ours=by_scanner(frames[:FRAMES]),
        theirs=by_msgspec(frames[:FRAMES]),
        at_least=4.0,
        inner=FRAMES,
        planted=by_orjson(frames[:FRAMES]),
    )


def test_a_general_parser_is_slower(gate: Gate) -> None:
    frames = trades(FRAMES)
    gate.ratio(
        "P2",
        "spot trade decoded, against orjson + float()",
        ours=by_scanner(frames),
        theirs=by_orjson(frames),
        at_least=8.0,
        inner=FRAMES,
        planted=by_orjson(frames),
    )
