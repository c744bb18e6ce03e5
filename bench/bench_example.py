"""What the plain-Python example costs, and that it leaves the built-in strategies as fast as they are.

evaluate: one book change through the engine with the example alone, pricing context included.
beside: spot trades, which only the built-in latency_arb is asked on, with and without the example loaded; and
book changes, which both are asked on, where the example may add its own time and nothing else.
"""

import math
import statistics

from scenario import Scenario

from bench.interleaved import times_faster
from bench.one_event import BATCH, book_change, repeated, spot_trade
from bench.timing import TRIES, breathe
from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.latency_arb import LatencyArb
from polybot.clock import wall_clock
from polybot.strategies.example import Example

ADDED_NS = 5_000
SAME = 1.10  # times: what this measurement calls noise
ROUNDS = 41


def ready(strategies):
    """A still market at 20 s where nothing fires."""
    scenario = Scenario(strategies)
    scenario.warm()
    return scenario


def trades(scenario):
    return quiet(scenario, spot_trade(scenario, 20.5))


def books(scenario):
    return quiet(scenario, book_change(scenario, 20.5))


def added_ns(bare, both):
    """What both take longer than bare, median of rounds in which each sees the same machine as the other."""
    clock, added = wall_clock(), []
    for _ in range(ROUNDS):
        marks = [clock.mono_ns()]
        for call in (bare, both):
            call()
            marks.append(clock.mono_ns())
        added.append(((marks[2] - marks[1]) - (marks[1] - marks[0])) / BATCH)
    return statistics.median(added)


def quiet(scenario, events):
    """The events over and over; they are priced and lead to nothing."""
    assert len(scenario.engine.process(events)) == 0
    assert scenario.market.block_reason == 0
    return repeated(scenario.engine, events)


def test_the_example_alone(budget):
    scenario = ready([Example()])
    budget(books(scenario), name="evaluate: the plain-Python example alone", median_ns=ADDED_NS, inner=BATCH)
    assert scenario.market.gate_rows(0)[0][3] == 1


def test_the_example_beside_the_built_ins_adds_its_own_time_only(budget):
    without, loaded = (
        ready([CertaintyCapture(), LatencyArb()]),
        ready([CertaintyCapture(), Example(), LatencyArb()]),
    )
    ratio = times_faster(
        trades(without), trades(loaded), name="spot trade without the example loaded", calls=5, at_most=SAME
    )
    assert ratio <= SAME
    bare, both = books(without), books(loaded)
    example_ns = math.inf
    for number in range(TRIES):
        breathe(number)
        example_ns = min(example_ns, added_ns(bare, both))
        if example_ns < ADDED_NS:
            break
    budget(
        both,
        name=f"book change, built-ins and example (adds {example_ns:.0f} ns)",
        median_ns=10_000,
        inner=BATCH,
    )
    assert example_ns < ADDED_NS
    assert loaded.market.gate_rows(1)[0][3] == 1
