"""OracleDecoder against documented and recorded frames and a plain-json reference on random ones."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from reference import feed_reference as ref
from reference import guarded
from reference.frame_mutation import Obj, Raw, damage, distort, obj, spell

from polybot._fast import event as ev
from polybot._fast.decode_oracle import OracleDecoder
from polybot._fast.scan import DEC_IGNORED, DEC_MALFORMED, DEC_OK, DEC_WRONG_SYMBOL
from polybot.feeds.fallback import SlowPath

RECV_NS = 1_790_616_601_000_000_000
RTDS_TWAP = (
    b'{"topic":"crypto_prices_twap_sixty","type":"update","timestamp":1790616600950,"payload":{"symbol":"btc/usd",'
    b'"timestamp":1790616600000,"value":78803.715261,"full_accuracy_value":"78803715261094101516288","window_s":60}}'
)
RTDS_SPOT = (
    b'{"connection_id":"Zg=","payload":{"full_accuracy_value":"64790082468106150000000","symbol":"btc/usd",'
    b'"timestamp":1771820699000,"value":64790.08246810615},"timestamp":1771820699964,'
    b'"topic":"crypto_prices_chainlink","type":"update"}'
)
RTDS_BACKFILL = (
    b'{"topic":"crypto_prices_chainlink","type":"subscribe","timestamp":1771820700500,"payload":{"symbol":"btc/usd",'
    b'"data":[{"timestamp":1771820698000,"value":64789.5},{"timestamp":1771820699000,"value":64790.08246810615}]}}'
)
RTDS_BINANCE = (
    b'{"topic":"crypto_prices","type":"update","timestamp":1780730269142,"payload":{"symbol":"btcusdt",'
    b'"timestamp":1780730269000,"value":61035.86,"full_accuracy_value":"61035.86000000"}}'
)
POLYBOLT_SNAPSHOT = (
    b'{"v":1,"channel":"price.crypto.twap","seq":2,"ts":1788886175000,"snapshot":true,"payload":{"symbol":"btcusd",'
    b'"window_seconds":60,"source":"chainlink","data":[{"timestamp":1788886057000,"value":78788.52564290879,'
    b'"full_accuracy_value":"78788.525642908795142144"}]}}'
)
POLYBOLT_TWAP = (
    b'{"v":1,"channel":"price.crypto.twap","seq":3,"ts":1788886176000,"payload":{"symbol":"btcusd",'
    b'"value":78803.7152610941,"full_accuracy_value":"78803.715261094101516288","timestamp":1788886175000,'
    b'"window_seconds":60,"source":"chainlink"}}'
)
POLYBOLT_SPOT = (
    b'{"v":1,"channel":"price.crypto","seq":9,"ts":1788886176100,"payload":{"symbol":"btcusd",'
    b'"value":78803.5,"full_accuracy_value":"78803.5","timestamp":1788886176000,"source":"chainlink"}}'
)
SAMPLES = [RTDS_TWAP, RTDS_SPOT, RTDS_BACKFILL, RTDS_BINANCE, POLYBOLT_SNAPSHOT, POLYBOLT_TWAP, POLYBOLT_SPOT]


def decode(payload: bytes, decoder: OracleDecoder | None = None) -> tuple[int, list[tuple[Any, ...]]]:
    out = ev.EventBuffer()
    result = (decoder or OracleDecoder("btc/usd", 5)).feed(payload, RECV_NS, out)
    return result, out.to_numpy().tolist()


def made(kind: int, **fields: Any) -> tuple[Any, ...]:
    return tuple(ref.event(kind, RECV_NS, market=5, **fields).values())


def test_legacy_twap_is_an_integer_of_1e18() -> None:
    expected = made(
        ev.EV_ORACLE_TWAP,
        venue_ns=1_790_616_600_000_000_000,
        flags=int(ev.F_END),
        x=78803715261094101516288 / 10**18,
        i=60,
        j=1_790_616_600_950_000_000,
    )
    assert decode(RTDS_TWAP) == (DEC_OK, [expected])


def test_polybolt_twap_is_a_decimal_and_carries_its_sequence() -> None:
    expected = made(
        ev.EV_ORACLE_TWAP,
        venue_ns=1_788_886_175_000_000_000,
        flags=int(ev.F_END),
        seq=3,
        x=78803.715261094101516288,
        i=60,
        j=1_788_886_176_000_000_000,
    )
    assert decode(POLYBOLT_TWAP) == (DEC_OK, [expected])


def test_spot_prices_of_both_sources() -> None:
    _, legacy = decode(RTDS_SPOT)
    assert (legacy[0][2], legacy[0][8], legacy[0][10]) == (ev.EV_ORACLE_SPOT, 64790.08246810615, 0)
    _, polybolt = decode(POLYBOLT_SPOT)
    assert (polybolt[0][2], polybolt[0][7], polybolt[0][8]) == (ev.EV_ORACLE_SPOT, 9, 78803.5)


def test_backfill_is_marked_and_a_live_price_already_seen_is_dropped() -> None:
    decoder = OracleDecoder("btcusd", 5)
    decode(RTDS_SPOT, decoder)
    _, events = decode(RTDS_BACKFILL, decoder)
    assert [(e[1], e[6], e[8]) for e in events] == [
        (1_771_820_698_000_000_000, ev.F_SNAPSHOT | ev.F_END, 64789.5)
    ]
    assert (decoder.spots, decoder.backfilled, decoder.duplicates) == (1, 1, 1)
    _, events = decode(POLYBOLT_SNAPSHOT, decoder)
    assert [(e[2], e[6], e[8]) for e in events] == [
        (ev.EV_ORACLE_TWAP, ev.F_SNAPSHOT | ev.F_END, 78788.525642908795142144)
    ]


def test_repeated_stamps_are_dropped_repeated_prices_kept() -> None:
    decoder = OracleDecoder("btc/usd")
    assert decode(RTDS_SPOT, decoder)[0] == DEC_OK
    assert decode(RTDS_SPOT, decoder) == (DEC_IGNORED, [])
    assert decode(RTDS_SPOT.replace(b"1771820699000", b"1771820700000"), decoder)[0] == DEC_OK
    assert decode(RTDS_SPOT.replace(b"1771820699000", b"1771820698000"), decoder)[0] == DEC_OK
    assert decoder.duplicates == 1


def test_spot_and_twap_of_the_same_second_are_two_prices() -> None:
    decoder = OracleDecoder("btc/usd")
    assert decode(RTDS_TWAP, decoder)[0] == DEC_OK
    assert decode(RTDS_SPOT.replace(b"1771820699000", b"1790616600000"), decoder)[0] == DEC_OK


def test_a_hole_in_the_sequence_is_flagged_once_per_connection() -> None:
    decoder = OracleDecoder("btc/usd")
    flags = []
    for seq, second in ((3, 5), (4, 6), (6, 7), (7, 8)):
        frame = POLYBOLT_TWAP.replace(b'"seq":3', b'"seq":%d' % seq).replace(b"6175000", b"617%d000" % second)
        flags.append(decode(frame, decoder)[1][0][6])
    end, gap = int(ev.F_END), int(ev.F_END | ev.F_GAP)
    assert flags == [end, end, gap, end]
    decoder.new_connection()
    frame = POLYBOLT_TWAP.replace(b'"seq":3', b'"seq":99').replace(b"6175000", b"6179000")
    assert decode(frame, decoder)[1][0][6] == end
    assert decoder.gaps == 1


def test_the_sequence_counts_other_symbols_too() -> None:
    decoder = OracleDecoder("btc/usd")
    decode(POLYBOLT_TWAP, decoder)
    decode(POLYBOLT_TWAP.replace(b"btcusd", b"ethusd").replace(b'"seq":3', b'"seq":4'), decoder)
    decode(POLYBOLT_TWAP.replace(b'"seq":3', b'"seq":5').replace(b"6175000", b"6176000"), decoder)
    assert (decoder.gaps, decoder.wrong_symbol) == (0, 1)


def test_other_symbols_sources_windows_and_topics_are_not_ours() -> None:
    decoder = OracleDecoder("btc/usd")
    assert decode(RTDS_SPOT.replace(b"btc/usd", b"eth/usd"), decoder) == (DEC_WRONG_SYMBOL, [])
    assert decode(POLYBOLT_SPOT.replace(b"chainlink", b"pyth"), decoder) == (DEC_IGNORED, [])
    assert decode(RTDS_TWAP.replace(b'"window_s":60', b'"window_s":30'), decoder) == (DEC_IGNORED, [])
    assert decode(RTDS_BINANCE, decoder) == (DEC_IGNORED, [])
    for control in (b'{"op":"authed","rid":"a1"}', b'{"op":"error","code":"bad_op"}', b""):
        assert decode(control, decoder) == (DEC_IGNORED, [])
    assert (decoder.wrong_symbol, decoder.wrong_source, decoder.wrong_window) == (1, 1, 1)


def test_a_topic_that_names_its_window_need_not_repeat_it() -> None:
    assert decode(RTDS_TWAP.replace(b',"window_s":60', b""))[1][0][10] == 60
    assert decode(POLYBOLT_TWAP.replace(b'"window_seconds":60,', b""))[0] == DEC_IGNORED


@pytest.mark.parametrize(
    "payload",
    [
        RTDS_TWAP.replace(b'"78803715261094101516288"', b'"78803.715261094101516288e3"'),
        RTDS_TWAP.replace(b'"78803715261094101516288"', b'"7880371526109410151628"'),
        POLYBOLT_TWAP.replace(b'"78803.715261094101516288"', b'"78803715261094101516288"'),
        RTDS_TWAP.replace(b'"78803715261094101516288"', b"78803715261094101516288"),
    ],
)
def test_an_accurate_value_that_contradicts_the_rounded_one_is_refused(payload: bytes) -> None:
    slow, out = SlowPath(OracleDecoder("btc/usd")), ev.EventBuffer()
    assert slow.feed(payload, RECV_NS, out) == DEC_MALFORMED
    assert len(out) == 0


def test_without_an_accurate_value_the_rounded_one_counts() -> None:
    _, events = decode(RTDS_SPOT.replace(b'"full_accuracy_value":"64790082468106150000000",', b""))
    assert events[0][8] == 64790.08246810615


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"timestamp":1771820699000', b'"timestamp":""'),
        (b'"timestamp":1771820699000,', b""),
        (b'"symbol":"btc/usd",', b""),
        (b'"64790082468106150000000"', b'"-64790082468106150000000"'),
        (b'"64790082468106150000000"', b'"0"'),
        (b"64790.08246810615", b"0"),
        (b'"payload":{', b'"payload":[{'),
    ],
)
def test_impossible_prices_are_malformed(old: bytes, new: bytes) -> None:
    assert old in RTDS_SPOT
    assert decode(RTDS_SPOT.replace(old, new)) == (DEC_MALFORMED, [])


def test_a_bad_entry_spoils_the_whole_backfill_and_is_not_remembered() -> None:
    decoder = OracleDecoder("btc/usd")
    assert decode(RTDS_BACKFILL.replace(b"64790.08246810615", b'"x"'), decoder) == (DEC_MALFORMED, [])
    assert len(decode(RTDS_BACKFILL, decoder)[1]) == 2


@pytest.mark.parametrize("payload", SAMPLES)
def test_every_truncation_is_malformed_and_nothing_beyond_the_end_is_read(payload: bytes) -> None:
    for n in range(1, len(payload)):
        with guarded.memory(payload[:n]) as view:
            out = ev.EventBuffer()
            assert OracleDecoder("btc/usd").feed(view, 1, out) == DEC_MALFORMED, n
            assert len(out) == 0


def test_recorded_frames_of_one_asset_are_told_from_the_others(shared_dir: Path) -> None:
    path = shared_dir / "data/vipineth+polybot/rtds_chainlink_frames.jsonl"
    decoder = OracleDecoder("btc/usd", 5)
    prices = []
    for line in path.read_bytes().splitlines():
        prices += [(e[1], e[8], e[11]) for e in decode(line, decoder)[1]]
    frames = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert prices == [
        (
            f["payload"]["timestamp"] * 10**6,
            int(f["payload"]["full_accuracy_value"]) / 10**18,
            f["timestamp"] * 10**6,
        )
        for f in frames
        if f["payload"]["symbol"] == "btc/usd"
    ]
    assert (decoder.spots, decoder.wrong_symbol, decoder.malformed) == (3, 9, 0)


def random_price(rng: random.Random) -> tuple[str, str]:
    """An accurate decimal and its rounded form."""
    digits = rng.randint(0, 18)
    accurate = f"{rng.randint(1, 99_999)}.{rng.randint(0, 10**18 - 1):018d}"[: 7 + digits].rstrip(".")
    return accurate, repr(round(float(accurate), rng.choice((6, 12))))


def random_frame(rng: random.Random, second: int) -> Obj:
    legacy, twap = rng.random() < 0.5, rng.random() < 0.5
    symbol = rng.choice(("btc/usd", "btcusd", "btc/usd", "eth/usd"))
    entries = []
    for k in range(rng.choice((1, 1, 1, 3))):
        accurate, rounded = random_price(rng)
        whole, _, part = accurate.partition(".")
        exact = f"{int(whole + part.ljust(18, '0')[:18])}" if legacy else accurate
        entry = obj(timestamp=Raw(str((second + k) * 1000)), value=Raw(rounded), full_accuracy_value=exact)
        entries.append(entry if rng.random() < 0.9 else Obj(entry[:2]))
    payload = Obj([("symbol", symbol), *(entries[0] if len(entries) == 1 else obj(data=entries))])
    if twap:
        payload.append((rng.choice(("window_s", "window_seconds")), Raw(rng.choice(("60", "60", "30")))))
    if legacy:
        topic = "crypto_prices_twap_sixty" if twap else "crypto_prices_chainlink"
        return obj(topic=topic, type="update", timestamp=Raw(str(second * 1000 + 900)), payload=payload)
    payload.append(("source", rng.choice(("chainlink", "chainlink", "chainlink", "pyth"))))
    channel = "price.crypto.twap" if twap else "price.crypto"
    return obj(v=Raw("1"), channel=channel, seq=Raw(str(second)), ts=Raw(str(second * 1000)), payload=payload)


OUTCOMES = {0: ref.OK, 1: ref.IGNORED, 2: ref.BAD, 3: ref.BAD, 4: ref.WRONG_SYMBOL}


@pytest.mark.parametrize("seed", [20_260_223])
def test_random_frames_mean_what_the_reference_says(seed: int) -> None:
    rng = random.Random(seed)
    slow = SlowPath(OracleDecoder("btc/usd", 5))
    reference = ref.OracleReference("btc/usd", 5)
    seen: dict[str, int] = {}
    second = 1_771_820_699
    for case in range(3000):
        second += rng.choice((0, 1, 1, 1, 2))
        frame = random_frame(rng, second)
        frame = distort(frame, rng) if rng.random() < 0.4 else frame
        payload = spell(frame, rng, wild=rng.choice((0.0, 0.3, 1.0)))
        payload = damage(payload, rng) if rng.random() < 0.2 else payload
        out = ev.EventBuffer()
        outcome = OUTCOMES[slow.feed(payload, case, out)]
        got = (outcome, out.to_numpy().tolist())
        assert got == reference.feed(payload, case), f"seed {seed} case {case}: {payload!r}"
        seen[outcome] = seen.get(outcome, 0) + 1
    assert slow.used > 100
    assert all(seen[outcome] > 20 for outcome in (ref.OK, ref.IGNORED, ref.BAD, ref.WRONG_SYMBOL)), seen


@pytest.mark.parametrize("symbol", ["btc", "usd", "btcüsd", ""])
def test_symbols_of_another_form_are_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match="btc/usd"):
        OracleDecoder(symbol)
