"""strike_misalign alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from bench.one_event import BATCH, repeated, spot_trade
from polybot._fast.strike_misalign import StrikeMisalign


def test_evaluate_alone(budget):
    scenario = Scenario([StrikeMisalign()])
    scenario.warm(until=5.0, strike=99_990.0)
    events = spot_trade(scenario, 5.5)
    run = repeated(scenario.engine, events)
    budget(run, name="evaluate: strike_misalign alone", median_ns=10_000, inner=BATCH)
    assert scenario.market.gate_rows(0)[4][3] != -1
