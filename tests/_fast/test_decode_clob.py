"""ClobDecoder against the documented samples and a plain-json reference on random frames."""

import random

import pytest
from reference import feed_reference as ref
from reference import guarded
from reference.frame_mutation import Obj, Raw, damage, distort, obj, spell

from polybot._fast import event as ev
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.scan import (
    DEC_IGNORED,
    DEC_MALFORMED,
    DEC_OK,
    DEC_UNKNOWN_TOKEN,
    DEC_UNSUPPORTED,
)
from polybot.feeds.fallback import SlowPath

RECV_NS = 1_790_616_612_500_000_000
NS = 1_790_616_612_345_000_000
UP = "15329049429643092784575279708521316783620398456746213132371567405585638717474"
DOWN = "33215755676580564146338381586841381125623704954041225555979286173231064394422"
UP2 = "72701660111111111111111111111111111111111111111111111111111111111111111111111"
DOWN2 = "72701660222222222222222222222222222222222222222222222222222222222222222222222"
CID = "0xc77927db1e825c26dfadd89a4113dd0c4cc2609a2a3f9cb455546662ba074676"
CID2 = "0xda8ea43424c5fe274789d47e1d2e14215ea31e8e2612af469aae8a575621890b"
MARKETS = {3: (UP, DOWN, CID), 9: (UP2, DOWN2, CID2)}
BOOK = (
    f'{{"event_type":"book","market":"{CID}","asset_id":"{UP}","bids":[{{"price":"0.50","size":"200.0"}}],'
    '"asks":[{"price":"0.52","size":"150"}],"timestamp":"1790616612345","hash":"0x12","tick_size":"0.01",'
    '"last_trade_price":"0.51"}'
).encode()
PRICE_CHANGE = (
    f'{{"event_type":"price_change","market":"{CID}","timestamp":"1790616612345","price_changes":['
    f'{{"asset_id":"{UP}","price":"0.51","size":"120","side":"BUY","hash":"a","best_bid":"0.51","best_ask":"0.52"}},'
    f'{{"asset_id":"{DOWN}","price":"0.49","size":"120","side":"SELL","hash":"b","best_bid":"0.48","best_ask":"0.49"}}]}}'
).encode()
QUOTE = (
    f'{{"event_type":"best_bid_ask","market":"{CID}","asset_id":"{DOWN}","best_bid":"0.73","best_ask":"0.77",'
    '"spread":"0.04","timestamp":"1790616612345"}'
).encode()
TRADE = (
    f'{{"event_type":"last_trade_price","market":"{CID}","asset_id":"{UP}","price":"0.52","size":"10","side":"BUY",'
    '"fee_rate_bps":"0","transaction_hash":"0x1","timestamp":"1790616612345"}'
).encode()
TICK_SIZE = (
    f'{{"event_type":"tick_size_change","market":"{CID}","asset_id":"{UP}","old_tick_size":"0.01",'
    '"new_tick_size":"0.001","timestamp":"1790616612345"}'
).encode()
NEW_MARKET = (
    f'{{"event_type":"new_market","id":"1","market":"{CID}","slug":"s","assets_ids":["{UP}","{DOWN}"],'
    f'"clob_token_ids":["{UP}"],"outcomes":["Up","Down"],"order_price_min_tick_size":"0.01",'
    '"taker_base_fee":"1000","fees_enabled":true,"fee_schedule":{"exponent":1},"timestamp":"1790616612345"}'
).encode()
RESOLVED = (
    f'{{"event_type":"market_resolved","id":"1","market":"{CID}","assets_ids":["{UP}","{DOWN}"],'
    f'"winning_asset_id":"{DOWN}","winning_outcome":"Down","timestamp":"1790616612345"}}'
).encode()
SAMPLES = [BOOK, PRICE_CHANGE, QUOTE, TRADE, TICK_SIZE, NEW_MARKET, RESOLVED]


def make_decoder() -> ClobDecoder:
    decoder = ClobDecoder()
    for index, (up, down, condition) in MARKETS.items():
        decoder.add_market(index, up.encode(), down.encode(), condition.encode())
    return decoder


def decode(payload: bytes, decoder: ClobDecoder | None = None) -> tuple[int, list[tuple[object, ...]]]:
    out = ev.EventBuffer()
    result = (decoder or make_decoder()).feed(payload, RECV_NS, out)
    return result, out.to_numpy().tolist()


