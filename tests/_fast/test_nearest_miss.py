"""Why a window was not traded: the nearest miss of each strategy, what became of each signal, time by reason.

The slow reference keeps every evaluation of a window as a row of plain values and looks through all of them.
"""

import math
import random
from collections import Counter

import pytest
from scenario import NS, SHARE, Scenario, make_risk, make_spec, rows
from test_engine import Scripted, opinion
from test_strategies_random import RandomMarket

from polybot._fast.event import (
    BUY,
    DOWN,
    FAK,
    UP,
    CommandKind,
    EventKind,
    OperatorCode,
    OrderStatus,
    TradeStatus,
)
from polybot._fast.risk import Denial
from polybot._fast.state import GateCompare
from polybot._fast.strategy import Strategy, Trigger

LEAST, MOST, FLAG = GateCompare.GATE_AT_LEAST, GateCompare.GATE_AT_MOST, GateCompare.GATE_FLAG


# -- the nearest miss ----------------------------------------------------------------------------------------


class Walker(Strategy):
    """Walks the gates it is told to: [(number, value, threshold, compare)]; fires when all pass."""

    def __init__(self, name="walker", gates=4):
        names = [f"g{k}" for k in range(gates)]
        super().__init__(name, gate_names=names, triggers=Trigger.ON_SPOT_TRADE)
        self.walk = []

    def evaluate(self, market, spot, signal) -> int:
        checks = {LEAST: self.check_least, MOST: self.check_most}
        for number, value, threshold, compare in self.walk:
            passed = (
                checks[compare](number, value, threshold)
                if compare != FLAG
                else self.check_flag(number, value)
            )
            if not passed:
                return 0
        return 0 if not self.walk else self.fire(signal)

    def fire(self, signal) -> int:
        for name, value in opinion().items():
            setattr(signal, name, value)
        return 1


@pytest.fixture
def walker():
    strategy = Walker()
    scenario = Scenario([strategy])
    scenario.warm()
    return scenario, strategy


def look(scenario, strategy, t, *walk):
    strategy.walk = list(walk)
    scenario.trade(t, 100_000.0)
    return scenario.go()


def shortfall(value, threshold, compare):
    """Relative to the threshold; infinite where there is no number."""
    short = value - threshold if compare == MOST else threshold - value
    return math.inf if math.isnan(short) else short / (abs(threshold) or 1.0)


def test_a_window_nobody_looked_at_has_no_nearest_miss(walker):
    scenario, _ = walker
    assert [scenario.market.nearest_miss(k) for k in range(16)] == [None] * 16
    for wrong in (-1, 16):
        with pytest.raises(IndexError):
            scenario.market.nearest_miss(wrong)


