"""Cancels: one order, one market, everything.  Repeated until answered, never taken as proof.

Owns the DELETE requests and their own rate bucket; the HTTP client gives them connections of their own, so a
cancel never waits behind a place.  Cancels asked for in one go leave as one request.  A cancel is idempotent, so
it is sent again after no answer; at most MAX_ATTEMPTS times, and once more when the venue answers again.
"Canceled" does not tell how much had matched and "not canceled" does not tell why: the resolver looks in both
cases.  Called by gateway.clob.
"""

from collections.abc import Iterable

from polybot.clock import Clock
from polybot.config import GatewayConfig
from polybot.errors import VenueUnavailable
from polybot.gateway.limiter import TokenBucket
from polybot.gateway.orders import TradedMarket
from polybot.gateway.resolver import Resolver, Spawn
from polybot.gateway.responses import CancelAnswer, read_cancel
from polybot.gateway.rest import ClobRest
from polybot.gateway.tracker import OrderTracker, TrackedOrder

__all__ = ["MAX_ATTEMPTS", "Canceler"]

MAX_ATTEMPTS = 8  # with the backoff of gateway settings: about 20 s
MAX_BATCH = 1_000  # ids in one DELETE /orders, by the venue's documentation


class Canceler:
    """Sends cancels of one account."""

    def __init__(
        self,
        rest: ClobRest,
        tracker: OrderTracker,
        *,
        resolver: Resolver,
        clock: Clock,
        settings: GatewayConfig,
        spawn: Spawn,
    ) -> None:
        self._rest = rest
        self._tracker = tracker
        self._resolver = resolver
        self._clock = clock
        self._settings = settings
        self._spawn = spawn
        self._bucket = TokenBucket(settings.cancel_per_s, settings.cancel_burst)
        self._waiting: list[TrackedOrder] = []  # for the request that leaves when this turn of the loop is over
        self.counters = {"cancels": 0, "cancel_retries": 0, "cancel_failed": 0}

    def start(self, order: TrackedOrder) -> None:
        """Cancel one order: at once, or when its POST is answered (the caller follows up then)."""
        order.cancel_wanted = True
        if order.answered and not order.canceling and not order.is_terminal:
            order.canceling = True
            self._waiting.append(order)
            if len(self._waiting) == 1:
                self._spawn(self._cancel_waiting())

    @property
    def is_waiting(self) -> bool:
        """A cancel is about to leave, as soon as this turn of the loop is over."""
        return bool(self._waiting)

    def again(self) -> None:
        """The venue answers again: what was to be canceled and is not known to be."""
        for order in self._tracker.open_orders():
            if order.cancel_wanted and not order.cancel_confirmed:
                self.start(order)

    async def cancel_all(self, market: TradedMarket | None = None) -> tuple[str, ...]:
        """Cancel every order of a market, or of the account; returns the ids the venue canceled.

        Raises VenueUnavailable when there was no usable answer: orders may be open.
        """
        for order in self._tracker.open_orders(None if market is None else market.index):
            order.cancel_wanted = True
        if market is None:
            answer = await self._send("/cancel-all", None)
        else:
            answer = await self._send("/cancel-market-orders", {"market": market.spec.condition_id})
        if answer is None:
            raise VenueUnavailable("cancel-all: no usable answer, orders may be open")
        self._note(answer.canceled)
        for order_id in answer.not_canceled:
            self._look(order_id)
        return answer.canceled

    async def cancel_ids(self, order_ids: Iterable[str]) -> CancelAnswer | None:
        """Cancel orders by venue id, also such as we do not track; None when there was no usable answer."""
        answer = await self._send("/orders", list(order_ids))
        if answer is not None:
            self._note(answer.canceled)
        return answer

    async def _cancel_waiting(self) -> None:
        orders, self._waiting = self._waiting, []
        for start in range(MAX_BATCH, len(orders), MAX_BATCH):
            self._spawn(self._cancel_orders(orders[start : start + MAX_BATCH]))
        await self._cancel_orders(orders[:MAX_BATCH])

    async def _cancel_orders(self, orders: list[TrackedOrder]) -> None:
        ids = [order.order_id for order in orders]
        try:
            if len(ids) == 1:
                answer = await self._send("/order", {"orderID": ids[0]}, orders)
            else:
                answer = await self._send("/orders", ids, orders)
        finally:
            for order in orders:
                order.canceling = False
        for order in orders:
            if answer is not None:
                told = order.order_id in answer.not_canceled
                order.cancel_answered = told or order.order_id in answer.canceled or len(orders) == 1
                order.missing = told
        if answer is not None:
            self._note(answer.canceled)
        for order_id in ids:
            self._look(order_id)

    async def _send(
        self, path: str, body: object, orders: list[TrackedOrder] | None = None
    ) -> CancelAnswer | None:
        """Send a DELETE until it is answered; stops early when its orders have ended meanwhile."""
        pause_s = self._settings.resolve_min_s
        for attempt in range(MAX_ATTEMPTS):
            await self._bucket.acquire(self._clock)
            self.counters["cancels" if attempt == 0 else "cancel_retries"] += 1
            try:
                answer = read_cancel(await self._rest.delete(path, body))
            except VenueUnavailable:
                answer = None
            if answer is not None:
                return answer
            if orders is not None and all(order.is_terminal for order in orders):
                return None
            await self._clock.sleep(pause_s)
            pause_s = min(self._settings.resolve_max_s, 2.0 * pause_s)
        self.counters["cancel_failed"] += 1
        return None

    def _note(self, canceled: Iterable[str]) -> None:
        for order_id in canceled:
            order = self._tracker.by_id(order_id)
            if order is not None and not order.is_terminal:
                order.cancel_confirmed = True
                self._look(order_id)

    def _look(self, order_id: str) -> None:
        order = self._tracker.by_id(order_id)
        if order is not None:
            self._resolver.start(order, first_delay_s=0.0)
