"""Forecasts of recorded windows as polybot would have made them, and how well they did.

Owns the walk of an estimator through a recorded day, the labels, the probabilities (through the project's own
`price`) and the log-loss.  A window is Up when the mean of the 60 one-second prices that end with its last
second is at least the same mean at its start (rule twap, lag 0); seconds never received repeat the one before.
No look-ahead: at second t the estimator has seen the prices up to t, and nothing is fitted here.
Called by research.fit and research.score.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polybot._fast.pricing import PriceStatus, Rule, price
from polybot._fast.vol import Volatility
from polybot.research.data import OracleDay

__all__ = [
    "AVERAGED_S",
    "TAUS_S",
    "WINDOW_S",
    "Forecaster",
    "Windows",
    "halves",
    "log_losses",
    "sigma_path",
    "windows_between",
]

NS = 1_000_000_000
WINDOW_S = 300
AVERAGED_S = 60  # prices in the settling mean, one a second
TAUS_S = (240, 120, 60, 30, 15)  # seconds before the end at which forecasts are judged
WARM_S = 3_600  # of the first half, in which nothing is judged
SMALLEST_P = 1e-6  # a probability of 0 that turns out wrong would cost infinitely much

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one day by the index of their last second, with strikes and who won (1 Up)."""

    ends: NDArray[np.int64]
    strikes: Floats
    up: NDArray[np.int64]


class Forecaster:
    """Prices windows of one day; holds the running sums that means need."""

    def __init__(self, day: OracleDay) -> None:
        self.prices = day.prices
        self._sums = np.concatenate([[0.0], np.cumsum(day.prices)])

    def mean(self, last: NDArray[np.int64]) -> Floats:
        """Mean of the AVERAGED_S prices that end with each index `last`."""
        return np.asarray((self._sums[last + 1] - self._sums[last + 1 - AVERAGED_S]) / AVERAGED_S)

    def windows(self, ends: NDArray[np.int64]) -> Windows:
        """Label windows by their last seconds."""
        strikes = self.mean(ends - WINDOW_S)
        return Windows(ends, strikes, (self.mean(ends) >= strikes).astype(np.int64))

    def probabilities(self, windows: Windows, *, rule: Rule, tau_s: int, sigma: Floats) -> Floats:
        """Probability of Up seen tau_s before each end; NaN where there is no price (sigma unknown)."""
        found = np.full(len(windows.ends), np.nan)
        for i, (end, strike) in enumerate(zip(windows.ends.tolist(), windows.strikes.tolist(), strict=True)):
            now = end - tau_s
            locked = 0.0
            if rule == Rule.RULE_TWAP and tau_s < AVERAGED_S:
                locked = float(self._sums[now + 1] - self._sums[end + 1 - AVERAGED_S])
            result = price(
                rule=rule,
                s=float(self.prices[now]),
                k=strike,
                sigma=float(sigma[now]),
                tau_s=float(tau_s),
                w_s=float(AVERAGED_S) if rule == Rule.RULE_TWAP else 0.0,
                locked_sum=locked,
            )
            if result.status == PriceStatus.PRICE_OK:
                found[i] = result.p_up
        return found


def halves(day: OracleDay) -> tuple[tuple[int, int], tuple[int, int]]:
    """(first, last) index of both halves of the day; the first WARM_S of the first are left out."""
    middle = len(day.prices) // 2
    return (WARM_S, middle), (middle, len(day.prices) - 1)


def windows_between(first_s: int, last_s: int, step_s: int) -> NDArray[np.int64]:
    """Last seconds of windows that start at first_s or later and end at last_s or earlier, step_s apart."""
    return np.arange(first_s + WINDOW_S, last_s + 1, step_s, dtype=np.int64)


def sigma_path(vol: Volatility, day: OracleDay) -> Floats:
    """Feed the day second by second; sigma per sqrt(s) as known after each second."""
    return np.array(vol.walk(day.prices.tolist(), day.start_s * NS, NS))


def log_losses(up: NDArray[np.int64], p_up: Floats) -> Floats:
    """Log-loss of each forecast, nats."""
    p = np.clip(p_up, SMALLEST_P, 1.0 - SMALLEST_P)
    return np.asarray(-np.where(up == 1, np.log(p), np.log1p(-p)))
