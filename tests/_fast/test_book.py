"""Book against a plain-dict reference, model vectors, and the mirror of Up and Down."""

import random
from fractions import Fraction

import pytest
from scenario import make_spec

from polybot._fast import event as ev
from polybot._fast.book import Book
from polybot._fast.execution import SimExecution

UP, DOWN, BUY, SELL = 0, 1, 0, 1
SHARE = 1_000_000
TOP = 10_000


class PlainBook:
    """Two dicts, tick -> micro-shares, in Up terms."""

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def set_level(self, outcome: int, side: int, ticks: int, ushares: int) -> None:
        up_side = side if outcome == UP else 1 - side
        up_ticks = ticks if outcome == UP else TOP - ticks
        levels = self.bids if up_side == BUY else self.asks
        levels.pop(up_ticks, None)
        if ushares:
            levels[up_ticks] = ushares

    def levels(self, outcome: int, side: int) -> list[tuple[int, int]]:
        levels = self.bids if (side == BUY) == (outcome == UP) else self.asks
        own = [(t if outcome == UP else TOP - t, size) for t, size in levels.items()]
        return sorted(own, reverse=side == BUY)

    def walk(self, outcome: int, side: int, ushares: int, limit: int) -> tuple[int, int, int]:
        filled, cost, worst = 0, Fraction(0), -1
        for ticks, size in self.levels(outcome, 1 - side):
            if filled >= ushares or (limit >= 0 and (ticks > limit if side == BUY else ticks < limit)):
                break
            part = min(size, ushares - filled)
            filled, cost, worst = filled + part, cost + Fraction(part * ticks, TOP), ticks
        return filled, int(cost + Fraction(1, 2)), worst


def same(book: Book, plain: PlainBook) -> None:
    for outcome in (UP, DOWN):
        bids, asks = plain.levels(outcome, BUY), plain.levels(outcome, SELL)
        assert book.levels(outcome, BUY) == bids
        assert book.levels(outcome, SELL) == asks
        assert book.best_bid(outcome) == (bids[0][0] if bids else -1)
        assert book.best_ask(outcome) == (asks[0][0] if asks else -1)
    assert book.level_count == len(plain.bids) + len(plain.asks)
    assert book.is_crossed() == (bool(plain.bids) and bool(plain.asks) and max(plain.bids) > min(plain.asks))


