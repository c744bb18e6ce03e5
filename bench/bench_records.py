"""Records: one diagnostic of a live market with every gate of both built-in strategies."""

from scenario import Scenario

from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.event import EventBuffer, EventKind
from polybot._fast.latency_arb import LatencyArb


def test_one_diagnostic(budget):
    scenario = Scenario([CertaintyCapture(), LatencyArb()], diagnostics_s=1e-9)
    scenario.warm()
    events = EventBuffer()
    process = scenario.engine.process
    state = {"at": scenario.at(21.0)}

    def run():
        for _ in range(50):
            events.reset()
            state["at"] += 10
            events.add(EventKind.EV_TIMER, recv_ns=state["at"])
            process(events)

    budget(run, name="records: diagnostic with 10 gates", median_ns=20_000, inner=50)
    assert state["at"] < scenario.at(300.0)
    events.reset()
    events.add(EventKind.EV_TIMER, recv_ns=state["at"] + 10)
    assert len(process(events)) == 11
