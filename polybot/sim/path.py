"""The generated spot price: bursts of trades, top-of-book quotes, and the past before the start.

Theory: the true price is a martingale that moves only at bursts.  Between two bursts the gap is
exponential with a rate that wanders (activity); the log return over the gap is normal with variance
sigma^2 x gap, plus rare Student-t jumps.  ln(sigma) is a slow Ornstein-Uhlenbeck process times an
hour-of-day factor.  Each burst carries trades at the bid and ask around the price on its way.
Calibrated to recorded frames: bursts per second, trades per burst, spread and quote rate as in
the recording of 2024-08-08; the hour factor from five-minute returns of 2025-12 to 2026-02.

Draws come from two streams: one for the price, one for sizes and quotes, so that the price path of
a seed does not depend on how much detail is made.  Knows no wire format; sim.spot serves it.
"""

import math
import random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from polybot._fast.spot_detail import SpotDetail
from polybot.config_sim import SpotConfig
from polybot.sim.seeds import digest, draws, stream

__all__ = ["Burst", "Quote", "SpotPath", "Trade", "history_closes", "hour_factor", "price_step_e8"]

NS = 1_000_000_000
E8 = 100_000_000
YEAR_S = 365.25 * 86_400
DAY_S = 86_400
LOT_E8 = 1_000  # 0.00001 of the asset
TRADE_USD = 40.0  # median notional of a trade: 0.00065 BTC
TRADE_LN_SD = 2.66  # p99 0.32 BTC
BURST_LN_SD = 1.45  # trades per burst: median 1, p90 6, p99 24, largest hundreds
BURST_MAX = 950
QUOTE_LN_SD, QUOTE_SCALE = 1.3, 2_000.0  # size at the touch: median 2,000 trades' worth
NEW_TAKER = 0.45  # chance that the next trade of a burst is another taker's
WIDE_SHARE = 0.12  # of quotes with a spread above one step: p90 16 steps, p99 $7
WIDE_STEPS, WIDE_LN_SD, WIDE_MAX = 40.0, 1.7, 1_000
SHAPE: dict[str, float] = {
    "trade_ln_sd": TRADE_LN_SD,
    "burst_ln_sd": BURST_LN_SD,
    "burst_max": BURST_MAX,
    "new_taker": NEW_TAKER,
    "quote_ln_sd": QUOTE_LN_SD,
    "quote_scale": QUOTE_SCALE,
    "wide_share": WIDE_SHARE,
    "wide_steps": WIDE_STEPS,
    "wide_ln_sd": WIDE_LN_SD,
    "wide_max": WIDE_MAX,
}
FIRST_IDS = (3_735_683_258, 3_103_512_206, 50_093_239_189)  # trade, taker order, book update
# Volatility by UTC hour relative to the day's, from 12,288 five-minute returns; mean square is 1.
HOURS = (0.95, 0.87, 0.90, 0.84, 0.64, 0.69, 0.69, 0.68, 0.87, 0.74, 0.61, 0.62,
         0.68, 0.91, 1.66, 1.72, 1.49, 1.38, 1.00, 1.11, 0.95, 0.88, 1.09, 0.84)  # fmt: skip


class Trade(NamedTuple):
    """One spot trade; price and quantity in 1e-8 units."""

    trade_id: int
    agg_id: int
    price_e8: int
    qty_e8: int
    at_us: int
    buyer_is_maker: bool


class Quote(NamedTuple):
    """Best bid and ask with quantities, in 1e-8 units."""

    at_ns: int
    update_id: int
    bid_e8: int
    bid_qty_e8: int
    ask_e8: int
    ask_qty_e8: int


class Burst(NamedTuple):
    """One instant at which trades happen and the price moves."""

    at_ns: int
    price: float
    trades: list[Trade]
    quote: Quote
    quiet: list[Quote]  # size changes between the burst before and this one


