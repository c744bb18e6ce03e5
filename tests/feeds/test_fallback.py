"""The slow exact path: what the scanner leaves to it means the same as the plain frame, or is refused."""

import json

import pytest

from polybot._fast import event as ev
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.scan import DEC_IGNORED, DEC_MALFORMED, DEC_OK, DEC_UNSUPPORTED
from polybot.feeds.fallback import SlowPath, plain_frame

TRADE = (
    b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100",'
    b'"T":1672515782136,"m":true,"M":true}'
)
BOOK = (
    b'{"event_type":"book","asset_id":"1","bids":[{"price":"0.5","size":"200"}],"asks":[],'
    b'"timestamp":"1790616612345"}'
)


def spot_events(payload: bytes) -> tuple[int, bytes, dict[str, int]]:
    slow, out = SlowPath(SpotDecoder("BNBBTC")), ev.EventBuffer()
    return slow.feed(payload, 1, out), out.to_bytes(), slow.counters()


def book_events(payload: bytes) -> tuple[int, bytes, dict[str, int]]:
    decoder, out = ClobDecoder(), ev.EventBuffer()
    decoder.add_market(1, b"1", b"2")
    slow = SlowPath(decoder)
    return slow.feed(payload, 1, out), out.to_bytes(), slow.counters()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"t":12345', b'"\\u0074":12345'),
        (b'"trade"', b'"tr\\u0061de"'),
        (b'"BNBBTC"', b'"\\u0042NBBTC"'),
        (b'"t":12345', b'"t":9,"t":12345'),
        (b'"t":12345', b'"t":1.2345e4'),
        (b'"M":true', '"M":"ß\U0001f600"'.encode()),
        (b'"M":true', '"ключ":[1,{"ß":"\\ud800"}],"M":true'.encode()),
        (b'"M":true', b'"M":' + b"[" * 50 + b"]" * 50),
    ],
)
def test_odd_spellings_of_a_trade_mean_the_same(old: bytes, new: bytes) -> None:
    assert old in TRADE
    result, events, counters = spot_events(TRADE.replace(old, new))
    assert (result, events) == spot_events(TRADE)[:2]
    assert result == DEC_OK
    assert counters == {"slow_used": 1, "slow_malformed": 0, "slow_refused": 0}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"0.5"', b'"5e-1"'),
        (b'"0.5"', b"5.0E-01"),
        (b'"200"', b'"2e2"'),
        (b'"200"', b"2000000e-4"),
        (b'"1790', b'"\\u0031790'),
    ],
)
def test_exponents_and_escapes_in_a_book_mean_the_same(old: bytes, new: bytes) -> None:
    result, events, counters = book_events(BOOK.replace(old, new))
    assert (result, events) == book_events(BOOK)[:2]
    assert (result, counters["slow_used"]) == (DEC_OK, 1)


def test_plain_frames_never_take_the_slow_path() -> None:
    assert spot_events(TRADE)[2]["slow_used"] == 0
    assert spot_events(TRADE[:-1])[2] == {"slow_used": 0, "slow_malformed": 0, "slow_refused": 0}


@pytest.mark.parametrize(
    "payload",
    [
        TRADE.replace(b'"M":true', b'"M":"\xff"'),
        TRADE.replace(b'"M":true', b'"\\u004d":tru'),
        TRADE.replace(b'"t"', b'"\\u0074"').replace(b'"p":"0.001"', b'"p":"x"'),
        TRADE.replace(b'"t"', b'"\\u0074"') + b"}",
        b'{"\\u0061":NaN}',
        b'{"x":' * 100_000,
    ],
)
def test_what_is_malformed_after_all_is_counted_so(payload: bytes) -> None:
    result, events, counters = spot_events(payload)
    assert (result, events) == (DEC_MALFORMED, b"")
    assert counters == {"slow_used": 1, "slow_malformed": 1, "slow_refused": 0}


@pytest.mark.parametrize("size", [b'"1e-7"', b'"0.12345678"', b'"99999999999999999999"', b'"1e99"'])
def test_numbers_that_cannot_be_exact_are_refused_and_counted(size: bytes) -> None:
    result, events, counters = book_events(BOOK.replace(b'"200"', size))
    assert (result, events) == (DEC_UNSUPPORTED, b"")
    assert counters == {"slow_used": 1, "slow_malformed": 0, "slow_refused": 1}


def test_what_is_not_for_us_stays_ignored() -> None:
    assert spot_events('{"e":"kline","k":{"ü":1}}'.encode())[0] == DEC_IGNORED


def test_a_spelled_frame_keeps_values_and_drops_what_cannot_be_ours() -> None:
    frame = '{"a":"x","a":"y","b":[1,-2.50,1e3,"1E-2","0x1e2",null,true,false,{}],"ü":1,"q\\"":2,"c":"é"}'.encode()
    plain = plain_frame(frame)
    assert plain == b'{"a":"y","b":[1,-2.50,1000,"0.01","0x1e2",null,true,false,{}],"c":"?"}'
    assert json.loads(plain)["b"][1] == -2.5


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b"\xff", b"1 2"])
def test_what_is_not_json_has_no_spelling(text: bytes) -> None:
    assert plain_frame(text) is None
