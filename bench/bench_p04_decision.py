"""P4: from a frame's bytes to the order record with all six strategies on, beside the plain Python of bench/reference.

Both sides are fed the same recorded steps of a 5m window in the proportions of the real market: wire frames,
heartbeats, the venue's answers.  First they must have decided the same: every signal with its strategy, outcome,
price, size, type and fate, every cancel.  Then a stretch of it is timed on both in turns, by the thread's CPU time,
frames copied just before, as a socket would have left them.  The plant parses each frame with orjson first, as a
fallback would.
"""

import copy
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import orjson
from scenario import Scenario

from bench.gate import Gate
from bench.reference.engine import Fate
from bench.reference.sides import Fast, Slow, difference, differing, record
from bench.reference.stream import MEASURED, NS, START_NS, Rates, Step, World
from bench.timing import SHORT, calibrate, scale_of
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.event import EventBuffer, EventKind, OrderStatus
from polybot._fast.inlet import Inlet
from polybot._fast.sink import as_sink
from polybot.assembly import build_strategies
from polybot.config import Config, default_config

AT_LEAST = 20.0
BELOW_NS = 500.0
CASH_USD = 1_000_000_000
BATCH = 256
ORDERS = 800  # one every 200 ms of the window
FIRST_S, LAST_S = (20, 40) if SHORT else (20, 80)
WIRE = ("spot", "clob", "oracle")
Prepared = tuple[Callable[..., Any], Any, int]


def config(**more: Any) -> Config:
    """All six strategies on; the halts far away, so that orders go on whatever the filled ones lose."""
    far = {"risk.daily_loss_halt_frac": -1.0, "risk.weekly_loss_halt_frac": -1.0}
    return default_config(**{"strategy.cross_timeframe.enabled": True, **far, **more})


@dataclass(frozen=True)
class Stretch:
    """What comes before, and what is timed."""

    before: list[Step]
    timed: list[Step]

    @property
    def frames(self) -> int:
        return sum(step[1] in WIRE for step in self.timed)


def agreed(rates: Rates, *, observed: bool, seconds: int) -> tuple[list[Step], list[Fate]]:
    """Steps on which both sides decided the same, and what they decided."""
    world = World(windows=1, rates=rates, seed=1, observed=observed)
    last_ns = START_NS + seconds * NS
    steps = [step for step in world.steps() if step[0] < last_ns]
    seen, ours = record(Fast(config()), steps, cash_usd=CASH_USD)
    _, theirs = record(Slow(config()), steps, cash_usd=CASH_USD)
    assert difference(seen, ours, theirs) == ""
    return seen, [fate for fates in ours for fate in fates]


def cut(seen: list[Step]) -> Stretch:
    first_ns, last_ns = START_NS + FIRST_S * NS, START_NS + LAST_S * NS
    return Stretch(
        [step for step in seen if step[0] < first_ns],
        [step for step in seen if first_ns <= step[0] < last_ns],
    )


@cache
def busy_window() -> Stretch:
    """A stretch of a window in the proportions measured, and orders in it."""
    seen, fates = agreed(MEASURED, observed=False, seconds=LAST_S)
    kinds = Counter(fate[2] for fate in fates if fate[0] == "signal" and fate[10] == "DISPATCHED")
    assert kinds["latency_arb"] >= 1
    assert kinds.total() >= 3
    return cut(seen)


@cache
def four_windows() -> Stretch:
    """The same beside three observed windows, all of which cross_timeframe compares at every book."""
    seen, fates = agreed(Rates(), observed=True, seconds=LAST_S)
    assert sum(fate[2] == "cross_timeframe" for fate in fates if fate[0] == "signal") >= 1
    return cut(seen)


# -- ours ---------------------------------------------------------------------------------------------------------


def parsed_first(feed: Callable[..., Any]) -> Callable[..., Any]:
    def run(payload: bytes, at_ns: int) -> None:
        orjson.loads(payload)
        feed(payload, at_ns)

    return run


def warm_fast(stretch: Stretch) -> Fast:
    side = Fast(config())
    for step in stretch.before:
        side.take(step)
    return side


def roads_of(side: Fast, *, is_parsed_first: bool) -> dict[str, Callable[..., Any]]:
    """From bytes to commands by feed, as the daemon's feeds have it."""
    sink = as_sink(side.engine.process)
    inlets = {
        name: Inlet(decoder, sink, on_odd=lambda *_: None, odd=()).feed
        for name, decoder in (("spot", side.spot), ("clob", side.clob), ("oracle", side.oracle))
    }
    return {name: parsed_first(feed) if is_parsed_first else feed for name, feed in inlets.items()}


