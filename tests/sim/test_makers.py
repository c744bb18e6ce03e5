"""Makers and takers: honest quotes, their lag, and how a market looks from outside."""

import math
import random
from itertools import pairwise

import pytest
from sim.world import NS, make_world

from polybot.config_sim import MakersConfig
from polybot.sim.fair import Terms
from polybot.sim.makers import LongshotBidder, Maker, QuotedMarket, lag_ns
from polybot.sim.scheduler import Scheduler

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


# What a maker believes is an average of what it saw: of 5 s ago less than 0.1 % is left.
@pytest.mark.parametrize(("digest_frac", "reach_s", "slack"), [(0.0, 1.4, 1.0), (0.92, 5.0, 5.0)])
def test_lagged_makers_are_late_by_their_lag_and_no_more(digest_frac, reach_s, slack):
    """A quote is always right for some fair value of the last seconds (largest lag and pace together)."""
    world = make_world(
        **{
            "venue.world.makers.fair_noise_usd": 0.0,
            "venue.world.makers.requote_ms": 300,
            "venue.world.makers.digest_frac": digest_frac,
            "venue.world.makers.longshot_shares": 0.0,
            "venue.world.takers.noise_per_s": 0.0,
        }
    )
    fairs = []
    terms = world.record().terms
    world.venue.spot.listen(
        lambda now_ns, price: fairs.append((now_ns, world.venue.fair.up(terms, now_ns) * ONE))
    )
    late = 0
    for now_ns, bid, ask, fair in walk(world, 1, 120):
        recent = [value for at_ns, value in fairs if at_ns >= now_ns - int(reach_s * NS)]
        recent.append(fairs[-len(recent) - 1][1])  # in force when that time began
        assert bid <= max(recent) + slack
        assert ask >= min(recent) - slack
        late += not bid <= fair <= ask
    assert 0.1 < late / 1_190 < 0.8


class Desk:
    """What a maker needs of its desk: a clock and an exchange that takes every ladder."""

    def __init__(self):
        self.scheduler = Scheduler(0)
        self.exchange = self
        self.ladders = []

    def replace_ladder(self, account_id, name, quotes):
        self.ladders.append((self.scheduler.now_ns, quotes))
        return 0

    def first_bid(self):
        return max(price for side, price, _ in self.ladders[-1][1] if side == 0)


def digesting_maker(**changes):
    config = MakersConfig(fair_noise_usd=0.0, requote_ms=0, half_spread_usd=0.0, keep_frac=0.0, **changes)
    desk = Desk()
    maker = Maker(
        "maker-0", config, desk, random.Random(1), base_lag_ns=600_000_000, digest_frac=0.5, size=1.0
    )
    return desk, maker, QuotedMarket("m", Terms("twap", 0, 300), 100)


def shown(desk, maker, market, values):
    """First bid 10 ms after each view; views come every 10 ms."""
    bids = []
    for fair in values:
        desk.scheduler.advance(desk.scheduler.now_ns + 10_000_000)
        maker.see(market, fair)
        bids.append(desk.first_bid())
    return bids


def test_a_maker_changes_its_mind_gradually_as_far_as_its_lag_is_digestion():
    desk, maker, market = digesting_maker()
    shown(desk, maker, market, [0.505] * 3)
    bids = shown(desk, maker, market, [0.565] * 200)  # six cents: 63 % of them after 0.3 s
    expected = [0.565 - 0.06 * math.exp(-0.01 * views / 0.3) for views in range(200)]
    assert bids == [math.floor(fair * 100 + 1e-9) * 100 for fair in expected]
    assert (bids[0], bids[-1]) == (5_000, 5_600)


def test_a_large_change_is_believed_at_once():
    desk, maker, market = digesting_maker()
    shown(desk, maker, market, [0.505] * 3)
    assert shown(desk, maker, market, [0.625]) == [6_200]


def test_digestion_is_part_of_the_lag_and_not_on_top_of_it():
    _, maker, _ = digesting_maker()
    lags = [maker.draw_lag_ns() for _ in range(50)]
    assert all(200_000_000 < lag < 500_000_000 for lag in lags)  # half of 600 ms, give or take 15 %


def test_what_a_maker_sees_later_was_true_later():
    desk, maker, _ = digesting_maker()
    arrivals = []
    for _ in range(500):
        desk.scheduler.advance(desk.scheduler.now_ns + 5_000_000)
        arrivals.append(desk.scheduler.now_ns + maker.draw_lag_ns())
    assert arrivals == sorted(arrivals)


def longshot(fair, **changes):
    """Quotes of the longshot bidder at this fair value."""
    desk = Desk()
    bidder = LongshotBidder(MakersConfig(**changes), desk, random.Random(1), base_lag_ns=1)
    market = QuotedMarket("m", Terms("twap", 0, 300), 100)
    bidder.see(market, fair)
    return [(side, price) for side, price, _ in desk.ladders[-1][1]]


def test_the_last_cent_is_bid_for_a_loser_only_while_it_has_some_chance():
    assert longshot(0.5) == [(0, 100), (1, 9_900)]
    assert longshot(0.998) == [(0, 100), (1, 9_900)]
    assert longshot(0.9999) == [(0, 100)]
    assert longshot(0.0001) == [(1, 9_900)]


def test_with_instant_makers_nobody_bids_for_longshots():
    names = {}
    for kind in ("instant", "lagged"):
        world = make_world(**{"venue.makers": kind})
        world.run_to(2)
        names[kind] = {account.name for account in world.venue.exchange.accounts}
    assert "longshot" in names["lagged"]
    assert "longshot" not in names["instant"]


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
    assert (lags[0], lags[-1]) == pytest.approx((150, 600))
    assert all(b / a == pytest.approx(4 ** (1 / 3)) for a, b in pairwise(lags))
    assert lag_ns(150, 600, 0, 1) / 1e6 == pytest.approx(300)


def test_noise_takers_trade_both_ways_at_their_rate():
    world = make_world(**{"venue.world.takers.informed_count": 0})
    prints = []
    watch = Watch(world)
    watch.on_book = lambda market, changes, now_ns: prints.extend(market.prints)
    world.run_to(0)
    before = len(prints)
    world.run_to(150)
    rate = (len(prints) - before) / 150
    assert 5.5 < rate < 9.0
