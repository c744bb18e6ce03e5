"""SpotDecoder against the documented samples and a plain-json reference on random frames."""

import random

import pytest
from reference import feed_reference as ref
from reference import guarded
from reference.frame_mutation import Obj, Raw, damage, distort, obj, spell

from polybot._fast import event as ev
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.scan import (
    DEC_IGNORED,
    DEC_MALFORMED,
    DEC_OK,
    DEC_UNSUPPORTED,
    DEC_WRONG_SYMBOL,
)
from polybot.feeds.fallback import SlowPath

RECV_NS = 1_700_000_000_000_000_001
TRADE = (
    b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100",'
    b'"T":1672515782136,"m":true,"M":true}'
)
AGG_TRADE = (
    b'{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,'
    b'"T":1672515782136,"m":true,"M":true}'
)
QUOTE = (
    b'{"u":400900217,"s":"BNBBTC","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}'
)
KLINE = (
    b'{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,"s":"BNBBTC",'
    b'"i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,'
    b'"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}'
)
SHUTDOWN = b'{"e":"serverShutdown","E":1770123456789}'
BLOCK_TRADE = TRADE.replace(b'"trade"', b'"blockTrade"')


def combined(stream: str, data: bytes) -> bytes:
    return b'{"stream":"' + stream.encode() + b'","data":' + data + b"}"


def trade(
    number: int = 1,
    *,
    symbol: str = "BNBBTC",
    price: str = "61685.99000000",
    quantity: str = "0.00140000",
    traded: int = 1_723_161_601_271,
    maker: bool = True,
) -> Obj:
    return obj(
        e="trade",
        E=Raw(str(traded + 1)),
        s=symbol,
        t=Raw(str(number)),
        p=price,
        q=quantity,
        T=Raw(str(traded)),
        m=maker,
        M=True,
    )


def decode(payload: bytes, decoder: SpotDecoder | None = None) -> tuple[int, list[tuple[object, ...]]]:
    out = ev.EventBuffer()
    result = (decoder or SpotDecoder("bnbbtc", 7)).feed(payload, RECV_NS, out)
    return result, out.to_numpy().tolist()


@pytest.mark.parametrize("wrap", [False, True], ids=["raw", "combined"])
def test_documented_trade(wrap: bool) -> None:
    result, events = decode(combined("bnbbtc@trade", TRADE) if wrap else TRADE)
    ns = 1_672_515_782_136_000_000
    assert result == DEC_OK
    expected = (RECV_NS, ns, ev.EV_SPOT_TRADE, 7, 0, ev.SELL, ev.F_END, 12345, 0.001, 100.0, 12345, ns)
    assert events == [expected]


def test_documented_aggregated_trade_tells_first_and_last_id() -> None:
    result, events = decode(AGG_TRADE)
    ns = 1_672_515_782_136_000_000
    flags = ev.F_END | ev.F_AGG
    assert result == DEC_OK
    assert events == [(RECV_NS, ns, ev.EV_SPOT_TRADE, 7, 0, ev.SELL, flags, 105, 0.001, 100.0, 100, ns)]


@pytest.mark.parametrize("wrap", [False, True], ids=["raw", "combined"])
def test_documented_quote_has_exact_quantities_and_no_venue_time(wrap: bool) -> None:
    result, events = decode(combined("bnbbtc@bookTicker", QUOTE) if wrap else QUOTE)
    assert result == DEC_OK
    assert events == [
        (
            RECV_NS,
            0,
            ev.EV_SPOT_QUOTE,
            7,
            0,
            0,
            ev.F_END,
            400_900_217,
            25.3519,
            25.3652,
            3_121_000_000,
            4_066_000_000,
        )
    ]


@pytest.mark.parametrize(
    "payload",
    [
        KLINE,
        combined("bnbbtc@kline_1m", KLINE),
        BLOCK_TRADE,
        SHUTDOWN,
        b'{"result":null,"id":1}',
        b'{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}',
        b'{"e":"depthUpdate","E":1,"s":"BNBBTC","U":1,"u":2,"b":[["1","2"]],"a":[]}',
        b"",
        b" \r\n",
    ],
)
def test_other_streams_and_answers_are_ignored(payload: bytes) -> None:
    assert decode(payload) == (DEC_IGNORED, [])


def test_shutdown_notice_and_refused_request_are_counted() -> None:
    decoder = SpotDecoder("BNBBTC")
    decode(combined("!serverShutdown", SHUTDOWN), decoder)
    decode(b'{"code":2,"msg":"Invalid request: unknown stream","id":1}', decoder)
    decode(b'{"error":{"code":2},"id":1}', decoder)
    assert (decoder.shutdowns, decoder.control_errors, decoder.ignored) == (1, 2, 3)


