"""latency_arb alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from bench.one_event import BATCH, repeated, spot_trade
from polybot._fast.latency_arb import LatencyArb


def test_evaluate_alone(budget):
    scenario = Scenario([LatencyArb()])
    scenario.warm()
    events = spot_trade(scenario, 20.5)
    run = repeated(scenario.engine, events)
    budget(run, name="evaluate: latency_arb alone", median_ns=10_000, inner=BATCH)
    assert scenario.market.gate_rows(0)[0][3] != -1
