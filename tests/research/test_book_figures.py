"""Figures of books: hand-made books whose figures are known, and the recorded ones against the published table."""

import json
import lzma
from pathlib import Path

import pytest

from polybot.research.book_figures import book_figures
from polybot.research.venue_facts import FACTS
from polybot.research.window_book import WindowBook

NAN = float("nan")
FRAMES = "data/CronosVirus00+polymarket-BTC5min-database/clob_book_frames"
EVERY = 4  # of the 49 recorded windows: enough for the figures that converge fast


def book(rows, prints=0):
    """A 5 m book from (second, bid, ask) in cents, 100 shares at the touch and 1,000 within 5 c."""
    full = [(at, bid, ask, 100.0, 200.0, 1_000.0, 3_000.0) for at, bid, ask in rows]
    return WindowBook.of_rows(full, length_s=300.0, prints=prints)


def test_a_still_book_has_the_spread_depth_and_touch_it_was_given():
    figures = book_figures([book([(0.0, 50.0, 51.0)], prints=600)])
    assert figures["spread 240-300"] == figures["spread 0-5"] == 1.0
    assert figures["one tick 60-120"] == 100.0
    assert figures["one side empty 10-20"] == 0.0
    assert figures["depth 30-60"] == 2_000.0
    assert (figures["touch 5"], figures["touch 95"]) == pytest.approx((105.0, 195.0))
    assert figures["best price changes"] == 0.0
    assert figures["prints"] == 2.0
    assert figures["moves"] == 0.0


def test_time_left_decides_the_bucket_and_durations_are_the_weights():
    figures = book_figures([book([(0.0, 50.0, 51.0), (15.0, 50.0, 53.0), (260.0, 97.0, NAN)])])
    assert figures["spread 240-300"] == pytest.approx((15 * 1 + 45 * 3) / 60)
    assert figures["one tick 240-300"] == pytest.approx(25.0)
    assert figures["one side empty 30-60"] == pytest.approx(100 * 10 / 30)
    assert figures["one side empty 20-30"] == 100.0
    assert figures["mid in the middle 20-30"] == 0.0


def test_a_missing_side_counts_as_the_end_of_the_scale():
    figures = book_figures([book([(0.0, 50.0, 51.0), (100.4, 60.0, NAN)])])
    assert figures["sd of 1 s minute 2"] == pytest.approx((80.0 - 50.5) / 60**0.5)
    assert figures["share of 5 c in 1 s"] == pytest.approx(100 / 300)


def test_moves_last_from_their_first_tick_to_nine_tenths_of_the_way():
    steps = [(0.0, 50.0, 51.0), (20.0, 52.0, 53.0), (20.5, 54.0, 55.0), (21.0, 56.0, 57.0)]
    back = [(100.0, 50.0, 51.0)]  # one step
    slow = [(150.0, 52.0, 53.0), (153.0, 54.0, 55.0), (156.0, 56.0, 57.0)]  # never 5 c within 2 s
    figures = book_figures([book(steps + back + slow)])
    assert figures["moves"] == 2
    assert figures["repricing 90"] == pytest.approx(0.9, abs=0.06)
    assert figures["repricing"] == pytest.approx(0.5, abs=0.03)
    assert figures["best price changes"] == pytest.approx(7 / 300)


def test_alternating_prices_have_negative_autocorrelation():
    rows = [(float(second), 50.0 + second % 2, 51.0 + second % 2) for second in range(300)]
    assert book_figures([book(rows)])["autocorrelation 1 s"] == pytest.approx(-1.0, abs=0.01)


def recorded(path: Path) -> WindowBook:
    """The book of one recorded window: exchange time, the token with the most frames."""
    start_s = int(path.name.removesuffix(".jsonl.xz").rpartition("-")[2])
    with lzma.open(path) as file:
        frames = [json.loads(line)["raw"] for line in file]
    tokens = [frame["asset_id"] for frame in frames]
    token = max(set(tokens), key=tokens.count)
    rows = []
    for frame in sorted(frames, key=lambda frame: int(frame["timestamp"])):
        at_s = int(frame["timestamp"]) / 1_000 - start_s
        if frame["asset_id"] == token and 0.0 <= at_s < 300.0:
            (bid, bid_size, bid_depth), (ask, ask_size, ask_depth) = (
                side(frame[name][::-1]) for name in ("bids", "asks")
            )
            rows.append((at_s, bid, ask, bid_size, ask_size, bid_depth, ask_depth))
    return WindowBook.of_rows(rows, length_s=300.0, prints=0)


def side(levels):
    """(best price in cents, size there, shares within 5 c), best level first."""
    if not levels:
        return NAN, 0.0, 0.0
    prices = [100 * float(level["price"]) for level in levels]
    sizes = [float(level["size"]) for level in levels]
    near = [size for price, size in zip(prices, sizes, strict=True) if abs(price - prices[0]) < 5.01]
    return round(prices[0], 2), sizes[0], sum(near)


def test_the_same_ruler_gives_the_published_figures_on_recorded_books(shared_dir: Path):
    """A dozen windows cannot give the shares of the last minute; what they can is within the tolerance."""
    paths = sorted((shared_dir / FRAMES).glob("*/*.jsonl.xz"))[::EVERY]
    assert len(paths) >= 12
    figures = book_figures([recorded(path) for path in paths])
    names = ("spread 240-300", "spread 180-240", "spread 120-180", "spread 60-120", "one tick 240-300")
    names += ("one tick 120-180", "depth 240-300", "depth 120-180", "touch 25", "touch 50", "touch 75", "touch 95")
    names += ("best price changes", "sd of 1 s minute 1", "sd of 1 s minute 5", "repricing")
    facts = {fact.name: fact for fact in FACTS}
    assert {name: figures[name] for name in names if not facts[name].is_met(figures[name])} == {}
