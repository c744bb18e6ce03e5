"""Every recorded book frame of 49 markets decodes and builds the book that plain json describes.

The frames carry one token of a market, in 14 markets a stretch of the other token too.  In five
markets some are on the 0.001 grid although the tick size says 0.01: kept exactly and counted.
"""

import lzma
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from polybot._fast import event as ev
from polybot._fast.book import Book
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.scan import DEC_OK

FOLDER = "data/CronosVirus00+polymarket-BTC5min-database/clob_book_frames"
REST_BOOK = "data/BrightKha+Claude-route/book_btc5m_up_1790127600.json"
MARKETS = 49
FRAMES, OFF_TICK_FRAMES, BOTH_TOKENS = 190_679, 742, 14
# per group of seven markets: frames, frames off the 0.01 grid, markets with frames of both tokens
EXPECTED = (
    (24_848, 35, 2),
    (26_426, 85, 2),
    (26_867, 11, 2),
    (26_905, 611, 0),
    (26_610, 0, 3),
    (30_105, 0, 4),
    (28_918, 0, 1),
)
EVERY = 97  # one frame in so many is compared level by level


def ticks(price: str) -> int:
    scaled = Decimal(price) * 10_000
    assert scaled == int(scaled)
    return int(scaled)


def levels(side: list[dict[str, str]], *, bids: bool) -> list[tuple[int, int]]:
    own = [(ticks(level["price"]), int(Decimal(level["size"]) * 1_000_000)) for level in side]
    return sorted(own, reverse=bids)


def frames_of(path: Path) -> list[tuple[int, bytes, dict[str, Any]]]:
    """(venue ms, frame as recorded, the same parsed), by the venue's time."""
    found = []
    for line in lzma.decompress(path.read_bytes()).splitlines():
        frame = line[line.index(b'"raw":') + 6 : -1]
        parsed = orjson.loads(frame)
        found.append((int(parsed["timestamp"]), frame, parsed))
    return sorted(found, key=lambda item: item[0])


def best(side: list[dict[str, str]], *, bid: bool) -> int:
    """Best price in ticks; as text, since all prices begin with "0." here."""
    prices = [level["price"] for level in side]
    assert all(price[:2] == "0." for price in prices)
    if not prices:
        return -1
    return ticks(max(prices) if bid else min(prices))


def replay(path: Path) -> tuple[int, int, int]:
    """Check one market; frames, frames off the tick grid, and whether both tokens occur."""
    frames = frames_of(path)
    tokens = list(dict.fromkeys(parsed["asset_id"] for _, _, parsed in frames))
    assert len(tokens) <= 2
    decoder, out, book = ClobDecoder(), ev.EventBuffer(), Book(100)
    ids = [token.encode() for token in (*tokens, "0")][:2]
    decoder.add_market(1, *ids, frames[0][2]["market"].encode())
    off_tick = 0
    for number, (venue_ms, frame, parsed) in enumerate(frames):
        out.reset()
        before = book.off_tick
        assert decoder.feed(frame, venue_ms, out) == DEC_OK
        assert book.apply_events(out) == len(out) == 1 + book.level_count
        off_tick += book.off_tick > before
        outcome = tokens.index(parsed["asset_id"])
        assert book.best_bid(outcome) == best(parsed["bids"], bid=True)
        assert book.best_ask(outcome) == best(parsed["asks"], bid=False)
        assert not book.is_crossed()
        if number % EVERY == 0:
            assert book.levels(outcome, ev.BUY) == levels(parsed["bids"], bids=True)
            assert book.levels(outcome, ev.SELL) == levels(parsed["asks"], bids=False)
            assert set(out.to_numpy()["venue_ns"].tolist()) == {venue_ms * 10**6}
    counters = decoder.counters()
    assert counters["books"] == counters["frames"] == len(frames)
    assert counters["malformed"] + counters["unsupported"] + counters["off_grid"] == 0
    return len(frames), off_tick, len(tokens) == 2


@pytest.mark.parametrize("group", range(len(EXPECTED)))
def test_recorded_books_have_the_best_prices_json_says(shared_dir: Path, group: int) -> None:
    paths = sorted((shared_dir / FOLDER).glob("*/*.jsonl.xz"))
    assert len(paths) == MARKETS
    totals = [replay(path) for path in paths[group :: len(EXPECTED)]]
    assert tuple(map(sum, zip(*totals, strict=True))) == EXPECTED[group]


def test_the_groups_are_all_that_was_recorded() -> None:
    assert tuple(map(sum, zip(*EXPECTED, strict=True))) == (FRAMES, OFF_TICK_FRAMES, BOTH_TOKENS)


def test_recorded_rest_book_is_a_witness_of_the_same_content(shared_dir: Path) -> None:
    payload = (shared_dir / REST_BOOK).read_bytes()
    parsed = orjson.loads(payload)
    decoder, out, book, witness = ClobDecoder(), ev.EventBuffer(), Book(), Book()
    decoder.add_market(1, parsed["asset_id"].encode(), b"0", parsed["market"].encode())
    assert decoder.feed(payload, 1, out) == DEC_OK
    book.apply_events(out)
    assert book.levels(0, ev.BUY) == levels(parsed["bids"], bids=True)
    assert book.levels(0, ev.SELL) == levels(parsed["asks"], bids=False)
    assert (book.best_bid(0), book.best_ask(0), book.level_count, book.tick_size) == (5000, 5100, 99, 100)
    for side, name in ((ev.BUY, "bids"), (ev.SELL, "asks")):
        for price, size in levels(parsed[name], bids=False):
            witness.set_level(0, side, price, size)
    assert book.equals(witness)
    assert book.content_hash() == witness.content_hash()