def made(kind: int, **fields: object) -> tuple[object, ...]:
    base = {"venue_ns": NS, "market": 3}
    return tuple(ref.event(kind, RECV_NS, **{**base, **fields}).values())


def test_documented_book_is_a_snapshot_with_its_tick_size_and_levels() -> None:
    assert decode(BOOK) == (
        DEC_OK,
        [
            made(ev.EV_BOOK_SNAPSHOT, i=100),
            made(ev.EV_BOOK_LEVEL, side=0, i=5000, j=200_000_000),
            made(ev.EV_BOOK_LEVEL, side=1, i=5200, j=150_000_000, flags=int(ev.F_END)),
        ],
    )


def test_documented_price_change_is_one_delta_per_change_with_best_prices() -> None:
    fields = {"j": 120_000_000}
    assert decode(PRICE_CHANGE) == (
        DEC_OK,
        [
            made(ev.EV_BOOK_DELTA, side=0, i=5100, x=5100.0, y=5200.0, **fields),
            made(
                ev.EV_BOOK_DELTA, outcome=1, side=1, i=4900, x=4800.0, y=4900.0, flags=int(ev.F_END), **fields
            ),
        ],
    )


def test_documented_quote_trade_tick_size_and_resolution() -> None:
    end = int(ev.F_END)
    assert decode(QUOTE) == (DEC_OK, [made(ev.EV_PUBLIC_QUOTE, outcome=1, x=7300.0, y=7700.0, flags=end)])
    assert decode(TRADE) == (DEC_OK, [made(ev.EV_PUBLIC_TRADE, side=0, i=5200, j=10_000_000, flags=end)])
    assert decode(TICK_SIZE) == (DEC_OK, [made(ev.EV_TICK_SIZE, i=10, flags=end)])
    assert decode(RESOLVED) == (DEC_OK, [made(ev.EV_RESOLVED, outcome=1, flags=end)])


@pytest.mark.parametrize(
    "payload", [NEW_MARKET, b'{"event_type":"unheard_of"}', b"{}", b"[]", b" ", b"[{},{}]"]
)
def test_what_is_not_ours_is_ignored(payload: bytes) -> None:
    assert decode(payload) == (DEC_IGNORED, [])


def test_array_frames_end_once_and_keep_their_order() -> None:
    result, events = decode(b"[" + BOOK + b"," + NEW_MARKET + b" , " + QUOTE + b"]")
    assert result == DEC_OK
    kinds = [e[2] for e in events]
    assert kinds == [ev.EV_BOOK_SNAPSHOT, ev.EV_BOOK_LEVEL, ev.EV_BOOK_LEVEL, ev.EV_PUBLIC_QUOTE]
    assert [e[6] for e in events] == [0, 0, 0, ev.F_END]


@pytest.mark.parametrize("seed", range(20))
def test_key_order_makes_no_difference(seed: int) -> None:
    frame = obj(
        event_type="book",
        market=CID,
        asset_id=DOWN,
        bids=[obj(price="0.1", size="1"), obj(price="0.2", size="2.5")],
        timestamp="1790616612345",
    )
    rng = random.Random(seed)
    expected = decode(spell(Obj([*frame, ("asks", [])]), rng, wild=0.0))
    rng.shuffle(frame)
    assert decode(spell(Obj([*frame, ("asks", [])]), rng, wild=0.0)) == expected
    assert len(expected[1]) == 3


def test_rest_book_without_event_type_is_a_book() -> None:
    rest = BOOK.replace(b'"event_type":"book",', b"")
    rest = rest.replace(b'"hash"', b'"min_order_size":"5","neg_risk":false,"hash"')
    assert decode(rest) == decode(BOOK)


def test_missing_tick_size_and_stamps_are_absent() -> None:
    plain = BOOK.replace(b',"tick_size":"0.01"', b"").replace(b'"timestamp":"1790616612345",', b"")
    _, events = decode(plain)
    assert (events[0][1], events[0][10]) == (0, 0)
    assert decode(plain.replace(b'"hash"', b'"timestamp":"","tick_size":"","hash"'))[1] == events


