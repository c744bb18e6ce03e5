"""State: the averaging window from observed ticks against a plain sum, quotes' spot, and refusals."""

import math
import random
from dataclasses import replace

import pytest
from scenario import NS, Scenario, make_spec

from polybot._fast.event import DOWN, UP, EventFlag, EventKind
from polybot._fast.pricing import Rule, price


def locked_mean(ticks, first, last, spot):
    """Sum over [first, last] second by second: its print, else the print before, else spot."""
    total, value, newest = 0.0, None, max(ticks)
    for second in range(first, last + 1):
        if second in ticks:
            value = ticks[second]
            total += value
        elif second > newest or value is None:
            total += spot
        else:
            total += value
    return total


@pytest.mark.parametrize("seed", range(8))
def test_inside_the_window_the_mean_is_that_of_the_observed_prints_and_the_spot_still_to_come(seed):
    rng = random.Random(seed)
    scenario = Scenario([])
    scenario.warm(until=200.0)
    ticks, level = {}, 100_000.0
    now = rng.uniform(250.0, 294.0)
    for second in range(201, int(now) - 1):
        level += rng.gauss(0.0, 5.0)
        if rng.random() < 0.95:
            ticks[second] = level
            scenario.oracle(second, level)
    scenario.book(now, [(4_900, 10)], [(5_000, 10)])
    scenario.trade(now, level)
    scenario.go()
    scenario.trade(now, level)
    scenario.go()
    market = scenario.market
    u = max(0.0, market.tau_s - 3.0)
    elapsed = 60.0 - u
    first = 300 - 3 - 60 + 1
    whole = math.floor(elapsed)
    locked = locked_mean(ticks, first, first + whole - 1, market.spot) + (elapsed - whole) * market.spot
    spot = scenario.spot
    missing = market.missing_s
    expected = price(
        rule=int(Rule.RULE_TWAP),
        s=market.spot,
        k=100_000.0,
        sigma=spot.sigma,
        tau_s=market.tau_s,
        w_s=60.0,
        lag_s=3.0,
        locked_sum=locked,
        var_basis=spot.basis.var_ln,
        var_locked=(missing / 60.0) ** 2 * spot.sigma**2 * missing / 3.0,
        se_ln_sigma=spot.se_ln_sigma,
    )
    assert u == max(0.0, expected.u)
    assert market.fair_up == pytest.approx(expected.p_up, rel=1e-9)
    assert market.z == pytest.approx(expected.z, rel=1e-9)


def late_prints(rng):
    """(when, second, value) as prints come: some late, some twice with another value, some never."""
    found = []
    for second in range(201, 285):
        if rng.random() < 0.9:
            found.append((second + 0.3, second, 100_000.0 + rng.gauss(0.0, 5.0)))
        if rng.random() < 0.3:
            found.append(
                (second + 0.6, max(201, second - rng.randrange(20)), 100_000.0 + rng.gauss(0.0, 5.0))
            )
    return found


@pytest.mark.parametrize("windows", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_a_mean_added_up_at_every_trade_is_that_of_one_look_at_the_end(seed, windows):
    """Bit for bit: what is kept of the sum from one look to the next must not show."""
    specs = [make_spec(), replace(make_spec(), end_ns=make_spec().end_ns - 10 * NS)]
    prices = []
    for looks in (True, False):
        rng, scenario = random.Random(seed), Scenario([], spec=specs[0])
        for market in range(1, windows):
            scenario.engine.open_market(market, specs[market], order_seq_base=2_000)
            scenario.events.add(EventKind.EV_STRIKE, recv_ns=scenario.at(0), market=market, x=100_000.0)
        scenario.warm(until=200.0)
        scenario.strike(100_000.0)
        for market in range(windows):  # a crossed book is not priced
            scenario.book(201.0, [(4_900, 10)], [(5_000 if looks else 4_000, 10)], market=market)
        for at, second, value in late_prints(rng):
            scenario.events.add(
                EventKind.EV_ORACLE_SPOT,
                recv_ns=scenario.at(at),
                venue_ns=scenario.at(second),
                x=value,
                flags=EventFlag.F_END,
            )
            scenario.trade(at + 0.1, 100_000.0 + rng.gauss(0.0, 5.0))
        scenario.book(at + 0.2, [(4_900, 10)], [(5_000, 10)])
        scenario.go()
        assert scenario.market.priced
        prices.append((scenario.market.fair_up.hex(), scenario.market.z.hex(), scenario.market.missing_s))
    assert prices[0] == prices[1]
    assert prices[0][2] > 0


def test_ticks_out_of_order_fill_their_own_second():
    scenario = Scenario([])
    for second, value in ((10, 100.0), (12, 102.0), (11, 101.0)):
        scenario.events.add(
            EventKind.EV_ORACLE_SPOT,
            recv_ns=scenario.at(second),
            venue_ns=scenario.at(second),
            x=value,
            flags=EventFlag.F_END,
        )
    scenario.go()
    assert scenario.spot.oracle_last == 102.0
    assert scenario.spot.oracle_stamp_ns == scenario.at(12)


def test_spot_is_moved_by_the_basis_for_oracle_rules_and_not_for_candles():
    for rule, moved in (("twap", True), ("point", True), ("candle", False)):
        scenario = Scenario([], spec=make_spec(rule=rule, twap_window_s=60 if rule == "twap" else 0))
        for second in range(-40, 21):
            scenario.trade(second, 100_000.0 + second % 2)
            for kind in (EventKind.EV_ORACLE_SPOT,):
                scenario.events.add(
                    kind,
                    recv_ns=scenario.at(second),
                    venue_ns=scenario.at(second),
                    x=99_950.0 + second % 2,
                    flags=EventFlag.F_END,
                )
        scenario.strike(99_950.0)
        scenario.book(20.0, [(4_900, 10)], [(5_000, 10)])
        scenario.go()
        scenario.trade(20.5, 100_000.0)
        scenario.go()
        assert scenario.market.spot == pytest.approx(99_950.0 if moved else 100_000.0, abs=1.01)


def test_an_unknown_rule_cannot_be_opened():
    scenario = Scenario([])
    with pytest.raises(ValueError, match="unknown resolution rule"):
        scenario.engine.open_market(1, make_spec(rule="median"), order_seq_base=1)


def test_an_index_is_given_once():
    scenario = Scenario([])
    with pytest.raises(ValueError, match="taken"):
        scenario.engine.open_market(0, make_spec(), order_seq_base=1)


def test_the_outcomes_mirror_each_other():
    scenario = Scenario([])
    scenario.warm(bid=4_300, ask=4_500)
    scenario.trade(20.5, 100_000.0)
    scenario.go()
    market = scenario.market
    assert (market.best_bid(UP), market.best_ask(UP)) == (4_300, 4_500)
    assert (market.best_bid(DOWN), market.best_ask(DOWN)) == (5_500, 5_700)
    assert market.fair(UP) + market.fair(DOWN) == pytest.approx(1.0)
    assert market.end_ns - market.start_ns == 300 * NS
