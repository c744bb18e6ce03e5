"""The model-free pair: found only for one end and one source, after fees, reported with both legs and not too often."""

import math
from typing import Any

import pytest
from scenario import NS, SHARE, START_NS, Scenario, make_spec

from polybot._fast.event import EventBuffer, EventKind
from polybot._fast.pairs import PairFinder

AT_S = 20.0


def fee(price: float, rate: float = 0.07) -> float:
    return rate * price * (1.0 - price)


class Pair:
    """Two windows with the same end and source; strikes 100,000 and 100,100 unless told otherwise."""

    def __init__(
        self, *, strikes: tuple[float, float] = (100_000.0, 100_100.0), variance: float = 0.0, **second: Any
    ):
        self.scenario = Scenario([], spec=make_spec(slug="low"))
        base = {"slug": "high", "start_ns": START_NS - 600 * NS, "interval": "15m"}
        self.scenario.engine.open_market(1, make_spec(**{**base, **second}), order_seq_base=9, observed=True)
        for k, strike in enumerate(strikes):
            self.scenario.events.add(
                EventKind.EV_STRIKE, recv_ns=self.scenario.at(AT_S), market=k, x=strike, y=variance
            )
        self.scenario.go()
        self.markets = list(self.scenario.engine.markets.values())
        self.finder = PairFinder()

    def books(
        self, up: int, down: int, *, up_shares: int = 40, down_shares: int = 25, at: float = AT_S
    ) -> None:
        """Ask of Up in the first window and of Down in the second, in ticks."""
        self.scenario.book(at, [(up - 200, 10)], [(up, up_shares)], market=0)
        self.scenario.book(at, [(10_000 - down, down_shares)], [(10_000 - down + 200, 10)], market=1)
        self.scenario.go()

    def look(self, at: float = AT_S) -> float:
        return self.finder.look(self.markets, self.scenario.at(at))


def test_two_asks_below_one_after_fees_are_found_with_both_legs_sizes_and_profit_the_thin_leg_first():
    pair = Pair()
    pair.books(4_000, 4_500)
    cost = 0.40 + 0.45 + fee(0.40) + fee(0.45)
    assert pair.look() == pytest.approx(cost)
    (note,) = pair.finder.take_notes()
    thin = note.index("high Down (strike 100100) at 0.45 x 25.00 first")
    assert thin < note.index("then low Up (strike 100000) at 0.4 x 40.00")
    assert "25.00 shares of each" in note
    assert f"cost {cost:.4f} with fees" in note
    assert f"{(1.0 - cost) * 25:.2f} USD for sure" in note
    assert "not traded" in note
    assert pair.finder.found == 1
    assert pair.finder.take_notes() == []


def test_the_other_leg_comes_first_when_it_is_the_thin_one():
    pair = Pair()
    pair.books(4_000, 4_500, up_shares=5, down_shares=25)
    pair.look()
    (note,) = pair.finder.take_notes()
    assert note.index("low Up (strike 100000) at 0.4 x 5.00 first") < note.index("then high Down")
    assert "5.00 shares of each" in note


def test_the_payoff_of_such_a_pair_is_one_at_least_at_every_price():
    for final in (99_999.0, 100_000.0, 100_050.0, 100_100.0, 100_101.0):
        up_of_low, down_of_high = final >= 100_000.0, not final >= 100_100.0
        up_of_high, down_of_low = not down_of_high, not up_of_low
        assert up_of_low + down_of_high >= 1
        assert up_of_high + down_of_low <= 1  # the wrong way round may pay nothing


def test_a_fee_that_eats_the_difference_makes_it_vanish():
    pair = Pair()
    pair.books(4_850, 4_850)  # 0.97, and 3.5 cents of fees
    assert pair.look() == pytest.approx(0.97 + 2 * fee(0.485))
    assert pair.finder.found == 0
    free = Pair(fees_enabled=False)
    free.books(4_850, 4_850)  # only one leg pays a fee: 0.9875
    assert free.look() == pytest.approx(0.97 + fee(0.485))
    assert free.finder.found == 1


def test_an_unknown_fee_schedule_is_no_arbitrage():
    pair = Pair(fee_rate_ppm=None)
    pair.books(3_000, 3_000)
    assert math.isnan(pair.look())
    assert pair.finder.found == 0


