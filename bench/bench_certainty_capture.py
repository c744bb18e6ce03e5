"""certainty_capture alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from bench.one_event import BATCH, book_change, repeated
from polybot._fast.certainty_capture import CertaintyCapture


def test_evaluate_alone(budget):
    scenario = Scenario([CertaintyCapture()])
    scenario.warm()
    events = book_change(scenario, 20.5)
    run = repeated(scenario.engine, events)
    budget(run, name="evaluate: certainty_capture alone", median_ns=10_000, inner=BATCH)
    assert scenario.market.gate_rows(0)[0][3] != -1