def test_stamps_may_be_numbers_or_seconds() -> None:
    assert decode(BOOK.replace(b'"1790616612345"', b"1790616612345")) == decode(BOOK)
    assert decode(BOOK.replace(b'"1790616612345"', b'"1790616612"'))[1][0][1] == 1_790_616_612_000_000_000


def test_best_prices_that_are_not_told_and_empty_sides() -> None:
    _, deltas = decode(
        PRICE_CHANGE.replace(b'"best_bid":"0.51"', b'"best_bid":""').replace(b',"best_ask":"0.49"', b"")
    )
    assert [(e[8], e[9]) for e in deltas] == [(-1.0, 5200.0), (4800.0, -1.0)]
    _, deltas = decode(PRICE_CHANGE.replace(b'"0.51","best_ask":"0.52"', b'"0","best_ask":"1"'))
    assert (deltas[0][8], deltas[0][9]) == (0.0, 10_000.0)
    for bid, ask, expected in (
        (b"0", b"1", (-1, -1)),
        (b"", b"0.77", (-1, 7700)),
        (b"0.73", b"", (7300, -1)),
    ):
        _, quote = decode(QUOTE.replace(b'"0.73"', b'"' + bid + b'"').replace(b'"0.77"', b'"' + ask + b'"'))
        assert (quote[0][8], quote[0][9]) == expected


def test_prices_of_every_grid_are_exact() -> None:
    prices = [b"0", b"1", b"0.5225", b"0.0001", b"0.9999", b"0.10", b"0.1", b"1.0000", b"0.001", b"0.0025"]
    levels = b",".join(b'{"price":"' + price + b'","size":"1"}' for price in prices)
    _, events = decode(BOOK.replace(b'{"price":"0.50","size":"200.0"}', levels))
    assert [e[10] for e in events[1:-1]] == [0, 10_000, 5225, 1, 9999, 1000, 1000, 10_000, 10, 25]


def test_sizes_are_exact_micro_shares() -> None:
    sizes = {
        b"0": 0,
        b"0.000001": 1,
        b"123456789.123456": 123_456_789_123_456,
        b"0.1000000": 100_000,
        b"5.": None,
    }
    for size, expected in sizes.items():
        result, events = decode(BOOK.replace(b'"150"', b'"' + size + b'"'))
        assert (events[-1][11] if events else None) == expected, size
        assert result == (DEC_OK if expected is not None else DEC_MALFORMED)


def test_a_size_that_cannot_be_exact_is_refused_not_rounded() -> None:
    slow = SlowPath(make_decoder())
    out = ev.EventBuffer()
    assert slow.feed(BOOK.replace(b'"150"', b'"150.1234567"'), RECV_NS, out) == DEC_UNSUPPORTED
    assert (len(out), slow.refused) == (0, 1)


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        (b'"0.50"', b'"0.50005"', [ev.EV_BOOK_SNAPSHOT, ev.EV_BOOK_LEVEL, ev.EV_TICK_SIZE]),
        (
            b'"tick_size":"0.01"',
            b'"tick_size":"0.00005"',
            [ev.EV_BOOK_SNAPSHOT, ev.EV_BOOK_LEVEL, ev.EV_BOOK_LEVEL, ev.EV_TICK_SIZE],
        ),
    ],
)
def test_prices_finer_than_the_grid_are_skipped_counted_and_ask_for_the_tick_size(
    old: bytes, new: bytes, kinds: list[int]
) -> None:
    decoder = make_decoder()
    result, events = decode(BOOK.replace(old, new), decoder)
    assert result == DEC_OK
    assert [e[2] for e in events] == kinds
    assert events[-1] == made(ev.EV_TICK_SIZE, flags=int(ev.F_END))
    assert decoder.counters()["off_grid"] == 1


def test_a_change_off_the_grid_leaves_the_others() -> None:
    _, events = decode(PRICE_CHANGE.replace(b'"price":"0.51"', b'"price":"0.51234"'))
    assert [(e[2], e[10]) for e in events] == [(ev.EV_BOOK_DELTA, 4900), (ev.EV_TICK_SIZE, 0)]


def test_single_events_off_the_grid_only_ask_for_the_tick_size() -> None:
    for payload, old in ((QUOTE, b"0.73"), (TRADE, b'0.52"'), (TICK_SIZE, b'0.001"')):
        _, events = decode(
            payload.replace(old, old.replace(b'"', b"") + b"00001" + (b'"' if b'"' in old else b""))
        )
        assert [(e[2], e[10]) for e in events] == [(ev.EV_TICK_SIZE, 0)]


