"""Finds out what became of an order by asking: the order by its hash, the open orders, our own trades.

Owns one polling task per order whose end is not known: unknown after a POST without a usable answer, canceled
without a matched amount, matched but with fills missing, or a FAK/FOK that does not come to its end.  The lists of
a market are asked for once for all its orders.  Never sends an order again.  Called by gateway.clob.
What counts as evidence (complete answers only; "not found" is not "not filled"):
    order found, or listed open    its status and matched size, and trades until the fills add up
    order not found, fills known   a FAK/FOK, or an order the venue said it canceled, ends with them
                                   when two looks in a row show the same sum
    nothing found                  canceled by the venue's word: two looks; else only once the
                                   market is over: CLOSE_GRACE_S after its end, with complete lists
Backoff from resolve_min_s doubling to resolve_max_s with full jitter, at most MAX_LOOKS; after that
the order stays as it is (an unknown one keeps blocking its token) until reconcile() asks again.
wake() ends every pause: the venue answers again, or a market has ended.
"""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import orjson

from polybot._fast.event import EventBuffer
from polybot.clock import Clock
from polybot.config import GatewayConfig
from polybot.errors import DecodeError, VenueError
from polybot.gateway.joining import Joining
from polybot.gateway.rest import ClobRest
from polybot.gateway.tracker import OS_LIVE, OS_MATCHED, OS_PARTIAL, OS_SENT, OrderTracker, TrackedOrder
from polybot.transport import HttpResponse

__all__ = ["Resolver", "Spawn"]

