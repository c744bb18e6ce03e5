"""Two equal worlds for tests of the pump: one fed by the compiled pump, one by the plain Python loop.

Each has an engine with all six strategies, or (odd seeds) one that has orders at rest all the time,
a desk with drawn latencies, and one or two markets under the twap rule.
"""

import gzip
import lzma
import random
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from reference.pump_reference import SlowPump
from runs import configure
from scenario import make_risk, make_spec

from polybot._fast import event as ev
from polybot._fast.basis import OracleBasis
from polybot._fast.decode_clob import ClobDecoder
from polybot._fast.decode_spot import SpotDecoder
from polybot._fast.engine import Engine
from polybot._fast.pump import Pump
from polybot._fast.regime import RegimeClassifier
from polybot._fast.state import MarketState, SpotState
from polybot._fast.strategy import Signal, Strategy, Trigger
from polybot._fast.vol import SampledEwmaVol
from polybot._fast.vwap import RollingVwap
from polybot.assembly import build_engine
from polybot.backtest.desk import Desk, DeskSettings
from polybot.config import Config
from polybot.market.spec import MarketSpec

__all__ = ["ALL_KINDS", "NS", "SHARE", "START_NS", "Traffic", "World", "book_frames", "merged", "spot_frames"]

BOOKS = "data/CronosVirus00+polymarket-BTC5min-database/clob_book_frames"
SPOT = "data/nkaz001+hftbacktest/spot_btcusdt_20240808.gz"

NS = 1_000_000_000
SHARE = 1_000_000
START_NS = make_spec().start_ns
ALL_KINDS = sum(1 << int(kind) for kind in ev.CommandKind)
EAGER: dict[str, Any] = {
    "strategy.cross_timeframe.enabled": True,
    "strategy.lp_extreme.min_abs_z": 0.3,
    "strategy.lp_extreme.max_ask_usd": 0.6,
    "strategy.lp_extreme.min_edge": 0.005,
    "strategy.lp_extreme.life_s": 12.0,
    "strategy.strike_misalign.order_type": "POST_ONLY",
    "strategy.convexity_fade.overreaction_min_samples": 20,
    "model.edge_se_multiple": 0.0,
    "risk.daily_loss_halt_frac": 0.9,
    "risk.weekly_loss_halt_frac": 0.9,
}


@cache
def eager() -> Config:
    """Made once: composing settings is dear."""
    return configure(**{key.replace(".", "__"): value for key, value in EAGER.items()})


class Joiner(Strategy):
    """Joins the best bid of Up and Down in turn with whatever book comes, so that orders always rest somewhere."""

    def __init__(self) -> None:
        super().__init__("joiner", gate_names=("bid",), triggers=Trigger.ON_BOOK, passive=True)

    def evaluate(self, market: MarketState, spot: SpotState, signal: Signal) -> int:
        signal.outcome = market.now_ns // NS % 2
        signal.price_ticks = market.best_bid(signal.outcome)
        if not self.check_least(0, signal.price_ticks, 200):
            return 0
        signal.order_type, signal.post_only, signal.shares = ev.GTC, True, 10 * SHARE
        signal.price, signal.fair, signal.edge = signal.price_ticks * 1e-4, 0.5, 0.01
        signal.confidence, signal.size_frac, signal.life_ns = 0.5, 0.01, 4 * NS
        return 1