def test_unknown_tokens_are_counted_and_the_rest_applied() -> None:
    decoder = make_decoder()
    other = BOOK.replace(UP.encode(), b"123")
    result, events = decode(b"[" + other + b"," + QUOTE + b"]", decoder)
    assert (result, len(events)) == (DEC_UNKNOWN_TOKEN, 1)
    result, events = decode(PRICE_CHANGE.replace(UP.encode(), b"123"), decoder)
    assert (result, [e[4] for e in events]) == (DEC_UNKNOWN_TOKEN, [1])
    assert decoder.counters()["unknown_token"] == 2


def test_a_token_under_another_market_is_dropped() -> None:
    decoder = make_decoder()
    for payload in (BOOK, PRICE_CHANGE, QUOTE, TRADE, TICK_SIZE, RESOLVED):
        assert decode(payload.replace(CID.encode(), CID2.encode()), decoder) == (DEC_UNKNOWN_TOKEN, [])
        assert decode(payload.replace(CID.encode(), CID.upper().encode()), decoder)[0] == DEC_OK
    assert decoder.counters()["market_mismatch"] == 6


def test_bad_levels_of_other_peoples_books_do_not_matter() -> None:
    bad = BOOK.replace(b'"0.50"', b'"7"')
    assert decode(bad) == (DEC_MALFORMED, [])
    assert decode(bad.replace(UP.encode(), b"123")) == (DEC_UNKNOWN_TOKEN, [])
    assert decode(bad.replace(b'"book"', b'"gossip"')) == (DEC_IGNORED, [])


@pytest.mark.parametrize(
    ("payload", "old", "new"),
    [
        (BOOK, b'"0.50"', b'"1.01"'),
        (BOOK, b'"0.50"', b'"-0.5"'),
        (BOOK, b'"0.50"', b'".5"'),
        (BOOK, b'"200.0"', b'"-1"'),
        (BOOK, b'"size":"200.0"', b'"sizes":"200.0"'),
        (BOOK, b'{"price":"0.50","size":"200.0"}', b"7"),
        (BOOK, b'[{"price":"0.50","size":"200.0"}]', b"null"),
        (BOOK, b'"asks"', b'"tasks"'),
        (BOOK, b'"tick_size":"0.01"', b'"tick_size":"0"'),
        (BOOK, b'"1790616612345"', b'"yesterday"'),
        (BOOK, f'"asset_id":"{UP}"'.encode(), b'"asset_id":7'),
        (BOOK, f'"asset_id":"{UP}",'.encode(), b""),
        (PRICE_CHANGE, b'"side":"SELL"', b'"side":"HOLD"'),
        (PRICE_CHANGE, b'"size":"120","side":"SELL"', b'"side":"SELL"'),
        (PRICE_CHANGE, b'"price_changes"', b'"changes"'),
        (TRADE, b'"side":"BUY"', b'"side":null'),
        (TRADE, b'"size":"10"', b'"size":""'),
        (TICK_SIZE, b'"new_tick_size":"0.001"', b'"new_tick_size":""'),
        (RESOLVED, b'"winning_asset_id"', b'"losing_asset_id"'),
    ],
)
def test_impossible_objects_are_malformed_and_take_the_whole_frame_with_them(
    payload: bytes, old: bytes, new: bytes
) -> None:
    assert old in payload
    decoder = make_decoder()
    assert decode(b"[" + QUOTE + b"," + payload.replace(old, new) + b"]", decoder) == (DEC_MALFORMED, [])
    counters = decoder.counters()
    assert (counters.pop("malformed"), sum(counters.values())) == (1, 0)


@pytest.mark.parametrize("payload", [*SAMPLES, b"[" + BOOK + b"," + QUOTE + b"]"])
def test_every_truncation_is_malformed_and_nothing_beyond_the_end_is_read(payload: bytes) -> None:
    for n in range(1, len(payload)):
        with guarded.memory(payload[:n]) as view:
            out = ev.EventBuffer()
            assert make_decoder().feed(view, 1, out) == DEC_MALFORMED, n
            assert len(out) == 0


