"""Strategy base: what a plain-Python strategy adds to one evaluation."""

from scenario import Scenario

from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot._fast.strategy import Strategy, Trigger

BATCH = 200


class Plain(Strategy):
    """Asks one gate that never passes."""

    def __init__(self):
        super().__init__("plain", gate_names=("edge",), triggers=Trigger.ON_SPOT_TRADE)

    def evaluate(self, market, spot, signal):
        if not self.check_least(0, self.edge_at_ask(market, 0), 0.9):
            return 0
        return 1


def test_a_plain_python_strategy(budget):
    scenario = Scenario([Plain()])
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

    budget(run, name="evaluate: a plain-Python strategy", median_ns=10_000, inner=BATCH)
    assert scenario.market.gate_rows(0)[0][3] == 0