def price_step_e8(price: float) -> int:
    """Price grid of the spot exchange, 1e-8 units: 0.01 for BTC, ETH and SOL, finer for cheap assets."""
    if price >= 50.0:
        return 1_000_000
    return 10_000 if price >= 0.5 else 1_000


def hour_factor(at_ns: int) -> float:
    """Volatility at this time of day relative to the day's mean, linear between half hours."""
    hours = (at_ns // NS % DAY_S) / 3_600.0 - 0.5
    low = math.floor(hours)
    part = hours - low
    return HOURS[low % 24] * (1.0 - part) + HOURS[(low + 1) % 24] * part


def history_closes(
    config: SpotConfig, *, price: float, vol_annual: float, seed: int, end_ns: int, ln_vol: float | None = None
) -> NDArray[np.float64]:
    """Closing price of each second before end_ns, oldest first; the last one is `price`.

    ln_vol is the path's own at end_ns: the past wanders away from it backwards (the process is reversible), so that
    what can be learned from the past holds for the present.  None: volatility is its mean all along.
    """
    seconds = round(config.history_h * 3_600)
    end_s = end_ns // NS
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest(seed, "spot/history"), "big")))
    factors = np.interp(
        np.arange(end_s - seconds, end_s) % DAY_S / 3_600.0, np.arange(25) + 0.5, (*HOURS, HOURS[0])
    )
    returns = rng.standard_normal(seconds) * factors * (vol_annual / math.sqrt(YEAR_S))
    if ln_vol is not None:
        returns *= np.exp(_past_ln_vol(config, ln_vol, seconds, rng) - config.vol_sd**2)
    after = np.concatenate([returns[::-1].cumsum()[-2::-1], [0.0]])
    return np.asarray(price * np.exp(-after), dtype=np.float64)


