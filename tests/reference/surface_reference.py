"""Slow, obvious variance surface and S6: written from the model with numpy, bisection and finite differences.

Independent of polybot: no import from it.  Prices in USD, times in seconds, sizes in shares.
"""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

LEVEL_SD, FORWARD_SD, QUOTE_LAG_S, QUOTE_ERROR = 0.5, 0.25, 1.0, 0.002
MIN_Z, MAX_Z, MIN_MID = 0.3, 2.2, 0.03
FEE_RATE = 0.07


def norm_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def up_probability(x: float, v2: float) -> float:
    v = math.sqrt(v2)
    return norm_cdf(x / v - v / 2.0)


@dataclass
class Window:
    """One window; bid and ask of Up are NaN when it has no usable quote. x is ln(m/k)."""

    tau: float
    x: float
    bid: float = math.nan
    ask: float = math.nan
    twap: float = 0.0
    lag: float = 0.0
    reach: float = 1.0
    basis_reach: float = 0.0
    extra: float = 0.0
    own: float = 0.0
    unseen: float = 0.0

    @property
    def random_s(self) -> float:
        return max(0.0, self.tau - self.lag)

    @property
    def mid(self) -> float:
        return 0.5 * (self.bid + self.ask)


@dataclass
class Answer:
    q: float
    sd: float
    misfit: float
    variance: float
    used: int
    theta: np.ndarray = field(default_factory=lambda: np.zeros(0))


def weight(window: Window, s: float) -> float:
    """g(s): how much a move at time s from now counts."""
    u, w = window.random_s, window.twap
    if s > u:
        return 0.0
    if w <= 0.0 or s <= u - w:
        return 1.0
    return (u - s) / w


def length(window: Window, start: float, end: float) -> float:
    """Integral of g^2: Simpson on pieces without a kink is exact, g^2 being quadratic there."""
    cuts = sorted(
        {start, end, *(c for c in (window.random_s - window.twap, window.random_s) if start < c < end)}
    )
    total = 0.0
    for a, b in itertools.pairwise(cuts):
        eps = 1e-12 * max(1.0, b)
        f = [weight(window, s) ** 2 for s in (a + eps, 0.5 * (a + b), b - eps)]
        total += (b - a) / 6.0 * (f[0] + 4.0 * f[1] + f[2])
    return total


def implied_v2(p: float, x: float) -> float:
    """Total variance at which x prices Up at p, by bisection on the deviation; NaN when there is none.

    For x < 0 the price grows with v up to v = sqrt(2 |x|); beyond lies the second root, which is not the market's.
    """
    if x < 0.0:
        low, high, rising = 1e-9, math.sqrt(-2.0 * x), True
        if p > norm_cdf(-math.sqrt(-2.0 * x)):
            return math.nan
    elif x > 0.0:
        low, high, rising = 1e-9, 60.0, False
    else:
        return math.nan
    for _ in range(200):
        middle = 0.5 * (low + high)
        above = up_probability(x, middle * middle) > p
        low, high = (low, middle) if above == rising else (middle, high)
    return (0.5 * (low + high)) ** 2


def derivative(f, at: float, step: float) -> float:
    return (f(at + step) - f(at - step)) / (2.0 * step)


def is_usable(window: Window) -> bool:
    if not 0.0 < window.bid < window.ask < 1.0:
        return False
    v2 = implied_v2(window.mid, window.x)
    if math.isnan(v2) or v2 <= window.extra:
        return False
    return MIN_Z <= abs(window.x) / math.sqrt(v2) <= MAX_Z and MIN_MID <= window.mid <= 1.0 - MIN_MID


def least_squares(rows: np.ndarray, right: np.ndarray, bounded: int) -> np.ndarray:
    """min |rows x - right| with the first `bounded` unknowns >= 0: every set of zeros is tried."""
    best, best_cost = None, math.inf
    n = rows.shape[1]
    for count in range(bounded + 1):
        for zeros in itertools.combinations(range(bounded), count):
            free = [k for k in range(n) if k not in zeros]
            x = np.zeros(n)
            x[free] = np.linalg.lstsq(rows[:, free], right, rcond=None)[0]
            if np.any(x[:bounded] < 0.0):
                continue
            cost = float(np.sum((rows @ x - right) ** 2))
            if cost < best_cost:
                best, best_cost = x, cost
        if best is not None and count == 0:
            return best
    assert best is not None
    return best


