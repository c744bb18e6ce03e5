"""Volatility by hour of the UTC day, from past five-minute returns.

Owns the profile: mean squared return of each hour relative to its own day's, with single returns cut at CUT
times that day's mean; half of it taken from the next hour, because the recorded weeks lie in winter and those who
move the market at 14:30 UTC then do so at 13:30 in summer; then raised to a power that says how much of it to
believe, chosen on weeks the profile was not made from.  Called by research.fit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polybot.research.data import FiveMinutes

__all__ = ["HourFit", "fit_hours"]

HOURS = 24
HOUR_S, DAY_S = 3_600, 86_400
CUT = 16.0  # times the day's mean square
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
DOF = 4.0  # of the Student t that judges: five-minute returns have an excess kurtosis above 10
TRAILING = 12  # returns (one hour) behind each forecast
SCALES = np.linspace(0.5, 1.0, 26)  # of the Student t, free: only the shape over the day is judged

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HourFit:
    """Variance by hour (mean 1), and the log-likelihood per return that each power had on the unseen half."""

    variance_frac: tuple[float, ...]
    power: float
    gains: dict[float, tuple[float, float]]  # power -> gain over no profile: as recorded, an hour earlier


def fit_hours(data: FiveMinutes) -> HourFit:
    """Choose the power on the second half of the weeks, then make the profile from all of them."""
    split = float(np.median(data.start_s))
    before = data.start_s < split
    early = _profile(data, before)
    gains = {}
    for power in POWERS:
        shaped = _shaped(early, power)
        gains[power] = (_judge(data, ~before, shaped, 0), _judge(data, ~before, shaped, 1))
    none = gains[0.0]
    gains = {power: (found[0] - none[0], found[1] - none[1]) for power, found in gains.items()}
    power = max(POWERS, key=lambda key: sum(gains[key]))
    shaped = _shaped(_profile(data, np.full(len(before), True)), power)
    return HourFit(tuple(round(float(value), 3) for value in shaped), power, gains)


def _profile(data: FiveMinutes, chosen: NDArray[np.bool_]) -> Floats:
    """Mean square by hour relative to the day's, half of it from the next hour; mean 1."""
    squares = data.returns**2
    days = data.start_s // DAY_S
    of_day = _means(squares, days - days[0])
    cut = np.minimum(squares / of_day[days - days[0]], CUT)
    winter = _means(cut[chosen], _hours(data)[chosen])
    year = 0.5 * (winter + np.roll(winter, -1))
    return np.asarray(year / year.mean())


def _shaped(profile: Floats, power: float) -> Floats:
    shaped = profile**power
    return np.asarray(shaped / shaped.mean())


def _judge(data: FiveMinutes, chosen: NDArray[np.bool_], profile: Floats, hours_earlier: int) -> float:
    """Mean Student log-likelihood of returns whose variance is forecast from the hour before, profile taken out.

    hours_earlier: as if everything had happened so much earlier in the day.
    """
    season = profile[(_hours(data) - hours_earlier) % HOURS]
    flat = data.returns**2 / season
    flat = np.minimum(flat, CUT * float(flat.mean()))
    trailing = np.convolve(flat, np.full(TRAILING, 1.0 / TRAILING))[: len(flat)]
    sd = np.sqrt(np.concatenate([trailing[:1], trailing[:-1]]) * season + 1e-12)[chosen]
    z = data.returns[chosen] / sd
    likelihood = _student(z)
    return max(likelihood(float(scale)) for scale in SCALES) - float(np.mean(np.log(sd)))


def _student(z: Floats) -> Callable[[float], float]:
    norm = math.lgamma((DOF + 1.0) / 2.0) - math.lgamma(DOF / 2.0) - 0.5 * math.log(DOF * math.pi)

    def at_scale(scale: float) -> float:
        tails = np.log1p((z / scale) ** 2 / DOF)
        return norm - math.log(scale) - (DOF + 1.0) / 2.0 * float(np.mean(tails))

    return at_scale


def _hours(data: FiveMinutes) -> NDArray[np.int64]:
    return np.asarray(data.start_s // HOUR_S % HOURS)


def _means(values: Floats, groups: NDArray[np.int64]) -> Floats:
    """Mean of the values of each group 0..n."""
    return np.asarray(np.bincount(groups, weights=values) / np.maximum(np.bincount(groups), 1))