def test_the_pair_is_always_up_of_the_lower_strike_and_down_of_the_higher():
    pair = Pair(strikes=(100_100.0, 100_000.0))
    pair.books(4_000, 4_500)  # Up of the higher and Down of the lower: may pay nothing
    assert pair.look() == pytest.approx(0.57 + 0.62 + fee(0.57) + fee(0.62))
    assert pair.finder.found == 0


def test_equal_strikes_go_both_ways():
    for turned in (False, True):
        pair = Pair(strikes=(100_000.0, 100_000.0))
        up, down = (6_200, 6_300) if turned else (4_000, 4_500)
        pair.books(up, down)
        assert pair.look() < 1.0
        (note,) = pair.finder.take_notes()
        assert ("high Up" in note) == turned
        assert ("low Up" in note) != turned


@pytest.mark.parametrize(
    "other",
    [
        {"end_ns": START_NS + 301 * NS},
        {"rule": "point", "twap_window_s": 0},
        {"twap_window_s": 30},
        {"resolution_source": "https://data.chain.link/streams/btc-usd-twap-30s-streams"},
        {
            "rule": "candle",
            "twap_window_s": 0,
            "resolution_source": "https://www.binance.com/en/trade/BTC_USDT",
        },
    ],
)
def test_another_end_or_another_source_is_no_pair(other):
    pair = Pair(**other)
    pair.books(2_000, 2_000)
    assert math.isnan(pair.look())
    assert pair.finder.found == 0


def test_a_missing_ask_a_stale_a_crossed_or_an_absent_book_and_an_unknown_strike_are_no_pair():
    assert math.isnan(Pair().look())  # no books
    pair = Pair()
    pair.books(4_000, 4_500)
    assert pair.look() < 1.0
    pair.scenario.book(AT_S, [(3_800, 10)], [], market=0)
    pair.scenario.go()
    assert math.isnan(pair.look())  # no ask of Up
    pair.books(4_000, 4_500)
    assert math.isnan(pair.look(at=AT_S + 5.1))  # too old
    pair.scenario.book(AT_S, [(4_200, 10)], [(4_000, 10)], market=0)
    pair.scenario.go()
    assert math.isnan(pair.look())  # crossed
    unknown = Pair(strikes=(100_000.0, 0.0))  # a strike that is no price is not taken
    unknown.books(4_000, 4_500)
    assert math.isnan(unknown.look())


def test_after_the_end_and_before_the_start_there_is_no_pair():
    pair = Pair()
    pair.books(4_000, 4_500, at=299.0)
    assert pair.look(at=299.0) < 1.0
    assert math.isnan(pair.look(at=300.0))
    early = Pair(start_ns=START_NS + 30 * NS)
    early.books(4_000, 4_500)
    assert math.isnan(early.look())


def test_strikes_that_are_estimates_must_be_clearly_apart():
    near, far = Pair(variance=(4e-4) ** 2), Pair(variance=(2e-4) ** 2)  # 10 bp apart: 1.8 and 3.5 sd
    for pair in (near, far):
        pair.books(4_000, 4_500)
    assert math.isnan(near.look())
    assert far.look() < 1.0


def test_a_pair_is_told_once_a_minute_and_another_at_once():
    pair = Pair(strikes=(100_000.0, 100_000.0))
    told = []
    for second in range(0, 130, 2):
        pair.books(4_000, 4_500, at=AT_S + second)
        pair.look(at=AT_S + second)
        told += [second] * len(pair.finder.take_notes())
    assert told == [0, 60, 120]
    pair.books(6_200, 6_300, at=AT_S + 131)  # now the other way round
    pair.look(at=AT_S + 131)
    assert len(pair.finder.take_notes()) == 1
    assert pair.finder.found == 4


def test_reports_nobody_takes_are_bounded_and_still_counted():
    pair = Pair()
    pair.finder = PairFinder(report_s=0.0)
    pair.books(4_000, 4_500)
    for _ in range(50):
        pair.look()
    assert pair.finder.found == 50
    assert len(pair.finder.notes) == 32


def test_random_books_agree_with_the_sum_written_out():
    pair = Pair()
    finder, events = pair.finder, EventBuffer()
    assert len(events) == 0
    found = 0
    for up in range(2_000, 6_000, 700):
        for down in range(2_100, 6_000, 500):
            pair.books(up, down)
            cost = up / 1e4 + down / 1e4 + fee(up / 1e4) + fee(down / 1e4)
            assert pair.look() == pytest.approx(cost)
            found += cost < 1.0
    assert found > 10
    assert finder.found >= 1
    assert SHARE == 10**6
