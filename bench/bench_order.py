"""Orders: a new fill booked against an order, position, exposure and record included."""

from scenario import SHARE, Scenario

from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot._fast.latency_arb import LatencyArb

BATCH = 100


def test_book_one_fill(budget):
    scenario = Scenario([LatencyArb(require_move=False)])
    scenario.warm(bid=3_900, ask=4_000)
    scenario.trade(20.5, 100_000.0)
    scenario.go()
    (seq,) = scenario.engine.orders
    state = {"key": 1}
    events = EventBuffer()
    process = scenario.engine.process

    def run():
        for _ in range(BATCH):
            events.reset()
            events.add(
                EventKind.EV_FILL,
                recv_ns=scenario.at(21.0),
                market=0,
                seq=seq,
                i=4_000,
                j=1,
                x=1.0,
                y=state["key"],
                flags=EventFlag.F_MAKER,
            )
            state["key"] += 1
            process(events)

    budget(run, name="order: book one fill", median_ns=20_000, inner=BATCH)
    assert 0 < scenario.engine.orders[seq].filled < 20 * SHARE