def test_more_gates_passed_come_before_a_smaller_shortfall_and_the_earlier_one_stays_at_a_tie(walker):
    scenario, strategy = walker
    nearest = []
    for t, *walk in (
        (21, (0, 1.0, 2.0, LEAST)),
        (22, (0, 1.9, 2.0, LEAST)),
        (23, (0, 1.0, 2.0, LEAST)),
        (24, (0, 2.0, 2.0, LEAST), (1, 0.04, 0.02, MOST)),
        (25, (0, 1.9999, 2.0, LEAST)),
        (26, (0, 2.0, 2.0, LEAST), (1, 0.03, 0.02, MOST)),
        (27, (0, 2.0, 2.0, LEAST), (1, 0.03, 0.02, MOST)),
        (28, (0, 2.0, 2.0, LEAST), (1, 0.02, 0.02, MOST), (3, 0, 1, FLAG)),
        (29, (0, 2.0, 2.0, LEAST), (1, 0.02, 0.02, MOST), (3, 0, 1, FLAG)),
    ):
        look(scenario, strategy, t, *walk)
        nearest.append(scenario.market.nearest_miss(0))
    assert nearest == [
        (0, 1.0, 2.0, LEAST, 0, 279.0),
        (0, 1.9, 2.0, LEAST, 0, 278.0),
        (0, 1.9, 2.0, LEAST, 0, 278.0),
        (1, 0.04, 0.02, MOST, 1, 276.0),
        (1, 0.04, 0.02, MOST, 1, 276.0),
        (1, 0.03, 0.02, MOST, 1, 274.0),
        (1, 0.03, 0.02, MOST, 1, 274.0),
        (3, 0.0, 1.0, FLAG, 2, 272.0),
        (3, 0.0, 1.0, FLAG, 2, 272.0),
    ]


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ((math.nan, 0.03, LEAST), (-5.0, 0.03, LEAST)),
        ((1.0, math.nan, LEAST), (math.nan, 1.0, LEAST)),
        ((-math.inf, 0.03, LEAST), (-5.0, 0.03, LEAST)),
        ((-0.02, 0.0, LEAST), (-0.01, 0.0, LEAST)),
        ((0.010, 0.03, LEAST), (0.011, 0.03, LEAST)),
        ((0.010, 0.03, LEAST), (0.005, 0.01, LEAST)),
        ((-3.0, -1.0, LEAST), (-1.5, -1.0, LEAST)),
        ((0.0, 1.0, LEAST), (120.0, 100.0, MOST)),
    ],
)
def test_which_of_two_shortfalls_at_one_gate_is_the_smaller(worse, better):
    assert shortfall(*better) <= shortfall(*worse)
    for order in ((worse, better), (better, worse)):
        fresh = Walker()
        scenario = Scenario([fresh])
        scenario.warm()
        for t, (value, threshold, compare) in zip((21, 22), order, strict=True):
            look(scenario, fresh, t, (0, value, threshold, compare))
        kept = order[0] if shortfall(*better) == shortfall(*worse) else better
        assert str(scenario.market.nearest_miss(0)[1:4]) == str((*map(float, kept[:2]), int(kept[2])))


def test_signals_are_no_misses_also_when_they_were_denied(walker):
    scenario, strategy = walker
    scenario.risk.halt()
    commands = look(scenario, strategy, 21, (0, 1.0, 0.5, LEAST))
    assert [int(row["reason"]) for row in rows(commands, CommandKind.CMD_SIGNAL)] == [Denial.HALTED_MANUAL]
    assert scenario.market.nearest_miss(0) is None
    assert scenario.market.stats()["denials"][0] == {Denial.HALTED_MANUAL: 1}


def test_a_strategy_that_asks_a_gate_twice_misses_by_what_failed_last_and_not_by_what_passed_then():
    class Twice(Walker):
        def evaluate(self, market, spot, signal) -> int:
            if not self.check_least(0, 0.01, 0.02):
                self.check_least(0, self.second, 0.02)
            return 0

    strategy = Twice()
    scenario = Scenario([strategy])
    scenario.warm()
    strategy.second = 0.03
    look(scenario, strategy, 21)
    assert scenario.market.nearest_miss(0) is None
    strategy.second = 0.015
    look(scenario, strategy, 22)
    assert scenario.market.nearest_miss(0) == (0, 0.015, 0.02, LEAST, 0, 278.0)


def test_no_gate_no_miss_and_the_next_window_begins_with_none(walker):
    scenario, strategy = walker
    look(scenario, strategy, 21)
    assert scenario.market.nearest_miss(0) is None
    look(scenario, strategy, 22, (0, 1.0, 2.0, LEAST))
    assert scenario.market.nearest_miss(0) is not None
    other = scenario.engine.open_market(1, make_spec(slug="next"), order_seq_base=9_000)
    assert other.nearest_miss(0) is None


class Remembering(RandomMarket):
    """Random windows of the five strategies; every evaluation is remembered."""

    def __init__(self, seed):
        super().__init__(seed)
        self.fired, self.missed = Counter(), {strategy.index: [] for strategy in self.made}

    def compare(self, strategy, walk, offer, signal):
        super().compare(strategy, walk, offer, signal)
        index, market = strategy.index, self.world.market
        if signal is not None:
            self.fired[index] += 1
            return
        for gate, (value, threshold, compare, result) in enumerate(market.gate_rows(index)):
            if result == 0:
                passed = sum(row[3] == 1 for row in market.gate_rows(index)[:gate])
                left_s = (market.end_ns - market.now_ns) * 1e-9
                self.missed[index].append((gate, value, threshold, compare, passed, left_s))