def test_microsecond_stamps_are_told_by_magnitude() -> None:
    micro = TRADE.replace(b'"T":1672515782136', b'"T":1672515782136789').replace(
        b'"E":1672515782136', b'"E":1672515782137001'
    )
    _, events = decode(micro)
    assert (events[0][1], events[0][11]) == (1_672_515_782_136_789_000, 1_672_515_782_137_001_000)


def test_old_trades_with_order_ids_mean_the_same() -> None:
    old = TRADE.replace(b'"T":', b'"b":88,"a":50,"T":')
    assert decode(old) == decode(TRADE)


def test_buyer_as_taker_is_a_buy() -> None:
    _, events = decode(TRADE.replace(b'"m":true', b'"m":false'))
    assert events[0][5] == ev.BUY


def test_another_symbol_is_refused_by_name() -> None:
    decoder = SpotDecoder("BTCUSDT")
    assert decode(TRADE, decoder)[0] == DEC_WRONG_SYMBOL
    assert decode(QUOTE, decoder)[0] == DEC_WRONG_SYMBOL
    assert decode(combined("btcusdt@trade", TRADE), decoder)[0] == DEC_WRONG_SYMBOL
    assert decoder.counters()["wrong_symbol"] == 3
    assert decoder.last_trade_id == -1


def test_duplicates_are_dropped_and_holes_flagged() -> None:
    decoder, rng = SpotDecoder("BNBBTC"), random.Random(1)
    flags = []
    for number in (10, 11, 11, 9, 12, 15, 16):
        _, events = decode(spell(trade(number), rng, wild=0.0), decoder)
        flags.append(events[0][6] if events else None)
    end, gap = int(ev.F_END), int(ev.F_END | ev.F_GAP)
    assert flags == [end, end, None, None, end, gap, end]
    assert (decoder.duplicates, decoder.gaps, decoder.missing_trades, decoder.trades) == (2, 1, 2, 5)


def test_overlapping_aggregates_are_no_gap() -> None:
    decoder = SpotDecoder("BNBBTC")
    decode(AGG_TRADE, decoder)
    _, events = decode(AGG_TRADE.replace(b'"l":105', b'"l":107'), decoder)
    assert events[0][6] == ev.F_END | ev.F_AGG
    assert (decoder.overlaps, decoder.gaps) == (1, 0)


def test_stale_and_empty_quotes_are_dropped() -> None:
    decoder = SpotDecoder("BNBBTC")
    assert decode(QUOTE, decoder)[0] == DEC_OK
    assert decode(QUOTE, decoder) == (DEC_IGNORED, [])
    newer = QUOTE.replace(b"400900217", b"400900218")
    assert decode(newer.replace(b"25.35190000", b"0.00000000"), decoder) == (DEC_IGNORED, [])
    assert decode(newer, decoder)[0] == DEC_OK
    assert (decoder.stale_quotes, decoder.empty_quotes, decoder.quotes) == (1, 1, 2)


def test_ids_start_anew_after_a_reset() -> None:
    decoder = SpotDecoder("BNBBTC")
    decode(TRADE, decoder)
    decoder.reset_ids()
    assert decode(TRADE, decoder)[0] == DEC_OK


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"0.001"', b'"-0.001"'),
        (b'"0.001"', b'"0.000"'),
        (b'"0.001"', b'".001"'),
        (b'"0.001"', b'"1,5"'),
        (b'"0.001"', b'"nan"'),
        (b'"0.001"', b"null"),
        (b'"p":"0.001",', b""),
        (b'"t":12345', b'"t":-1'),
        (b'"m":true', b'"m":1'),
        (b'"T":1672515782136', b'"T":50000000000'),
        (b'"T":1672515782136,', b""),
        (b'"s":"BNBBTC"', b'"s":7'),
        (b'"M":true}', b'"M":true}x'),
        (b'"M":true}', b'"M":true'),
        (b'"M":true', b'"M":True'),
        (b'"t":12345', b'"t":012345'),
    ],
)
def test_impossible_trades_are_malformed_and_leave_nothing(old: bytes, new: bytes) -> None:
    assert old in TRADE
    decoder = SpotDecoder("BNBBTC")
    assert decode(TRADE.replace(old, new), decoder) == (DEC_MALFORMED, [])
    assert (decoder.malformed, decoder.last_trade_id, decoder.trades) == (1, -1, 0)


