"""Strategy base: gates, taker sizing and the plain-Python way of writing one."""

import math

import pytest
from reference import strategy_reference as ref
from scenario import SHARE, Scenario, rows

from polybot._fast.event import DOWN, UP, CommandKind
from polybot._fast.strategy import Strategy, Trigger


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
