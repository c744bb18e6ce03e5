"""Random markets: every built-in strategy against its slow reference, gate by gate and number by number."""

import math
import random
from collections import Counter

import pytest
from reference import strategy_reference as ref
from scenario import SHARE, make_spec, rows
from watched import Watched

from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.convexity_fade import ConvexityFade
from polybot._fast.event import FAK, GTC, CommandKind
from polybot._fast.latency_arb import LatencyArb
from polybot._fast.lp_extreme import LpExtreme
from polybot._fast.strategy import Trigger
from polybot._fast.strike_misalign import StrikeMisalign

SEEDS = 24
MIN_SAMPLES = 40


def strategies(se_multiple, improve, post_only):
    """The five, and how the reference is asked for each."""
    more = {"edge_se_multiple": se_multiple}
    made = [
        LatencyArb(**more),
        CertaintyCapture(**more),
        ConvexityFade(overreaction_min_samples=MIN_SAMPLES, **more),
        StrikeMisalign(order_type="POST_ONLY" if post_only else "FAK", **more),
        LpExtreme(improve_ticks=improve, **more),
    ]
    asked = [
        lambda view, t: ref.latency_arb(view),
        lambda view, t: ref.certainty_capture(view),
        lambda view, t: ref.convexity_fade(view, t, min_samples=MIN_SAMPLES),
        lambda view, t: ref.strike_misalign(view, post_only=post_only),
        lambda view, t: ref.lp_extreme(view, improve=improve),
    ]
    return made, asked