def test_the_densest_book_fits_the_buffer() -> None:
    levels = b",".join(b'{"price":1,"size":0}' for _ in range(30_000))
    sparse = b",".join(b'{"event_type":"x","bids":[]}' for _ in range(3_000))
    out = ev.EventBuffer(1)
    decoder = make_decoder()
    assert decoder.feed(BOOK.replace(b'{"price":"0.50","size":"200.0"}', levels), 1, out) == DEC_OK
    assert len(out) == 30_002
    assert decoder.feed(b"[" + sparse + b"]", 1, out) == DEC_IGNORED


def test_oversized_frames_are_malformed() -> None:
    assert decode(b" " * (1 << 22) + BOOK) == (DEC_MALFORMED, [])


def test_markets_come_and_go() -> None:
    decoder = make_decoder()
    decoder.remove_market(3)
    decoder.remove_market(3)
    assert decode(BOOK, decoder)[0] == DEC_UNKNOWN_TOKEN
    decoder.add_market(4, UP.encode(), DOWN.encode())
    assert decode(BOOK.replace(CID.encode(), b"0x1"), decoder)[1][0][3] == 4
    decoder.add_market(4, b"1", b"2", b"c")
    assert decode(BOOK, decoder)[0] == DEC_UNKNOWN_TOKEN
    assert sorted(decoder.markets()) == [4, 9]


def test_markets_that_cannot_be_told_apart_are_refused() -> None:
    decoder = make_decoder()
    for up, down in ((b"", b"1"), (b"1", b"1"), (UP.encode(), b"1"), (b"1", b"9" * 81)):
        with pytest.raises(ValueError, match="token"):
            decoder.add_market(5, up, down)
    with pytest.raises(ValueError, match="out of range"):
        decoder.add_market(-1, b"1", b"2")
    for index in range(100, 162):
        decoder.add_market(index, b"u%d" % index, b"d%d" % index)
    with pytest.raises(ValueError, match="more than"):
        decoder.add_market(999, b"1", b"2")


def random_levels(rng: random.Random, *, many: bool) -> list[Obj]:
    count = rng.randint(0, 60) if many else rng.randint(0, 3)
    grid = rng.choice((100, 10, 25, 1))
    return [
        obj(price=random_price(rng, grid), size=f"{rng.expovariate(0.01):.{rng.randint(0, 7)}f}")
        for _ in range(count)
    ]


def random_price(rng: random.Random, grid: int = 100) -> str:
    price = f"{grid * rng.randint(0, 10_000 // grid) / 10_000:.4f}"
    finer = price + "1" if rng.random() < 0.05 else price
    return rng.choice((price, price.rstrip("0").rstrip("."), price + "0", finer))


KINDS = (
    "book",
    "book",
    "price_change",
    "price_change",
    "best_bid_ask",
    "last_trade_price",
    "tick_size_change",
    "market_resolved",
    "new_market",
    None,
)


def random_object(rng: random.Random) -> Obj:
    up, down, condition = MARKETS[rng.choice((3, 9))]
    if rng.random() < 0.05:
        condition = rng.choice((CID, "", "0xff", condition.upper()))
    token = rng.choice((up, down)) if rng.random() < 0.97 else rng.choice(("123", "", up[:-1]))
    stamp = rng.choice(("1790616612345", Raw("1790616612345"), "1790616612", ""))
    base = obj(market=condition, asset_id=token, timestamp=stamp)
    kind = rng.choice(KINDS)
    if kind is not None:
        base.insert(0, ("event_type", kind))
    many = rng.random() < 0.2
    if kind in ("book", None):
        base += obj(bids=random_levels(rng, many=many), asks=random_levels(rng, many=many))
        base += obj(tick_size=rng.choice(("0.01", "0.001", "", Raw("0.0001"))))
    elif kind == "price_change":
        changes = [
            obj(
                asset_id=rng.choice((up, down, up, down, UP, "123")),
                price=random_price(rng),
                size=rng.choice(("0", "120", "1.5", "0.000001")),
                side=rng.choice(("BUY", "SELL")),
                hash="f00",
                best_bid=rng.choice((random_price(rng), "")),
                best_ask=random_price(rng),
            )
            for _ in range(rng.randint(0, 4))
        ]
        base += obj(price_changes=changes)
    else:
        base += obj(best_bid=random_price(rng), best_ask=random_price(rng), spread="0.01")
        base += obj(price=random_price(rng), size="12.5", side=rng.choice(("BUY", "SELL")))
        base += obj(new_tick_size=rng.choice(("0.001", "0.01", "0.00001")), winning_asset_id=token)
    return base


