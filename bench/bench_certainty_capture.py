"""certainty_capture alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.event import EventBuffer, EventFlag, EventKind

BATCH = 200


def test_evaluate_alone(budget):
    scenario = Scenario([CertaintyCapture()])
    scenario.warm()
    events = EventBuffer()
    events.add(
        EventKind.EV_BOOK_DELTA,
        recv_ns=scenario.at(20.5),
        market=0,
        i=4_800,
        j=5_000_000,
        x=-1,
        y=-1,
        flags=EventFlag.F_END,
    )
    process = scenario.engine.process

    def run():
        for _ in range(BATCH):
            process(events)

    budget(run, name="evaluate: certainty_capture alone", median_ns=10_000, inner=BATCH)
    assert scenario.market.gate_rows(0)[0][3] != -1
