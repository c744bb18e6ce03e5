"""convexity_fade alone on a live market: pricing context and one evaluation per event."""

from scenario import Scenario

from polybot._fast.convexity_fade import ConvexityFade
from polybot._fast.event import EventBuffer, EventFlag, EventKind

BATCH = 200


def test_evaluate_alone(budget):
    scenario = Scenario([ConvexityFade()])
    scenario.warm(until=0.0)
    scenario.still(0.1, 40.0, price=100_000.0)
    events = EventBuffer()
    events.add(
        EventKind.EV_BOOK_DELTA,
        recv_ns=scenario.at(40.05),
        market=0,
        side=0,
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

    budget(run, name="evaluate: convexity_fade alone", median_ns=10_000, inner=BATCH)
    assert (
        scenario.market.gate_rows(0)[4][0] == scenario.market.gate_rows(0)[4][0]
    )  # the overreaction is known