def prepare(side: Fast, roads: dict[str, Callable[..., Any]], steps: list[Step]) -> list[Prepared]:
    """Calls to be timed: frames copied now, facts as events."""
    ready: list[Prepared] = []
    for at_ns, source, payload in steps:
        if source in roads:
            ready.append((roads[source], bytes(bytearray(payload)), at_ns))
            continue
        side.events.reset()
        side.tell(source, at_ns, payload)
        events = EventBuffer(4)
        events.extend_from(side.events)
        ready.append((side.engine.process, events, 0))
    return ready


def batches(steps: list[Step]) -> list[list[Step]]:
    rest = iter(steps)
    return list(iter(lambda: list(islice(rest, BATCH)), []))


def fast_round(stretch: Stretch, *, is_parsed_first: bool = False) -> float:
    """CPU ns per frame of one pass."""
    side = warm_fast(stretch)
    roads = roads_of(side, is_parsed_first=is_parsed_first)
    total_ns = 0
    for batch in batches(stretch.timed):
        ready = prepare(side, roads, batch)
        start_ns = time.thread_time_ns()
        for call, payload, at_ns in ready:
            if at_ns:
                call(payload, at_ns)
            else:
                call(payload)
        total_ns += time.thread_time_ns() - start_ns
    return total_ns / stretch.frames


def median_message_ns(stretch: Stretch, *, is_parsed_first: bool = False) -> float:
    """Median over the frames of a pass, each timed by itself, ns of the reference machine."""
    side = warm_fast(stretch)
    roads = roads_of(side, is_parsed_first=is_parsed_first)
    before_ns, found, clock = calibrate(), [], time.perf_counter_ns
    for batch in batches(stretch.timed):
        for call, payload, at_ns in prepare(side, roads, batch):
            if not at_ns:
                call(payload)
                continue
            start_ns = clock()
            call(payload, at_ns)
            found.append(clock() - start_ns)
    return (statistics.median(found) - clock_ns()) / scale_of(before_ns, calibrate())


def clock_ns() -> float:
    """What reading the clock twice adds to a time."""
    clock = time.perf_counter_ns
    return statistics.median(-clock() + clock() for _ in range(1_000))


# -- the reference ------------------------------------------------------------------------------------------------


@cache
def warm_slow(stretch: Callable[[], Stretch]) -> Slow:
    side = Slow(config())
    for step in stretch().before:
        side.take(step)
    return side


def slow_round(stretch: Callable[[], Stretch]) -> float:
    """CPU ns per frame of one pass; facts are among the steps on both sides."""
    side, total_ns = Slow(config()), 0
    side.adopt(copy.deepcopy(warm_slow(stretch).engine))
    for batch in batches(stretch().timed):
        ready = [(at_ns, source, _fresh(payload)) for at_ns, source, payload in batch]
        start_ns = time.thread_time_ns()
        for step in ready:
            side.take(step)
        total_ns += time.thread_time_ns() - start_ns
    return total_ns / stretch().frames


def _fresh(payload: Any) -> Any:
    return bytes(bytearray(payload)) if isinstance(payload, bytes) else payload


# -- the message that makes an order ------------------------------------------------------------------------------