def joining() -> Engine:
    """An engine whose only strategy joins bids."""
    risk = make_risk(max_exposure_frac=0.9, orders_per_s=20.0)
    risk.set_limits(0, per_trade_frac=0.5, total_frac=0.9, cooldown_ns=NS // 5, max_orders=1_000)
    spot = SpotState(SampledEwmaVol(floor_annual=0.30), RollingVwap(), RegimeClassifier(), OracleBasis())
    return Engine(spot=spot, risk=risk, strategies=[Joiner()])


def settings(seed: int, **changes: Any) -> DeskSettings:
    rng = random.Random(seed ^ 0xDE5C)
    usual = DeskSettings(
        balance_usd=1_000.0,
        order_latency_ms=rng.choice(((40.0,), (5.0, 40.0, 400.0), (0.0, 0.0, 3.0))),
        cancel_latency_ms=rng.choice(((40.0,), (0.0, 80.0))),
        seed=seed,
        confirm_s=rng.choice((0.0, 2.0)),
        queue=rng.choice(("pessimistic", "proportional")),
        extra_ticks=rng.choice((0, 0, 1)),
        place_per_s=rng.choice((0.5, 40.0)),
        place_burst=2,
    )
    return replace(usual, **changes)


class World:
    """One engine, one desk, one pump of either kind."""

    def __init__(
        self, kind: type[Pump] | type[SlowPump], seed: int, specs: list[MarketSpec], **pump: Any
    ) -> None:
        self.engine = joining() if seed % 2 else build_engine(eager())
        self.desk = Desk(settings(seed))
        self.pump: Any = kind(
            self.engine,
            self.desk.venue,
            on_actions=self.desk.execute,
            on_told=self.desk.on_told,
            on_tick_size=self.desk.set_tick_size,
            **{"keep": ALL_KINDS, "note_quotes": True, "balance_ns": 30 * NS, **pump},
        )
        self.desk.serve(self.pump)
        for index, spec in enumerate(specs):
            self.engine.open_market(index, spec, order_seq_base=1 + 1_000_000 * index)
            self.desk.register_market(index, spec)

    def told(self) -> dict[str, Any]:
        """Everything that the two worlds must have in common."""
        return {
            "commands": self.pump.take_commands().tobytes(),
            "quotes": self.pump.take_quotes().tobytes(),
            "latency": self.desk.latency().tobytes(),
            "counters": self.desk.counters(),
            "cash": (self.desk.venue.cash_usd, self.desk.venue.held_usd),
            "open": self.desk.venue.open_orders(),
            "time": (self.pump.now_ns, self.pump.messages, self.engine.now_ns),
            "strays": (self.engine.strays, self.engine.duplicates, self.engine.overfills),
        }


class Traffic:
    """Random venue messages of one asset and some windows: books about the strike, prints, grids, lost sockets."""

    def __init__(self, seed: int, markets: int) -> None:
        self.rng = random.Random(seed)
        self.markets = markets
        self.now_ns = START_NS - 45 * NS
        self.price = 100_000.0
        self.grid = [100] * markets
        self.out = ev.EventBuffer()
        self.oracle_s = 0

    def add(self, kind: int, **fields: Any) -> None:
        self.out.add(kind, recv_ns=self.now_ns, venue_ns=self.now_ns - 3_000_000, **fields)

    def trade(self) -> None:
        self.price += self.rng.gauss(0.0, 6.0)
        for last in range(self.rng.choice((1, 1, 3))):
            more = {"flags": 0 if last else ev.F_END}
            self.add(ev.EV_SPOT_TRADE, x=round(self.price, 2), y=0.01, **more)

    def quote(self) -> None:
        self.add(ev.EV_SPOT_QUOTE, x=self.price - 0.01, y=self.price + 0.01, flags=ev.F_END)

    def oracle(self) -> None:
        """One print a second, on the second."""
        stamp_ns = self.now_ns // NS * NS
        for kind in (ev.EV_ORACLE_SPOT, ev.EV_ORACLE_TWAP):
            more = {"x": self.price + 20.0, "i": 60 * (kind == ev.EV_ORACLE_TWAP), "flags": ev.F_END}
            self.out.add(kind, recv_ns=self.now_ns, venue_ns=stamp_ns, **more)

    def level(self, market: int, middle: int, side: int) -> None:
        grid, rng = self.grid[market], self.rng
        away = rng.randrange(0, 5) * grid
        ticks = middle - away - grid if side == 0 else middle + away + grid
        ticks = min(max(ticks - ticks % grid, grid), 10_000 - grid)
        outcome = rng.randrange(2)
        if outcome:
            side, ticks = 1 - side, 10_000 - ticks
        size = 0 if rng.random() < 0.2 else rng.choice((3, 20, 400)) * SHARE
        place = {"market": market, "outcome": outcome, "side": side, "i": ticks, "j": size}
        self.add(ev.EV_BOOK_DELTA, **place, x=-1.0, y=-1.0)

    def book(self, market: int) -> None:
        """A snapshot or a change, its middle wrong by some cents."""
        rng = self.rng
        middle = 5_000 + round((self.price - 100_000.0) * 25) + round(rng.gauss(0.0, 250.0))
        middle = min(9_500, max(500, middle))
        middle -= middle % self.grid[market]
        if rng.random() < 0.4:
            self.add(ev.EV_BOOK_SNAPSHOT, market=market, i=rng.choice((0, self.grid[market])))
            grid = self.grid[market]
            for k in range(1, rng.randrange(2, 9)):
                for side, ticks in ((0, middle - k * grid), (1, middle + k * grid)):
                    if 0 < ticks < 10_000:
                        size = rng.choice((5, 50, 500)) * SHARE
                        self.add(ev.EV_BOOK_LEVEL, market=market, side=side, i=ticks, j=size)
        else:
            for _ in range(rng.randrange(1, 5)):
                self.level(market, middle, rng.randrange(2))
        self.end()

    def end(self) -> None:
        rows = self.out.to_numpy().copy()
        rows["flags"][-1] |= ev.F_END
        self.out.reset()
        self.out.extend(rows)

    def other(self, market: int) -> None:
        rng, roll = self.rng, self.rng.random()
        if roll < 0.7:
            place = {"outcome": rng.randrange(2), "side": rng.randrange(2), "flags": ev.F_END}
            ticks = 100 * rng.randrange(5, 95)
            self.add(
                ev.EV_PUBLIC_TRADE, market=market, **place, i=ticks, j=rng.choice((5, 40, 5_000)) * SHARE
            )
        elif roll < 0.9:
            best = {"x": 4_900.0, "y": 5_100.0, "flags": ev.F_END}
            self.add(ev.EV_PUBLIC_QUOTE, market=market, **best)
        elif roll < 0.95:
            self.grid[market] = rng.choice((100, 10))
            told = rng.choice((0, self.grid[market]))
            self.add(ev.EV_TICK_SIZE, market=market, i=told, flags=ev.F_END)
        else:
            state = rng.choice((ev.FS_DISCONNECTED, ev.FS_STALE, ev.FS_CONNECTED, ev.FS_WITNESSED))
            self.add(ev.EV_FEED_STATE, market=rng.choice((market, ev.NO_MARKET)), i=ev.FEED_MARKET, j=state)

    def take(self, count: int) -> np.ndarray[Any, Any]:
        """The next so many messages."""
        for _ in range(count):
            self.now_ns += round(self.rng.expovariate(1.0) * 40_000_000) + self.rng.choice((0, 1))
            if self.now_ns // NS > self.oracle_s:
                self.oracle_s = self.now_ns // NS
                self.oracle()
            roll, market = self.rng.random(), self.rng.randrange(self.markets)
            if roll < 0.3:
                self.trade()
            elif roll < 0.5:
                self.quote()
            elif roll < 0.8:
                self.book(market)
            else:
                self.other(market)
        rows = self.out.to_numpy().copy()
        self.out.reset()
        return rows


def merged(*parts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Events of several sources in the order of receipt, each source's own order kept."""
    rows = np.concatenate(parts)
    return np.ascontiguousarray(rows[np.argsort(rows["recv_ns"], kind="stable")])


def book_frames(shared_dir: Path, count: int) -> np.ndarray[Any, Any]:
    """The first frames recorded of one market, its first token taken as Up, by the venue's time."""
    path = sorted((shared_dir / BOOKS).rglob("*.xz"))[0]
    lines = lzma.decompress(path.read_bytes()).splitlines()[:count]
    frames = [line[line.index(b'"raw":') + 6 : -1] for line in lines]
    first = orjson.loads(frames[0])
    decoder, out = ClobDecoder(), ev.EventBuffer()
    decoder.add_market(0, first["asset_id"].encode(), b"0", first["market"].encode())
    stamped = [(int(orjson.loads(frame)["timestamp"]), frame) for frame in frames]
    for venue_ms, frame in sorted(stamped, key=lambda one: one[0]):
        decoder.feed(frame, venue_ms * 1_000_000, out)
    return out.to_numpy().copy()


def spot_frames(shared_dir: Path, count: int) -> np.ndarray[Any, Any]:
    """The first frames recorded of the spot exchange."""
    decoder, out = SpotDecoder("BTCUSDT"), ev.EventBuffer()
    with gzip.open(shared_dir / SPOT) as lines:
        for line in islice(lines, count):
            local, frame = line.rstrip(b"\n").split(b" ", 1)
            decoder.feed(frame, int(local), out)
    return out.to_numpy().copy()
