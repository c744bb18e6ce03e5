"""lp_extreme alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot._fast.lp_extreme import LpExtreme

BATCH = 200


def test_evaluate_alone(budget):
    scenario = Scenario([LpExtreme()])
    scenario.warm(until=100.0, bid=9_300, ask=9_500)
    scenario.trade(100.4, 100_110.0)
    scenario.go()
    events = EventBuffer()
    events.add(
        EventKind.EV_SPOT_TRADE,
        recv_ns=scenario.at(100.5),
        venue_ns=scenario.at(100.5),
        flags=EventFlag.F_END,
        x=100_110.0,
        y=0.01,
    )
    process = scenario.engine.process

    def run():
        for _ in range(BATCH):
            process(events)

    budget(run, name="evaluate: lp_extreme alone", median_ns=10_000, inner=BATCH)
    assert scenario.market.gate_rows(0)[3][3] != -1