NS = 1_000_000_000
CLOSE_GRACE_S = 5  # after a market's end; the matching engine takes no orders then
MAX_LOOKS = 2_000  # per order: hours at the longest backoff
_NOTHING = -1
Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Resolver:
    """Polls for orders; `emit` hands events on, `on_resolved` says that nothing is left to ask."""

    def __init__(
        self,
        rest: ClobRest,
        tracker: OrderTracker,
        *,
        clock: Clock,
        settings: GatewayConfig,
        maker_address: str,
        spawn: Spawn,
        emit: Callable[[EventBuffer], None],
        on_resolved: Callable[[TrackedOrder], None],
        rng: Random,
    ) -> None:
        self._rest = rest
        self._tracker = tracker
        self._clock = clock
        self._settings = settings
        self._maker_address = maker_address
        self._spawn = spawn
        self._emit = emit
        self._on_resolved = on_resolved
        self._rng = rng
        self._woken = asyncio.Event()
        self._listed = Joining(self._refresh_listed)
        self._traded = Joining(self._refresh_traded)
        self.counters = {"looks": 0, "failed_looks": 0, "given_up": 0, "unreadable": 0}

    def start(self, order: TrackedOrder, *, first_delay_s: float | None = None) -> None:
        """Poll for this order until it is settled; does nothing when that already happens."""
        if order.resolving or order.is_settled:
            return
        order.resolving = True
        delay_s = self._settings.resolve_min_s if first_delay_s is None else first_delay_s
        self._spawn(self._run(order, delay_s))

    def wake(self) -> None:
        """Look at once, whoever waits for its next look."""
        self._woken.set()
        self._woken = asyncio.Event()

    async def _nap(self, order: TrackedOrder, seconds: float) -> None:
        """Sleep until the next look: woken early by wake(), and by the moment when complete lists become a proof."""
        now_ns, proof_ns = self._clock.now_ns(), order.end_ns + CLOSE_GRACE_S * NS
        if now_ns < proof_ns:
            seconds = min(seconds, (proof_ns - now_ns) / NS)
        woken = self._woken
        try:
            async with asyncio.timeout(self._clock.real_s(seconds)):
                await woken.wait()
        except TimeoutError:
            return

    async def fetch_trades(self, condition_id: str) -> list[dict[str, Any]]:
        """Return all own trades of one market; raises VenueError unless the list is complete."""
        return await self._rest.read_pages(
            "/data/trades", maker_address=self._maker_address, market=condition_id
        )

    def apply_trades(self, trades: list[dict[str, Any]]) -> None:
        """Book trades told by REST; raises VenueError when one cannot be read."""
        out = EventBuffer(8)
        now_ns = self._clock.now_ns()
        try:
            for trade in trades:
                self._tracker.on_trade(out, trade, now_ns=now_ns)
        except DecodeError as error:
            self.counters["unreadable"] += 1
            raise VenueError(f"GET /data/trades: {error}") from error
        finally:
            if len(out):
                self._emit(out)

    async def _run(self, order: TrackedOrder, delay_s: float) -> None:
        last_sum = _NOTHING
        step_s = self._settings.resolve_min_s
        try:
            await self._nap(order, delay_s)
            for _ in range(MAX_LOOKS):
                if order.is_settled or order.status == OS_SENT:
                    return
                last_sum = await self._look(order, last_sum)
                if self._is_resolved(order):
                    break
                await self._nap(order, self._rng.uniform(self._settings.resolve_min_s / 2, step_s))
                step_s = min(self._settings.resolve_max_s, 2.0 * step_s)
            else:
                self.counters["given_up"] += 1
        finally:
            order.resolving = False
        self._on_resolved(order)

    def _is_resolved(self, order: TrackedOrder) -> bool:
        """Nothing left to ask: settled, or resting by the venue's word with all its fills known."""
        if order.is_terminal or order.is_taker or order.is_doubted:
            return order.is_settled
        return order.status in (OS_LIVE, OS_PARTIAL) and order.booked_ushares >= order.matched_ushares

    async def _look(self, order: TrackedOrder, last_sum: int) -> int:
        """Ask once; returns the sum of fills seen when the order itself told no end."""
        self.counters["looks"] += 1
        closed = self._clock.now_ns() >= order.end_ns + CLOSE_GRACE_S * NS
        try:
            found = await self._look_up_order(order)
            if found and order.is_settled:
                return _NOTHING
            # A look-up by id can be older than the lists: trades are always asked for, the open orders once they prove.
            listed = closed or not found
            if listed:
                listed = order.order_id in await self._listed.get(order.condition_id)
            await self._traded.get(order.condition_id)
        except VenueError:
            self.counters["failed_looks"] += 1
            return _NOTHING
        no_end_told = (
            not (found or listed)
            or (closed and not listed)
            or order.cancel_confirmed
            or (order.is_taker and order.status == OS_MATCHED)
        )
        if order.is_terminal or not no_end_told:
            return _NOTHING
        return self._conclude(order, last_sum, closed)

    def _conclude(self, order: TrackedOrder, last_sum: int, closed: bool) -> int:
        """All trades are known and the order itself tells no end: is this the end?"""
        booked = order.booked_ushares
        may_end = order.cancel_confirmed or (order.is_taker and booked > 0)
        if booked < order.matched_ushares or not (closed or (may_end and booked == last_sum)):
            return booked
        out = EventBuffer(4)
        self._tracker.end(out, order, now_ns=self._clock.now_ns())
        self._emit(out)
        return booked

    async def _refresh_listed(self, condition_id: str) -> set[str]:
        """Apply the complete list of open orders of a market; returns their ids."""
        listed: set[str] = set()
        for row in await self._rest.read_pages("/data/orders", market=condition_id):
            order = self._tracker.by_id(str(row.get("id", "")))
            if order is not None:
                self._apply_order(row)
                order.missing = False
                listed.add(order.order_id)
        return listed

    async def _refresh_traded(self, condition_id: str) -> None:
        """Book all own trades of a market."""
        self.apply_trades(await self.fetch_trades(condition_id))

    async def _look_up_order(self, order: TrackedOrder) -> bool:
        response = await self._rest.read(f"/data/order/{order.order_id}")
        raw = _read_order(response)
        if raw is None:
            return False
        self._apply_order(raw)
        order.missing = False
        return True

    def _apply_order(self, raw: dict[str, Any]) -> None:
        out = EventBuffer(4)
        try:
            self._tracker.on_order_event(out, raw, now_ns=self._clock.now_ns())
        except DecodeError as error:
            self.counters["unreadable"] += 1
            raise VenueError(f"GET /data/order: {error}") from error
        if len(out):
            self._emit(out)


def _read_order(response: HttpResponse) -> dict[str, Any] | None:
    """The order object, None when the venue does not know it; raises VenueError for anything else."""
    if response.status == 404:
        return None
    if response.status != 200:
        raise VenueError(f"GET /data/order: HTTP {response.status}")
    try:
        raw = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        raise VenueError("GET /data/order: not JSON") from None
    if not raw:
        return None
    if not isinstance(raw, dict) or "id" not in raw:
        raise VenueError("GET /data/order: not an order")
    return raw
