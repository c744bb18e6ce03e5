"""The variance that the asset's live windows imply together, and one window's price from the others (for S6).

A quote implies a total variance; less what is not sigma^2 time it is sum_j t_j sigma^2 A_j, A_j the integral of the
window's squared weight over segment j, segments ending where windows end.  Unknown: t_j >= 0, their level >= 0, one
error of spot and one of the basis that all quotes share.  Least squares with a ridge (t_j to the level, the level to
1, errors to 0); the target's own quote is left out.  Plain lists and elimination.  Called by `cross`.
"""

import itertools
import math
from dataclasses import dataclass

from bench.reference.pricing import NORMAL, implied_v, norm_cdf, norm_pdf

__all__ = ["Answer", "Surface", "Window"]

SAME_END_S = 1e-6
MIN_VARIANCE = 1e-18
Vector = list[float]


@dataclass(slots=True)
class Window:
    """One window as priced now; bid and ask of Up in USD, NaN without a quote that may be used."""

    tau_s: float
    u_s: float
    w_s: float
    m: float
    k: float
    reach: float  # d ln m / d ln S
    basis_reach: float
    var_own: float  # variance of ln(m/K) that is this window's alone
    extra: float  # and all that is not sigma^2 time
    unseen: float  # |ln| of spot's move since the quote was set
    bid: float
    ask: float
    is_usable: bool = False
    v2: float = math.nan
    sd: float = math.nan
    slope: float = math.nan  # d v^2 / d x

    def length(self, start: float, end: float) -> float:
        """Integral over [start, end] of the squared weight: 1 before u - w, then (u - s) / w, 0 after u."""
        turn = max(0.0, self.u_s - self.w_s)
        flat = max(0.0, min(end, turn) - start)
        early, late = self.u_s - max(start, turn), self.u_s - min(end, self.u_s)
        if self.w_s <= 0.0 or early <= late:
            return flat
        return flat + (early**3 - late**3) / (3.0 * self.w_s**2)


@dataclass(slots=True)
class Answer:
    """The target's probability and its predictive sd."""

    q_up: float
    sd: float


