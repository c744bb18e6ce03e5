"""A window of events played through pump, engine, six strategies and venue model, as a backtest does; for benches.

One event is one venue message, whatever its number of records.  The world is the backtest's own: the engine built from
the default settings, the desk with its latencies, signals and fills kept, best prices noted.  Must not measure.
Called by bench_pump and the gate P10.
"""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from scenario import make_spec

from bench.event_stream import START_NS, STRIKE
from polybot._fast import event as ev
from polybot._fast.event import EventBuffer
from polybot._fast.pump import Pump
from polybot.assembly import build_engine
from polybot.backtest.desk import Desk, DeskSettings
from polybot.config import Config, default_config

__all__ = ["FIRST_S", "SLICE", "STRATEGIES", "Player", "World", "split_messages"]

NS = 1_000_000_000
STRATEGIES = (
    "latency_arb",
    "certainty_capture",
    "convexity_fade",
    "strike_misalign",
    "lp_extreme",
    "cross_timeframe",
)
FIRST_S = 20.0  # of the window: what comes before warms the estimators and the books
SLICE = 1_000  # messages at once
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


def split_messages(events: Any, size: int = 1) -> list[Any]:
    """Pieces of `size` messages each; what is left over at the end is left out."""
    ends = np.flatnonzero(events["flags"] & ev.F_END) + 1
    edges = [0, *ends[size - 1 :: size].tolist()]
    return [events[low:high] for low, high in pairwise(edges)]


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
        """One event of the driver."""
        out = EventBuffer(1)
        out.add(kind, recv_ns=at_ns, **fields)
        self.pump.tell(out)


class Player:
    """The window again and again, SLICE messages a call; a new world begins each time it is over."""

    def __init__(self, events: Any, strategies: int, *, last_s: float = 290.0) -> None:
        self.strategies, self.orders, self.fills = strategies, 0, 0
        edges = [START_NS + round(FIRST_S * NS), START_NS + round(last_s * NS)]
        first, last = np.searchsorted(events["recv_ns"], edges)
        self.warm, self.window = events[:first], events[first:last]
        self.slices = split_messages(self.window, SLICE)
        self.begin()

    def begin(self) -> None:
        """A new world, warm, at the window's first message to be measured."""
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