def price(
    windows: list[Window],
    target: int,
    *,
    sigma: float,
    se_ln_sigma: float,
    var_basis: float,
    skip: int = -1,
    forward_sd: float = FORWARD_SD,
    move: float = 0.0,
) -> Answer:
    """Price one window from all others but `skip`."""
    sees = [k for k, w in enumerate(windows) if k != target and is_usable(w)]
    ends = sorted({windows[k].tau for k in [*sees, target]})
    starts = [0.0, *ends[:-1]]
    n, level, spot, basis = len(ends), len(ends), len(ends) + 1, len(ends) + 2
    spot_sd, basis_sd = math.hypot(sigma * math.sqrt(QUOTE_LAG_S), move), math.sqrt(var_basis)
    rows, right = [], []

    def add(cells: dict[int, float], value: float) -> None:
        row = np.zeros(n + 3)
        for place, cell in cells.items():
            row[place] = cell
        rows.append(row)
        right.append(value)

    for j in range(n):
        add({j: 1.0 / forward_sd, level: -1.0 / forward_sd}, 0.0)
    level_sd = math.hypot(LEVEL_SD, 2.0 * se_ln_sigma)
    add({level: 1.0 / level_sd}, 1.0 / level_sd)
    add({spot: 1.0}, 0.0)
    add({basis: 1.0}, 0.0)
    used = [k for k in sees if k != skip]
    for k in used:
        w = windows[k]
        v2 = implied_v2(w.mid, w.x)
        by_p = derivative(lambda p, w=w: implied_v2(p, w.x), w.mid, 1e-6)
        by_x = derivative(lambda x, w=w: implied_v2(w.mid, x), w.x, 1e-4 * abs(w.x))
        sd = math.hypot(
            by_p * max(0.5 * (w.ask - w.bid), QUOTE_ERROR),
            by_x * math.hypot(math.sqrt(w.own), w.reach * w.unseen),
        )
        cells = {j: sigma**2 * length(w, starts[j], ends[j]) / sd for j in range(n)}
        cells[spot] = -by_x * w.reach * spot_sd / sd
        cells[basis] = -by_x * w.basis_reach * basis_sd / sd
        add(cells, (v2 - w.extra) / sd)
    design, values = np.array(rows), np.array(right)
    x = least_squares(design, values, n + 1)
    left = float(np.sum((design @ x - values) ** 2))
    misfit = math.sqrt(left / len(used)) if used else 0.0

    t = windows[target]
    lengths = [length(t, starts[j], ends[j]) for j in range(n)]

    def probability(unknown: np.ndarray) -> float:
        v2 = t.extra + sigma**2 * float(np.dot(unknown[:n], lengths))
        shift = t.reach * spot_sd * unknown[spot] + t.basis_reach * basis_sd * unknown[basis]
        return up_probability(t.x + shift, v2)

    grad = np.zeros(n + 3)
    for k in range(n + 3):
        step = np.zeros(n + 3)
        step[k] = 1e-5
        grad[k] = (probability(x + step) - probability(x - step)) / 2e-5
    spread = float(grad @ np.linalg.inv(design.T @ design) @ grad)
    v2 = t.extra + sigma**2 * float(np.dot(x[:n], lengths))
    shift = t.reach * spot_sd * x[spot] + t.basis_reach * basis_sd * x[basis]
    by_own = derivative(lambda y: up_probability(y, v2), t.x + shift, 1e-3 * math.sqrt(v2))
    sd = math.sqrt(spread * max(1.0, misfit**2) + by_own**2 * t.own)
    return Answer(probability(x), sd, misfit, v2, len(used), x)


def fee(price_usd: float) -> float:
    return FEE_RATE * price_usd * (1.0 - price_usd)


@dataclass
class Bet:
    outcome: int
    limit_ticks: int
    shares: float
    price: float
    edge: float


def bet(
    q: float, asks: list[tuple[int, float]], *, outcome: int, bankroll: float, cap: float, floor: float
) -> Bet | None:
    """Walk the asks (ticks of 1e-4, shares): while a level keeps `floor` and the whole stays within half-Kelly."""
    shares, spent, paid, worst = 0.0, 0.0, 0.0, 0

    def allowed(more: float, cost: float) -> bool:
        whole, count = spent + more * cost, shares + more
        if count <= 0.0:
            return True
        c = whole / count
        return whole <= bankroll * min(0.5 * (q - c) / (1.0 - c), cap) + 1e-12

    for ticks, size in asks:
        price_usd = ticks / 1e4
        cost = price_usd + fee(price_usd)
        if q - cost < floor:
            break
        low, high = 0.0, size
        if not allowed(size, cost):
            for _ in range(100):
                middle = 0.5 * (low + high)
                low, high = (middle, high) if allowed(middle, cost) else (low, middle)
            high = low
        if high <= 1e-6:
            break
        shares, spent, paid, worst = shares + high, spent + high * cost, paid + high * price_usd, ticks
        if high < size:
            break
    if shares < 0.01:
        return None
    return Bet(outcome, worst, math.floor(shares * 100.0 + 1e-6) / 100.0, paid / shares, q - spent / shares)