class Ordering:
    """A market in which every trade frame makes latency_arb order; each order is ended before the next frame."""

    def __init__(self, *, is_parsed_first: bool) -> None:
        settings = config(**{"strategy.latency_arb.require_move": False, "model.edge_se_multiple": 0.0})
        self.scenario = Scenario(build_strategies(settings.strategy, settings.model, settings.risk))
        self.scenario.warm(bid=3_900, ask=4_000)
        for index in range(len(self.scenario.engine.strategies)):
            limits = {"per_trade_frac": 0.02, "total_frac": 0.9, "cooldown_ns": 0, "max_orders": 1 << 30}
            self.scenario.risk.set_limits(index, **limits)
        sink = as_sink(self.scenario.engine.process)
        feed = Inlet(SpotDecoder("btcusdt"), sink, on_odd=lambda *_: None, odd=()).feed
        self.feed = parsed_first(feed) if is_parsed_first else feed
        self.cancel = EventBuffer(1)

    def frame(self, number: int) -> tuple[bytes, int]:
        """The next trade, 200 ms after the last, and its receipt; book and oracle stay fresh."""
        t = 20.0 + number / 5
        at_ns = self.scenario.at(t)
        if number % 4 == 0:
            self.scenario.oracle(t, 100_000.0)
            self.scenario.book(t, [(3_900, 1_000)], [(4_000, 1_000)], stamp=t)
            self.scenario.go()
        template = (
            b'{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,'
            b'"p":"10000%d.50000000","q":"0.00100000","T":%d,"m":true,"M":true}}'
        )
        return template % (at_ns // 1_000, number + 1, number % 2, at_ns // 1_000), at_ns

    def end(self, seq: int, at_ns: int) -> None:
        """The venue cancels an order."""
        self.cancel.reset()
        self.cancel.add(EventKind.EV_ORDER_UPDATE, recv_ns=at_ns, seq=seq, i=OrderStatus.OS_CANCELED, j=0)
        self.scenario.engine.process(self.cancel)


def order_ns(*, is_parsed_first: bool = False) -> float:
    """Median ns of the reference machine from a frame's bytes to the order record it makes."""
    market = Ordering(is_parsed_first=is_parsed_first)
    before_ns, found, clock = calibrate(), [], time.perf_counter_ns
    for number in range(ORDERS):
        frame, at_ns = market.frame(number)
        start_ns = clock()
        market.feed(frame, at_ns)
        found.append(clock() - start_ns)
        orders = market.scenario.engine.orders
        assert len(orders) == number + 1
        market.end(max(orders), at_ns)
    return (statistics.median(found) - clock_ns()) / scale_of(before_ns, calibrate())


# -- the gates ----------------------------------------------------------------------------------------------------


def test_plain_python_orders_the_same(gate: Gate) -> None:
    """Over two windows beside three observed ones, in which each of the six strategies orders."""
    steps = World(windows=2, rates=Rates(), seed=1).steps()
    seen, ours = record(Fast(config()), steps, cash_usd=CASH_USD)
    _, theirs = record(Slow(config()), steps, cash_usd=CASH_USD)
    dearer = config(**{"strategy.latency_arb.min_edge": 0.05})
    _, others = record(Slow(dearer), steps[: len(steps) // 3], cash_usd=CASH_USD)
    told = [fate for fates in ours for fate in fates if fate[0] == "signal"]
    orders = Counter(fate[2] for fate in told if fate[10] == "DISPATCHED")
    assert len(orders) == len(config().strategy)
    assert orders.total() >= 60
    assert difference(seen, ours, theirs) == ""
    gate.value(
        "P4",
        f"signals decided as by plain Python, of {len(told)} with {orders.total()} orders",
        share_agreed(ours, theirs),
        at_least=1.0,
        planted=share_agreed(ours[: len(others)], others),
    )


def share_agreed(ours: list[list[Fate]], theirs: list[list[Fate]]) -> float:
    """Of the steps at which anything was decided, those where both decided the same."""
    decided = sum(bool(here or there) for here, there in zip(ours, theirs, strict=False))
    return 1.0 - len(differing(ours, theirs)) / decided


def test_plain_python_that_orders_the_same_takes_far_longer(gate: Gate) -> None:
    stretch = busy_window()
    gate.paired(
        "P4",
        "bytes to orders, six strategies, against plain Python",
        ours=lambda: fast_round(stretch),
        theirs=lambda: slow_round(busy_window),
        at_least=AT_LEAST,
        planted=lambda: fast_round(stretch, is_parsed_first=True),
        rounds=7,
    )


def test_and_so_it_does_with_four_windows_compared(gate: Gate) -> None:
    stretch = four_windows()
    gate.paired(
        "P4",
        "the same, cross_timeframe comparing four windows",
        ours=lambda: fast_round(stretch),
        theirs=lambda: slow_round(four_windows),
        at_least=AT_LEAST,
        rounds=3,
    )


def test_the_median_message_is_cheap(gate: Gate) -> None:
    stretch = busy_window()
    before_ns, mean_ns = calibrate(), fast_round(stretch)
    mean_ns /= scale_of(before_ns, calibrate())
    gate.report("P4", "bytes to decision, mean message of a busy window", mean_ns, unit="ns")
    gate.value(
        "P4",
        "bytes to decision, median message of a busy window",
        lambda: median_message_ns(stretch),
        at_most=BELOW_NS,
        unit="ns",
        planted=lambda: median_message_ns(stretch, is_parsed_first=True),
    )


def test_the_message_that_makes_an_order_is_shown(gate: Gate) -> None:
    gate.report("P4", "bytes to order record, a trade that makes an order", order_ns(), unit="ns")