@pytest.mark.parametrize("grid", [100, 10, 1])
def test_random_levels_and_walks_agree_with_the_reference(grid: int) -> None:
    rng = random.Random(grid)
    book, plain = Book(grid), PlainBook()
    for step in range(1200):
        outcome, side = rng.choice((UP, DOWN)), rng.choice((BUY, SELL))
        near = int(rng.gauss(5000, 400))
        ticks = min(
            TOP, max(0, rng.choice((near, near, rng.choice((0, TOP, 63, 64, 4095, 4096)))) // grid * grid)
        )
        ushares = rng.choice((0, 0, rng.randint(1, 10**9), 10_000))
        assert book.set_level(outcome, side, ticks, ushares)
        plain.set_level(outcome, side, ticks, ushares)
        assert book.size_at(outcome, side, ticks) == ushares
        limit = rng.choice((-1, near))
        wanted = rng.choice((1, 50 * SHARE, 10**12))
        for taker in (BUY, SELL):
            assert book.walk(outcome, taker, wanted, limit) == plain.walk(outcome, taker, wanted, limit)
        if step % 50 == 0:
            same(book, plain)
    same(book, plain)


def test_walk_of_the_model_vector_averages_512() -> None:
    book = Book()
    for ticks, shares in ((5000, 20), (5200, 30), (5500, 50)):
        book.set_level(UP, SELL, ticks, shares * SHARE)
    filled, cost, worst = book.walk(UP, BUY, 50 * SHARE)
    assert (filled, worst) == (50 * SHARE, 5200)
    assert Fraction(cost, filled) == Fraction("0.512")


def test_walk_stops_at_the_limit_at_what_is_wanted_and_at_the_end() -> None:
    book = Book()
    for ticks in (5000, 5200, 5500):
        book.set_level(UP, SELL, ticks, 10 * SHARE)
    assert book.walk(UP, BUY, 10**12, 5200) == (20 * SHARE, 10_200_000, 5200)
    assert book.walk(UP, BUY, 10**12) == (30 * SHARE, 15_700_000, 5500)
    assert book.walk(UP, BUY, 10**12, 4999) == (0, 0, -1)
    assert book.walk(UP, BUY, 0) == (0, 0, -1)
    assert book.walk(DOWN, SELL, 15 * SHARE) == (15 * SHARE, 7_400_000, 4800)
    assert book.walk(UP, SELL, SHARE) == (0, 0, -1)


def test_a_notional_finer_than_a_micro_dollar_is_rounded_half_up_once() -> None:
    book = Book()
    book.set_level(UP, SELL, 5000, 1)
    book.set_level(UP, SELL, 5001, 1)
    assert book.walk(UP, BUY, 1) == (1, 1, 5000)
    assert book.walk(UP, BUY, 2) == (2, 1, 5001)


def test_a_down_bid_is_an_up_ask_at_the_complement() -> None:
    book = Book()
    book.set_level(DOWN, BUY, 4800, 7)
    assert (book.best_ask(UP), book.best_bid(DOWN), book.best_bid(UP), book.best_ask(DOWN)) == (
        5200,
        4800,
        -1,
        -1,
    )
    assert (book.size_at_ask(UP, 5200), book.size_at_bid(DOWN, 4800), book.size_at(UP, SELL, 5200)) == (
        7,
        7,
        7,
    )
    book.set_level(UP, SELL, 5200, 0)
    assert book.best_bid(DOWN) == -1


def test_levels_run_away_from_the_best() -> None:
    book = Book()
    for ticks in (1, 64, 127, 128, 4095, 4096, 9999):
        book.set_level(UP, BUY, ticks, ticks)
    seen, ticks = [], -1
    while (ticks := book.next_bid(UP, ticks)) >= 0:
        seen.append(ticks)
    assert seen == [9999, 4096, 4095, 128, 127, 64, 1]
    seen, ticks = [], -1
    while (ticks := book.next_ask(DOWN, ticks)) >= 0:
        seen.append(TOP - ticks)
    assert seen == [9999, 4096, 4095, 128, 127, 64, 1]
    assert book.levels(UP, BUY, 2) == [(9999, 9999), (4096, 4096)]
    assert book.next_bid(UP, TOP + 1) == book.next_bid(UP, 0) == book.next_ask(UP, TOP) == -1


def test_prices_of_zero_and_one_are_levels_like_others() -> None:
    book = Book()
    assert book.set_level(UP, BUY, 0, 5)
    assert book.set_level(UP, SELL, TOP, 6)
    assert (book.best_bid(UP), book.best_ask(UP), book.best_bid(DOWN), book.best_ask(DOWN)) == (
        0,
        TOP,
        0,
        TOP,
    )


@pytest.mark.parametrize(("ticks", "ushares"), [(-1, 1), (TOP + 1, 1), (5000, -1)])
def test_a_level_that_cannot_be_is_refused(ticks: int, ushares: int) -> None:
    book = Book()
    assert not book.set_level(UP, BUY, ticks, ushares)
    assert book.level_count == 0
    assert book.size_at(UP, BUY, ticks) == 0


def test_levels_off_the_tick_grid_are_kept_and_counted() -> None:
    book = Book(100)
    book.set_level(UP, BUY, 5225, 3)
    book.set_level(UP, BUY, 5200, 3)
    book.set_level(UP, BUY, 5225, 0)
    assert (book.off_tick, book.best_bid(UP)) == (1, 5200)
    book.set_tick_size(25)
    book.set_level(DOWN, SELL, 4775, 3)
    assert (book.off_tick, book.best_bid(UP), book.tick_size) == (1, 5225, 25)
    book.set_tick_size(0)
    book.set_level(UP, BUY, 1, 3)
    assert (book.off_tick, book.tick_size) == (1, 0)


def test_clear_forgets_levels_and_the_snapshot_but_not_the_tick_size() -> None:
    book = Book(100)
    book.begin_snapshot()
    for ticks in range(0, TOP + 1, 100):
        book.set_level(UP, BUY, ticks, 1)
    book.clear()
    assert (book.level_count, book.has_snapshot, book.tick_size) == (0, False, 100)
    assert book.equals(Book())
    assert all(book.size_at(UP, BUY, ticks) == 0 for ticks in range(TOP + 1))


def events(*records: dict[str, int]) -> ev.EventBuffer:
    buffer = ev.EventBuffer()
    for record in records:
        buffer.add(**record)
    return buffer


def test_snapshot_of_either_token_replaces_the_whole_book() -> None:
    book = Book()
    book.apply_events(
        events({"kind": ev.EV_BOOK_SNAPSHOT, "i": 100}, {"kind": ev.EV_BOOK_LEVEL, "i": 5000, "j": 9})
    )
    assert (book.best_bid(UP), book.tick_size, book.has_snapshot) == (5000, 100, True)
    down = {"kind": ev.EV_BOOK_LEVEL, "outcome": DOWN, "side": BUY, "i": 4000, "j": 8}
    book.apply_events(events({"kind": ev.EV_BOOK_SNAPSHOT, "outcome": DOWN}, down))
    assert (book.best_bid(UP), book.best_ask(UP), book.tick_size) == (-1, 6000, 100)


def random_snapshot(rng: random.Random, market: int) -> list[dict[str, int]]:
    """A snapshot with levels told twice, taken back, off the grid, out of range, of either token and in any order."""
    grid = rng.choice((0, 1, 7, 10, 100))
    rows = [{"kind": ev.EV_BOOK_SNAPSHOT, "market": market, "i": grid}]
    for _ in range(rng.randrange(0, 60)):
        outcome, side = rng.randrange(2), rng.randrange(2)
        for _ in range(rng.randrange(1, 8)):
            ticks = rng.choice(
                (rng.randrange(0, 10_001), rng.randrange(40, 60) * 100, rng.choice((-1, 10_001)))
            )
            size = rng.choice((0, -5, 3, 8, 8, 1 << 40))
            row = {"kind": ev.EV_BOOK_LEVEL, "market": market, "outcome": outcome, "side": side}
            rows.append({**row, "i": ticks, "j": size, "flags": rng.choice((0, ev.F_GAP))})
    if rng.random() < 0.8:
        rows[-1]["flags"] = int(ev.F_END)
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_a_snapshot_taken_at_once_is_the_same_as_level_by_level(seed: int) -> None:
    rng, seen = random.Random(seed), 0
    venue = SimExecution(cash_usd=0, confirm_ns=0)
    slow = [Book(100), Book(100)]
    for market in range(2):
        venue.add_market(market, make_spec())
    for k in range(150):
        told = [
            {**row, "recv_ns": 1_000 + k} for _ in range(2) for row in random_snapshot(rng, rng.randrange(2))
        ]
        venue.process(events(*told), ev.EventBuffer())
        for market, plain in enumerate(slow):
            plain.apply_events(events(*(row for row in told if row["market"] == market)))
            found = venue.market(market).book
            assert found.equals(plain)
            assert found.content_hash() == plain.content_hash()
            assert (found.level_count, found.off_tick, found.tick_size) == (
                plain.level_count,
                plain.off_tick,
                plain.tick_size,
            )
            for outcome, side in ((UP, BUY), (UP, SELL), (DOWN, BUY), (DOWN, SELL)):
                assert found.levels(outcome, side) == plain.levels(outcome, side)
            seen += plain.level_count
    assert seen > 5_000
    assert slow[0].off_tick > 100


def test_deltas_are_absolute_and_need_a_snapshot() -> None:
    delta = {"kind": ev.EV_BOOK_DELTA, "side": SELL, "i": 5200, "j": 8}
    book = Book()
    assert book.apply_events(events(delta)) == 0
    assert (book.orphans, book.level_count) == (1, 0)
    assert book.apply_events(events({"kind": ev.EV_BOOK_SNAPSHOT}, delta, {**delta, "j": 5})) == 3
    assert book.levels(UP, SELL) == [(5200, 5)]
    book.apply_events(events({**delta, "j": 0}))
    assert book.best_ask(UP) == -1


def test_a_new_tick_size_drops_the_book_until_the_next_snapshot() -> None:
    book = Book(100)
    book.apply_events(events({"kind": ev.EV_BOOK_SNAPSHOT}, {"kind": ev.EV_BOOK_LEVEL, "i": 5000, "j": 9}))
    for same_or_unknown in (100, 0):
        assert book.apply_events(events({"kind": ev.EV_TICK_SIZE, "i": same_or_unknown})) == 0
    assert book.best_bid(UP) == 5000
    book.apply_events(events({"kind": ev.EV_TICK_SIZE, "i": 10}))
    assert (book.best_bid(UP), book.tick_size, book.has_snapshot) == (-1, 10, False)


def test_other_events_do_not_touch_the_book() -> None:
    book = Book()
    kinds = (ev.EV_SPOT_TRADE, ev.EV_PUBLIC_QUOTE, ev.EV_PUBLIC_TRADE, ev.EV_TIMER, ev.EV_RESOLVED)
    assert book.apply_events(events(*({"kind": kind, "i": 5000, "j": 1} for kind in kinds))) == 0
    assert book.equals(Book())


def test_equality_and_hash_see_every_level_and_nothing_else() -> None:
    left, right = Book(100), Book()
    for book in (left, right):
        book.set_level(UP, BUY, 5000, 9)
        book.set_level(DOWN, BUY, 4000, 8)
    assert left.equals(right)
    assert left.content_hash() == right.content_hash()
    changes = ((UP, BUY, 5000, 10), (UP, BUY, 4900, 1), (UP, SELL, 6000, 0))
    for outcome, side, ticks, ushares in changes:
        right.set_level(outcome, side, ticks, ushares)
        assert not left.equals(right)
        assert left.content_hash() != right.content_hash()
        right.clear()
        right.set_level(UP, BUY, 5000, 9)
        right.set_level(DOWN, BUY, 4000, 8)
        assert left.equals(right)


def test_a_locked_book_is_not_crossed() -> None:
    book = Book()
    book.set_level(UP, BUY, 5000, 1)
    book.set_level(UP, SELL, 5000, 1)
    assert not book.is_crossed()
    book.set_level(UP, BUY, 5001, 1)
    assert book.is_crossed()
