"""strike_misalign alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot._fast.strike_misalign import StrikeMisalign

BATCH = 200


def test_evaluate_alone(budget):
    scenario = Scenario([StrikeMisalign()])
    scenario.warm(until=5.0, strike=99_990.0)
    events = EventBuffer()
    events.add(
        EventKind.EV_SPOT_TRADE,
        recv_ns=scenario.at(5.5),
        venue_ns=scenario.at(5.5),
        flags=EventFlag.F_END,
        x=100_001.0,
        y=0.01,
    )
    process = scenario.engine.process

    def run():
        for _ in range(BATCH):
            process(events)

    budget(run, name="evaluate: strike_misalign alone", median_ns=10_000, inner=BATCH)
    assert scenario.market.gate_rows(0)[4][3] != -1
