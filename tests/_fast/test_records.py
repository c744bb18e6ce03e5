"""Command records: every field says what its kind promises."""

import math

import pytest
from scenario import SHARE, Scenario, rows
from test_engine import Scripted, place

from polybot._fast.event import COMMAND_DTYPE, DOWN, UP, CommandKind, EventKind
from polybot._fast.risk import Denial


@pytest.fixture
def traded():
    strategy = Scripted()
    scenario = Scenario([strategy])
    scenario.warm()
    return scenario, strategy


@pytest.mark.parametrize(("outcome", "sign"), [(UP, 1.0), (DOWN, -1.0)])
def test_a_signal_carries_the_market_it_saw_and_the_greeks_of_its_outcome(traded, outcome, sign):
    scenario, strategy = traded
    signal = rows(place(scenario, strategy, outcome=outcome), CommandKind.CMD_SIGNAL)[0]
    delta, gamma, vega = scenario.market.greeks
    assert signal["decided_ns"] == scenario.at(21.0)
    assert signal["spot"] == scenario.market.spot
    assert signal["distance"] == pytest.approx(scenario.market.spot - 100_000.0)
    assert signal["tau_s"] == pytest.approx(279.0)
    assert [signal["delta"], signal["gamma"], signal["vega"]] == [sign * delta, sign * gamma, sign * vega]
    assert signal["usd"] == 500_000


@pytest.mark.parametrize("outcome", [UP, DOWN])
def test_the_gateway_is_told_what_the_signal_says(traded, outcome):
    commands = place(*traded, outcome=outcome)
    (signal,), (order,) = rows(commands, CommandKind.CMD_SIGNAL), rows(commands, CommandKind.CMD_PLACE)
    assert [name for name in COMMAND_DTYPE.names if signal[name] != order[name]] == ["kind"]
    assert order["order_seq"] == 1_000


def test_a_fill_says_cost_fee_key_and_who_was_maker(traded):
    scenario, strategy = traded
    place(scenario, strategy)
    scenario.fill(21.3, 1_000, 4_900, 4 * SHARE, key=2**51 + 1)
    fill = rows(scenario.go(), CommandKind.CMD_FILL)[0]
    assert (int(fill["usd"]), fill["edge"]) == (1_960_000 + 69_970, 69_970.0)
    assert int(fill["confidence"]) == 2**51 + 1
    assert fill["size_frac"] == 0.0


def test_a_blocked_market_is_diagnosed_without_numbers_it_does_not_have():
    scenario = Scenario([Scripted()])
    scenario.warm(strike=None)
    scenario.timer(20.5)
    commands = scenario.go()
    (block,) = rows(commands, CommandKind.CMD_DIAGNOSTIC)
    assert block["strategy"] == Denial.STRIKE_UNKNOWN
    assert math.isnan(block["fair"])
    assert math.isnan(block["confidence"])
    assert block["usd"] == 0
    assert block["spot"] == pytest.approx(100_000.0, abs=2.0)


def test_a_live_market_is_diagnosed_with_book_house_and_gates(traded):
    scenario, strategy = traded
    place(scenario, strategy)
    scenario.fill(21.3, 1_000, 5_000, 10 * SHARE)
    scenario.timer(22.0)
    commands = scenario.go()
    (block,) = rows(commands, CommandKind.CMD_DIAGNOSTIC)
    assert (block["price_ticks"], block["reason"], block["side"]) == (4_900, 5_000, UP + 1)
    assert block["shares"] == 10 * SHARE
    assert block["usd"] == 100_000_000_000
    assert block["fair"] == scenario.market.fair_up
    (gate,) = rows(commands, CommandKind.CMD_GATE)
    assert (gate["strategy"], gate["reason"]) == (0, 0)


def test_a_settlement_says_payout_pnl_and_cost(traded):
    scenario, strategy = traded
    place(scenario, strategy)
    scenario.fill(21.3, 1_000, 5_000, 10 * SHARE)
    scenario.events.add(EventKind.EV_MARKET_CLOSE, recv_ns=scenario.at(300), market=0)
    scenario.outcome(330.0, UP)
    (row,) = rows(scenario.go(), CommandKind.CMD_SETTLEMENT)
    assert (int(row["shares"]), int(row["usd"]), row["edge"]) == (10_000_000, 4_825_000, 5_175_000.0)
