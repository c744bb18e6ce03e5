"""The matching core against a slow list-of-orders book, on random flow and on named cases."""

import random
from dataclasses import dataclass, field

import pytest

from polybot._fast.event import OrderType
from polybot._fast.matching import MAX_LADDER, MatchBook, MatchResult

BID, ASK = 0, 1
FAK, FOK, GTC = OrderType.FAK, OrderType.FOK, OrderType.GTC


@dataclass
class SlowOrder:
    serial: int
    side: int
    price: int
    left: int
    owner: int
    handle: int = 0


@dataclass
class SlowBook:
    """One list of orders, sorted anew for every question."""

    orders: list[SlowOrder] = field(default_factory=list)
    serial: int = 0

    def against(self, side: int, price: int) -> list[SlowOrder]:
        if side == BID:
            hit = [o for o in self.orders if o.side == ASK and o.price <= price]
            return sorted(hit, key=lambda o: (o.price, o.serial))
        hit = [o for o in self.orders if o.side == BID and o.price >= price]
        return sorted(hit, key=lambda o: (-o.price, o.serial))

    def submit(self, side, price, shares, owner, order_type, post_only):
        """Returns (result, legs [(serial, owner, price, shares, left)], serials of own orders hit)."""
        hit = self.against(side, price)
        if post_only and hit:
            return MatchResult.MATCH_CROSSES, [], []
        if order_type == FOK and sum(o.left for o in hit if o.owner != owner) < shares:
            return MatchResult.MATCH_KILLED, [], []
        legs, own, want = [], [], shares
        for o in hit:
            if not want:
                break
            if o.owner == owner:
                own.append(o.serial)
                o.left = 0
                continue
            take = min(want, o.left)
            o.left -= take
            want -= take
            legs.append((o.serial, o.owner, o.price, take, o.left))
        self.orders = [o for o in self.orders if o.left]
        if not want:
            return MatchResult.MATCH_FILLED, legs, own
        if order_type in (FAK, FOK):
            return (MatchResult.MATCH_PARTIAL_KILLED if legs else MatchResult.MATCH_KILLED), legs, own
        self.serial += 1
        self.orders.append(SlowOrder(self.serial, side, price, want, owner))
        return (MatchResult.MATCH_PARTIAL_RESTED if legs else MatchResult.MATCH_RESTED), legs, own

    def queues(self) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
        out: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        for o in sorted(self.orders, key=lambda o: o.serial):
            out.setdefault((o.side, o.price), []).append((o.serial, o.owner, o.left))
        return out


def fast_queues(book: MatchBook) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    out = {}
    for side in (BID, ASK):
        for price, total in book.levels(side):
            queue = [(handle >> 20, owner, left) for handle, owner, left in book.queue(side, price)]
            assert sum(left for _, _, left in queue) == total == book.size_at(side, price)
            out[(side, price)] = queue
    return out


@pytest.mark.parametrize(
    ("seed", "step", "centre"), [(1, 100, 5_000), (2, 10, 9_700), (3, 1, 40), (4, 2_000, 5_000)]
)
def test_random_flow_gives_the_fills_and_queues_of_the_slow_book(seed, step, centre):
    rng = random.Random(seed)
    slow, fast = SlowBook(), MatchBook()
    handles: dict[int, int] = {}
    outcomes = set()
    for turn in range(4_000):
        if handles and rng.random() < 0.25:
            serial = rng.choice(sorted(handles))
            there = next((o for o in slow.orders if o.serial == serial), None)
            expected = there.left if there else 0
            slow.orders = [o for o in slow.orders if o.serial != serial]
            assert fast.cancel(handles.pop(serial)) == expected
            continue
        price = min(9_999, max(1, centre + step * rng.randint(-6, 6)))
        order = (
            rng.randint(0, 1),
            price,
            rng.randint(1, 50) * 10_000,
            rng.randint(1, 4),
            rng.choice([GTC, GTC, GTC, FAK, FOK]),
            rng.random() < 0.1,
        )
        want, legs, own = slow.submit(*order)
        assert fast.submit(*order) == want
        assert [(handle >> 20, *rest) for handle, *rest in fast.legs()] == legs
        assert [handle >> 20 for handle in fast.self_hits()] == own
        assert fast.filled == sum(leg[3] for leg in legs)
        if fast.rested:
            assert fast.rested >> 20 == slow.serial
            handles[slow.serial] = fast.rested
        outcomes.add(want)
        bids = [o.price for o in slow.orders if o.side == BID]
        asks = [o.price for o in slow.orders if o.side == ASK]
        assert fast.best_bid() == max(bids, default=-1)
        assert fast.best_ask() == min(asks, default=-1)
        assert fast.live == len(slow.orders)
        if turn % 40 == 0:
            assert fast_queues(fast) == slow.queues()
    assert fast_queues(fast) == slow.queues()
    assert outcomes == set(MatchResult) - {MatchResult.MATCH_INVALID}


