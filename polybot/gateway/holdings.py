"""What the account must hold by our own books, compared with what the venue says it holds.

Owns the cash known at the last comparison and, per market, what makes a difference explainable.  Shares follow
from our own fills alone; cash from the last told balance and the fills since.  Only what is in flight may differ:
an order whose state is not known, a trade not yet confirmed, the payout of a market that has ended, and rounding.
Anything else means that somebody else acts on this account (a manual sale, a withdrawal) or that a fill is
missing: it is named, and no new order may leave.  Cash is then believed as told (the venue wins); shares stay a
problem until their market is over.  No I/O.  Called by gateway.reconcile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from polybot._fast.event import TradeStatus
from polybot._fast.fees import notional_micro_usd, taker_fee_micro_usd
from polybot.gateway.tracker import OrderTracker, TrackedOrder
from polybot.gateway.trades import Fill
from polybot.market.spec import MarketSpec

__all__ = ["Holdings", "Span"]

NS = 1_000_000_000
CONFIRMED = int(TradeStatus.TS_CONFIRMED)
BUY = 0
# The venue's rounding of a fee is not documented to the last digit: 0.001 USD over all fills between two looks.
ROUNDING_MICRO_USD = 1_000
PAYOUT_S = 7_200  # after a market's end its payout may still come
MAX_MARKETS = 2_000  # markets remembered; the oldest go first


class Span(NamedTuple):
    """How far a told number may lie below (<= 0) and above (>= 0) the expected one."""

    low: int
    high: int

    def widened(self, low: int, high: int) -> "Span":
        """Return this span with more room."""
        return Span(self.low + low, self.high + high)


@dataclass(frozen=True, slots=True)
class _Market:
    end_ns: int
    tokens: tuple[str, str]
    rate_ppm: int  # 0: no fee
    exponent: int


class Holdings:
    """Expected cash (micro-USD) and shares (micro-shares) of one account."""

    def __init__(self, tracker: OrderTracker) -> None:
        self._tracker = tracker
        self._markets: dict[str, _Market] = {}
        self._told_cash: int | None = None
        self._told_flow = 0  # what our fills had moved when that was told
        self._told_span = Span(0, 0)  # what was in flight then
        # Orders whose story is over, summed up: nobody has to read them again.
        self._finished: dict[str, tuple[int, int]] = {}  # by order id: its cash and its filled micro-shares
        self._finished_flow = 0
        self._finished_held: dict[str, int] = {}  # by token

    def follow(self, spec: MarketSpec) -> None:
        """A market may be traded from now on."""
        while len(self._markets) >= MAX_MARKETS:
            oldest = self._markets.pop(next(iter(self._markets)))
            for token_id in oldest.tokens:
                self._finished_held.pop(token_id, None)
        has_fee = spec.fees_enabled and spec.fee_rate_ppm is not None
        self._markets[spec.condition_id] = _Market(
            spec.end_ns,
            (spec.token_up, spec.token_down),
            (spec.fee_rate_ppm or 0) if has_fee else 0,
            (spec.fee_exponent or 1) if has_fee else 1,
        )

    def check(self, told_cash: int, told_shares: Mapping[str, int], now_ns: int) -> tuple[str, ...]:
        """Compare collateral and shares by token; returns what cannot be explained, in words."""
        live = self._sum_up_finished()
        return (*self._check_shares(told_shares, live), *self._check_cash(told_cash, live, now_ns))

    def believe(self, told_cash: int) -> None:
        """Whatever the cash is, it is what the next comparison starts from."""
        self._told_flow, self._told_span = self._flow_and_span(self._sum_up_finished())
        self._told_cash = told_cash

    def _sum_up_finished(self) -> list[TrackedOrder]:
        """Add up the orders that are over; returns the others, also such as came back (revived, filled late)."""
        live: list[TrackedOrder] = []
        known: dict[str, tuple[int, int]] = {}
        for order in self._tracker:
            summed = self._finished.get(order.order_id)
            if summed is not None and order.is_settled and summed[1] == order.filled_ushares:
                known[order.order_id] = summed
                continue
            if summed is not None:
                self._add_finished(order, -summed[0], -summed[1])
            if order.is_settled and all(status == CONFIRMED for status, _ in self._fills(order)):
                known[order.order_id] = self._flow(order), order.filled_ushares
                self._add_finished(order, *known[order.order_id])
            else:
                live.append(order)
        self._finished = known
        return live

    def _add_finished(self, order: TrackedOrder, flow: int, ushares: int) -> None:
        self._finished_flow += flow
        held = self._finished_held.get(order.token_id, 0)
        self._finished_held[order.token_id] = held + _sign(order) * ushares

    def _check_shares(self, told: Mapping[str, int], live: list[TrackedOrder]) -> tuple[str, ...]:
        problems = []
        for token_id, ushares in told.items():
            expected, span = self._finished_held.get(token_id, 0), Span(0, 0)
            for order in live:
                if order.token_id == token_id:
                    expected += _sign(order) * order.filled_ushares
                    span = span.widened(*self._shares_span(order))
            if not expected + span.low <= ushares <= expected + span.high:
                problems.append(
                    f"{ushares / 1e6:g} shares of token {token_id[:12]} are held, {expected / 1e6:g} by our fills"
                )
        return tuple(problems)

    def _check_cash(self, told: int, live: list[TrackedOrder], now_ns: int) -> tuple[str, ...]:
        if self._told_cash is None:
            return ()
        flow, span = self._flow_and_span(live)
        expected = self._told_cash + flow - self._told_flow
        # What was in flight the last time may or may not have been in the number told then.
        low = span.low - self._told_span.high - ROUNDING_MICRO_USD
        high = span.high - self._told_span.low + self._possible_payouts(live, now_ns) + ROUNDING_MICRO_USD
        if expected + low <= told <= expected + high:
            return ()
        return (f"the balance is {told / 1e6:.6f} USD, {expected / 1e6:.6f} by our fills",)

    def _flow_and_span(self, live: list[TrackedOrder]) -> tuple[int, Span]:
        """Cash moved by all our fills, and what of it is in flight."""
        flow, span = self._finished_flow, Span(0, 0)
        for order in live:
            flow += self._flow(order)
            span = span.widened(*self._cash_span(order))
        return flow, span

    def _shares_span(self, order: TrackedOrder) -> Span:
        coming = _coming_ushares(order)
        unsure = sum(fill.ushares for status, fill in self._fills(order) if status != CONFIRMED)
        # A buy still to come raises, a buy not yet booked there lowers; a sale the other way round.
        return Span(-unsure, coming) if _sign(order) > 0 else Span(-coming, unsure)

    def _flow(self, order: TrackedOrder) -> int:
        """Cash moved by the fills of an order, micro-USD."""
        return sum(self._moved(order, fill) for _, fill in self._fills(order))

    def _moved(self, order: TrackedOrder, fill: Fill) -> int:
        money = notional_micro_usd(fill.ushares, fill.price_ticks)
        fee = 0 if fill.is_maker else self._fee(order, fill.ushares, fill.price_ticks)
        return -_sign(order) * money - fee

    def _cash_span(self, order: TrackedOrder) -> Span:
        span = Span(0, 0)
        for status, fill in self._fills(order):
            if status != CONFIRMED:
                moved = self._moved(order, fill)
                span = span.widened(-max(0, moved), -min(0, moved))
        coming = _coming_ushares(order)
        if not coming:
            return span
        if _sign(order) < 0:  # at most 1 USD a share
            return span.widened(0, coming)
        price_ticks = order.plan.price_ticks  # a price below the limit costs less, its fee included
        return span.widened(-notional_micro_usd(coming, price_ticks) - self._fee(order, coming, price_ticks), 0)

    def _fee(self, order: TrackedOrder, ushares: int, price_ticks: int) -> int:
        market = self._markets.get(order.condition_id)
        if market is None or not market.rate_ppm:
            return 0
        return taker_fee_micro_usd(ushares, price_ticks, market.rate_ppm, market.exponent)

    def _possible_payouts(self, live: list[TrackedOrder], now_ns: int) -> int:
        """Micro-USD that markets which have ended may pay, or have paid: one USD a winning share."""
        total = 0
        for market in self._markets.values():
            if market.end_ns <= now_ns < market.end_ns + PAYOUT_S * NS:
                held = [
                    self._finished_held.get(token_id, 0)
                    + sum(
                        _sign(order) * order.filled_ushares + _coming_ushares(order)
                        for order in live
                        if order.token_id == token_id
                    )
                    for token_id in market.tokens
                ]
                total += max(0, *held)
        return total

    def _fills(self, order: TrackedOrder) -> Iterator[tuple[int, Fill]]:
        return self._tracker.ledger.fills_of(order.order_id, order.trade_ids)


def _sign(order: TrackedOrder) -> int:
    return 1 if order.plan.side == BUY else -1


def _coming_ushares(order: TrackedOrder) -> int:
    """What may have matched and was not told as a fill: not of an order that was just listed as resting."""
    if order.is_terminal or not (order.is_taker or order.is_doubted):
        return max(0, order.matched_ushares - order.booked_ushares)
    return max(0, order.plan.ushares - order.booked_ushares)
