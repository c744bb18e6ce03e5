"""Strategy base: gates, taker sizing and the plain-Python way of writing one."""

import math
import random

import pytest
from reference import strategy_reference as ref
from scenario import SHARE, Scenario, make_spec, rows

from polybot._fast.event import DOWN, GTC, UP, CommandKind
from polybot._fast.strategy import Signal, Strategy, Trigger


class Plain(Strategy):
    """Takes Up when its edge at the ask is large enough; what a user would write."""

    def __init__(self, *, min_edge: float = 0.02) -> None:
        super().__init__("plain", gate_names=("edge", "size"), triggers=Trigger.ON_SPOT_TRADE)
        self.min_edge = min_edge

    def evaluate(self, market, spot, signal) -> int:
        if not self.check_least(0, self.edge_at_ask(market, UP), self.min_edge):
            return 0
        if not self.check_flag(1, self.size_buy(market, signal, UP, 0.02, self.min_edge)):
            return 0
        signal.confidence = 0.5
        return 1


def test_a_plain_python_strategy_fires_with_the_size_of_the_reference():
    scenario = Scenario([Plain()])
    scenario.warm(bid=4_300, ask=4_500)
    scenario.trade(20.5, 100_000.0)
    commands = scenario.go()
    (signal,) = rows(commands, CommandKind.CMD_SIGNAL)
    want = ref.take(
        scenario.market.fair(UP), [(4_500, 1_000.0)], bankroll=1_000.0, cap=0.02, min_edge=0.02, outcome=UP
    )
    assert want is not None
    assert signal["edge"] == pytest.approx(want.edge)
    assert signal["shares"] <= round(want.shares * SHARE)
    assert len(rows(commands, CommandKind.CMD_PLACE)) == 1


def test_its_gates_show_what_blocked_it():
    scenario = Scenario([Plain(min_edge=0.5)])
    scenario.warm()
    scenario.trade(20.5, 100_000.0)
    assert len(rows(scenario.go(), CommandKind.CMD_SIGNAL)) == 0
    value, threshold, _, result = scenario.market.gate_rows(0)[0]
    assert (threshold, result) == (0.5, 0)
    assert value == pytest.approx(scenario.market.fair(UP) - 0.5 - ref.fee(0.5))
    assert scenario.market.gate_rows(0)[1][3] == -1


class Fickle(Strategy):
    """Passes so many gates as it is told to, and blocks at the next."""

    def __init__(self) -> None:
        super().__init__("fickle", gate_names=("a", "b", "c", "d"), triggers=Trigger.ON_SPOT_TRADE)
        self.passing = 0

    def evaluate(self, market, spot, signal) -> int:
        for number in range(self.passing):
            self.check_flag(number, True)
        if self.passing < 0:
            raise ValueError("no gate at all")
        self.check_flag(self.passing, False)
        return 0


def test_of_gates_only_those_of_the_last_evaluation_count_as_reached():
    strategy = Fickle()
    scenario = Scenario([strategy])
    scenario.warm()
    for number, passing in enumerate((3, 1, 0, 2, 3, 0, -1)):
        strategy.passing = passing
        scenario.trade(20.5 + number, 100_000.0)
        scenario.go()
        results = [row[3] for row in scenario.market.gate_rows(0)[:4]]
        assert results == [1] * passing + [0] * (passing >= 0) + [-1] * (3 - max(passing, -1))
    assert not strategy.enabled


def test_an_edge_follows_the_ask_and_the_price_from_look_to_look():
    strategy = Plain(min_edge=0.9)
    scenario = Scenario([strategy])
    scenario.warm()
    seen = set()
    for number, (ask, price) in enumerate(
        ((5_000, 0.0), (4_800, 0.0), (5_000, 0.0), (5_000, 30.0), (4_800, 30.0))
    ):
        scenario.book(20.5 + number, [(1_000, 10)], [(ask, 10)])
        scenario.go()
        before = strategy.edge_at_ask(scenario.market, UP)
        assert before == pytest.approx(scenario.market.fair(UP) - ask * 1e-4 - ref.fee(ask * 1e-4), abs=1e-12)
        scenario.trade(20.6 + number, 100_000.0 + price)
        scenario.go()
        for outcome, cost in ((UP, ask), (DOWN, 9_000)):
            want = scenario.market.fair(outcome) - cost * 1e-4 - ref.fee(cost * 1e-4)
            assert strategy.edge_at_ask(scenario.market, outcome) == pytest.approx(want, abs=1e-12)
            seen.add(round(want, 9))
    assert len(seen) >= 6
    scenario.book(299.0, [(1_000, 10)], [(4_700, 10)])  # too late to be priced anew
    scenario.go()
    want = scenario.market.fair(UP) - 0.47 - ref.fee(0.47)
    assert strategy.edge_at_ask(scenario.market, UP) == pytest.approx(want, abs=1e-12)


