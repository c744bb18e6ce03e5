"""What is known of one window: metadata, book, strike, position, open orders, and its price of this moment.

Also the moves beyond the model (S3): on every heartbeat mid and fair are noted; a move is what the mid did and fair
did not since the last note at least lookback old, and its deviation is the root of a fading mean of squares.
Called by `engine`; strategies read it.
"""

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from typing import Any

from bench.reference.books import UP, Book
from bench.reference.pricing import Inputs, Priced, fee_per_share, price
from bench.reference.spot import Spot

__all__ = ["Market", "Moves"]

NS = 1_000_000_000


class Moves:
    """Moves of the mid beyond fair over a lookback; notes nearer than spacing are skipped, a hole begins anew."""

    SPACING_NS = 50_000_000
    MAX_GAP_NS = 2 * NS
    MAX_NOTES = 1_024

    def __init__(self, lookback_s: float, half_life_s: float, min_samples: int) -> None:
        self.lookback_ns, self.half_life_s, self.min_samples = int(lookback_s * 1e9), half_life_s, min_samples
        self.notes: deque[tuple[int, float]] = deque(maxlen=self.MAX_NOTES)  # (ns, mid - fair)
        self.samples, self.total, self.weight, self.last_ns = 0, 0.0, 0.0, 0

    def note(self, mid: float, fair: float, now_ns: int) -> None:
        if math.isnan(mid) or math.isnan(fair):
            self.notes.clear()
            return
        if self.notes and now_ns - self.notes[-1][0] < self.SPACING_NS:
            return
        moved = self.since(mid, fair, now_ns)
        if not math.isnan(moved):
            fade = 2.0 ** (-(now_ns - self.last_ns) * 1e-9 / self.half_life_s) if self.samples else 1.0
            self.total = fade * self.total + moved * moved
            self.weight = fade * self.weight + 1.0
            self.last_ns = now_ns
            self.samples += 1
        if self.notes and now_ns - self.notes[-1][0] > self.MAX_GAP_NS:
            self.notes.clear()
        self.notes.append((now_ns, mid - fair))

    def since(self, mid: float, fair: float, now_ns: int) -> float:
        """(mid - fair) now less then; NaN while the notes do not reach so far."""
        if not self.notes or now_ns - self.notes[-1][0] > self.MAX_GAP_NS:
            return math.nan
        for at_ns, gap in reversed(self.notes):
            if at_ns <= now_ns - self.lookback_ns:
                return (mid - fair) - gap
        return math.nan

    def sd(self) -> float:
        return math.sqrt(self.total / self.weight) if self.samples >= self.min_samples else math.nan


@dataclass(slots=True, eq=False)
class Market:
    """One window; money in micro-USD, shares in micro-shares."""

    index: int
    spec: Any  # polybot.market.spec.MarketSpec
    order_seq: int
    bankroll_usd: float
    kelly_cap: float
    lag_s: float
    moves: Moves
    is_observed: bool
    book: Book = field(init=False)
    strike: float = math.nan
    strike_var: float = 0.0
    house: int = -1
    house_seq: int = -1
    is_closed: bool = False
    book_ns: int = 0
    now_ns: int = 0
    spot: float = math.nan
    tau_s: float = math.nan
    missing_s: int = 0
    inputs: Inputs | None = None
    price: Priced | None = None
    shares: list[int] = field(default_factory=lambda: [0, 0])
    cost: list[int] = field(default_factory=lambda: [0, 0])
    strategy_shares: Any = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    strategy_cost: Any = field(default_factory=lambda: defaultdict(int))
    orders: list[Any] = field(default_factory=list)  # that may still fill
    order_count: Any = field(default_factory=lambda: defaultdict(int))
    last_dispatch_ns: Any = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.book = Book(self.spec.tick_size_ticks)

    @property
    def priced(self) -> Priced:
        """The price of this moment; only asked when there is one."""
        assert self.price is not None
        return self.price

    def reprice(self, spot: Spot, now_ns: int) -> bool:
        """Price the window now; False when that cannot be."""
        is_candle = self.spec.rule == "candle"
        self.now_ns = now_ns
        self.spot = spot.last + (0.0 if is_candle else spot.basis.beta)
        self.tau_s = (self.spec.end_ns - now_ns) * 1e-9
        locked, self.missing_s = 0.0, 0
        if self.spec.rule == "twap":
            locked, self.missing_s = self._locked(spot)
        var_locked = 0.0
        if self.missing_s:  # a gap filled flat: Brownian, one end free
            part = self.missing_s / self.spec.twap_window_s
            var_locked = part**2 * spot.sigma**2 * self.missing_s / 3.0
        self.inputs = Inputs(
            self.spec.rule,
            self.spot,
            self.strike,
            spot.sigma,
            spot.se_ln_sigma,
            self.tau_s,
            float(self.spec.twap_window_s),
            self.lag_s,
            locked,
            0.0 if is_candle else spot.basis.var_ln,
            self.strike_var,
            var_locked,
        )
        self.price = price(self.inputs)
        return self.price is not None

    def _locked(self, spot: Spot) -> tuple[float, int]:
        """What of the averaging window (ending lag_s before the end) is over: its sum, and seconds never seen."""
        window = self.spec.twap_window_s
        elapsed = window - max(0.0, self.tau_s - self.lag_s)
        if elapsed <= 0.0:
            return 0.0, 0
        first = self.spec.end_ns // NS - int(self.lag_s + 0.5) - window + 1
        whole = int(elapsed)
        total, missing = spot.locked(first, first + whole - 1, self.spot)
        return total + (elapsed - whole) * self.spot, missing

    def fair(self, outcome: int) -> float:
        return self.priced.p_up if outcome == UP else 1.0 - self.priced.p_up

    def fair_had_spot_been(self, exchange_spot: float, spot: Spot, outcome: int) -> float:
        """Probability of the outcome had the exchange's price been another, all else as now; NaN without one."""
        assert self.inputs is not None
        then = price(replace(self.inputs, spot=exchange_spot + (self.spot - spot.last)))
        if then is None:
            return math.nan
        return then.p_up if outcome == UP else 1.0 - then.p_up

    def fee(self, price_usd: float) -> float:
        """Taker's fee per share; NaN while fees are on and the schedule is not known."""
        if not self.spec.fees_enabled:
            return 0.0
        if self.spec.fee_rate_ppm is None:
            return math.nan
        return fee_per_share(price_usd, self.spec.fee_rate_ppm * 1e-6, self.spec.fee_exponent)

    def marked(self) -> int:
        """Mark less cost of what is held, micro-USD: at mid, else at fair, else at cost."""
        if self.shares == [0, 0]:
            return 0
        bid, ask = self.book.best
        if bid > 0 and ask > 0:
            up = (bid + ask) * 0.5e-4
        elif self.price is not None:
            up = self.price.p_up
        else:
            return 0
        return int(self.shares[0] * up + self.shares[1] * (1.0 - up)) - self.cost[0] - self.cost[1]
