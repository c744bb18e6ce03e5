"""Flatten: a heartbeat that looks for something to sell, and one that sells."""

from scenario import SHARE, Scenario, make_risk

from polybot._fast.event import BUY, FAK, UP, EventBuffer, EventKind, OperatorCode, OrderStatus
from polybot._fast.latency_arb import LatencyArb

BATCH = 100


def flattening(shares):
    """A market that holds `shares` of Up and is being flattened."""
    risk = make_risk(stale_feed_ns=10**12, orders_per_s=64.0)
    scenario = Scenario([LatencyArb(require_move=False, enabled=False)], risk=risk)
    scenario.warm(bid=3_900, ask=4_000)
    scenario.engine.restore_order(
        0,
        order_seq=1_000,
        strategy=0,
        outcome=UP,
        side=BUY,
        order_type=FAK,
        price_ticks=4_000,
        shares=shares,
        post_only=False,
        dispatched_ns=scenario.at(10.0),
    )
    scenario.fill(10.1, 1_000, 4_000, shares, key=1, status=4)
    scenario.events.add(EventKind.EV_OPERATOR, recv_ns=scenario.at(21.0), i=OperatorCode.OP_FLATTEN)
    scenario.go()
    return scenario


def test_a_heartbeat_with_nothing_to_sell(budget):
    scenario = flattening(SHARE)  # below the smallest size: looked at each time, never sold
    events = EventBuffer()
    events.add(EventKind.EV_TIMER, recv_ns=scenario.at(21.1))
    process = scenario.engine.process

    def run():
        for _ in range(BATCH):
            process(events)

    budget(run, name="flatten: heartbeat, nothing to sell", median_ns=20_000, inner=BATCH)
    assert scenario.engine.flattener.sales == 0


def test_a_sale_placed_and_ended(budget):
    scenario = flattening(10 * SHARE)
    state = {"t": 21.0, "runs": 0}

    def run():
        for _ in range(BATCH):
            state["t"] += 0.016
            state["runs"] += 1
            scenario.events.add(
                EventKind.EV_OPERATOR, recv_ns=scenario.at(state["t"]), i=OperatorCode.OP_FLATTEN
            )
            scenario.timer(state["t"])
            scenario.engine.process(scenario.events)
            scenario.events.reset()
            scenario.update(state["t"], 1_000 + state["runs"], OrderStatus.OS_CANCELED, 0)

    budget(run, name="flatten: one sale", median_ns=60_000, inner=BATCH)
    assert scenario.engine.flattener.sales == state["runs"]