class Surface:
    """Windows in, a price out; `settings` as in conf/strategy/cross_timeframe.yaml."""

    def __init__(
        self, s: dict[str, float], sigma: float, se_ln_sigma: float, var_basis: float, move: float
    ) -> None:
        self.s, self.sigma = s, sigma
        self.level_var = s["level_sd"] ** 2 + 4.0 * se_ln_sigma**2
        self.spot_sd = math.sqrt(sigma**2 * s["quote_lag_s"] + move**2)
        self.basis_sd = math.sqrt(var_basis)
        self.windows: list[Window] = []
        self.ends: Vector = []
        self.lengths: list[Vector] = []

    def add(self, w: Window) -> None:
        self.windows.append(w)
        s, mid = self.s, 0.5 * (w.bid + w.ask)
        if not 0.0 < w.bid < w.ask < 1.0:
            return
        v = implied_v(mid, w.m, w.k)
        if not v > 0.0:
            return
        z = math.log(w.m / w.k) / v
        if not s["min_abs_z"] <= abs(z) <= s["max_abs_z"]:
            return
        if not s["min_mid_usd"] <= mid <= 1.0 - s["min_mid_usd"]:
            return
        lever = z + 0.5 * v
        if lever == 0.0 or v * v <= w.extra:
            return
        quote_error = max(0.5 * (w.ask - w.bid), s["quote_error_usd"])
        from_quote = 2.0 * v * v * quote_error / (norm_pdf(NORMAL.inv_cdf(mid)) * lever)
        w.slope = 2.0 * v / lever
        from_x = w.slope * math.sqrt(w.var_own + (w.reach * w.unseen) ** 2)
        w.v2, w.sd = v * v - w.extra, math.hypot(from_quote, from_x)
        w.is_usable = 0.0 < w.sd < math.inf

    def lay_out(self) -> None:
        """Segments end where usable windows and the target, which is the first, end."""
        self.ends = []
        for end in sorted(w.tau_s for k, w in enumerate(self.windows) if w.is_usable or k == 0):
            if not self.ends or end > self.ends[-1] + SAME_END_S:
                self.ends.append(end)
        pieces = list(itertools.pairwise([0.0, *self.ends]))
        self.lengths = [[w.length(a, b) for a, b in pieces] for w in self.windows]

    def fit(self, skip: int = -1) -> Answer | None:
        """Price the first window from all other usable ones but `skip`."""
        used = [k for k, w in enumerate(self.windows) if w.is_usable and k not in (0, skip)]
        rows, right = self._prior()
        for k in used:
            row, value = self._row(k)
            rows.append(row)
            right.append(value)
        n = len(rows[0])
        h = [[sum(row[i] * row[j] for row in rows) for j in range(n)] for i in range(n)]
        b = [sum(row[i] * value for row, value in zip(rows, right, strict=True)) for i in range(n)]
        x = bounded_minimum(h, b, len(self.ends) + 1)
        if x is None:
            return None
        left = sum((dot(row, x) - value) ** 2 for row, value in zip(rows, right, strict=True))
        return self._predict(h, x, left / len(used) if used else 0.0)

    def _prior(self) -> tuple[list[Vector], Vector]:
        """t_j = level +- forward_sd, level = 1 +- its sd, both errors 0 +- 1."""
        n = len(self.ends)
        rows, right = [], []
        for j in range(n):
            row = [0.0] * (n + 3)
            row[j], row[n] = 1.0 / self.s["forward_sd"], -1.0 / self.s["forward_sd"]
            rows.append(row)
            right.append(0.0)
        for place, scale, value in (
            (n, 1.0 / math.sqrt(self.level_var), 1.0),
            (n + 1, 1.0, 0.0),
            (n + 2, 1.0, 0.0),
        ):
            row = [0.0] * (n + 3)
            row[place] = scale
            rows.append(row)
            right.append(scale * value)
        return rows, right

    def _row(self, k: int) -> tuple[Vector, float]:
        """One window's equation in units of its own error."""
        w = self.windows[k]
        row = [self.sigma**2 * length / w.sd for length in self.lengths[k]]
        row += [
            0.0,
            -w.slope * w.reach * self.spot_sd / w.sd,
            -w.slope * w.basis_reach * self.basis_sd / w.sd,
        ]
        return row, w.v2 / w.sd

    def _predict(self, h: list[Vector], x: Vector, misfit2: float) -> Answer | None:
        w, n = self.windows[0], len(self.ends)
        v2 = w.extra + self.sigma**2 * dot(x[:n], self.lengths[0])
        at = (
            math.log(w.m / w.k) + w.reach * self.spot_sd * x[n + 1] + w.basis_reach * self.basis_sd * x[n + 2]
        )
        if not MIN_VARIANCE < v2 < math.inf:
            return None
        v = math.sqrt(v2)
        d2 = at / v - 0.5 * v
        phi = norm_pdf(d2)
        by_v2, by_x = -phi * (d2 + v) / (2.0 * v2), phi / v
        grad = [by_v2 * self.sigma**2 * length for length in self.lengths[0]]
        grad += [0.0, by_x * w.reach * self.spot_sd, by_x * w.basis_reach * self.basis_sd]
        spread = dot(grad, solve(h, grad) or [math.nan] * len(grad))
        sd = math.sqrt(spread * max(1.0, misfit2) + by_x**2 * w.var_own)
        return Answer(norm_cdf(d2), sd)


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def bounded_minimum(h: list[Vector], b: Vector, bounded: int) -> Vector | None:
    """x that minimises x'Hx/2 - b'x with its first `bounded` values >= 0: every set of zeros is tried, fewest first."""
    best, best_cost = None, math.inf
    for count in range(bounded + 1):
        for zeros in itertools.combinations(range(bounded), count):
            free = [k for k in range(len(b)) if k not in zeros]
            part = solve([[h[i][j] for j in free] for i in free], [b[i] for i in free])
            if part is None:
                return None
            x = [0.0] * len(b)
            for place, value in zip(free, part, strict=True):
                x[place] = value
            if min(x[:bounded]) < 0.0:
                continue
            cost = -0.5 * dot(b, x)  # at a minimum over the free ones
            if cost < best_cost:
                best, best_cost = x, cost
        if best is not None and count == 0:
            return best
    return best


def solve(matrix: list[Vector], right: Vector) -> Vector | None:
    """Gauss's elimination with the largest pivot; None for a singular matrix."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        if rows[pivot][k] == 0.0:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            for j in range(k, n + 1):
                rows[i][j] -= factor * rows[k][j]
    x = [0.0] * n
    for k in range(n - 1, -1, -1):
        x[k] = (rows[k][n] - sum(rows[k][j] * x[j] for j in range(k + 1, n))) / rows[k][k]
    return x
