"""Volatility per sqrt(s) at several half-lives with jumps cut off, as docs/STRATEGIES.md defines it.

Every sample_ms a return r over dt gives x = r^2 / (dt h), h being the hour's variance relative to the day's; x is cut
at jump_threshold^2 times the largest of the forecast, the shortest horizon and the floor.  Each horizon is a mean of
the cut parts that fades with 2^(-dt / half-life); what was cut feeds one slow mean.  sigma^2 = (sum w c + jump) h.
The standard error of ln sigma adds sampling noise, the forecast's own error and what the prior still stands for.
"""

import math
from collections.abc import Sequence

__all__ = ["MultiVol"]

YEAR_S = 365.25 * 86_400.0
NS = 1_000_000_000
MINUTES = 1_440


class MultiVol:
    """The default estimator; settings as in conf/model/vol/multi.yaml."""

    def __init__(
        self,
        *,
        half_lives_s: Sequence[float],
        weights_frac: Sequence[float],
        sample_ms: int,
        warmup: int,
        floor_annual: float,
        jump_threshold_sd: float,
        jump_half_life_s: float,
        prior_annual: float,
        prior_weight_s: float,
        prior_ln_sd: float,
        prior_jump_frac: float,
        prior_kurtosis: float,
        forecast_ln_sd: float,
        hour_variance_frac: Sequence[float],
    ) -> None:
        prior = prior_annual**2 / YEAR_S
        self.half_lives = list(half_lives_s)
        self.weights = [weight / sum(weights_frac) for weight in weights_frac]
        self.sample_ns, self.warmup = sample_ms * 1_000_000, warmup
        self.floor = floor_annual / math.sqrt(YEAR_S)
        self.cap = jump_threshold_sd**2
        self.jump_half_life = jump_half_life_s
        self.prior_sd, self.forecast_sd = prior_ln_sd, forecast_ln_sd
        self.masses = [1.0 - 2.0 ** (-prior_weight_s / half) for half in half_lives_s]
        self.sums = [mass * prior * (1.0 - prior_jump_frac) for mass in self.masses]
        self.unseen = [1.0] * len(half_lives_s)
        self.pairs = [[0.0] * len(half_lives_s) for _ in half_lives_s]  # sums of products of sample weights
        self.jump_mass = 1.0 - 2.0 ** (-prior_weight_s / jump_half_life_s)
        self.jump_sum = self.jump_mass * prior * prior_jump_frac
        self.jump_squares = 0.0
        self.second = self.masses[-1]
        self.fourth = self.second * prior_kurtosis
        self.continuous = prior * (1.0 - prior_jump_frac)
        self.seasons = _seasons(hour_variance_frac)
        self.samples = 0
        self.last_price, self.last_ns = 0.0, 0
        self.sigma = self.se_ln_sigma = math.nan

    def add(self, price: float, now_ns: int) -> None:
        """Take one price; between samples nothing happens."""
        if self.last_price > 0.0:
            if now_ns - self.last_ns < self.sample_ns:
                return
            season = self.seasons[now_ns // (60 * NS) % MINUTES]
            self._take(math.log(price / self.last_price), 1e-9 * (now_ns - self.last_ns), season)
            if self.samples >= self.warmup:
                self._combine(season)
        self.last_price, self.last_ns = price, now_ns

    def _take(self, r: float, dt_s: float, season: float) -> None:
        x = r * r / (dt_s * season)
        shortest = self.sums[0] / self.masses[0] if self.masses[0] > 0.0 else 0.0
        cut = min(x, self.cap * max(self.continuous, shortest, self.floor**2))
        keep = [2.0 ** (-dt_s / half) for half in self.half_lives]
        for i, kept in enumerate(keep):
            self.sums[i] = kept * self.sums[i] + (1.0 - kept) * cut
            self.masses[i] = kept * self.masses[i] + (1.0 - kept)
            self.unseen[i] *= kept
            for j, other in enumerate(keep):
                self.pairs[i][j] = kept * other * self.pairs[i][j] + (1.0 - kept) * (1.0 - other)
        slow = 2.0 ** (-dt_s / self.jump_half_life)
        part = (1.0 - slow) * (x - cut)
        self.jump_sum = slow * self.jump_sum + part
        self.jump_mass = slow * self.jump_mass + (1.0 - slow)
        self.jump_squares = slow * slow * self.jump_squares + part * part
        if self.continuous > 0.0:  # moments of returns over their forecast, for the kurtosis
            relative = cut / self.continuous
            self.second = keep[-1] * self.second + (1.0 - keep[-1]) * relative
            self.fourth = keep[-1] * self.fourth + (1.0 - keep[-1]) * relative**2
        self.continuous = sum(w * s / m for w, s, m in zip(self.weights, self.sums, self.masses, strict=True))
        self.samples += 1

    def _combine(self, season: float) -> None:
        """sigma and its error from the horizons."""
        jump = self.jump_sum / self.jump_mass
        total = self.continuous + jump
        kurtosis = self.fourth * self.masses[-1] / self.second**2
        shares = [w / m for w, m in zip(self.weights, self.masses, strict=True)]
        noise = (
            sum(a * b * self.pairs[i][j] for i, a in enumerate(shares) for j, b in enumerate(shares))
            * (kurtosis - 1.0)
            * self.continuous**2
            + self.jump_squares / self.jump_mass**2
        )
        unseen = sum(w * part for w, part in zip(self.weights, self.unseen, strict=True))
        self.sigma = max(math.sqrt(total * season), self.floor)
        self.se_ln_sigma = math.sqrt(
            0.25 * noise / total**2 + self.forecast_sd**2 + (self.prior_sd * unseen) ** 2
        )


def _seasons(hours: Sequence[float]) -> list[float]:
    """Variance of every minute of the UTC day, linear between the middles of hours, mean 1."""
    raw = []
    for minute in range(MINUTES):
        at = (minute + 0.5) / 60.0 - 0.5
        low = math.floor(at)
        raw.append(hours[low % 24] * (1.0 - (at - low)) + hours[(low + 1) % 24] * (at - low))
    mean = math.fsum(raw) / MINUTES
    return [value / mean for value in raw]
