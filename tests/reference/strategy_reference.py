"""Slow, obvious S1 to S5: what they should propose, written from model.md with math.erfc and plain lists.

Independent of polybot: no import from it.  Prices in USD, sizes in shares, times in seconds; a book is two
lists of (ticks of 1e-4, shares) of Up, best first.  Each strategy returns its gates in order, up to the
one that blocks, and its proposal when none does.
"""

import math
from dataclasses import dataclass, field

FEE_RATE = 0.07
NAN = math.nan
UP, DOWN = 0, 1

Levels = list[tuple[int, float]]
# (name, value, threshold, passed); threshold is 1.0 for a yes or no
Gate = tuple[str, float, float, bool]


def norm_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def norm_pdf(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def fee(price: float, rate: float | None = FEE_RATE) -> float:
    return NAN if rate is None else rate * price * (1.0 - price)


@dataclass
class Priced:
    fair_up: float
    z: float
    se: float
    d2: float = NAN
    v: float = NAN
    t_eff: float = NAN

    def q(self, outcome: int) -> float:
        return self.fair_up if outcome == UP else 1.0 - self.fair_up


def price_any(
    rule: str,
    spot: float,
    strike: float,
    sigma: float,
    tau: float,
    *,
    var_basis: float = 0.0,
    var_strike: float = 0.0,
    se_ln_sigma: float = 0.0,
    window: float = 60.0,
    lag: float = 3.0,
    locked: float = 0.0,
    var_locked: float = 0.0,
) -> Priced:
    """Price by rule; `locked` is the sum over the part of the averaging window that is over."""
    mean, reach, t_eff = spot, 1.0, tau
    if rule == "twap":
        u = max(0.0, tau - lag)
        if u >= window:
            t_eff = u - 2.0 * window / 3.0
        else:
            mean = (locked + u * spot) / window
            reach = u / window
            t_eff = u**3 / (3.0 * window**2)
    v = math.sqrt(sigma * sigma * t_eff + var_basis * (reach * spot / mean) ** 2 + var_strike + var_locked)
    d2 = (math.log(mean / strike) - v * v / 2.0) / v
    se = norm_pdf(d2) * abs(v + d2) * (sigma * sigma * t_eff / v**2) * se_ln_sigma
    return Priced(norm_cdf(d2), math.log(mean / strike) / v, se, d2, v, t_eff)


def price_twap(
    spot: float,
    strike: float,
    sigma: float,
    tau: float,
    *,
    var_basis: float,
    se_ln_sigma: float,
    window: float = 60.0,
    lag: float = 3.0,
) -> Priced:
    """Before the averaging window: mean spot, variance sigma^2 (u - 2w/3) plus the basis."""
    assert tau - lag >= window
    return price_any(
        "twap", spot, strike, sigma, tau, var_basis=var_basis, se_ln_sigma=se_ln_sigma, window=window, lag=lag
    )


def half_kelly(q: float, cost: float, cap: float) -> float:
    if not q > cost or cost >= 1.0:
        return 0.0
    return min(0.5 * (q - cost) / (1.0 - cost), cap)


@dataclass
class Proposal:
    outcome: int
    limit_ticks: int
    shares: float
    price: float
    edge: float
    frac: float
    confidence: float = NAN


def lots(shares: float) -> float:
    """Down to the share lot of 0.01."""
    return math.floor(shares * 100.0 + 1e-7) / 100.0


def take(
    q: float,
    asks: Levels,
    *,
    bankroll: float,
    cap: float,
    min_edge: float,
    outcome: int,
    rate: float | None = FEE_RATE,
    tick: int = 1,
) -> Proposal | None:
    """Walk the asks as far as each level keeps min_edge and the stake is half-Kelly at its own average cost."""

    def fits(shares: float, spent: float) -> bool:
        return spent <= bankroll * min(half_kelly(q, spent / shares, 1.0), cap) * (1.0 + 1e-13)

    fills: list[tuple[int, float, float]] = []
    for ticks, size in asks:
        cost = ticks / 1e4 + fee(ticks / 1e4, rate)
        if ticks % tick or not q - cost >= min_edge:
            break
        shares, spent = sum(f[1] for f in fills), sum(f[1] * f[2] for f in fills)
        low, high = 0.0, size
        if fits(shares + size, spent + size * cost):
            low = size
        else:
            for _ in range(80):
                middle = (low + high) / 2.0
                if fits(shares + middle, spent + middle * cost):
                    low = middle
                else:
                    high = middle
        if low > 1e-9:
            fills.append((ticks, low, cost))
        if low < size:
            break
    total = lots(sum(f[1] for f in fills))
    if total <= 0.0:
        return None
    ticks, last, cost = fills[-1]
    fills[-1] = (ticks, last - (sum(f[1] for f in fills) - total), cost)
    price = sum(t / 1e4 * n for t, n, _ in fills) / total
    cost = sum(c * n for _, n, c in fills) / total
    return Proposal(outcome, ticks, total, price, q - cost, min(half_kelly(q, cost, 1.0), cap))


def rest(q: float, ticks: int, *, bankroll: float, cap: float, outcome: int) -> Proposal | None:
    """A maker pays no fee: half of (q - a)/(1 - a)."""
    if not 0 < ticks < 10_000:
        return None
    price = ticks / 1e4
    frac = half_kelly(q, price, cap)
    shares = lots(frac * bankroll / price)
    if shares <= 0.0:
        return None
    return Proposal(outcome, ticks, shares, price, q - price, frac)


@dataclass
class View:
    """What a strategy may look at, for one market at one moment."""

    priced: Priced
    spot: float
    strike: float
    tau: float
    length: float
    bids: Levels
    asks: Levels
    rule: str = "twap"
    window: float = 60.0
    lag: float = 3.0
    tick: int = 100
    rate: float | None = FEE_RATE
    bankroll: float = 1_000.0
    se_multiple: float = 1.0
    trend: bool = False
    vwap: float = NAN
    # probability of Up had the spot been what it was when the best ask of (Up, Down) was set
    fair_up_then: tuple[float, float] = (NAN, NAN)
    # (time, mid, fair) of every heartbeat of the present stretch, and of all stretches
    stretch: list[tuple[float, float, float]] = field(default_factory=list)
    moves: list[tuple[float, float]] = field(default_factory=list)

    def side(self, outcome: int) -> tuple[Levels, Levels]:
        """Bids and asks of an outcome: Down's are the other side of Up's."""
        if outcome == UP:
            return self.bids, self.asks
        return [(10_000 - t, n) for t, n in self.asks], [(10_000 - t, n) for t, n in self.bids]

    def mid(self) -> float:
        return (self.bids[0][0] + self.asks[0][0]) / 2e4 if self.bids and self.asks else NAN

    def taker_edge(self, outcome: int) -> float:
        asks = self.side(outcome)[1]
        if not asks or not 0 < asks[0][0] < 10_000:
            return NAN
        price = asks[0][0] / 1e4
        return self.priced.q(outcome) - price - fee(price, self.rate)

    def least(self, min_edge: float) -> float:
        return max(min_edge, self.se_multiple * self.priced.se)

    def walk(self, outcome: int, cap: float, min_edge: float) -> Proposal | None:
        return take(
            self.priced.q(outcome),
            self.side(outcome)[1],
            bankroll=self.bankroll,
            cap=min(cap, 0.15),
            min_edge=self.least(min_edge),
            outcome=outcome,
            rate=self.rate,
            tick=self.tick,
        )

    def join(self, outcome: int, most_ticks: float, improve: int) -> int:
        """Highest price on the grid: at most most_ticks, a step or none above the best bid, below the ask."""
        bids, asks = self.side(outcome)
        price = min(most_ticks, (asks[0][0] if asks else 10_000) - 1)
        if bids:
            price = min(price, bids[0][0] + improve * self.tick)
        on_grid = math.floor(price / self.tick) * self.tick
        return on_grid if on_grid >= self.tick else -1


class Walk:
    """Gates asked one after the other, until one says no."""

    def __init__(self) -> None:
        self.gates: list[Gate] = []

    def least(self, name: str, value: float, threshold: float) -> bool:
        self.gates.append((name, value, threshold, value >= threshold))
        return self.gates[-1][3]

    def most(self, name: str, value: float, threshold: float) -> bool:
        self.gates.append((name, value, threshold, value <= threshold))
        return self.gates[-1][3]

    def flag(self, name: str, ok: bool) -> bool:
        self.gates.append((name, float(ok), 1.0, ok))
        return ok

    @property
    def blocked(self) -> str:
        """Name of the gate that blocks, "" when none does."""
        return "" if self.gates[-1][3] else self.gates[-1][0]


def clamp(x: float, low: float, high: float) -> float:
    return min(high, max(low, x))


def better_outcome(view: View) -> int:
    up, down = view.taker_edge(UP), view.taker_edge(DOWN)
    if math.isnan(up):
        return UP if math.isnan(down) else DOWN
    return DOWN if down > up else UP


def latency_arb(view: View, *, min_edge: float = 0.03, move_edge: float = 0.01, cap: float = 0.15):
    walk, outcome = Walk(), better_outcome(view)
    edge = view.taker_edge(outcome)
    then = view.fair_up_then[outcome]
    now, before = view.priced.q(outcome), then if outcome == UP else 1.0 - then
    offer = None
    if (
        walk.flag("ask", not math.isnan(edge))
        and walk.least("edge", edge, min_edge)
        and walk.least("edge_se", edge, view.se_multiple * view.priced.se)
        and walk.most("move", edge - now + before, move_edge)
    ):
        offer = view.walk(outcome, cap, min_edge)
        if walk.flag("size", offer is not None):
            offer.confidence = clamp(offer.edge / 0.10, 0.3, 1.0)
    return walk, offer


def certainty_capture(view: View, *, min_edge: float = 0.02):
    walk, size = Walk(), abs(view.priced.z)
    outcome = UP if view.priced.z > 0 else DOWN
    edge = view.taker_edge(outcome)
    offer = None
    if (
        walk.least("abs_z", size, 1.5)
        and walk.flag("ask", not math.isnan(edge))
        and walk.least("edge", edge, min_edge)
        and walk.least("edge_se", edge, view.se_multiple * view.priced.se)
    ):
        offer = view.walk(outcome, 0.05 if size > 3.0 else 0.03 if size > 2.5 else 0.02, min_edge)
        if walk.flag("size", offer is not None):
            offer.confidence = clamp(size / 4.0, 0.5, 0.99)
    return walk, offer


def move_beyond_model(view: View, now: float, lookback: float = 5.0) -> float:
    """The mid's move less fair's, since the last sample that is at least `lookback` old."""
    old = [(mid, fair) for t, mid, fair in view.stretch if t <= now - lookback + 1e-9]
    if not old:
        return NAN
    return (view.mid() - old[-1][0]) - (view.priced.fair_up - old[-1][1])


def deviation(moves: list[tuple[float, float]], half_life: float, min_samples: int) -> float:
    """Root of the mean square, each move weighted by 2^-(age of it / half_life), age against the last move."""
    if len(moves) < min_samples:
        return NAN
    last = moves[-1][0]
    weights = [2.0 ** (-(last - t) / half_life) for t, _ in moves]
    return math.sqrt(sum(w * x * x for w, (_, x) in zip(weights, moves, strict=True)) / sum(weights))


def convexity_fade(
    view: View,
    now: float,
    *,
    z: float = 2.0,
    min_edge: float = 0.02,
    min_samples: int = 300,
    cap: float = 0.005,
):
    walk, outcome = Walk(), better_outcome(view)
    edge = view.taker_edge(outcome)
    sd = max(deviation(view.moves, 120.0, min_samples), 0.005)
    moved = move_beyond_model(view, now)
    if not math.isnan(deviation(view.moves, 120.0, min_samples)):
        cheap = (-moved if outcome == UP else moved) / sd
    else:
        cheap = NAN
    left = max(30.0, view.window + view.lag) if view.rule == "twap" else 30.0
    offer = None
    if (
        walk.flag("regime", not view.trend)
        and walk.most("distance", abs(view.spot - view.strike) / view.strike, 0.003)
        and walk.least("time_left", view.tau, left)
        and walk.flag("ask", not math.isnan(edge))
        and walk.least("overreaction", cheap, z)
        and walk.least("edge", edge, min_edge)
        and walk.least("edge_se", edge, view.se_multiple * view.priced.se)
    ):
        bids = view.side(outcome)[0]
        price = view.join(outcome, bids[0][0] if bids else -1, 0)
        if walk.flag("bid", price > 0):
            offer = rest(
                view.priced.q(outcome), price, bankroll=view.bankroll, cap=min(cap, 0.15), outcome=outcome
            )
            if walk.flag("size", offer is not None):
                swing = (
                    norm_pdf(view.priced.d2) * math.sqrt(10.0 / view.priced.t_eff) * math.sqrt(2.0 / math.pi)
                )
                offer.confidence = clamp(offer.edge / swing, 0.3, 0.65)
    return walk, offer


def strike_misalign(
    view: View, *, min_shift: float = 0.02, min_edge: float = 0.02, cap: float = 0.02, post_only: bool = False
):
    walk = Walk()
    if not walk.most("elapsed", view.length - view.tau, min(300.0, max(15.0, 0.05 * view.length))):
        return walk, None
    if not walk.flag("vwap", not math.isnan(view.vwap)):
        return walk, None
    eps = view.strike - view.vwap
    shift = -norm_pdf(view.priced.d2) / (view.vwap * view.priced.v) * eps
    outcome = UP if shift > 0 else DOWN
    edge = view.taker_edge(outcome)
    bids = view.side(outcome)[0]
    offer = None
    if (
        walk.least("shift", abs(shift), min_shift)
        and walk.flag("ask", not math.isnan(edge))
        and walk.least("edge", edge, min_edge)
        and walk.least("edge_se", edge, view.se_multiple * view.priced.se)
        and (not post_only or walk.flag("bid", bool(bids)))
    ):
        if post_only:
            price = view.join(outcome, bids[0][0], 0)
            offer = rest(view.priced.q(outcome), price, bankroll=view.bankroll, cap=cap, outcome=outcome)
        else:
            offer = view.walk(outcome, cap, min_edge)
        if walk.flag("size", offer is not None):
            offer.confidence = clamp(abs(shift) / 0.10, 0.4, 0.9)
    return walk, offer


def lp_extreme(view: View, *, min_edge: float = 0.02, improve: int = 0, cap: float = 0.02):
    walk = Walk()
    outcome = DOWN if view.priced.z > 0 else UP
    asks = view.side(outcome)[1]
    q = view.priced.q(outcome)
    price = view.join(outcome, math.floor((q - view.least(min_edge)) * 1e4 + 1e-9), improve)
    offer = None
    if (
        walk.flag("regime", not view.trend)
        and walk.least("abs_z", abs(view.priced.z), 1.5)
        and walk.least("time_left", view.tau, max(60.0, 0.10 * view.length))
        and walk.most("ask", asks[0][0] / 1e4 if asks else 1.0, 0.25 - 0.5e-4)
        and walk.least("price", max(price, 0) / 1e4, view.tick / 1e4)
    ):
        offer = rest(q, price, bankroll=view.bankroll, cap=cap, outcome=outcome)
        if walk.flag("size", offer is not None):
            offer.confidence = clamp(offer.edge / 0.10, 0.3, 0.65)
    return walk, offer
