"""Codecs of the money journal: what is written reads back the same, and what is not known is refused."""

import dataclasses
import math
from random import Random

import pytest
from journal.history import START_NS, History, event, intent
from scenario import make_spec

from polybot._fast.event import EventKind
from polybot.errors import StateDamaged
from polybot.journal.records import (
    MAX_TEXT,
    VERSION,
    CleanStop,
    HaltKind,
    Latch,
    Loss,
    MarketOpen,
    MoneyEvent,
    Note,
    Session,
    SnapshotBegin,
    SnapshotEnd,
    TradeSeen,
    decode,
    encode,
    hide_owner,
    show_owner,
)

SESSION = Session("0xabc", "sim-1", "c0ffee", "1.2.3", 4)
SAMPLES = [
    SESSION,
    MarketOpen(7, 123_456_789_000_000, True, make_spec(fee_rate_ppm=None)),
    intent(),
    MoneyEvent(event(EventKind.EV_FILL, recv_ns=START_NS, seq=5, i=5_200, j=1_000_000, x=1.0, y=2.0**52 - 1)),
    TradeSeen(2**52 - 1, "trade-id ü", "0x" + "ab" * 32, 3),
    Latch(HaltKind.DAILY, True, "lost 3 %", "risk"),
    Loss(20_779, 2_969, -30_000_000, 4, -1),
    Note("ein Wort"),
    CleanStop(2),
    SnapshotBegin(session=SESSION, is_clean=False, next_index=9, closed_pnl=((1, "a", -5),), strays=3),
    SnapshotBegin(session=None, is_clean=True, next_index=0, closed_pnl=(), strays=0),
    SnapshotEnd(12),
]


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_a_record_reads_back_as_written(record):
    kind, payload = encode(record)
    assert decode(kind, VERSION, payload) == record


def test_random_records_read_back_as_written():
    for record in History(5).records(3_000):
        kind, payload = encode(record)
        assert decode(kind, VERSION, payload) == record


def test_an_edge_that_is_no_number_survives():
    kind, payload = encode(intent(cancel_edge=math.nan))
    found = decode(kind, VERSION, payload)
    assert math.isnan(found.cancel_edge)
    assert dataclasses.replace(found, cancel_edge=0.0) == intent(cancel_edge=0.0)


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_another_version_is_refused(record):
    kind, payload = encode(record)
    with pytest.raises(StateDamaged, match="version 2"):
        decode(kind, 2, payload)


@pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
def test_a_payload_of_another_length_is_refused(record):
    kind, payload = encode(record)
    for wrong in (payload[:-1], payload + b"x", b""):
        with pytest.raises(StateDamaged):
            decode(kind, VERSION, wrong)


def test_an_unknown_type_is_refused():
    with pytest.raises(StateDamaged, match="type 200"):
        decode(200, VERSION, b"")


def test_random_bytes_are_refused_or_read_but_never_raise_anything_else():
    rng, refused = Random(3), 0
    for _ in range(4_000):
        kind, payload = encode(rng.choice(SAMPLES))
        raw = bytearray(payload)
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        try:
            decode(kind, VERSION, bytes(raw))
        except StateDamaged:
            refused += 1
    assert 500 < refused < 4_000


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("fields", {"extra": 1}),
        ("type", {"end_ns": "5"}),
        ("type", {"fees_enabled": 1}),
        ("fields", {"slug": ...}),
    ],
)
def test_a_market_with_other_fields_or_types_is_refused(kind, changes):
    code, payload = encode(MarketOpen(1, 0, False, make_spec()))
    import json

    spec = json.loads(payload[11:])
    for name, value in changes.items():
        spec[name] = value
        if value is ...:
            del spec[name]
    with pytest.raises(StateDamaged, match=kind if kind == "fields" else "is a"):
        decode(code, VERSION, payload[:11] + json.dumps(spec).encode())


def test_an_event_of_the_tape_does_not_belong_here():
    kind, payload = encode(MoneyEvent(event(EventKind.EV_SPOT_TRADE, x=1.0)))
    with pytest.raises(StateDamaged, match="does not belong"):
        decode(kind, VERSION, payload)


@pytest.mark.parametrize(
    "record",
    [
        Note("x" * (MAX_TEXT + 1)),
        intent(order_id="0x12"),
        intent(token_id=str(1 << 256)),
        intent(price_ticks=1 << 40),
        intent(body=b"x" * 70_000),
        MoneyEvent(b"short"),
        MarketOpen(65_535, 0, False, make_spec()),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_it_is_written(record):
    with pytest.raises((ValueError, OverflowError)):
        encode(record)


def test_the_owner_of_a_body_is_taken_out_and_put_back():
    body = b'{"order":{"salt":1},"owner":"key-123"}'
    hidden = hide_owner(body, "key-123")
    assert b"key-123" not in hidden
    assert show_owner(hidden, "key-123") == body


@pytest.mark.parametrize("body", [b'{"owner":"other"}', b'"key-123" "key-123"', b'"key-123"\x00'])
def test_a_body_without_exactly_one_owner_is_refused(body):
    with pytest.raises(ValueError, match="exactly once"):
        hide_owner(body, "key-123")
