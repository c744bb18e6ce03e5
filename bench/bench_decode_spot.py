"""Decoding spot frames from Python: budgets, and how they compare with general JSON parsers.

The ratios are against parsing to the same numbers: orjson with float(), and msgspec with a typed
struct where it is installed.  30 % slack for a shared machine.
"""

from collections.abc import Callable

import orjson
import pytest

from bench.interleaved import times_faster
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import EventBuffer
from polybot._fast.scan import DEC_OK

Budget = Callable[..., float]
FRAMES = 100
SLACK = 0.7
TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161601271,"s":"BTCUSDT","t":%d,"p":"61685.99000000",'
    b'"q":"0.00140000","T":1723161601271,"m":true,"M":true}}'
)
QUOTE = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":%d,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",'
    b'"a":"61837.64000000","A":"1.60520000"}}'
)
AGG_TRADE = (
    b'{"e":"aggTrade","E":1672515782136,"s":"BTCUSDT","a":12345,"p":"61685.99","q":"100","f":%d,"l":%d,'
    b'"T":1672515782136,"m":true,"M":true}'
)


def decode_all(frames: list[bytes]) -> Callable[[], None]:
    decoder, out = SpotDecoder("BTCUSDT"), EventBuffer()

    def run() -> None:
        out.reset()
        decoder.reset_ids()
        for frame in frames:
            decoder.feed(frame, 1, out)

    run()
    assert len(out) == len(frames)
    return run


def test_spot_trade(budget: Budget) -> None:
    frames = [TRADE % (3_735_693_015 + k) for k in range(FRAMES)]
    budget(decode_all(frames), name="decode spot trade", median_ns=5000, inner=FRAMES)

    def by_orjson() -> None:
        for frame in frames:
            data = orjson.loads(frame)["data"]
            float(data["p"]), float(data["q"])

    wanted = 8 * SLACK
    name = "spot trade against orjson + float"
    assert times_faster(decode_all(frames), by_orjson, name=name, calls=30, at_least=wanted) >= wanted


def test_spot_trade_against_a_typed_parser(budget: Budget) -> None:
    msgspec = pytest.importorskip("msgspec")
    frames = [TRADE % (3_735_693_015 + k) for k in range(FRAMES)]
    data = msgspec.defstruct("Data", [("t", int), ("p", float), ("q", float), ("T", int), ("m", bool)])
    parser = msgspec.json.Decoder(msgspec.defstruct("Frame", [("data", data)]), strict=False)

    def by_msgspec() -> None:
        for frame in frames:
            parser.decode(frame)

    budget(decode_all(frames), name="decode spot trade (again)", median_ns=5000, inner=FRAMES)
    wanted = 4 * SLACK
    name = "spot trade against msgspec typed"
    assert times_faster(decode_all(frames), by_msgspec, name=name, calls=30, at_least=wanted) >= wanted


def test_spot_quote(budget: Budget) -> None:
    frames = [QUOTE % (50_093_239_212 + k) for k in range(FRAMES)]
    budget(decode_all(frames), name="decode spot quote", median_ns=5000, inner=FRAMES)


def test_spot_aggregated_trade_the_general_way(budget: Budget) -> None:
    frames = [AGG_TRADE % (100 + k, 100 + k) for k in range(FRAMES)]
    budget(decode_all(frames), name="decode spot aggTrade", median_ns=5000, inner=FRAMES)


def test_decoding_is_right_before_it_is_fast(budget: Budget) -> None:
    decoder, out = SpotDecoder("BTCUSDT"), EventBuffer()

    def run() -> None:
        out.reset()
        decoder.reset_ids()
        assert decoder.feed(TRADE % 7, 1, out) == DEC_OK

    budget(run, name="decode one spot trade, reset and check", median_ns=5000)
    assert out.to_numpy()["x"][0] == 61685.99