def market_with(asks, *, bids=((1_000, 10),), price=100_000.0, **spec):
    scenario = Scenario([Plain()], spec=make_spec(**spec))
    scenario.warm()
    scenario.book(20.3, list(bids), asks)
    scenario.go()
    scenario.trade(20.5, price)
    scenario.go()
    return scenario


def test_sizes_of_random_books_are_half_kelly_at_the_average_cost_of_the_walk():
    rng, several = random.Random(7), 0
    for _ in range(250):
        first = rng.randrange(2_000, 5_200, 100)
        asks = [(first + 100 * k, rng.choice((1, 5, 40, 300))) for k in range(rng.randint(1, 6))]
        scenario = market_with(asks, price=100_000.0 + rng.uniform(-20.0, 60.0))
        strategy, signal = scenario.engine.strategies[0], Signal()
        cap, least = rng.choice((0.02, 0.15, 0.15)), rng.choice((0.0, 0.02))
        found = strategy.size_buy(scenario.market, signal, UP, cap, least)
        q = scenario.market.fair(UP)
        want = ref.take(
            q,
            [(t, float(n)) for t, n in asks],
            bankroll=1_000.0,
            cap=cap,
            min_edge=least,
            outcome=UP,
            tick=100,
        )
        assert found == (want is not None)
        if want is None:
            continue
        assert (signal.price_ticks, signal.shares) == (want.limit_ticks, round(want.shares * SHARE))
        assert (signal.price, signal.edge, signal.size_frac) == pytest.approx(
            (want.price, want.edge, want.frac), rel=1e-9
        )
        cost = q - signal.edge
        assert signal.shares / SHARE * cost <= 1_000.0 * ref.half_kelly(q, cost, 1.0) + 1e-6
        several += signal.price_ticks > first
    assert several > 60


def test_depth_makes_kelly_smaller_than_the_best_ask_alone_would():
    deep = market_with([(4_000, 1_000)])
    thin = market_with([(4_000, 20), (4_300, 1_000)])
    sizes = []
    for scenario in (deep, thin):
        signal = Signal()
        assert scenario.engine.strategies[0].size_buy(scenario.market, signal, UP, 0.15, 0.0)
        sizes.append((signal.size_frac, signal.edge))
    assert sizes[1][0] < sizes[0][0]
    assert sizes[1][1] < sizes[0][1]


def test_an_ask_off_the_tick_grid_ends_the_walk():
    scenario = market_with([(4_000, 20), (4_050, 1_000)])
    signal = Signal()
    assert scenario.engine.strategies[0].size_buy(scenario.market, signal, UP, 0.15, 0.0)
    assert (signal.price_ticks, signal.shares) == (4_000, 20 * SHARE)
    scenario = market_with([(4_050, 1_000)])
    assert not scenario.engine.strategies[0].size_buy(scenario.market, signal, UP, 0.15, 0.0)


def test_a_resting_size_is_half_of_what_kelly_says_for_a_token_bought_at_that_price():
    scenario = market_with([(5_000, 100)])
    strategy, signal, q = scenario.engine.strategies[0], Signal(), scenario.market.fair(UP)
    for ticks, cap in ((4_000, 0.15), (4_600, 0.15), (4_000, 0.01)):
        assert strategy.size_rest(scenario.market, signal, UP, ticks, cap)
        want = ref.rest(q, ticks, bankroll=1_000.0, cap=cap, outcome=UP)
        assert (signal.price_ticks, signal.shares) == (ticks, round(want.shares * SHARE))
        assert (signal.edge, signal.size_frac) == pytest.approx((q - ticks / 1e4, want.frac), rel=1e-12)
        assert (signal.post_only, signal.order_type) == (True, GTC)
    for ticks in (-1, 0, 5_100, 10_000):
        assert not strategy.size_rest(scenario.market, signal, UP, ticks, 0.15)


def test_edge_at_the_ask_is_nan_where_there_is_no_ask():
    strategy = Plain()
    scenario = Scenario([strategy])
    scenario.warm()
    scenario.trade(20.5, 100_000.0)
    scenario.book(20.6, [(4_900, 10)], [])
    scenario.go()
    up, down = (strategy.edge_at_ask(scenario.market, outcome) for outcome in (UP, DOWN))
    assert math.isnan(up)
    assert down == pytest.approx(scenario.market.fair(DOWN) - 0.51 - ref.fee(0.51))


def test_too_many_gates_or_a_second_strategy_of_a_name_are_refused():
    with pytest.raises(ValueError, match="at most"):
        Strategy("wide", gate_names=[str(k) for k in range(11)], triggers=1)
    with pytest.raises(ValueError, match="share a name"):
        Scenario([Plain(), Plain()])
