"""Risk: a signal that fires on every trade and is cut off by the check (cooldown), so the check runs each time."""

from scenario import Scenario

from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot._fast.latency_arb import LatencyArb
from polybot._fast.risk import Denial

BATCH = 200


def test_a_signal_through_risk_to_its_denial(budget):
    scenario = Scenario([LatencyArb(require_move=False)])
    scenario.warm(bid=3_900, ask=4_000)
    scenario.risk.set_limits(0, per_trade_frac=0.001, total_frac=1.0, cooldown_ns=0, max_orders=1 << 30)
    events = EventBuffer()
    events.add(
        EventKind.EV_SPOT_TRADE,
        recv_ns=scenario.at(20.5),
        venue_ns=scenario.at(20.5),
        flags=EventFlag.F_END,
        x=100_000.0,
        y=0.01,
    )
    process = scenario.engine.process
    process(events)

    def run():
        for _ in range(BATCH):
            process(events)

    budget(run, name="risk: signal, size, denial, record", median_ns=10_000, inner=BATCH)
    assert scenario.market.stats()["denials"][0].keys() == {int(Denial.SIZE_BELOW_MIN)}
