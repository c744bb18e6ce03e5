"""State: one spot trade through every estimator and the pricing context of a live market, no strategy on."""

from scenario import Scenario

from polybot._fast.event import EventBuffer, EventFlag, EventKind

BATCH = 200


def test_trade_through_estimators_and_pricing(budget):
    scenario = Scenario([])
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

    budget(run, name="state: trade, estimators, pricing context", median_ns=5_000, inner=BATCH)
    assert scenario.market.priced