def test_changed_levels_replayed_on_a_copy_give_the_book():
    rng = random.Random(9)
    book, copy = MatchBook(), {}
    for _ in range(2_000):
        book.submit(
            rng.randint(0, 1),
            100 * rng.randint(40, 60),
            10_000 * rng.randint(1, 30),
            rng.randint(1, 3),
            rng.choice([GTC, FAK]),
        )
        for side, price, total in book.drain_changes():
            copy[(side, price)] = total
        assert book.drain_changes() == []
    expected = {(side, price): total for side in (BID, ASK) for price, total in book.levels(side)}
    assert {key: total for key, total in copy.items() if total} == expected


def test_forgotten_changes_are_reported_again_when_touched_again():
    book = MatchBook()
    book.submit(BID, 5_000, 10_000, 1)
    book.forget_changes()
    assert book.drain_changes() == []
    book.submit(BID, 5_000, 10_000, 1)
    assert book.drain_changes() == [(BID, 5_000, 20_000)]


def test_first_in_line_is_filled_first_and_a_partial_fill_keeps_its_place():
    book = MatchBook()
    first = (book.submit(ASK, 5_200, 100, 1), book.rested)[1]
    second = (book.submit(ASK, 5_200, 100, 2), book.rested)[1]
    assert book.submit(BID, 5_200, 40, 3, FAK) == MatchResult.MATCH_FILLED
    assert book.legs() == [(first, 1, 5_200, 40, 60)]
    assert book.resting(second) == (ASK, 5_200, 100, 60)
    assert book.submit(BID, 5_200, 100, 3, FAK) == MatchResult.MATCH_FILLED
    assert book.legs() == [(first, 1, 5_200, 60, 0), (second, 2, 5_200, 40, 60)]
    assert book.resting(first) is None


def test_taker_gets_the_makers_price_and_better_levels_first():
    book = MatchBook()
    book.submit(ASK, 5_300, 10, 1)
    book.submit(ASK, 5_200, 10, 1)
    assert book.submit(BID, 6_000, 15, 2, FAK) == MatchResult.MATCH_FILLED
    assert [(leg[2], leg[3]) for leg in book.legs()] == [(5_200, 10), (5_300, 5)]


def test_stale_handle_does_not_cancel_the_order_that_reused_its_slot():
    book = MatchBook()
    book.submit(BID, 10, 5, 1)
    old = book.rested
    assert book.cancel(old) == 5
    book.submit(BID, 10, 7, 1)
    assert book.cancel(old) == 0
    assert book.cancel(0) == book.cancel(-1) == book.cancel(1 << 60) == 0
    assert book.size_at(BID, 10) == 7


@pytest.mark.parametrize(("price", "shares"), [(0, 1), (10_000, 1), (-5, 1), (5_000, 0), (5_000, -1)])
def test_price_off_the_grid_or_empty_size_is_invalid(price, shares):
    book = MatchBook()
    assert book.submit(BID, price, shares, 1) == MatchResult.MATCH_INVALID
    assert book.live == 0


def test_fok_is_killed_whole_when_only_own_orders_would_complete_it():
    book = MatchBook()
    book.submit(ASK, 5_000, 10, 7)
    book.submit(ASK, 5_000, 10, 8)
    assert book.fillable(BID, 5_000, 20, 7) == 10
    assert book.submit(BID, 5_000, 20, 7, FOK) == MatchResult.MATCH_KILLED
    assert book.live == 2
    assert book.submit(BID, 5_000, 10, 7, FOK) == MatchResult.MATCH_FILLED


