"""lp_extreme alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from bench.one_event import BATCH, repeated, spot_trade
from polybot._fast.lp_extreme import LpExtreme


def test_evaluate_alone(budget):
    scenario = Scenario([LpExtreme()])
    scenario.warm(until=100.0, bid=9_300, ask=9_500)
    scenario.trade(100.4, 100_110.0)
    scenario.go()
    events = spot_trade(scenario, 100.5, 100_110.0)
    run = repeated(scenario.engine, events)
    budget(run, name="evaluate: lp_extreme alone", median_ns=10_000, inner=BATCH)
    assert scenario.market.gate_rows(0)[3][3] != -1
