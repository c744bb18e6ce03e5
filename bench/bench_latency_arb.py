"""latency_arb alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot._fast.latency_arb import LatencyArb

BATCH = 200


def test_evaluate_alone(budget):
    scenario = Scenario([LatencyArb()])
    scenario.warm()
    events = EventBuffer()
    events.add(
        EventKind.EV_SPOT_TRADE,
        recv_ns=scenario.at(20.5),
        venue_ns=scenario.at(20.5),
        flags=EventFlag.F_END,
        x=100_001.0,
        y=0.01,
    )
    process = scenario.engine.process

    def run():
        for _ in range(BATCH):
            process(events)

    budget(run, name="evaluate: latency_arb alone", median_ns=10_000, inner=BATCH)
    assert scenario.market.gate_rows(0)[0][3] != -1
