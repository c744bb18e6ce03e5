"""Account: a part fill of an open order booked and told again, and the heartbeat over a resting order."""

from scenario import SHARE, Scenario
from scripted_strategy import Scripted, place

from polybot._fast.event import EventBuffer, EventFlag, EventKind

BATCH = 200


def test_fill_of_an_open_order(budget):
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, post_only=True, shares=40 * SHARE)
    events, state = EventBuffer(), {"key": 0}
    process = scenario.engine.process

    def run():
        for _ in range(BATCH):
            state["key"] += 1
            events.reset()
            for status in (1, 5):  # matched, then failed: the order never ends
                events.add(
                    EventKind.EV_FILL,
                    recv_ns=scenario.at(21.5),
                    seq=1_000,
                    i=4_800,
                    j=10_000,
                    x=float(status),
                    y=float(state["key"]),
                    flags=EventFlag.F_MAKER,
                )
            process(events)

    budget(run, name="account: a fill booked and reversed", median_ns=20_000, inner=BATCH)
    assert scenario.market.position() == (0, 0)
    assert scenario.engine.orders[1_000].is_open


def test_heartbeat_over_a_resting_order(budget):
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, post_only=True, life_ns=10**12, cancel_edge=-0.5)
    events = EventBuffer()
    events.add(EventKind.EV_TIMER, recv_ns=scenario.at(21.6))
    process = scenario.engine.process

    def run():
        for _ in range(BATCH):
            process(events)

    budget(run, name="account: heartbeat over a resting order", median_ns=5_000, inner=BATCH)
    assert scenario.engine.orders[1_000].is_open
