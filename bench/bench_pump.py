"""Backtest throughput: recorded events through pump, engine and simulated venue, strategies asked at every event.

One event is one venue message, whatever its number of records.  The stream has the proportions of the real market
(event_stream), lies in a mapped file as a tape's decoded cache does, and orders are placed, held and filled in it.
"""

import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from scenario import make_spec

from bench.event_stream import START_NS, window_events, write_mapped
from bench.timing import TRIES, breathe
from bench.window_player import SLICE, STRATEGIES, Player, World
from polybot._fast import event as ev

Budget = Callable[..., float]
NS = 1_000_000_000
GATE_NS = 250.0  # 4 M messages a second
SECONDS = 295.0
PART_S = 10.0  # of a window, for many markets one after another
GROWTH = 1.2
ROUNDS = 7


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One window in a mapped file."""
    return write_mapped(tmp_path_factory.mktemp("pump") / "events.bin", window_events(SECONDS))


@pytest.mark.parametrize("strategies", [6, 5, 2, 0])
def test_a_window_through_the_pump_with_the_venue_model_on(
    budget: Budget, tape: Any, strategies: int
) -> None:
    player = Player(tape, strategies)
    before = player.world.pump.messages
    player()
    assert abs(player.world.pump.messages - before - SLICE) <= 2
    for _ in player.slices:
        player()
    assert (player.orders > 0) == (strategies > 0)
    assert (player.fills > 0) == (strategies > 0)
    name = f"pump: one venue message, {strategies} strategies asked, venue model on"
    budget(player, name=name, median_ns=GATE_NS, inner=SLICE)


def part(events: Any) -> tuple[Any, Any]:
    """(what comes before the window, PART_S seconds of it)."""
    first, last = np.searchsorted(events["recv_ns"], [START_NS + 20 * NS, START_NS + (20 + int(PART_S)) * NS])
    return np.ascontiguousarray(events[:first]), np.ascontiguousarray(events[first:last])


class Series:
    """The same seconds of a window, again and again, each time in a market of its own."""

    def __init__(self, events: Any, *, followed: int = 0) -> None:
        self.world = World(len(STRATEGIES))
        before, self.piece = part(events)
        self.world.open(0, START_NS)
        for k in range(followed):  # markets that are followed beside it, with a book each
            self.world.desk.register_market(1_000 + k, make_spec(end_ns=START_NS + 10**9 * NS))
            self.world.pump.run(before[before["kind"] > ev.EV_ORACLE_TWAP][:150], market=1_000 + k)
        self.world.pump.run(before[before["kind"] <= ev.EV_ORACLE_TWAP])
        self.index = 0

    def step(self) -> float:
        """One market: ns per message."""
        self.index += 1
        index, shift_ns = 1 + self.index % 500, self.index * int(PART_S) * NS
        self.world.open(index, START_NS + shift_ns)
        moved = self.piece.copy()
        moved["recv_ns"] += shift_ns
        moved["venue_ns"] += shift_ns
        moved["market"][moved["market"] != ev.NO_MARKET] = index
        start_ns = time.perf_counter_ns()
        count = self.world.pump.run(moved)
        took_ns = time.perf_counter_ns() - start_ns
        self.world.pump.take_commands()
        self.world.pump.take_quotes()
        self.world.close(index, int(moved["recv_ns"][-1]) + 1)
        return took_ns / count


def growth(base: Callable[[], float], other: Callable[[], float]) -> float:
    """How many times dearer a message is in `other`; what is out of GROWTH is measured again before it counts."""
    least = math.inf
    for number in range(TRIES):
        breathe(number)
        least = min(least, _growth(base, other))
        if least <= GROWTH:
            break
    return least


def _growth(base: Callable[[], float], other: Callable[[], float]) -> float:
    """The median of rounds that time both in turn."""
    ratios = []
    for _ in range(ROUNDS):
        here = min(base() for _ in range(4))
        ratios.append(min(other() for _ in range(4)) / here)
    return statistics.median(ratios)


@pytest.mark.parametrize("markets", [16, 1_000])
def test_a_message_costs_the_same_however_many_markets_were_played_before(
    benchmark: Any, tape: Any, markets: int
) -> None:
    young, old = Series(tape), Series(tape)
    for _ in range(markets):
        old.step()
    ratio = growth(young.step, old.step)
    sys.stdout.write(f"pump: cost per message after {markets} markets over a young run: {ratio:.2f}\n")
    assert ratio <= GROWTH
    benchmark.pedantic(old.step, rounds=3)


def test_a_message_costs_the_same_however_many_markets_the_venue_model_holds(
    benchmark: Any, tape: Any
) -> None:
    one, many = Series(tape), Series(tape, followed=1_000)
    ratio = growth(one.step, many.step)
    sys.stdout.write(f"pump: cost per message beside 1,000 followed markets over one: {ratio:.2f}\n")
    assert ratio <= GROWTH
    benchmark.pedantic(many.step, rounds=3)