def test_taker_cancels_its_own_resting_order_and_goes_on():
    book = MatchBook()
    book.submit(ASK, 5_000, 10, 7)
    own = book.rested
    book.submit(ASK, 5_100, 10, 8)
    assert book.submit(BID, 5_100, 10, 7, FAK) == MatchResult.MATCH_FILLED
    assert book.self_hits() == [own]
    assert [leg[1] for leg in book.legs()] == [8]


def test_best_prices_are_found_across_bitmap_words():
    book = MatchBook()
    prices = [1, 63, 64, 127, 128, 4_095, 4_096, 9_999]
    for price in prices:
        book.submit(BID, price, 1, 1)
    for price in reversed(prices):
        assert book.best_bid() == price
        assert book.submit(ASK, price, 1, 2, FAK) == MatchResult.MATCH_FILLED
    assert book.best_bid() == -1
    for price in prices:
        book.submit(ASK, price, 1, 1)
    for price in prices:
        assert book.best_ask() == price
        assert book.submit(BID, price, 1, 2, FAK) == MatchResult.MATCH_FILLED
    assert book.best_ask() == -1


def test_ladder_keeps_the_place_of_unchanged_quotes_only():
    book = MatchBook()
    assert book.replace_ladder(1, [(BID, 4_900, 100), (BID, 4_800, 100), (ASK, 5_100, 100)]) == 0
    book.submit(BID, 4_900, 50, 2)
    book.submit(BID, 4_800, 50, 2)
    kept = book.queue(BID, 4_900)[0][0]
    assert book.replace_ladder(1, [(BID, 4_900, 100), (BID, 4_800, 70), (ASK, 5_000, 10)]) == 0
    assert [row[1] for row in book.queue(BID, 4_900)] == [1, 2]
    assert book.queue(BID, 4_900)[0][0] == kept
    assert [row[1:] for row in book.queue(BID, 4_800)] == [(2, 50), (1, 70)]
    assert book.levels(ASK) == [(5_000, 10)]


def test_ladder_order_partly_filled_is_requoted_at_the_back():
    book = MatchBook()
    book.replace_ladder(1, [(ASK, 5_000, 100)])
    book.submit(ASK, 5_000, 30, 2)
    book.submit(BID, 5_000, 10, 3, FAK)
    book.replace_ladder(1, [(ASK, 5_000, 100)])
    assert [row[1:] for row in book.queue(ASK, 5_000)] == [(2, 30), (1, 100)]


def test_ladder_quotes_that_would_take_or_make_no_sense_are_refused():
    book = MatchBook()
    book.submit(ASK, 5_000, 10, 2)
    assert (
        book.replace_ladder(
            1, [(BID, 5_000, 10), (BID, 4_990, 10), (ASK, 4_990, 10), (BID, 0, 5), (BID, 10, 0)]
        )
        == 4
    )
    assert book.levels(BID) == [(4_990, 10)]
    with pytest.raises(ValueError, match="at most"):
        book.replace_ladder(1, [(BID, 1, 1)] * (MAX_LADDER + 1))


def test_ladders_of_two_owners_are_independent_and_cancel_owner_takes_one():
    book = MatchBook()
    book.replace_ladder(1, [(BID, 4_000, 10), (ASK, 6_000, 10)])
    book.replace_ladder(2, [(BID, 4_000, 20)])
    book.submit(BID, 4_100, 5, 1)
    assert len(book.cancel_owner(1)) == 3
    assert book.levels(BID) == [(4_000, 20)]
    assert book.replace_ladder(1, []) == 0
    assert book.replace_ladder(2, []) == 0
    assert book.live == 0


def test_random_ladders_leave_exactly_their_quotes_in_the_book():
    rng = random.Random(5)
    book = MatchBook()
    for _ in range(400):
        mid = rng.randint(30, 70)
        quotes = [(BID, 100 * (mid - k), 10_000 * rng.randint(1, 4)) for k in range(1, rng.randint(2, 12))]
        quotes += [(ASK, 100 * (mid + k), 10_000 * rng.randint(1, 4)) for k in range(1, rng.randint(2, 12))]
        assert book.replace_ladder(1, quotes) == 0
        there = {(side, price): total for side in (BID, ASK) for price, total in book.levels(side)}
        assert there == {(side, price): shares for side, price, shares in quotes}
        book.submit(rng.randint(0, 1), 100 * mid, 10_000 * rng.randint(1, 8), 2, FAK)
