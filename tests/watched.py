"""A Scenario that keeps its own record of what it fed, and from it the View the slow strategies look at.

Only the estimators with references of their own are read back from the engine: sigma, its standard error, the
basis and the regime.  Prices, books, VWAP, quote ages, the averaging window and the moves are kept here.
"""

import math
from typing import Any

from reference import strategy_reference as ref
from scenario import NS, Levels, Scenario

from polybot._fast.regime import Regime

MAX_GAP_S = 2.0
SPOT_AGE_S = 2.0
VWAP_S = 60.0


class Watched(Scenario):
    """Feeds the engine and remembers; `view(t)` is what a strategy may look at at t."""

    def __init__(self, strategies: list[Any], *, lookback: float = 5.0, **more: Any) -> None:
        super().__init__(strategies, **more)
        self.lookback = lookback
        self.trades: list[tuple[float, float]] = []
        self.prints: dict[int, float] = {}
        self.bids: Levels = []
        self.asks: Levels = []
        self.quotes: tuple[dict[int, Any], dict[int, Any]] = ({}, {})
        self.evicted = -math.inf
        self.strike_value = math.nan
        self.stretch: list[tuple[float, float, float]] = []
        self.moves: list[tuple[float, float]] = []

    # -- what is fed ------------------------------------------------------------------------------

    def trade(self, t: float, price: float, **fields: Any) -> None:
        super().trade(t, price, **fields)
        self.trades.append((t, price))
        self.evicted = t

    def oracle(self, t: float, value: float) -> None:
        super().oracle(t, value)
        self.prints[int(t)] = value

    def strike(self, value: float, t: float = 0.0) -> None:
        super().strike(value, t)
        self.strike_value = value

    def book(
        self, t: float, bids: Levels, asks: Levels, market: int = 0, *, stamp: float | None = None
    ) -> None:
        super().book(t, bids, asks, market, stamp=stamp)
        self.bids, self.asks = sorted(bids, reverse=True), sorted(asks)
        last = self.trades[-1][1] if self.trades else math.nan
        sides = ([ticks for ticks, _ in self.asks], [10_000 - ticks for ticks, _ in self.bids])
        self.quotes = tuple(  # type: ignore[assignment]
            {ticks: old.get(ticks, (stamp, last)) for ticks in side}
            for side, old in zip(sides, self.quotes, strict=True)
        )

    def timer(self, t: float) -> None:
        """One heartbeat, processed at once: its sample of mid and fair is remembered."""
        super().timer(t)
        self.go()
        self.evicted = t
        if self.stretch and t - self.stretch[-1][0] < 0.05 - 1e-9:
            return
        view = self.view(t)
        if not self.measurable(t) or math.isnan(view.mid()):
            self.stretch = []
            return
        if self.stretch and t - self.stretch[-1][0] > MAX_GAP_S:
            self.stretch = []
        view.stretch = self.stretch
        moved = ref.move_beyond_model(view, t, self.lookback)
        if not math.isnan(moved):
            self.moves.append((t, moved))
        self.stretch.append((t, view.mid(), view.priced.fair_up))

    # -- what may be looked at --------------------------------------------------------------------

    def measurable(self, t: float) -> bool:
        """True while the market may be asked: window open, strike and sigma known, book sound."""
        crossed = bool(self.bids and self.asks) and self.bids[0][0] > self.asks[0][0]
        known = not math.isnan(self.strike_value) and not math.isnan(self.spot.sigma)
        return 0.0 <= t < self.length - 5.0 and known and not crossed and self._missing(t)[1] <= 10

    @property
    def length(self) -> float:
        return (self.spec.end_ns - self.spec.start_ns) / NS

    @property
    def beta(self) -> float:
        return 0.0 if self.spec.rule == "candle" else self.spot.basis.beta

    def view(self, t: float) -> ref.View:
        """Everything a strategy may look at, at t seconds into the window."""
        spot = self.trades[-1][1] + self.beta
        recent = [price for at, price in self.trades if self.evicted - at <= VWAP_S + 1e-9]
        return ref.View(
            priced=self._price(spot, t),
            spot=spot,
            strike=self.strike_value,
            tau=self.length - t,
            length=self.length,
            bids=[(ticks, float(n)) for ticks, n in self.bids],
            asks=[(ticks, float(n)) for ticks, n in self.asks],
            rule=self.spec.rule,
            tick=self.spec.tick_size_ticks,
            rate=None if self.spec.fee_rate_ppm is None else self.spec.fee_rate_ppm / 1e6,
            trend=self.spot.regime.regime == Regime.TREND,
            vwap=sum(recent) / len(recent) + self.beta if recent else math.nan,
            fair_up_then=(
                self._price(self._quote_spot(0) + self.beta, t, now=spot).fair_up,
                self._price(self._quote_spot(1) + self.beta, t, now=spot).fair_up,
            ),
            stretch=[] if self.stretch and t - self.stretch[-1][0] > MAX_GAP_S else self.stretch,
            moves=self.moves,
        )

    def _price(self, spot: float, t: float, now: float | None = None) -> ref.Priced:
        if math.isnan(spot) or math.isnan(self.strike_value) or math.isnan(self.spot.sigma):
            return ref.Priced(math.nan, math.nan, math.nan)
        rule, tau = self.spec.rule, self.length - t
        locked, missing = self._missing(t, spot if now is None else now)
        sigma = self.spot.sigma
        return ref.price_any(
            rule,
            spot,
            self.strike_value,
            sigma,
            tau,
            var_basis=0.0 if rule == "candle" else self.spot.basis.var_ln,
            se_ln_sigma=self.spot.se_ln_sigma,
            locked=locked,
            var_locked=(missing / 60.0) ** 2 * sigma**2 * missing / 3.0,
        )

    def _missing(self, t: float, spot: float = 0.0) -> tuple[float, int]:
        """Sum over what of the averaging window is over, and how many of its seconds were never told."""
        elapsed = 60.0 - max(0.0, self.length - t - 3.0)
        if self.spec.rule != "twap" or elapsed <= 0.0:
            return 0.0, 0
        first = int(self.length) - 3 - 60 + 1
        whole = math.floor(elapsed + 1e-9)
        newest = max(self.prints, default=-(10**9))
        total, value, missing = 0.0, math.nan, 0
        for second in range(first, first + whole):
            if second in self.prints:
                value = self.prints[second]
                total += value
            elif second > newest:
                total += spot
                missing += first + whole - 1 - second >= 3
            else:
                total += spot if math.isnan(value) else value
                missing += 1
        return total + (elapsed - whole) * spot, missing

    def _quote_spot(self, outcome: int) -> float:
        """Exchange spot when the best ask of the outcome was set, by the stamps of both venues."""
        levels = self.quotes[outcome]
        if not levels:
            return math.nan
        stamp, at_receipt = levels[min(levels)]
        if stamp is None:
            return float(at_receipt)
        seen = [(at, price) for at, price in self.trades if at <= stamp + 1e-9]
        return seen[-1][1] if seen and stamp - seen[-1][0] <= SPOT_AGE_S + 1e-9 else float(at_receipt)
