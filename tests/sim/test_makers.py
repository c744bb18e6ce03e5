"""Makers and takers: honest quotes, their lag, and how a market looks from outside."""

from itertools import pairwise

import pytest
from sim.world import NS, make_world

from polybot.sim.makers import lag_ns

ONE = 10_000


class Watch:
    """Book changes of one market with the fair value of that instant."""

    def __init__(self, world):
        self.world = world
        self.cid = world.record().spec.condition_id
        self.seen = []  # (time, bid, ask, fair)
        world.venue.exchange.listings.watchers.append(self)

    def wants(self, market):
        return True

    def on_new_market(self, market, now_ns):
        pass

    def on_book(self, market, changes, now_ns):
        if market.condition_id == self.cid:
            fair = self.world.venue.fair.up(self.world.record().terms, now_ns)
            self.seen.append((now_ns, *market.best(), fair))

    def on_tick_size(self, market, old_ticks, now_ns):
        pass

    def on_resolved(self, market, now_ns):
        pass


def levels(world, side):
    market = world.venue.exchange.market(world.record().spec.condition_id)
    return market.book.levels(side)


def walk(world, first, last):
    """(bid, ask, fair) of the market every 100 ms, in ticks."""
    market = world.venue.exchange.market(world.record().spec.condition_id)
    for tenth in range(first * 10, last * 10):
        world.run_to(tenth / 10)
        now_ns = world.venue.scheduler.now_ns
        yield now_ns, *market.best(), world.venue.fair.up(world.record().terms, now_ns) * ONE


def test_instant_makers_never_leave_a_quote_on_the_wrong_side_of_fair():
    """But for a quarter of a cent: time passes between two changes of spot."""
    world = make_world(**{"venue.makers": "instant"})
    watch = Watch(world)
    world.run_to(150)
    assert len(watch.seen) > 500
    for _, bid, ask, fair in watch.seen:
        assert bid <= fair * ONE + 25
        assert ask == -1 or ask >= fair * ONE - 25


def test_lagged_makers_are_late_by_their_lag_and_no_more():
    """A quote is always right for some fair value of the last 1.2 s (largest lag and pace together)."""
    world = make_world(**{"venue.world.makers.fair_noise_usd": 0.0, "venue.world.takers.noise_per_s": 0.0})
    fairs = []
    terms = world.record().terms
    world.venue.spot.listen(
        lambda now_ns, price: fairs.append((now_ns, world.venue.fair.up(terms, now_ns) * ONE))
    )
    late = 0
    for now_ns, bid, ask, fair in walk(world, 1, 120):
        recent = [value for at_ns, value in fairs if at_ns >= now_ns - 1_200_000_000]
        recent.append(fairs[-len(recent) - 1][1])  # in force when that time began
        assert bid <= max(recent) + 1.0
        assert ask >= min(recent) - 1.0
        late += not bid <= fair <= ask
    assert 0.1 < late / 1_190 < 0.8


def test_the_later_makers_are_the_further_the_middle_is_from_fair():
    def distance(kind):
        world = make_world(**{"venue.makers": kind, "venue.world.takers.informed_count": 0})
        sided = [seen for seen in walk(world, 1, 100) if min(seen[1:3]) > 0]
        return sum(abs((bid + ask) / 2 - fair) for _, bid, ask, fair in sided) / len(sided)

    instant, lagged, slow = (distance(kind) for kind in ("instant", "lagged", "slow"))
    assert instant < 40
    assert lagged > 1.5 * instant
    assert slow > 2 * lagged


def test_a_market_looks_like_the_recorded_ones():
    world = make_world()
    spreads, touches, depths = [], [], []
    for tenth in range(10, 1_000):
        world.run_to(tenth / 10)
        bids, asks = levels(world, 0), levels(world, 1)
        if bids and asks and 2_000 < bids[0][0] < 8_000:
            spreads.append(asks[0][0] - bids[0][0])
            touches.append(bids[0][1] / 1e6)
            depths.append(sum(size for price, size in bids if price >= bids[0][0] - 500) / 1e6)
    spreads.sort(), touches.sort(), depths.sort()
    middle = len(spreads) // 2
    assert middle > 100
    assert sum(spreads) / len(spreads) < 150
    assert spreads[middle] == 100
    assert 100 < touches[middle] < 500
    assert 1_000 < depths[middle] < 6_000


def test_prices_move_in_steps_of_the_grid_and_the_book_is_never_crossed():
    world = make_world()
    watch = Watch(world)
    world.run_to(60)
    for _, bid, ask, _ in watch.seen:
        assert bid == -1 or bid % 100 == 0
        assert ask == -1 or ask % 100 == 0
        assert bid == -1 or ask == -1 or bid < ask


def test_quoting_starts_before_the_window_and_ends_with_it():
    world = make_world()
    record = world.record()
    world.run_to(-39.5)
    assert levels(world, 0)
    assert levels(world, 1)
    world.run_to(300.1)
    assert not levels(world, 0)
    assert not levels(world, 1)
    assert record.is_over


def test_a_decided_market_has_one_side_only():
    world = make_world()
    world.run_to(299)
    bids, asks = levels(world, 0), levels(world, 1)
    fair = world.venue.fair.up(world.record().terms, world.start_ns + 299 * NS)
    assert fair in (pytest.approx(0.0, abs=1e-6), pytest.approx(1.0, abs=1e-6))
    assert (bids, asks)[fair < 0.5]
    assert not (bids, asks)[fair > 0.5]


def test_the_grid_gets_finer_once_a_market_is_nearly_decided():
    world = make_world(**{"venue.world.lifecycle.tick_change_beyond_usd": 0.2})
    record = world.record()
    world.run_to(119.9)
    assert record.tick_ticks == 100
    world.run_to(298)
    assert record.tick_ticks == 10
    assert world.venue.exchange.market(record.spec.condition_id).tick_ticks == 10
    touched = [price for side in (0, 1) for price, _ in levels(world, side)]
    assert any(price % 100 for price in touched)
    assert all(price % 10 == 0 for price in touched)


def test_lags_spread_over_their_range():
    lags = [lag_ns(150, 600, index, 4) / 1e6 for index in range(4)]
    assert all(150 < lag < 600 for lag in lags)
    assert all(b / a == pytest.approx(2**0.5) for a, b in pairwise(lags))


def test_noise_takers_trade_both_ways_at_their_rate():
    world = make_world(**{"venue.world.takers.informed_count": 0})
    prints = []
    watch = Watch(world)
    watch.on_book = lambda market, changes, now_ns: prints.extend(market.prints)
    world.run_to(0)
    before = len(prints)
    world.run_to(150)
    rate = (len(prints) - before) / 150
    assert 1.5 < rate < 6.0