class RandomMarket:
    """One window with a random walk, random books about its fair, and a heartbeat while moves matter."""

    def __init__(self, seed):
        self.rng = rng = random.Random(seed)
        self.se_multiple = rng.choice((0.0, 1.0, 1.0, 3.0))
        self.post_only, improve = seed % 2 == 1, rng.choice((0, 1))
        self.made, self.asked = strategies(self.se_multiple, improve, self.post_only)
        rule, tick = rng.choice(("twap", "twap", "point", "candle")), rng.choice((100, 100, 10))
        spec = make_spec(
            rule=rule,
            twap_window_s=60 if rule == "twap" else 0,
            tick_size_ticks=tick,
            fee_rate_ppm=rng.choice((70_000, 70_000, 70_000, None)),
            end_ns=make_spec().start_ns + rng.choice((300, 300, 900)) * 10**9,
        )
        self.world = Watched(self.made, spec=spec)
        self.world.risk.halt()  # every signal is told, none is cut or placed
        self.tick = tick
        self.scale = rng.choice((2.0, 6.0, 12.0))
        self.drift = rng.choice((0.0, 0.0, 0.0, 0.6))
        self.states = 0
        self.seen = Counter()

    def walk(self, t):
        price = self.world.price + self.scale * (self.rng.gauss(0.0, 1.0) + self.drift)
        self.world.trade(t, round(price, 1))

    def warm(self):
        for k in range(-140, 0):
            self.walk(k / 2)
            if k % 2 == 0:
                self.world.oracle(k / 2, self.world.price + 25.0)
        self.world.strike(
            self.world.price + 25.0 + self.rng.choice((0.0, 0.0, 1.0)) * self.rng.gauss(0.0, 60.0)
        )
        self.world.go()

    def random_book(self, t):
        """Levels about our own fair, wrong by some cents; now and then one-sided or crossed."""
        rng, tick = self.rng, self.tick
        fair = self.world.view(t).priced.fair_up
        fair = 0.5 if math.isnan(fair) else fair  # no basis for lack of trades: the market is blocked
        wrong = rng.choice((0.01, 0.05, 0.12)) * rng.gauss(0.0, 1.0)
        middle = min(9_800, max(200, round((fair + wrong) * 1e4)))
        bid = middle - rng.choice((1, 1, 2, 4)) * 50
        bid -= bid % tick
        ask = bid + rng.choice((1, 2, 4)) * (100 if tick == 100 else rng.choice((10, 60, 100)))
        bids = [(bid - k * tick, rng.choice((3, 20, 400))) for k in range(rng.randint(1, 5))]
        asks = [(ask + k * tick, rng.choice((3, 20, 400))) for k in range(rng.randint(1, 5))]
        if rng.random() < 0.04:
            bids, asks = rng.choice((([], asks), (bids, []), ([], [])))
        stamp = t - rng.random() * 0.3 if rng.random() < 0.5 else None
        bids = [(p, n) for p, n in bids if 0 < p < 10_000]
        asks = [(p, n) for p, n in asks if 0 < p < 10_000]
        self.world.book(t, bids, asks, stamp=stamp)

    def step(self, t):
        """One random event at t; compares every strategy it triggers."""
        if self.rng.random() < 0.5:
            trigger = Trigger.ON_BOOK
            self.random_book(t)
        else:
            trigger = Trigger.ON_SPOT_TRADE
            self.walk(t)
        commands = self.world.go()
        if self.world.market.block_reason:
            self.seen["market blocked"] += 1
            return
        view = self.world.view(t)
        view.se_multiple = self.se_multiple
        signals = {int(row["strategy"]): row for row in rows(commands, CommandKind.CMD_SIGNAL)}
        for index, (strategy, asked) in enumerate(zip(self.made, self.asked, strict=True)):
            if strategy.triggers & trigger:
                walk, offer = asked(view, t)
                self.compare(strategy, walk, offer, signals.get(index))
        self.states += 1

    def compare(self, strategy, walk, offer, signal):
        gates = self.world.market.gate_rows(strategy.index)
        asked = [(name, *row) for name, row in zip(strategy.gate_names, gates, strict=False) if row[3] != -1]
        what = (strategy.name, walk.gates, asked)
        assert [(g[0], g[3]) for g in walk.gates] == [(g[0], g[4] == 1) for g in asked], what
        for ours, theirs in zip(asked, walk.gates, strict=True):
            assert ours[1:3] == pytest.approx(theirs[1:3], rel=1e-7, abs=1e-9, nan_ok=True), what
        self.seen[strategy.name, walk.blocked or "fires"] += 1
        assert (signal is not None) == (offer is not None), what
        if offer is None:
            return
        rests = strategy.name in ("convexity_fade", "lp_extreme") or (
            strategy.name == "strike_misalign" and self.post_only
        )
        assert (signal["outcome"], signal["price_ticks"]) == (offer.outcome, offer.limit_ticks), what
        assert signal["shares"] == round(offer.shares * SHARE), what
        assert signal["order_type"] == (GTC if rests else FAK)
        assert abs(int(signal["usd"]) - offer.price * 1e6) < 1.0
        numbers = (signal["edge"], signal["confidence"], signal["size_frac"])
        assert tuple(map(float, numbers)) == pytest.approx(
            (offer.edge, offer.confidence, offer.frac), rel=1e-7, abs=1e-10
        ), what


def play(seed):
    market = RandomMarket(seed)
    market.warm()
    world, rng = market.world, market.rng
    world.book(-0.5, [(4_900, 50)], [(5_100, 50)])
    t, beat = 0.0, 0
    while t < 45.0:  # with a heartbeat: moves are measured
        t = round(beat * 0.1, 6)
        if beat % 10 == 0:
            world.oracle(t, world.price + 25.0)
        world.timer(t)
        if rng.random() < 0.25:
            market.step(round(t + 0.03 + rng.random() * 0.05, 6))
        beat += 1
    second = 46
    while second < world.length - 6:  # without: the rest of the window in seconds
        world.oracle(second, world.price + 25.0)
        if rng.random() < 0.4:
            market.step(round(second + rng.random() * 0.9, 6))
        second += 1 if rng.random() < 0.9 else rng.choice((2, 30))
    return market


def test_random_markets_agree_with_the_slow_strategies_gate_by_gate_and_number_by_number():
    seen, states = Counter(), 0
    for seed in range(SEEDS):
        market = play(seed)
        seen += market.seen
        states += market.states
    assert states >= 2_000
    for strategy in strategies(1.0, 0, False)[0]:
        fires = seen[strategy.name, "fires"]
        assert fires >= 10, (strategy.name, seen)
        gates = {key[1] for key in seen if isinstance(key, tuple) and key[0] == strategy.name}
        assert len(gates) >= 4, (strategy.name, seen)
