"""P3: decoding messages of the market's channel, beside a typed parser that ends at the same numbers.

The frames are those of bench_decode_clob: a book of 97 levels, a price change of two entries, a quote.  Each is
checked against the typed parser's values before it is timed.  The plant parses with orjson first, as the fallback does.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest

from bench.bench_decode_clob import BOOK, CID, DOWN, PRICE_CHANGE, QUOTE, UP
from bench.gate import Gate
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.event import EventBuffer
from polybot._fast.scan import DEC_OK

CALLS = 50
TICKS = 10_000  # of a dollar
SHARE = 1_000_000
Level = msgspec.defstruct("Level", [("price", float), ("size", float)])
Change = msgspec.defstruct(
    "Change",
    [("asset_id", str), ("price", float), ("size", float), ("side", str), ("best_bid", float), ("best_ask", float)],
)
HEAD: list[tuple[str, Any]] = [("asset_id", str), ("timestamp", str)]
TYPED = {
    "book": msgspec.defstruct("Book", [*HEAD, ("bids", list[Level]), ("asks", list[Level])]),
    "price_change": msgspec.defstruct("Changes", [("timestamp", str), ("price_changes", list[Change])]),
    "best_bid_ask": msgspec.defstruct("Quote", [*HEAD, ("best_bid", float), ("best_ask", float)]),
}


def by_scanner(payload: bytes, *, is_parsed_first: bool = False) -> Callable[[], EventBuffer]:
    decoder, out = ClobDecoder(), EventBuffer()
    decoder.add_market(1, UP.encode(), DOWN.encode(), CID.encode())
    assert decoder.feed(payload, 1, out) == DEC_OK

    def run() -> EventBuffer:
        for _ in range(CALLS):
            out.reset()
            if is_parsed_first:
                orjson.loads(payload)
            decoder.feed(payload, 1, out)
        return out

    return run


def by_msgspec(name: str, payload: bytes) -> Callable[[], Any]:
    decoder = msgspec.json.Decoder(TYPED[name], strict=False)

    def run() -> Any:
        for _ in range(CALLS):
            found = decoder.decode(payload)
        return found

    return run


def ticks(price: float) -> int:
    return round(price * TICKS)


def numbers_of_ours(name: str, out: EventBuffer) -> list[tuple[int, ...]]:
    rows = out.to_numpy()
    if name == "book":
        rows = rows[1:]  # the first says which book it is
        return [tuple(row) for row in rows[["side", "i", "j"]].tolist()]
    if name == "price_change":
        return [tuple(row) for row in rows[["outcome", "side", "i", "j"]].tolist()]
    return [(round(float(row["x"])), round(float(row["y"]))) for row in rows]


def numbers_of_theirs(name: str, found: Any) -> list[tuple[int, ...]]:
    if name == "book":
        sides = (found.bids, found.asks)
        return [(side, ticks(v.price), round(v.size * SHARE)) for side in (0, 1) for v in sides[side]]
    if name == "price_change":
        return [
            (int(c.asset_id == DOWN), int(c.side == "SELL"), ticks(c.price), round(c.size * SHARE))
            for c in found.price_changes
        ]
    return [(ticks(found.best_bid), ticks(found.best_ask))]


@pytest.mark.parametrize(
    ("name", "payload", "at_least"),
    [("book", BOOK, 5.0), ("price_change", PRICE_CHANGE, 2.5), ("best_bid_ask", QUOTE, 2.0)],
)
def test_values_are_identical_and_a_typed_parser_is_slower(
    gate: Gate, name: str, payload: bytes, at_least: float
) -> None:
    ours, theirs = by_scanner(payload), by_msgspec(name, payload)
    assert sorted(numbers_of_ours(name, ours())) == sorted(numbers_of_theirs(name, theirs()))
    gate.ratio(
        "P3",
        f"{name} of {len(payload):,} B decoded, against msgspec typed",
        ours=ours,
        theirs=theirs,
        at_least=at_least,
        inner=CALLS,
        planted=by_scanner(payload, is_parsed_first=True),
    )