def _past_ln_vol(
    config: SpotConfig, ln_vol: float, seconds: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """ln_vol of each second of the past, oldest first: exact steps of a minute, linear between."""
    keep = 2.0 ** (-60.0 / config.vol_half_life_s)
    spread = config.vol_sd * math.sqrt(1.0 - keep * keep)
    values = [ln_vol]
    for shock in rng.standard_normal(seconds // 60 + 1).tolist():
        values.append(values[-1] * keep + spread * shock)
    ages = np.arange(seconds, 0, -1) / 60.0
    return np.asarray(np.interp(ages, np.arange(len(values)), values))


def _burst_scale(mean_extra: float) -> float:
    """Scale c so that floor(c x lognormal x |z| mix) has this mean, by bisection on fixed draws."""
    if mean_extra <= 0.0:
        return 0.0
    rng = np.random.Generator(np.random.PCG64(7))
    draws = np.exp(BURST_LN_SD * rng.standard_normal(20_000)) * (
        0.4 + 0.6 * np.abs(rng.standard_normal(20_000))
    )
    low, high = 0.0, mean_extra * 4.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        if np.minimum(np.floor(middle * draws), BURST_MAX).mean() < mean_extra:
            low = middle
        else:
            high = middle
    return high


class SpotPath:
    """Generator of bursts; `next_burst` is always strictly later than the one before."""

    def __init__(
        self, config: SpotConfig, *, price: float, vol_annual: float, seed: int, start_ns: int
    ) -> None:
        self._config = config
        self._price_rng = stream(seed, "spot/price")
        self._at_ns = start_ns
        self._price = price
        self._base = vol_annual / math.sqrt(YEAR_S)
        self._vol_pull = math.log(2.0) / config.vol_half_life_s
        self._activity_pull = math.log(2.0) / config.activity_half_life_s
        self._ln_vol = self._price_rng.gauss(0.0, config.vol_sd)
        self._ln_activity = 0.0
        self._jumps_per_s = config.jumps_per_h / 3_600.0
        jumps = self._jumps_per_s > 0.0
        self._jump_frac = config.jump_variance_frac if jumps else 0.0
        self._jump_scale = math.sqrt(self._jump_frac / self._jumps_per_s) if jumps else 0.0
        self._detail = SpotDetail(
            draws(seed, "spot/detail"),
            Trade,
            Quote,
            step_e8=price_step_e8(price),
            lot_e8=LOT_E8,
            event_delay_us=config.event_delay_us,
            burst_scale=_burst_scale(config.trades_per_s / config.bursts_per_s - 1.0),
            ln_qty=math.log(TRADE_USD / price),
            quiet_per_s=max(0.0, config.quotes_per_s - config.bursts_per_s),
            shape=SHAPE,
            first_ids=FIRST_IDS,
        )
        self._detail.quote(start_ns, price)

    @property
    def jumps_per_s(self) -> float:
        """Mean rate of jumps; each has variance jump_frac x sigma^2 / jumps_per_s."""
        return self._jumps_per_s

    @property
    def ln_vol(self) -> float:
        """How far ln(sigma) has wandered from its middle, now."""
        return self._ln_vol

    @property
    def jump_frac(self) -> float:
        """Share of the variance that comes in jumps."""
        return self._jump_frac

    def sigma(self, at_ns: int) -> float:
        """True volatility per sqrt(second) now, jumps included."""
        return self._base * hour_factor(at_ns) * math.exp(self._ln_vol - self._config.vol_sd**2)

    def variance_rate(self, at_ns: int, horizon_s: float) -> float:
        """Expected variance per second over the horizon, given the true volatility now."""
        keep = math.exp(-self._vol_pull * 0.5 * horizon_s)
        spread = self._config.vol_sd**2
        level = 2.0 * self._ln_vol * keep - 2.0 * spread + 2.0 * spread * (1.0 - keep * keep)
        rate = self._base * hour_factor(at_ns + int(0.5 * horizon_s * NS))
        return rate * rate * math.exp(level)

    def next_burst(self) -> Burst:
        """Draw the next burst."""
        config, rng = self._config, self._price_rng
        rate = config.bursts_per_s * math.exp(self._ln_activity - 0.5 * config.activity_sd**2)
        gap_ns = max(1_000, min(int(rng.expovariate(rate) * NS), config.max_gap_ms * 1_000_000))
        gap_ns -= gap_ns % 1_000
        gap_s = gap_ns / NS
        before_ns, before = self._at_ns, self._price
        self._at_ns += gap_ns
        self._ln_vol = _pulled(rng, self._ln_vol, self._vol_pull * gap_s, config.vol_sd)
        self._ln_activity = _pulled(rng, self._ln_activity, self._activity_pull * gap_s, config.activity_sd)
        sigma = self.sigma(self._at_ns)
        scale = sigma * math.sqrt(gap_s)
        change = scale * math.sqrt(1.0 - self._jump_frac) * rng.gauss(0.0, 1.0)
        if rng.random() < self._jumps_per_s * gap_s:
            change += sigma * self._jump_scale * _student(rng, config.jump_dof)
        self._price = before * math.exp(change)
        z = change / scale
        quiet = self._detail.quiet_quotes(before_ns, gap_ns)
        trades = self._detail.trades(self._at_ns, before, self._price, z)
        return Burst(self._at_ns, self._price, trades, self._detail.quote(self._at_ns, self._price), quiet)


def _pulled(rng: random.Random, value: float, pull: float, sd: float) -> float:
    """One exact step of an Ornstein-Uhlenbeck process around 0 with stationary sd."""
    keep = math.exp(-pull)
    return value * keep + sd * math.sqrt(1.0 - keep * keep) * rng.gauss(0.0, 1.0)


def _student(rng: random.Random, dof: float) -> float:
    """Student t of unit variance."""
    chi = rng.gammavariate(0.5 * dof, 2.0)
    return rng.gauss(0.0, 1.0) / math.sqrt(chi / dof) * math.sqrt((dof - 2.0) / dof)
