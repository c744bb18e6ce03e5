"""The model's two claims about recorded markets: who won, and how much is still open near the end.

Data: Chainlink BTC/USD of 2026-06-08 (one price a second, gaps) and the 292 five-minute markets of that day.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from reference import recorded

from polybot._fast.pricing import PriceStatus, Rule, price, winner

WINDOW_S = 60
Prices = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def seconds(shared_dir: Path) -> Prices:
    """Price of every second of the day in USD, gaps filled with the last one seen."""
    day = recorded.chainlink_day(shared_dir)
    filled, last = [], 0
    for second in range(min(day), max(day) + 1):
        last = day.get(second, last)
        filled.append(last / recorded.WEI)
    assert len(day) == 84_558
    assert len(filled) == 86_400
    return np.array(filled)


def test_point_rule_gives_the_outcome_of_every_market_of_the_recorded_day(shared_dir: Path) -> None:
    day = recorded.chainlink_day(shared_dir)
    markets = recorded.chainlink_markets(shared_dir)
    without_strike = [m for m in markets if m["strike_value"] is None]
    without_final = [m for m in markets if m["end_sec"] not in day]
    decidable = [m for m in markets if m["strike_value"] is not None and m["end_sec"] in day]
    assert (len(markets), len(without_strike), len(without_final), len(decidable)) == (292, 4, 8, 280)

    def is_right(market: dict[str, Any]) -> bool:
        final, strike = day[market["end_sec"]] / recorded.WEI, int(market["strike_value"]) / recorded.WEI
        return winner(final, strike) == {"1": 0, "0": 1}[market["outcome_prices"][0]]

    assert sum(map(is_right, decidable)) == 280


def test_recorded_strike_is_the_price_at_the_opening_second(shared_dir: Path) -> None:
    day = recorded.chainlink_day(shared_dir)
    known = [m for m in recorded.chainlink_markets(shared_dir) if m["strike_value"] and m["start_sec"] in day]
    assert len(known) == 284
    assert all(int(m["strike_value"]) == day[m["start_sec"]] for m in known)


@pytest.mark.parametrize(
    ("tau_s", "published"), [(240, 181.0), (120, 80.0), (60, 20.3), (45, 8.49), (30, 2.49), (15, 0.31)]
)
def test_variance_left_in_a_twap_matches_the_formula(seconds: Prices, tau_s: int, published: float) -> None:
    sigma2 = float(np.mean(np.log(seconds[60:] / seconds[:-60]) ** 2)) / 60
    ends = np.arange(300, len(seconds))
    errors = np.log(_mean_ending_at(seconds, ends) / _forecast(seconds, ends, tau_s))
    measured = float(np.mean(errors**2)) / sigma2
    formula = _priced(seconds, int(ends[0]), tau_s, math.sqrt(sigma2))[1]
    assert measured == pytest.approx(published, rel=0.01)
    assert measured == pytest.approx(formula, rel=0.15)


@pytest.mark.parametrize("tau_s", [240, 60, 59, 30, 1])
def test_priced_mean_is_the_forecast_whose_error_was_measured(seconds: Prices, tau_s: int) -> None:
    for end in range(300, len(seconds), 977):
        forecast = float(_forecast(seconds, np.array([end]), tau_s)[0])
        assert _priced(seconds, end, tau_s, 1e-4)[0] == pytest.approx(forecast, rel=1e-11)


def _mean_ending_at(seconds: Prices, ends: npt.NDArray[np.int64]) -> Prices:
    """Mean of the WINDOW_S prices up to and including each end."""
    return _sum_of(seconds)(ends - WINDOW_S, ends) / WINDOW_S


def _forecast(seconds: Prices, ends: npt.NDArray[np.int64], tau_s: int) -> Prices:
    """Expected mean as seen tau_s before each end: what is in, and the last price for the rest."""
    now = ends - tau_s
    if tau_s >= WINDOW_S:
        return seconds[now]
    return (_sum_of(seconds)(ends - WINDOW_S, now) + tau_s * seconds[now]) / WINDOW_S


def _priced(seconds: Prices, end: int, tau_s: int, sigma: float) -> tuple[float, float]:
    """(m, t_eff) of the product's own pricing at tau_s before end."""
    locked = seconds[end - WINDOW_S + 1 : end - tau_s + 1].sum() if tau_s < WINDOW_S else 0.0
    spot = float(seconds[end - tau_s])
    result = price(
        rule=Rule.RULE_TWAP, w_s=WINDOW_S, s=spot, k=spot, sigma=sigma, tau_s=tau_s, locked_sum=float(locked)
    )
    assert result.status == PriceStatus.PRICE_OK
    return result.m, result.t_eff


def _sum_of(seconds: Prices) -> Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], Prices]:
    """sum(first, last) of the prices after index first up to and including last."""
    totals = np.cumsum(seconds)
    return lambda first, last: totals[last] - totals[first]
