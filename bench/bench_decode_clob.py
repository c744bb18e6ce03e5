"""Decoding market channel frames from Python: budgets, and how they compare with general parsers."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from bench.interleaved import times_faster
from polybot._fast.book import Book
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.event import EventBuffer
from polybot._fast.scan import DEC_OK

Budget = Callable[..., float]
INNER = 20
SLACK = 0.7
LEAST = 1.0  # orjson alone, before its numbers are numbers
UP = "15329049429643092784575279708521316783620398456746213132371567405585638717474"
DOWN = "33215755676580564146338381586841381125623704954041225555979286173231064394422"
CID = "0xc77927db1e825c26dfadd89a4113dd0c4cc2609a2a3f9cb455546662ba074676"
HEAD = {"market": CID, "asset_id": UP, "timestamp": "1790616612345"}


def level(cents: int) -> dict[str, str]:
    return {"price": f"0.{cents:02d}".rstrip("0"), "size": f"{(cents * 7919) % 4000 + 5}.{cents % 100:02d}"}


BOOK = orjson.dumps(
    HEAD
    | {"bids": [level(c) for c in range(1, 50)], "asks": [level(c) for c in range(98, 50, -1)]}
    | {"hash": "5c9e4c6afe49327c1af22cc56a48e9ab5d32ab78", "tick_size": "0.01", "event_type": "book"}
)
CHANGES = [
    {
        "asset_id": UP,
        "price": "0.51",
        "size": "120",
        "side": "BUY",
        "hash": "5c9e4c6afe49327c1af22cc56a48e9ab5d32ab78",
    }
    | {"best_bid": "0.51", "best_ask": "0.52"},
    {
        "asset_id": DOWN,
        "price": "0.49",
        "size": "120",
        "side": "SELL",
        "hash": "5c9e4c6afe49327c1af22cc56a48e9ab5d32",
    }
    | {"best_bid": "0.48", "best_ask": "0.49"},
]
PRICE_CHANGE = orjson.dumps(
    {"event_type": "price_change", "market": CID, "timestamp": "1790616612345", "price_changes": CHANGES}
)
QUOTE = orjson.dumps(
    {"event_type": "best_bid_ask", **HEAD, "best_bid": "0.73", "best_ask": "0.77", "spread": "0.04"}
)


def decode(payload: bytes, book: Book | None = None) -> Callable[[], None]:
    decoder, out = ClobDecoder(), EventBuffer()
    decoder.add_market(1, UP.encode(), DOWN.encode(), CID.encode())
    assert decoder.feed(payload, 1, out) == DEC_OK

    def run() -> None:
        for _ in range(INNER):
            out.reset()
            decoder.feed(payload, 1, out)
            if book is not None:
                book.apply_events(out)

    return run


def repeat(parse: Callable[[bytes], Any], payload: bytes) -> Callable[[], None]:
    def run() -> None:
        for _ in range(INNER):
            parse(payload)

    return run


@pytest.mark.parametrize(
    ("name", "payload", "median_ns"),
    [
        ("book of 97 levels", BOOK, 50_000),
        ("price_change", PRICE_CHANGE, 10_000),
        ("best_bid_ask", QUOTE, 5_000),
    ],
)
def test_decode_and_compare_with_orjson(budget: Budget, name: str, payload: bytes, median_ns: float) -> None:
    budget(decode(payload), name=f"decode {name}", median_ns=median_ns, inner=INNER)
    title = f"{name} of {len(payload)} B against orjson alone"
    ratio = times_faster(decode(payload), repeat(orjson.loads, payload), name=title, calls=20, at_least=LEAST)
    assert ratio >= LEAST


def test_book_decoded_and_applied(budget: Budget) -> None:
    book = Book(100)
    budget(decode(BOOK, book), name="decode and apply a book of 97 levels", median_ns=50_000, inner=INNER)
    assert (book.level_count, book.best_bid(0), book.best_ask(0)) == (97, 4900, 5100)


@pytest.mark.parametrize(
    ("name", "payload", "wanted"),
    [("book of 97 levels", BOOK, 5.0), ("price_change", PRICE_CHANGE, 2.5), ("best_bid_ask", QUOTE, 2.0)],
)
def test_decode_against_a_typed_parser(budget: Budget, name: str, payload: bytes, wanted: float) -> None:
    msgspec = pytest.importorskip("msgspec")
    parser = msgspec.json.Decoder(_typed(msgspec)[name], strict=False)
    budget(decode(payload), name=f"decode {name} (again)", median_ns=50_000, inner=INNER)
    title = f"{name} against msgspec typed"
    ratio = times_faster(decode(payload), repeat(parser.decode, payload), name=title, calls=20, at_least=wanted * SLACK)
    assert ratio >= wanted * SLACK


def _typed(msgspec: Any) -> dict[str, Any]:
    """Structs that parse to the numbers a strategy needs, as float."""
    number = msgspec.defstruct("Level", [("price", float), ("size", float)])
    change = msgspec.defstruct(
        "Change",
        [
            ("asset_id", str),
            ("price", float),
            ("size", float),
            ("side", str),
            ("best_bid", float),
            ("best_ask", float),
        ],
    )
    head = [("asset_id", str), ("timestamp", str)]
    return {
        "book of 97 levels": msgspec.defstruct(
            "Book", [*head, ("bids", list[number]), ("asks", list[number])]
        ),
        "price_change": msgspec.defstruct("Changes", [("timestamp", str), ("price_changes", list[change])]),
        "best_bid_ask": msgspec.defstruct("Quote", [*head, ("best_bid", float), ("best_ask", float)]),
    }
