"""Queue places and taken depth, held against counting every share of a queue one by one."""

import random

import pytest
from execution_scenario import SHARE, Table

from polybot._fast import event as ev
from polybot._fast.sim_market import QueueModel, SimMarket


class CountedQueue:
    """A level as a list of shares: True for those ahead of us, False for those behind."""

    def __init__(self, ahead: int) -> None:
        self.shares = [True] * ahead

    def trade(self, count: int) -> None:
        served = min(count, sum(self.shares))
        for _ in range(served):
            self.shares.remove(True)
        for _ in range(min(count - served, len(self.shares))):
            self.shares.pop()  # ours would have been met before those behind us

    def join(self, count: int) -> None:
        self.shares += [False] * count

    def cancel(self, count: int, rng: random.Random) -> None:
        for _ in range(min(count, len(self.shares))):
            del self.shares[rng.randrange(len(self.shares))]

    @property
    def ahead(self) -> int:
        return sum(self.shares)


@pytest.mark.parametrize("seed", range(25))
def test_the_pessimistic_queue_never_stands_before_the_true_one(seed):
    """Whoever truly cancels, and in whatever order book and print arrive, we never believe to be further ahead."""
    rng = random.Random(seed)
    table = Table()
    shown = rng.randrange(20, 60)
    table.book(0, bids={0.48: shown}, asks={0.50: 10})
    table.place(0, ev.GTC, 0, 0.48, 1_000, post_only=True)
    table.until(0)
    truth = CountedQueue(shown)
    at_ms = 0.0
    for _ in range(60):
        at_ms += rng.choice((5.0, 300.0, 1_500.0))
        roll = rng.random()
        if roll < 0.4 and truth.ahead > 1:
            count = rng.randrange(1, truth.ahead)
            truth.trade(count)
            if rng.random() < 0.5:
                table.trade(at_ms, 1, 0.48, count)
                table.level(at_ms, 0, 0.48, len(truth.shares))
            else:
                table.level(at_ms, 0, 0.48, len(truth.shares))
                table.trade(at_ms, 1, 0.48, count)
        else:
            if roll < 0.7:
                truth.join(rng.randrange(1, 15))
            else:
                truth.cancel(rng.randrange(1, 6), rng)
            table.level(at_ms, 0, 0.48, len(truth.shares))
        believed = table.sim.order(1).ahead
        assert truth.ahead * SHARE <= believed <= max(shown, len(truth.shares)) * SHARE, f"seed {seed}"
    assert table.sim.order(1).filled == 0  # nothing was printed beyond those ahead of us


def test_a_market_starts_open_seeing_and_empty():
    table = Table()
    market = table.sim.market(0)
    assert isinstance(market, SimMarket)
    assert (market.index, market.hold_ns, market.is_blind, market.cost_usd) == (0, 150_000_000, False, 0)
    assert [model.name for model in QueueModel] == ["QUEUE_PESSIMISTIC", "QUEUE_PROPORTIONAL"]


def test_prints_are_counted():
    table = Table()
    table.trade(10, 1, 0.48, 5)
    assert table.sim.market(0).prints == 1
