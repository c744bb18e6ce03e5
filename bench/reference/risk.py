"""Limits of the account: who may order how much now, or why not.

Written from docs/RISK.md in its order: halts, venue, clock, data ages; then our own orders (twice the same, unknown,
crossing, waiting, a pair that cannot pay); then the strategy's row and the collar; then the size, cut to the narrowest
room; last the rate.  Money in micro-USD.  Limits of Greeks are off by default and not here.  Called by `engine`.
"""

import math
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

from bench.reference.market import Market
from bench.reference.pricing import fee_micro_usd
from bench.reference.spot import Spot
from bench.reference.strategies import LOT, TOP, Signal

__all__ = ["Limits", "Order", "Risk", "Row", "notional"]

DAY_NS = 86_400 * 1_000_000_000
MILLION = 1_000_000
ROUNDING_USD = 4
MIN_TAKER_USD = MILLION


def notional(ushares: int, ticks: int) -> int:
    """price x shares in micro-USD, half up."""
    return (ushares * ticks + TOP // 2) // TOP


@dataclass(slots=True)
class Row:
    """One strategy's limits: micro-USD, ns."""

    per_trade: int
    total: int
    cooldown_ns: int
    max_orders: int


@dataclass(slots=True)
class Limits:
    """The account's: micro-USD, ns, ticks."""

    exposure: int
    daily_loss: int
    weekly_loss: int
    hard_order: int
    hard_open: int
    spot_age_ns: int
    stale_ns: int
    oracle_age_ns: int
    skew_ns: int
    collar_ticks: int
    orders_per_s: float
    rows: dict[str, Row]


@dataclass(slots=True, eq=False)
class Order:
    """One order of ours; micro-shares, micro-USD."""

    seq: int
    market: int
    strategy: str
    outcome: int
    ticks: int
    ushares: int
    order_type: str
    post_only: bool
    expires_ns: int
    cancel_edge: float
    unit_fee: int  # micro-USD per share
    status: str = "SENT"
    filled: int = 0
    matched: int = 0
    reserved: int = 0
    cancel_ns: int = 0
    is_counted: bool = True

    @property
    def has_ended(self) -> bool:
        return self.status in ("FILLED", "CANCELED", "EXPIRED", "REJECTED")

    @property
    def outstanding(self) -> int:
        """Micro-shares that may still become a fill."""
        if self.status == "REJECTED":
            return 0
        most = max(self.matched, self.filled) if self.has_ended else self.ushares
        return max(0, most - self.filled)

    @property
    def reserve(self) -> int:
        """At risk in what may still fill, fee included."""
        rest = self.outstanding
        return notional(rest, self.ticks) + rest * self.unit_fee // MILLION + 2 if rest else 0

    @property
    def may_meet_a_resting_one(self) -> bool:
        return self.order_type in ("FAK", "FOK")


class Risk:
    """Limits, exposure, cash, the day's and the week's result."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.cash = -1
        self.reserved: Any = defaultdict(int)  # by strategy
        self.held: Any = defaultdict(int)  # cost of open positions, by strategy
        self.day = self.week = -1
        self.day_usd = self.week_usd = self.marked_usd = 0
        self.is_halted_daily = self.is_halted_weekly = False
        self.dispatched: deque[int] = deque(maxlen=64)
        self.intents: set[tuple[Any, ...]] = set()
        self.intents_ns = -1

    @property
    def open_usd(self) -> int:
        return sum(self.reserved.values()) + sum(self.held.values())

    def roll(self, now_ns: int) -> None:
        """A new day at 00:00 UTC, a new week on Monday."""
        day = now_ns // DAY_NS
        week = (day + 3) // 7  # 1970-01-01 was a Thursday
        if day > self.day:
            self.day, self.day_usd, self.is_halted_daily = day, 0, False
        if week > self.week:
            self.week, self.week_usd, self.is_halted_weekly = week, 0, False

    def check_halts(self) -> None:
        if self.day_usd + self.marked_usd <= -self.limits.daily_loss:
            self.is_halted_daily = True
        if self.week_usd + self.marked_usd <= -self.limits.weekly_loss:
            self.is_halted_weekly = True

    def check(self, m: Market, spot: Spot, s: Signal, now_ns: int) -> str:
        """ "DISPATCHED" with s.ushares cut to what is allowed, or the denial."""
        intent = (s.strategy, m.index, s.outcome, s.ticks)
        if now_ns != self.intents_ns:
            self.intents, self.intents_ns = set(), now_ns
        fate = self.check_account(m, spot, now_ns, is_taker=not s.post_only)
        if not fate and intent in self.intents:
            fate = "DUPLICATE"
        fate = fate or check_own_orders(m, s)
        if not fate and is_dear_pair(m, s):
            fate = "PAIR_COST"
        fate = fate or self._check_row(m, s, now_ns) or self._fit(m, s) or self._check_rate(now_ns)
        if fate:
            return fate
        self.intents.add(intent)
        self.dispatched.append(now_ns)
        return "DISPATCHED"

    def check_account(self, m: Market, spot: Spot, now_ns: int, *, is_taker: bool) -> str:
        """Halts and data ages; "" when there is nothing against it."""
        limits = self.limits
        if self.is_halted_daily:
            return "HALTED_DAILY"
        if self.is_halted_weekly:
            return "HALTED_WEEKLY"
        if abs(spot.lag_ns) > limits.skew_ns:
            return "CLOCK_SKEW"
        if now_ns - spot.data_ns > (limits.spot_age_ns if is_taker else limits.stale_ns):
            return "STALE_SPOT"
        if is_taker and now_ns - spot.trade_ns > limits.spot_age_ns:
            slack = (
                spot.sigma * spot.last
            )  # an old trade counts while quotes are within a second's move of it
            if not spot.bid - slack <= spot.last <= spot.ask + slack:
                return "STALE_SPOT"
        if now_ns - m.book_ns > limits.stale_ns:
            return "STALE_BOOK"
        if m.spec.rule != "candle" and now_ns - spot.oracle_ns > limits.oracle_age_ns:
            return "STALE_ORACLE"
        return ""

    def _check_row(self, m: Market, s: Signal, now_ns: int) -> str:
        row = self.limits.rows[s.strategy]
        if now_ns - m.last_dispatch_ns[s.strategy] < row.cooldown_ns:
            return "COOLDOWN"
        if m.order_count[s.strategy] >= row.max_orders:
            return "MAX_ORDERS"
        return "PRICE_COLLAR" if self._is_outside_collar(m, s) else ""

    def _is_outside_collar(self, m: Market, s: Signal) -> bool:
        """Dearer by more than the collar than the model, or than mid (or the one side there is)."""
        collar = self.limits.collar_ticks
        if not s.ticks - m.fair(s.outcome) * TOP <= collar:
            return True
        sides = [ticks for ticks in (m.book.best_bid(s.outcome), m.book.best_ask(s.outcome)) if ticks > 0]
        return bool(sides) and s.ticks - sum(sides) / len(sides) > collar

    def _fit(self, m: Market, s: Signal) -> str:
        """Cut the size to the narrowest room, down to the lot; what bound it is the reason when too little is left."""
        limits, row, open_usd = self.limits, self.limits.rows[s.strategy], self.open_usd
        if m.spec.fees_enabled and m.spec.fee_rate_ppm is None and not s.post_only:
            return "EDGE_AFTER_COSTS"
        rate = m.spec.fee_rate_ppm if m.spec.fees_enabled and not s.post_only else 0
        unit = notional(MILLION, s.ticks) + fee_micro_usd(MILLION, s.ticks, rate, m.spec.fee_exponent) + 10
        rooms = (
            (row.per_trade, "SIZE_BELOW_MIN"),
            (row.total - self.reserved[s.strategy] - self.held[s.strategy], "STRATEGY_EXPOSURE"),
            (limits.exposure - open_usd, "PORTFOLIO_EXPOSURE"),
            (limits.hard_open - open_usd, "HARD_CEILING"),
            (limits.hard_order, "HARD_CEILING"),
            (self.cash - sum(self.reserved.values()) if self.cash >= 0 else 0, "INSUFFICIENT_BALANCE"),
        )
        room, bound = min(rooms, key=lambda item: item[0])
        room -= ROUNDING_USD
        if room <= 0:
            return bound
        ushares = s.ushares
        if ushares * unit > room * MILLION:
            ushares = int(room * MILLION / unit)
        else:
            bound = "SIZE_BELOW_MIN"
        ushares -= ushares % LOT
        if ushares < m.spec.min_size_ushares:
            return bound
        if not s.post_only and notional(ushares, s.ticks) < MIN_TAKER_USD:
            return bound
        s.ushares = ushares
        return ""

    def _check_rate(self, now_ns: int) -> str:
        """At most orders_per_s orders within any second."""
        count = max(1, int(self.limits.orders_per_s))
        span_ns = round(count / self.limits.orders_per_s * 1e9)
        recent = [at_ns for at_ns in self.dispatched if now_ns - at_ns < span_ns]
        return "RATE_LIMIT" if len(recent) >= count else ""


def check_own_orders(m: Market, s: Signal) -> str:
    """An unknown order blocks its token; none may meet one of ours; a strategy waits for its own order."""
    same = [order for order in m.orders if order.outcome == s.outcome]
    is_waiting = False
    for order in same:
        if order.status == "UNKNOWN":
            return "UNKNOWN_ORDER"
        is_waiting = is_waiting or order.strategy == s.strategy
    for order in m.orders:  # a buy of Up at p meets a buy of Down at 1 - p or more
        if order.outcome == s.outcome or not order.outstanding:
            continue
        if not s.post_only and order.may_meet_a_resting_one:
            continue
        if s.ticks >= TOP - order.ticks:
            return "SELF_CROSS"
    if s.post_only and s.ticks >= m.book.best_ask(s.outcome) >= 0:
        return "POST_ONLY_WOULD_CROSS"
    return "PENDING_ORDER" if is_waiting else ""


def is_dear_pair(m: Market, s: Signal) -> bool:
    """Up and Down held together pay 1: no pair may cost more, fees included."""
    other = 1 - s.outcome
    held, cost = m.shares[other], float(m.cost[other])
    for order in m.orders:
        if order.outcome == other:
            held += order.outstanding
            cost += order.reserve
    if held <= 0:
        return False
    price = s.ticks * 1e-4
    if not s.post_only:
        price += m.fee(price)
    pair = cost / held + price
    return math.isnan(pair) or pair > 1.0