def closeness(miss):
    _, value, threshold, compare, passed, _ = miss
    return passed, -shortfall(value, threshold, compare)


@pytest.mark.parametrize("seed", range(8))
def test_of_random_windows_the_nearest_miss_is_the_nearest_of_all_that_were_seen(seed):
    market = Remembering(seed)
    market.warm()
    for k in range(160):
        market.step(0.5 + k)
    asked = 0
    for strategy in market.made:
        missed = [str(one) for one in market.missed[strategy.index]]
        nearest = market.world.market.nearest_miss(strategy.index)
        assert (nearest is None) == (not missed)
        if nearest is not None:
            assert str(nearest) in missed
            passed, short = max(closeness(one) for one in market.missed[strategy.index])
            assert closeness(nearest)[0] == passed
            assert closeness(nearest)[1] == pytest.approx(short, rel=1e-12)
            asked += 1
        stats = market.world.market.stats()
        assert stats["signals"][strategy.index] == market.fired[strategy.index]
    assert asked >= 4


# -- what became of the signals ------------------------------------------------------------------------------


def counted(stats, index):
    """(signals, dispatched, dropped, denied) of one strategy; the identity is asserted."""
    signals, sent, lost = (stats[name][index] for name in ("signals", "dispatched", "dropped"))
    denied = sum(stats["denials"][index].values())
    assert signals == sent + lost + denied
    return signals, sent, lost, denied


NONSENSE = ({"shares": 0}, {"price_ticks": 10_000}, {"outcome": 2}, {"edge": math.nan}, {"post_only": True})


@pytest.mark.parametrize("seed", range(6))
def test_signals_are_dispatched_dropped_or_denied_at_every_instant_of_random_windows(seed):
    rng = random.Random(seed)
    actors = [Scripted(f"s{k}", passive=k == 3, triggers=rng.choice((1, 2, 3))) for k in range(5)]
    scenario = Scenario(actors, risk=make_risk(orders_per_s=rng.choice((2.0, 10.0))))
    scenario.warm()
    told, proposed = Counter(), Counter()
    for k in range(400):
        t = 21.0 + 0.6 * k
        for actor in actors:
            says = rng.random()
            actor.say = None if says < 0.5 else opinion(rng.choice((UP, DOWN)), edge=rng.uniform(0.01, 0.2))
            if says > 0.997:
                actor.say = {**opinion(), **rng.choice(NONSENSE)}
        if k in (100, 150):
            code = OperatorCode.OP_HALT if k == 100 else OperatorCode.OP_RESUME
            scenario.events.add(EventKind.EV_OPERATOR, recv_ns=scenario.at(t), i=code)
        if rng.random() < 0.5:
            scenario.trade(t, 100_000.0 + rng.randrange(3))
        else:
            scenario.book(t, [(4_900, 1_000)], [(rng.choice((4_800, 5_000, 5_000)), 1_000)])
        scenario.oracle(t, 100_000.0)
        commands = scenario.go()
        for row in rows(commands, CommandKind.CMD_SIGNAL):
            told[int(row["strategy"]), int(row["reason"])] += 1
        for row in rows(commands, CommandKind.CMD_PLACE):
            if rng.random() < 0.7:
                scenario.update(t + 0.1, int(row["order_seq"]), OrderStatus.OS_REJECTED)
        stats = scenario.market.stats()
        for index in range(len(actors)):
            signals, sent, _, denied = counted(stats, index)
            assert sent == told[index, 0]
            assert {code: n for (one, code), n in told.items() if one == index and code} == stats["denials"][
                index
            ]
            proposed[index] = signals
            assert told.total() == sum(sum(counted(stats, one)[1::2]) for one in range(len(actors)))
            assert denied == signals - sent - stats["dropped"][index]
    assert sum(proposed.values()) > 200
    assert len({code for _, code in told}) >= 4
    for index, actor in enumerate(actors):
        assert stats["dropped"][index] == (not actor.enabled)
        assert (stats["unasked"][index] > 0) == (not actor.enabled)


