"""The diagnostic block's lines about risk: what the account holds, and strategies that are switched off."""

from scenario import SHARE, Scenario
from test_engine import Scripted, place

from polybot._fast.event import COMMAND_DTYPE, CommandKind
from polybot.telemetry.console_lines import _gate_lines
from polybot.telemetry.records import read_records


def shown(scenario, t):
    """Gate lines of the diagnostic at t."""
    scenario.trade(t - 0.1, 100_000.0)
    scenario.timer(t)
    commands = scenario.go()
    assert commands.dtype == COMMAND_DTYPE
    gates = read_records(commands[commands["kind"] == CommandKind.CMD_GATE])
    names = {strategy.name: strategy.gate_names for strategy in scenario.engine.strategies}
    return _gate_lines(gates, list(names), names)


def test_a_position_is_shown_over_all_windows_before_the_strategies_and_only_while_there_is_one():
    strategy = Scripted()
    scenario = Scenario([strategy])
    scenario.warm()
    assert not any("portfolio" in line for line in shown(scenario, 20.5))
    place(scenario, strategy)
    scenario.fill(21.3, 1_000, 5_000, 10 * SHARE)
    first, second = shown(scenario, 30.0)
    assert first.split("delta=")[0].split() == [
        "portfolio",
        "net=10",
        "Up",
        f"short_gamma={scenario.risk.short_gamma_shares:g}",
    ]
    assert "scripted" in second


def test_a_strategy_that_is_switched_off_is_shown_as_disabled_whatever_its_gates_last_said():
    off, on = Scripted("off"), Scripted("on")
    scenario = Scenario([off, on])
    scenario.warm()
    off.disable()
    lines = shown(scenario, 30.0)
    assert ["DISABLED" in line for line in lines] == [True, False]
