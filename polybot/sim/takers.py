"""Takers: noise that trades at random, and a few informed ones that hit quotes spot left behind.

Noise takers buy Up or Down with equal chance, so they move no price in the mean; they are what the
makers live on and what fills resting orders.  Informed takers see fair as late as makers do and take
when the edge after the taker fee is large enough: they compete with the bot for stale quotes.
Their orders are fill-and-kill against the book of that instant.  Opened and closed with the makers.
"""

import math
import random
from functools import partial

from polybot.config_sim import TakersConfig
from polybot.sim.exchange import FAK, Exchange
from polybot.sim.makers import LAG_LN_SD, SHARE, MakerDesk, QuotedMarket, lag_ns
from polybot.sim.markets import BUY, DOWN, ONE, SELL, UP
from polybot.sim.path import NS
from polybot.sim.scheduler import Scheduler
from polybot.sim.seeds import stream

__all__ = ["InformedTaker", "NoiseTakers", "add_informed_takers"]

FEE_RATE = 0.07
THROUGH_TICKS = 2  # a noise order's limit is so many ticks beyond the touch
MIN_SHARES = 5
MAX_SHARES = 5_000


def _draw_shares(rng: random.Random, median: float, ln_sd: float) -> int:
    """Micro-shares of one order, whole shares."""
    shares = median * math.exp(rng.gauss(0.0, ln_sd))
    return int(min(max(shares, MIN_SHARES), MAX_SHARES)) * SHARE


class NoiseTakers:
    """Random market orders in every quoted market."""

    def __init__(self, config: TakersConfig, scheduler: Scheduler, exchange: Exchange, *, seed: int) -> None:
        self._config = config
        self._scheduler = scheduler
        self._exchange = exchange
        self._seed = seed

    def open_market(self, market: QuotedMarket) -> None:
        """Begin to trade."""
        if self._config.noise_per_s > 0.0:
            self._arm(market, stream(self._seed, f"noise/{market.cid}"))

    def _arm(self, market: QuotedMarket, rng: random.Random) -> None:
        now_ns = self._scheduler.now_ns
        rate = self._config.noise_per_s
        if now_ns < market.terms.start_s * NS:
            rate *= self._config.noise_before_frac
        due_ns = now_ns + int(rng.expovariate(rate) * NS) if rate > 0.0 else market.terms.start_s * NS
        self._scheduler.at(max(due_ns, now_ns + 1_000), partial(self._trade, market, rng))

    def _trade(self, market: QuotedMarket, rng: random.Random) -> None:
        if not market.is_open:
            return
        up_wards = rng.random() < 0.5
        sells = rng.random() < self._config.noise_sell_frac
        ushares = _draw_shares(rng, self._config.noise_shares, self._config.noise_shares_sd)
        bid, ask = self._exchange.best(market.cid)
        through = THROUGH_TICKS * market.tick_ticks
        touch = ask if up_wards else bid
        if touch > 0:
            limit = min(ask + through, ONE - 1) if up_wards else max(bid - through, 1)
            # Moving Up's price up is buying Up or selling Down; and the other way round.
            outcome, side = (DOWN, SELL) if up_wards and sells else (UP, BUY)
            if not up_wards:
                outcome, side = (UP, SELL) if sells else (DOWN, BUY)
            price = limit if outcome == UP else ONE - limit
            self._exchange.place_internal("noise", market.cid, outcome, side, price, ushares, order_type=FAK)
        self._arm(market, rng)


class InformedTaker:
    """Takes a quote when the fair value it sees leaves an edge after the fee."""

    def __init__(
        self,
        name: str,
        config: TakersConfig,
        scheduler: Scheduler,
        exchange: Exchange,
        rng: random.Random,
        *,
        base_lag_ns: int,
    ) -> None:
        self.name = name
        self._config = config
        self._scheduler = scheduler
        self._exchange = exchange
        self._rng = rng
        self._lag_ns = base_lag_ns
        self._rests_until_ns = 0

    def draw_lag_ns(self) -> int:
        """How late this view arrives."""
        return int(self._lag_ns * math.exp(self._rng.gauss(0.0, LAG_LN_SD)))

    def see(self, market: QuotedMarket, fair: float) -> None:
        """Buy what is cheaper than fair less fee and edge."""
        now_ns = self._scheduler.now_ns
        if not market.is_open or now_ns < self._rests_until_ns:
            return
        bid, ask = self._exchange.best(market.cid)
        for outcome, price, worth in ((UP, ask, fair), (DOWN, ONE - bid if bid > 0 else -1, 1.0 - fair)):
            if price > 0 and self._edge(price / ONE, worth) >= self._config.informed_min_edge_usd:
                ushares = _draw_shares(self._rng, self._config.informed_shares, 0.8)
                self._exchange.place_internal(
                    self.name, market.cid, outcome, BUY, price, ushares, order_type=FAK
                )
                self._rests_until_ns = now_ns + self._config.informed_cooldown_ms * 1_000_000
                return

    def leave(self, market: QuotedMarket) -> None:
        """Nothing rests."""

    @staticmethod
    def _edge(price: float, worth: float) -> float:
        return worth - price - FEE_RATE * price * (1.0 - price)


def add_informed_takers(
    config: TakersConfig, desk: MakerDesk, scheduler: Scheduler, exchange: Exchange, *, seed: int
) -> None:
    """Make the configured informed takers and show them fair values."""
    for i in range(config.informed_count):
        lag = lag_ns(config.informed_lag_min_ms, config.informed_lag_max_ms, i, config.informed_count)
        rng = stream(seed, f"informed/{i}")
        name = f"informed-{i}"
        desk.add_viewer(InformedTaker(name, config, scheduler, exchange, rng, base_lag_ns=lag))
