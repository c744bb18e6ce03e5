"""Backtest throughput: recorded events through pump, engine and simulated venue, strategies asked at every event.

One event is one venue message, whatever its number of records.  The stream has the proportions of the real market
(event_stream), lies in a mapped file as a tape's decoded cache does, and orders are placed, held and filled in it.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from scenario import make_spec

from bench.event_stream import START_NS, STRIKE, window_events, write_mapped
from polybot._fast import event as ev
from polybot._fast.event import EventBuffer
from polybot._fast.pump import Pump
from polybot.assembly import build_engine
from polybot.backtest.desk import Desk, DeskSettings
from polybot.config import Config, default_config

Budget = Callable[..., float]
NS = 1_000_000_000
STRATEGIES = (
    "latency_arb",
    "certainty_capture",
    "convexity_fade",
    "strike_misalign",
    "lp_extreme",
    "cross_timeframe",
)
GATE_NS = 250.0  # 4 M messages a second
SLACK = 1.3  # a shared machine's noise: six strategies need all of the gate, nothing is left for it
SECONDS = 295.0
SLICE = 1_000  # messages timed at once
PART_S = 10.0  # of a window, for many markets one after another
GROWTH = 1.2
ROUNDS = 7
KEPT = (
    (1 << int(ev.CMD_SIGNAL))
    | (1 << int(ev.CMD_ORDER))
    | (1 << int(ev.CMD_FILL))
    | (1 << int(ev.CMD_SETTLEMENT))
)
SETTINGS = DeskSettings(
    balance_usd=1_000.0,
    order_latency_ms=(20.0, 40.0, 120.0),
    cancel_latency_ms=(20.0, 40.0, 120.0),
    place_per_s=40.0,
    place_burst=40,
)


@cache
def config(count: int) -> Config:
    """The default settings with the first so many strategies."""
    return default_config(**{f"strategy.{name}.enabled": k < count for k, name in enumerate(STRATEGIES)})


class World:
    """One engine, one desk, markets one after another."""

    def __init__(self, strategies: int) -> None:
        self.desk = Desk(SETTINGS)
        self.engine = build_engine(config(strategies))
        self.pump: Pump = self.desk.build_pump(self.engine, keep=KEPT, note_quotes=True)

    def open(self, index: int, start_ns: int) -> None:
        """Join the window of index that begins at start_ns; its strike is known at once."""
        spec = replace(make_spec(), start_ns=start_ns, end_ns=start_ns + 300 * NS)
        self.engine.open_market(index, spec, order_seq_base=1 + index * 10_000)
        self.desk.register_market(index, spec)
        self.tell(ev.EV_STRIKE, start_ns - NS, market=index, x=STRIKE, venue_ns=start_ns, i=2)

    def close(self, index: int, at_ns: int) -> None:
        """Settle and forget a window."""
        self.tell(ev.EV_MARKET_CLOSE, at_ns, market=index)
        self.tell(ev.EV_OUTCOME, at_ns, market=index)
        self.desk.settle(index, 0)
        self.engine.drop_market(index)
        self.desk.forget_market(index)

    def tell(self, kind: int, at_ns: int, **fields: Any) -> None:
        out = EventBuffer(1)
        out.add(kind, recv_ns=at_ns, **fields)
        self.pump.tell(out)


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One window in a mapped file."""
    return write_mapped(tmp_path_factory.mktemp("pump") / "events.bin", window_events(SECONDS))


class Player:
    """The window again and again, SLICE messages a call; a new world begins each time it is over."""

    def __init__(self, events: Any, strategies: int) -> None:
        self.strategies, self.orders, self.fills = strategies, 0, 0
        first, last = np.searchsorted(events["recv_ns"], [START_NS + 20 * NS, START_NS + 290 * NS])
        ends = np.flatnonzero(events["flags"][first:last] & ev.F_END) + 1
        self.warm = events[:first]
        edges = [int(first), *(int(first) + ends[SLICE - 1 :: SLICE]).tolist()]
        self.slices = [events[low:high] for low, high in pairwise(edges)]
        self.begin()

    def begin(self) -> None:
        self.world, self.place = World(self.strategies), 0
        self.world.open(0, START_NS)
        self.world.pump.run(self.warm)

    def __call__(self) -> None:
        if self.place == len(self.slices):
            counters = self.world.desk.counters()
            self.orders, self.fills = counters["placed"], counters["fills"]
            self.begin()
        self.world.pump.run(self.slices[self.place])
        self.place += 1


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
    budget(player, name=name, median_ns=GATE_NS, inner=SLICE, slack=SLACK)


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
    """How many times dearer a message is in `other`: median of rounds that time both in turn."""
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
