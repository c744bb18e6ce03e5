"""The pair check alone: eight live windows, two of which end together."""

from scenario import NS, START_NS, Scenario, make_spec

from polybot._fast.event import EventKind
from polybot._fast.pairs import PairFinder


def test_a_scan_of_eight_windows(budget):
    scenario = Scenario([])
    for k in range(1, 8):
        end_ns = START_NS + 300 * NS if k == 1 else START_NS + (300 + 60 * k) * NS
        scenario.engine.open_market(
            k, make_spec(start_ns=START_NS - 600 * NS, end_ns=end_ns), order_seq_base=9, observed=True
        )
    for k in range(8):
        scenario.events.add(EventKind.EV_STRIKE, recv_ns=scenario.at(1.0), market=k, x=100_000.0 + k)
        scenario.book(20.0, [(4_900, 10)], [(5_000, 10)], market=k)
    scenario.go()
    finder, markets, now_ns = PairFinder(), list(scenario.engine.markets.values()), scenario.at(20.0)

    def run():
        for _ in range(100):
            finder.look(markets, now_ns)

    budget(run, name="pairs: scan of 8 windows", median_ns=5_000, inner=100)
    assert finder.look(markets, now_ns) > 1.0
