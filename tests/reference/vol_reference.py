"""Slow reference of the multi-horizon volatility: explicit weights over all samples, written from the formulas.

Nothing recursive but the one thing that is recursive by definition: the cut of a return depends on the forecast
before it.  Called by tests only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

YEAR_S = 365.25 * 86_400.0
NS = 1_000_000_000


@dataclass(frozen=True)
class Estimate:
    """What the estimator must say after the last price."""

    samples: int
    sigma: float
    se: float
    continuous: float
    jump: float
    kurtosis: float
    horizons: list[float]


@dataclass(frozen=True)
class _Sample:
    end_s: float  # since the first price
    dt_s: float
    cut: float
    excess: float
    relative: float  # cut over the forecast before it


def season(hours: Sequence[float], ns: int) -> float:
    """Variance of the minute of the UTC day, linear between the middles of hours, mean 1 over the day."""

    def raw(minute: int) -> float:
        at = (minute + 0.5) / 60.0 - 0.5
        low = math.floor(at)
        return hours[low % 24] * (1.0 - (at - low)) + hours[(low + 1) % 24] * (at - low)

    mean = math.fsum(raw(minute) for minute in range(1440)) / 1440.0
    return raw(ns // (60 * NS) % 1440) / mean


def multi_vol(prices: Sequence[tuple[float, int]], settings: dict[str, object]) -> Estimate:
    """Estimate after all (price, ns), by explicit sums over every sample."""
    s = _Settings(settings)
    last_price, last_ns = prices[0]
    first_ns = last_ns
    samples: list[_Sample] = []
    found = None
    for price, ns in prices[1:]:
        if ns - last_ns < s.sample_ns:
            continue
        dt_s, r = 1e-9 * (ns - last_ns), math.log(price / last_price)
        x = r * r / (dt_s * season(s.hours, ns))
        before = s.start() if found is None else found
        reference = max(before.continuous, before.horizons[0], s.floor**2)
        cut = min(x, s.threshold**2 * reference)
        relative = cut / before.continuous if before.continuous > 0 else 0.0
        samples.append(_Sample(1e-9 * (ns - first_ns), dt_s, cut, x - cut, relative))
        last_price, last_ns = price, ns
        found = _estimate(s, samples, season(s.hours, ns))
    assert found is not None
    return found


class _Settings:
    def __init__(self, given: dict[str, object]) -> None:
        self.half_lives: list[float] = list(given["half_lives_s"])  # type: ignore[call-overload]
        raw: list[float] = list(given["weights_frac"])  # type: ignore[call-overload]
        self.weights = [weight / math.fsum(raw) for weight in raw]
        self.hours: list[float] = list(given["hour_variance_frac"])  # type: ignore[call-overload]
        self.sample_ns = int(str(given["sample_ms"])) * 1_000_000
        number = {key: float(str(value)) for key, value in given.items() if isinstance(value, int | float)}
        self.floor = number["floor_annual"] / math.sqrt(YEAR_S)
        self.threshold = number["jump_threshold_sd"]
        self.jump_half_life = number["jump_half_life_s"]
        self.prior = number["prior_annual"] ** 2 / YEAR_S
        self.prior_s = number["prior_weight_s"]
        self.prior_sd = number["prior_ln_sd"]
        self.prior_jump = number["prior_jump_frac"]
        self.prior_kurtosis = number["prior_kurtosis"]
        self.forecast_sd = number["forecast_ln_sd"]

    def start(self) -> Estimate:
        calm = self.prior * (1.0 - self.prior_jump)
        shortest = calm if self.prior_s > 0 else 0.0
        return Estimate(0, math.nan, math.nan, calm, 0.0, self.prior_kurtosis, [shortest])


def _weights(samples: list[_Sample], half_life: float) -> list[float]:
    """Weight of each sample: the share of exponential memory that its interval covers."""
    now = samples[-1].end_s
    rate = math.log(2) / half_life
    return [
        math.exp(-rate * (now - item.end_s)) - math.exp(-rate * (now - item.end_s + item.dt_s))
        for item in samples
    ]


def _estimate(s: _Settings, samples: list[_Sample], now_season: float) -> Estimate:
    age = samples[-1].end_s
    calm = s.prior * (1.0 - s.prior_jump)
    tables, masses, levels = [], [], []
    for half_life in s.half_lives:
        w = _weights(samples, half_life)
        prior = (1.0 - 2.0 ** (-s.prior_s / half_life)) * 2.0 ** (-age / half_life)
        mass = prior + math.fsum(w)
        levels.append(
            (prior * calm + math.fsum(a * item.cut for a, item in zip(w, samples, strict=True))) / mass
        )
        tables.append([a / mass for a in w])
        masses.append((prior, mass))
    continuous = math.fsum(weight * level for weight, level in zip(s.weights, levels, strict=True))
    jw = _weights(samples, s.jump_half_life)
    jump_prior = (1.0 - 2.0 ** (-s.prior_s / s.jump_half_life)) * 2.0 ** (-age / s.jump_half_life)
    jump_mass = jump_prior + math.fsum(jw)
    parts = [a * item.excess / jump_mass for a, item in zip(jw, samples, strict=True)]
    jump = jump_prior * s.prior * s.prior_jump / jump_mass + math.fsum(parts)
    slow_prior, slow_mass = masses[-1]
    slow = [a * slow_mass for a in tables[-1]]
    second = slow_prior + math.fsum(a * item.relative for a, item in zip(slow, samples, strict=True))
    fourth = slow_prior * s.prior_kurtosis + math.fsum(
        a * item.relative**2 for a, item in zip(slow, samples, strict=True)
    )
    kurtosis = fourth * slow_mass / second**2
    shares = [
        math.fsum(w * table[k] for w, table in zip(s.weights, tables, strict=True))
        for k in range(len(samples))
    ]
    noise = (kurtosis - 1.0) * math.fsum(a * a for a in shares) * continuous**2 + math.fsum(
        a * a for a in parts
    )
    unseen = math.fsum(w * 2.0 ** (-age / half) for w, half in zip(s.weights, s.half_lives, strict=True))
    total = continuous + jump
    se = math.sqrt(0.25 * noise / total**2 + s.forecast_sd**2 + (s.prior_sd * unseen) ** 2)
    sigma = max(math.sqrt(total * now_season), s.floor)
    return Estimate(len(samples), sigma, se, continuous, jump, kurtosis, levels)
