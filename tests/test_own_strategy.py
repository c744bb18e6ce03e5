"""A strategy of a user's own: the example's decisions, a module from another folder, and one that breaks."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from own_strategies import GOOD_EVALUATIONS, Breaks
from reference import strategy_reference as ref
from runs import QUIET, markets, rows, run
from scenario import SHARE, Scenario
from scenario import rows as of_kind

from polybot._fast.event import CommandKind
from polybot._fast.latency_arb import LatencyArb
from polybot.cli import load_config
from polybot.config import Config, StrategyLimits, config_from_mapping, config_to_mapping, default_config
from polybot.strategies.example import Example

ROOT = Path(__file__).resolve().parent.parent
ROW = {"per_trade_frac": 0.01, "total_frac": 0.02, "cooldown_ms": 1_000, "max_orders_per_market": 10}
LIMIT_S = 300.0


# -- the example ------------------------------------------------------------------------------------


def asked(ask: int, *, price: float = 100_000.0, t: float = 20.5, **params: Any) -> tuple[Scenario, Any]:
    """The example on a book with this ask (ticks) of Up and the same bid of Down; the signals it gave."""
    scenario = Scenario([Example(**params)])
    scenario.risk.set_limits(0, per_trade_frac=1.0, total_frac=1.0, cooldown_ns=0, max_orders=50)
    scenario.warm(until=int(t))
    scenario.trade(t, price)
    scenario.book(t, [(ask - 100, 1_000)], [(ask, 1_000)])
    return scenario, of_kind(scenario.go(), CommandKind.CMD_SIGNAL)


def results(scenario: Scenario) -> list[int]:
    return [row[3] for row in scenario.market.gate_rows(0)][:3]


def test_the_example_buys_the_likelier_outcome_with_the_references_numbers():
    scenario, signals = asked(4_000, price=100_020.0)
    spot = scenario.spot
    priced = ref.price_twap(
        100_020.0 + spot.basis.beta, 100_000.0, spot.sigma, 300.0 - 20.5,
        var_basis=spot.basis.var_ln, se_ln_sigma=spot.se_ln_sigma,
    )  # fmt: skip
    assert priced.q(0) > 0.5
    want = ref.take(
        priced.q(0), [(4_000, 1_000.0)], bankroll=1_000.0, cap=0.01, min_edge=max(0.05, priced.se), outcome=0
    )
    (signal,) = signals
    assert (signal["outcome"], signal["price_ticks"]) == (0, 4_000)
    assert signal["edge"] == pytest.approx(want.edge, rel=1e-9)
    assert signal["shares"] <= round(0.01 * 1_000.0 / 0.4 * SHARE)
    assert results(scenario) == [1, 1, 1]


def test_the_example_takes_down_when_down_is_likelier():
    _, (signal,) = asked(6_200, price=99_950.0)  # Down's ask is 1 - Up's bid: 0.39
    assert (signal["outcome"], signal["price_ticks"]) == (1, 3_900)


@pytest.mark.parametrize(
    ("ask", "t", "params", "gates"),
    [
        (5_800, 20.5, {}, [1, 0, -1]),  # no edge
        (4_000, 250.5, {}, [0, -1, -1]),  # too late
        (4_000, 20.5, {"edge_se_multiple": 1_000.0}, [1, 0, -1]),  # less than the model's own error
        (4_000, 20.5, {"size_cap_frac": 0.0}, [1, 1, 0]),
    ],
)
def test_each_gate_of_the_example_blocks_for_its_own_reason(ask, t, params, gates):
    scenario, signals = asked(ask, t=t, price=100_020.0, **params)
    assert len(signals) == 0
    assert results(scenario) == gates


def test_the_example_comes_with_its_settings_and_its_row_of_the_risk_table():
    config = load_config(["strategy=[latency_arb,example]"])
    assert list(config.strategy) == ["latency_arb", "example"]
    assert config.risk.strategies["example"] == StrategyLimits(**ROW)
    made = Example()
    params = config.strategy["example"].params
    assert params == {name: getattr(made, name) for name in ("min_left_s", "min_edge", "size_cap_frac")}
    assert "example" not in load_config().strategy


def test_the_example_trades_in_a_run_and_the_ledger_agrees(tmp_path):
    mapping = config_to_mapping(default_config(**{"run.markets": 1, "venue.makers": "slow", **QUIET}))
    item = {"_target_": "polybot.strategies.example.Example", "enabled": True, "min_edge": 0.01}
    mapping["strategy"] = {"example": item}
    mapping["risk"]["strategies"]["example"] = ROW
    result = run(tmp_path, config_from_mapping(mapping))
    assert [row for row in rows(result, "fills.csv") if row["strategy"] == "example"]
    assert result.check.is_ok, result.check.text()
    assert "pnl_example_micro_usd" in next(iter(markets(result).values()))


# -- one that breaks --------------------------------------------------------------------------------


def test_a_strategy_that_starts_to_raise_is_disabled_with_an_alert_and_the_others_go_on():
    breaks, arb = Breaks(), LatencyArb(require_move=False, edge_se_multiple=0.0)
    scenario = Scenario([breaks, arb])
    scenario.warm(bid=3_900, ask=4_000)
    asked_warm = breaks.asked
    for step in range(GOOD_EVALUATIONS + 5 - asked_warm):
        scenario.trade(20.5 + step / 10, 100_000.0)
        commands = scenario.go()
    assert breaks.asked == GOOD_EVALUATIONS + 1
    assert not breaks.enabled
    assert arb.enabled
    assert [text for text in scenario.engine.alerts if "breaks" in text] == [
        "strategy breaks raised ZeroDivisionError: division by zero; disabled"
    ]
    assert len(of_kind(commands, CommandKind.CMD_SIGNAL)) == 1


def with_breaking(**changes: Any) -> Config:
    mapping = config_to_mapping(default_config(**{"run.markets": 1, **QUIET, **changes}))
    arb = mapping["strategy"]["latency_arb"]
    mapping["strategy"] = {
        "latency_arb": arb,
        "breaks": {"_target_": "own_strategies.Breaks", "enabled": True},
    }
    mapping["risk"]["strategies"]["breaks"] = ROW
    return config_from_mapping(mapping)


def test_a_run_with_a_breaking_strategy_says_so_trades_on_and_settles(tmp_path):
    result = run(tmp_path, with_breaking())
    lines = result.console.splitlines()
    (alarm,) = [place for place, line in enumerate(lines) if "strategy breaks raised" in line]
    assert "ERROR" in lines[alarm]
    assert lines[alarm].endswith("strategy breaks raised ZeroDivisionError: division by zero; disabled")
    later = [line for line in lines[alarm:] if "FILL" in line and "latency_arb" in line]
    assert later
    (window,) = markets(result).values()
    assert window["outcome"] in ("Up", "Down")
    assert int(window["pnl_micro_usd"]) == sum(result.summary.pnl_usd.values())
    assert result.check.is_ok, result.check.text()


# -- from another folder, as a user starts it -------------------------------------------------------

MODULE = '''
from polybot.strategies.example import Example

class Mine(Example):
    """The example under another name."""

    def evaluate(self, market, spot, signal):
        if market.tau_s < 100.0:
            raise LookupError("no idea any more")
        return super().evaluate(market, spot, signal)
'''
YAML = """# @package _global_
strategy: {example: {_target_: my_own_module.Mine, enabled: true, min_edge: 0.02}}
risk: {strategies: {example: {per_trade_frac: 0.01, total_frac: 0.02, cooldown_ms: 1000, max_orders_per_market: 5}}}
"""


@pytest.mark.alone
def test_a_strategy_from_another_folder_is_asked_shown_and_its_failure_told(tmp_path):
    theirs, work = tmp_path / "theirs", tmp_path / "work"
    (theirs / "strategy").mkdir(parents=True)
    work.mkdir()
    (theirs / "my_own_module.py").write_text(MODULE)
    (theirs / "strategy" / "own.yaml").write_text(YAML)
    done = subprocess.run(
        [sys.executable, "-m", "polybot", "--config-dir", str(theirs), "strategy=[latency_arb,own]",
         "venue.speed=30", "venue.makers=slow", "venue.seed=4", "run.markets=1", "telemetry.console=plain"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    diagnostics = [line for line in done.stdout.splitlines() if "example" in line and "time_left" in line]
    assert diagnostics
    assert "strategy example raised LookupError: no idea any more; disabled" in done.stdout
    assert "0 differences" in done.stdout
    with (work / "logs" / "5m" / "markets.csv").open(newline="") as file:
        (window,) = csv.DictReader(file)
    assert window["outcome"] in ("Up", "Down")
    assert "pnl_example_micro_usd" in window
    assert [path.name for path in work.iterdir()] == ["logs"]
