"""convexity_fade alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from bench.one_event import BATCH, book_change, repeated
from polybot._fast.convexity_fade import ConvexityFade


def test_evaluate_alone(budget):
    scenario = Scenario([ConvexityFade()])
    scenario.warm(until=0.0)
    scenario.still(0.1, 40.0, price=100_000.0)
    events = book_change(scenario, 40.05)
    run = repeated(scenario.engine, events)
    budget(run, name="evaluate: convexity_fade alone", median_ns=10_000, inner=BATCH)
    assert (
        scenario.market.gate_rows(0)[4][0] == scenario.market.gate_rows(0)[4][0]
    )  # the overreaction is known