def test_a_proposal_no_order_can_be_made_of_is_dropped_and_its_strategy_is_not_asked_any_more():
    actors = [Scripted("wild"), Scripted("tame")]
    scenario = Scenario(actors)
    scenario.warm()
    actors[0].say, actors[1].say = {**opinion(), "shares": 0}, opinion()
    scenario.trade(21.0, 100_000.0)
    told = rows(scenario.go(), CommandKind.CMD_SIGNAL)
    stats = scenario.market.stats()
    assert counted(stats, 0) == (1, 0, 1, 0)
    assert counted(stats, 1) == (1, 1, 0, 0)
    assert [int(row["strategy"]) for row in told] == [1]
    scenario.trade(22.0, 100_000.0)
    scenario.go()
    stats = scenario.market.stats()
    assert counted(stats, 0) == (1, 0, 1, 0)
    assert stats["unasked"][:2] == [1, 0]


def test_orders_of_an_earlier_process_are_restored_and_no_signals_of_this_one():
    scenario = Scenario([Scripted()])
    scenario.warm()
    values = {"outcome": UP, "side": BUY, "order_type": FAK, "price_ticks": 5_000, "shares": 10 * SHARE}
    at = {"order_seq": 1_000, "strategy": 0, "post_only": False, "dispatched_ns": scenario.at(10.0)}
    scenario.engine.restore_order(0, **values, **at)
    stats = scenario.market.stats()
    assert counted(stats, 0) == (0, 0, 0, 0)
    assert stats["restored"][0] == 1
    assert scenario.market.order_count[0] == 1


def test_a_sale_of_flatten_counts_as_a_dispatched_signal_of_its_strategy():
    strategy = Scripted()
    scenario = Scenario([strategy])
    scenario.warm()
    strategy.say = opinion()
    scenario.trade(21.0, 100_000.0)
    scenario.go()
    strategy.say = None
    scenario.fill(21.2, 1_000, 5_000, 10 * SHARE, status=TradeStatus.TS_CONFIRMED)
    scenario.events.add(EventKind.EV_OPERATOR, recv_ns=scenario.at(22.0), i=OperatorCode.OP_FLATTEN)
    scenario.go()
    scenario.book(22.1, [(4_900, 1_000)], [(5_000, 1_000)])
    scenario.timer(22.2)
    told = rows(scenario.go(), CommandKind.CMD_SIGNAL)
    assert len(told) == 1
    assert counted(scenario.market.stats(), 0) == (2, 2, 0, 0)


# -- time by reason ------------------------------------------------------------------------------------------


def test_the_seconds_of_a_window_go_to_the_reason_of_the_look_before():
    scenario = Scenario([Scripted()])
    scenario.warm(until=-10.0, strike=None)
    total = Counter()
    for tenth in range(-50, 3_030):
        t = tenth / 10
        if tenth == 200:
            scenario.strike(100_000.0, t)
        if tenth == 1_000:
            scenario.book(t, [(5_100, 10)], [(5_000, 10)])
        if tenth == 1_500:
            scenario.book(t, [(4_900, 10)], [(5_000, 10)])
        if tenth % 10 == 0:
            scenario.trade(t, 100_000.0 + tenth // 10 % 2)
            scenario.oracle(t, 100_000.0)
        scenario.timer(t)
        scenario.go()
        if tenth > 0:
            total[scenario.market.block_reason] += NS // 10 if tenth < 3_000 else 0
    spent = scenario.market.stats()["reason_ns"]
    assert sum(spent.values()) == 300 * NS
    wanted = {
        Denial.STRIKE_UNKNOWN: 20,
        Denial.BOOK_CROSSED: 50,
        Denial.MARKET_CLOSING: 5,
        Denial.DISPATCHED: 225,
    }
    assert set(spent) <= {int(reason) for reason in wanted} | {int(Denial.MARKET_NOT_OPEN)}
    for reason, seconds in wanted.items():
        assert abs(spent[int(reason)] - seconds * NS) <= NS // 5, reason