def usual_quote(rng: random.Random, *, is_early: bool) -> bytes:
    """A quote as the venue spells it today, now and then with a value that is not usual."""
    up, down, condition = MARKETS[rng.choice((3, 9))]
    stamp = f'"timestamp":"{rng.choice(("1790616612345", "1790616612345", "1790616612", "0", "", "x1"))}"'
    market, token = rng.choice((condition,) * 9 + ("", condition.upper())), rng.choice((up, down) * 9 + ("1",))
    ids = f'"market":"{market}","asset_id":"{token}"'
    prices = f'"best_bid":"{random_price(rng)}","best_ask":"{random_price(rng)}","spread":"{random_price(rng)}"'
    fields = (ids, stamp, prices) if is_early else (ids, prices, stamp)
    return f'{{"event_type":"best_bid_ask",{",".join(fields)}}}'.encode()


@pytest.mark.parametrize("is_early", [True, False])
def test_usual_spelling_of_a_quote_means_what_any_other_spelling_means(*, is_early: bool) -> None:
    rng = random.Random(int(is_early))
    usual, other = make_decoder(), make_decoder()
    appended = 0
    for _ in range(3_000):
        frame = usual_quote(rng, is_early=is_early)
        found = decode(frame, usual)
        assert found == decode(frame.replace(b":", b": ", 1), other), frame
        appended += len(found[1])
    assert usual.counters() == other.counters()
    assert 2_000 < appended < 3_000


def test_usual_quote_cut_off_anywhere_leaves_nothing() -> None:
    assert [cut for cut in range(1, len(QUOTE)) if decode(QUOTE[:cut]) != (DEC_MALFORMED, [])] == []


OUTCOMES = {0: ref.OK, 1: ref.IGNORED, 2: ref.BAD, 3: ref.BAD, 5: ref.UNKNOWN_TOKEN}


@pytest.mark.parametrize("seed", [20_260_922, 20_260_923])
def test_random_frames_mean_what_the_reference_says(seed: int) -> None:
    rng = random.Random(seed)
    slow = SlowPath(make_decoder())
    reference = ref.ClobReference(MARKETS)
    seen: dict[str, int] = {}
    for case in range(2500):
        objects = [random_object(rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        objects = [distort(item, rng) if rng.random() < 0.3 else item for item in objects]
        frame = objects[0] if len(objects) == 1 and rng.random() < 0.8 else objects
        payload = spell(frame, rng, wild=rng.choice((0.0, 0.3, 1.0)))
        payload = damage(payload, rng) if rng.random() < 0.2 else payload
        out = ev.EventBuffer()
        outcome = OUTCOMES[slow.feed(payload, case, out)]
        got = (outcome, out.to_numpy().tolist())
        assert got == reference.feed(payload, case), f"seed {seed} case {case}: {payload!r}"
        seen[outcome] = seen.get(outcome, 0) + 1
    assert slow.used > 100
    assert all(seen[outcome] > 20 for outcome in (ref.OK, ref.IGNORED, ref.BAD, ref.UNKNOWN_TOKEN)), seen


def test_members_of_another_type_of_message_do_not_matter() -> None:
    changes = PRICE_CHANGE[PRICE_CHANGE.index(b'"price_changes"') : -1]
    levels = b'"bids":[{"price":"0.10","size":"1"}],"asks":[{"price":"0.52","size":"150"}]'
    for extra in (changes, b'"price_changes":[7]'):
        assert decode(BOOK[:-1] + b"," + extra + b"}") == decode(BOOK)
        assert decode(b"{" + extra + b"," + BOOK[1:]) == decode(BOOK)
    for extra in (levels, b'"bids":7,"asks":[7]'):
        assert decode(PRICE_CHANGE[:-1] + b"," + extra + b"}") == decode(PRICE_CHANGE)
        assert decode(b"{" + extra + b"," + PRICE_CHANGE[1:]) == decode(PRICE_CHANGE)
