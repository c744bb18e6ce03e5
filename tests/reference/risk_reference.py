"""Slow, obvious accounting of an account's orders, written from engine.md ("Risk", "Money") in integers.

Independent of polybot: no import from it.  It knows what the venue truly did with each order (`Truth`), which the
program under test only hears of piece by piece, late, twice or never.  A sale gives its money back only when the
program was told that it is confirmed: before, it may still fail.  Money in micro-USD, sizes in micro-shares (lots
of 10,000), prices in ticks of 0.0001 USD: then price x shares is exact.
"""

from dataclasses import dataclass, field

TICKS = 10_000
FEE_STEP = 10  # the venue's grid of 0.00001 USD, in micro-USD
# A fee is rounded half up per fill: so much dearer than the order's reservation each fill may turn out.
FEE_ROUNDING = FEE_STEP // 2


def fee(ticks: int, shares: int) -> int:
    """0.07 x shares x p (1 - p), rounded half up to the grid."""
    exact = 7 * shares * ticks * (TICKS - ticks)  # in units of 1e-10 micro-USD
    unit = 100 * TICKS * TICKS * FEE_STEP
    return (2 * exact + unit) // (2 * unit) * FEE_STEP


@dataclass
class TrueFill:
    """One match at the venue; failed ones never count in the end."""

    shares: int
    ticks: int
    fails: bool
    taker: bool
    told: bool = False  # the program heard that it was matched
    told_failed: bool = False
    told_confirmed: bool = False
    sale: bool = False

    @property
    def cost(self) -> int:
        """What it cost, fee included; of a sale, what it brought after its fee, below zero."""
        notional, charge = (
            self.shares * self.ticks // TICKS,
            fee(self.ticks, self.shares) if self.taker else 0,
        )
        return charge - notional if self.sale else charge + notional


@dataclass
class Truth:
    """One order as the venue has it."""

    market: int
    strategy: int
    outcome: int
    shares: int
    limit: int  # ticks
    taker: bool
    sent_ns: int
    fills: list[TrueFill] = field(default_factory=list)
    may_still_match: bool = True  # the program has not been told an end of it
    reached: bool = True  # not told otherwise
    forgotten: bool = False  # its window was dropped
    sale: bool = False

    @property
    def most(self) -> int:
        """What it has cost or may still cost: every fill that stays, and the open rest at the limit.

        A sale: what is sure to have come back, below zero.
        """
        if self.sale:
            return sum(item.cost for item in self.fills if item.told_confirmed)
        stays = [item for item in self.fills if not item.told_failed]
        cost = sum(item.cost for item in stays)
        if self.may_still_match:
            rest = self.shares - sum(item.shares for item in self.fills)  # no match revives
            cost += rest * self.limit // TICKS + (fee(self.limit, rest) if self.taker else 0)
        return cost

    @property
    def counts(self) -> bool:
        """One of max_orders: it may still fill, or has filled."""
        rest = self.shares - sum(item.shares for item in self.fills)
        return (self.may_still_match and rest > 0) or any(not item.told_failed for item in self.fills)


@dataclass
class Row:
    """One strategy's limits."""

    per_trade: int
    total: int
    cooldown_ns: int
    max_orders: int


@dataclass
class Limits:
    """What must hold."""

    portfolio: int
    hard_order: int
    hard_open: int
    rate_count: int
    rate_span_ns: int
    rows: list[Row]


class SlowAccount:
    """Every order ever sent, reckoned from scratch at each question."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.orders: dict[int, Truth] = {}
        self.winners: dict[int, int] = {}

    def exposures(self) -> list[int]:
        """At risk in windows that are not settled, per strategy."""
        parts: dict[tuple[int, int], int] = {}
        for order in self.orders.values():
            if not order.forgotten and order.market not in self.winners:
                key = order.strategy, order.market
                parts[key] = parts.get(key, 0) + order.most
        sums = [0] * len(self.limits.rows)
        for (strategy, _), usd in parts.items():
            sums[strategy] += max(0, usd)
        return sums

    def held(self, strategy: int, market: int, outcome: int) -> int:
        """Shares the program was told of, less all it offered and may have sold."""
        total = 0
        for order in self.orders.values():
            if (order.strategy, order.market, order.outcome) != (strategy, market, outcome):
                continue
            stands = sum(item.shares for item in order.fills if item.told and not item.told_failed)
            if order.sale:
                gone = sum(item.shares for item in order.fills if not item.told_failed)
                rest = order.shares - sum(item.shares for item in order.fills)
                stands = gone + (rest if order.may_still_match else 0)
            total += -stands if order.sale else stands
        return total

    def slack(self) -> int:
        """What rounding of fees per fill may add."""
        return FEE_ROUNDING * sum(len(o.fills) + 1 for o in self.orders.values())

    def problems_now(self, exposures: list[int]) -> list[str]:
        """Limits that are broken by these exposures."""
        slack, total = self.slack(), sum(exposures)
        limits = [("portfolio", total, self.limits.portfolio), ("hard open", total, self.limits.hard_open)]
        limits += [(f"strategy {k}", exposures[k], row.total) for k, row in enumerate(self.limits.rows)]
        return [f"{name}: {found} > {limit}" for name, found, limit in limits if found > limit + slack]

    def problems_of(self, seq: int) -> list[str]:
        """What is wrong with an order just sent."""
        order = self.orders[seq]
        row = self.limits.rows[order.strategy]
        found = []
        if order.sale and self.held(order.strategy, order.market, order.outcome) < 0:
            found.append(f"order {seq}: more offered than is held")
        if order.most > FEE_ROUNDING + min(row.per_trade, self.limits.hard_order):
            found.append(f"order {seq}: {order.most} above the cap of one trade")
        same = [o for o in self.orders.values() if (o.strategy, o.market) == (order.strategy, order.market)]
        if sum(o.counts for o in same) > row.max_orders:
            found.append(f"order {seq}: more than {row.max_orders} orders count")
        before = [o.sent_ns for o in same if o is not order and o.reached]
        if before and order.sent_ns - max(before) < row.cooldown_ns:
            found.append(f"order {seq}: within the cooldown")
        recent = [
            o
            for o in self.orders.values()
            if order.sent_ns - self.limits.rate_span_ns < o.sent_ns <= order.sent_ns
        ]
        if len(recent) > self.limits.rate_count:
            found.append(f"order {seq}: {len(recent)} orders within the span of the rate")
        return found

    def realised(self) -> int:
        """Payout minus cost of everything heard of in settled windows."""
        total = 0
        for order in self.orders.values():
            if order.market not in self.winners:
                continue
            for item in order.fills:
                if item.told and not item.told_failed:
                    pays = item.shares if order.outcome == self.winners[order.market] else 0
                    total += (-pays if item.sale else pays) - item.cost
        return total