def test_what_the_scanner_is_not_sure_of_is_left_to_the_slow_path() -> None:
    for payload in (
        TRADE.replace(b'"t"', b'"\\u0074"'),
        TRADE.replace(b'"p":', b'"p":"7","p":'),
        TRADE.replace(b'"M"', '"ß"'.encode()),
        QUOTE.replace(b'"31.21000000"', b'"3.121e1"'),
        TRADE.replace(b'"M":true', b'"M":' + b"[" * 40 + b"]" * 40),
    ):
        assert decode(payload) == (DEC_UNSUPPORTED, [])


def test_events_of_earlier_frames_stay_when_a_later_one_is_bad() -> None:
    decoder, out = SpotDecoder("BNBBTC"), ev.EventBuffer()
    decoder.feed(TRADE, 1, out)
    before = out.to_bytes()
    assert decoder.feed(TRADE[:-1], 2, out) == DEC_MALFORMED
    assert out.to_bytes() == before


def test_payload_may_be_any_contiguous_buffer() -> None:
    out = ev.EventBuffer()
    assert SpotDecoder("BNBBTC").feed(memoryview(b"xx" + TRADE)[2:], 1, out) == DEC_OK
    assert len(out) == 1


@pytest.mark.parametrize("payload", [TRADE, AGG_TRADE, QUOTE, KLINE, combined("bnbbtc@trade", TRADE)])
def test_every_truncation_is_malformed_and_nothing_beyond_the_end_is_read(payload: bytes) -> None:
    for n in range(1, len(payload)):
        with guarded.memory(payload[:n]) as view:
            out = ev.EventBuffer()
            assert SpotDecoder("BNBBTC").feed(view, 1, out) == DEC_MALFORMED, n
            assert len(out) == 0


def random_frame(rng: random.Random, number: int) -> Obj:
    kind = rng.random()
    symbol = "BTCUSDT" if rng.random() < 0.95 else rng.choice(("btcusdt", "ETHUSDT", ""))
    price = f"{rng.uniform(0, 10 ** rng.randint(0, 6)):.{rng.randint(0, 12)}f}"
    quantity = f"{rng.expovariate(10):.8f}"
    stamp = 1_723_161_601_271 * rng.choice((1, 1, 1000)) + rng.randint(0, 999)
    if kind < 0.5:
        data = trade(
            number, symbol=symbol, price=price, quantity=quantity, traded=stamp, maker=rng.random() < 0.5
        )
        if rng.random() < 0.2:
            data += [("b", Raw("5")), ("a", Raw("6"))]
    elif kind < 0.7:
        data = trade(number, symbol=symbol, price=price, quantity=quantity, traded=stamp)
        data[0] = ("e", "aggTrade")
        data += [
            ("a", Raw("7")),
            ("f", Raw(str(max(0, number - rng.randint(0, 3))))),
            ("l", Raw(str(number))),
        ]
    elif kind < 0.9:
        data = obj(u=Raw(str(number)), s=symbol, b=price, B=quantity, a=price, A=quantity)
    else:
        data = obj(
            e=rng.choice(("kline", "depthUpdate", "serverShutdown", "24hrTicker")), E=Raw("1"), s=symbol
        )
    if rng.random() < 0.5:
        return obj(stream="btcusdt@trade", data=data)
    return data


OUTCOMES = {0: ref.OK, 1: ref.IGNORED, 2: ref.BAD, 3: ref.BAD, 4: ref.WRONG_SYMBOL, 5: ref.UNKNOWN_TOKEN}


@pytest.mark.parametrize("seed", [20_240_808, 20_240_809])
def test_random_frames_mean_what_the_reference_says(seed: int) -> None:
    rng = random.Random(seed)
    slow = SlowPath(SpotDecoder("BTCUSDT", 3))
    reference = ref.SpotReference("BTCUSDT", 3)
    seen: dict[str, int] = {}
    number = 0
    for case in range(3000):
        number += rng.choice((0, 1, 1, 1, 1, 3))
        frame = random_frame(rng, number)
        frame = distort(frame, rng) if rng.random() < 0.4 else frame
        payload = spell(frame, rng, wild=rng.choice((0.0, 0.3, 1.0)))
        payload = damage(payload, rng) if rng.random() < 0.25 else payload
        out = ev.EventBuffer()
        outcome = OUTCOMES[slow.feed(payload, case, out)]
        got = (outcome, out.to_numpy().tolist())
        assert got == reference.feed(payload, case), f"seed {seed} case {case}: {payload!r}"
        seen[outcome] = seen.get(outcome, 0) + 1
    assert slow.used > 100
    assert all(seen[outcome] > 20 for outcome in (ref.OK, ref.IGNORED, ref.BAD, ref.WRONG_SYMBOL)), seen


def test_symbol_must_be_plain() -> None:
    with pytest.raises(ValueError, match="ASCII"):
        SpotDecoder("币安")
