"""One complete comparison with the venue: open orders, own trades, balance.  The venue wins.

Owns what a comparison needs and when it may be believed: every page of every list, or VenueError.
Orders we hold for open that the venue does not list are only marked missing: not listed is not
canceled, the resolver looks them up.  Open orders at the venue that are not ours are strangers: the
daemon decides about them.  Called by gateway.clob (start, after each user connect, every 30 s).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from polybot._fast.event import EventBuffer, EventKind
from polybot.clock import Clock
from polybot.errors import DecodeError, VenueError
from polybot.gateway.resolver import Resolver
from polybot.gateway.rest import ClobRest, read_json
from polybot.gateway.tracker import OrderTracker

__all__ = ["ReconcileReport", "Reconciler"]


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What one comparison found."""

    open_orders: int
    strangers: tuple[str, ...]  # ids of open orders at the venue that are not ours
    missing: int  # orders we hold for open that the venue does not list; being looked up
    balance_micro_usd: int


class Reconciler:
    """Compares one account; `emit` hands on what was missed."""

    def __init__(
        self,
        rest: ClobRest,
        tracker: OrderTracker,
        *,
        resolver: Resolver,
        clock: Clock,
        signature_type: int,
        emit: Callable[[EventBuffer], None],
    ) -> None:
        self._rest = rest
        self._tracker = tracker
        self._resolver = resolver
        self._clock = clock
        self._signature_type = signature_type
        self._emit = emit

    async def list_open(self) -> list[dict[str, Any]]:
        """Return every open order of the account; raises VenueError unless the list is complete."""
        return await self._rest.read_pages("/data/orders")

    async def read_balance(self) -> int:
        """Return the collateral in micro-USD; raises VenueError."""
        what = "GET /balance-allowance"
        query = {"asset_type": "COLLATERAL", "signature_type": str(self._signature_type)}
        answer = read_json(await self._rest.read("/balance-allowance", **query), what)
        told = answer.get("balance") if isinstance(answer, dict) else None
        if not isinstance(told, str) or not (told.isascii() and told.isdigit()):
            raise VenueError(f"{what}: no balance")
        return int(told)

    async def compare(self, conditions: Iterable[str]) -> ReconcileReport:
        """Ask for everything, then apply it; nothing is applied when anything is incomplete."""
        asked_ns = self._clock.now_ns()
        listed = await self.list_open()
        wanted = {order.condition_id for order in self._tracker.open_orders()}.union(conditions)
        trades = [await self._resolver.fetch_trades(condition) for condition in sorted(wanted)]
        balance = await self.read_balance()
        strangers = self._apply_open(listed)
        for part in trades:
            self._resolver.apply_trades(part)
        missing = self._mark_missing({str(row.get("id", "")).lower() for row in listed}, asked_ns)
        out = EventBuffer(1)
        out.add(int(EventKind.EV_BALANCE), recv_ns=self._clock.now_ns(), j=balance)
        self._emit(out)
        return ReconcileReport(len(listed), strangers, missing, balance)

    def _apply_open(self, listed: list[dict[str, Any]]) -> tuple[str, ...]:
        out = EventBuffer(8)
        strangers: list[str] = []
        try:
            for row in listed:
                order = self._tracker.on_order_event(out, row, now_ns=self._clock.now_ns())
                if order is None:
                    strangers.append(str(row.get("id", "")))
                else:
                    order.missing = order.cancel_answered = False
        except DecodeError as error:
            raise VenueError(f"GET /data/orders: {error}") from error
        finally:
            if len(out):
                self._emit(out)
        return tuple(strangers)

    def _mark_missing(self, listed: set[str], asked_ns: int) -> int:
        """Mark orders that were sent and answered before we asked and are not listed."""
        missing = 0
        for order in self._tracker.open_orders():
            if order.answered and order.placed_ns < asked_ns and order.order_id not in listed:
                order.missing = True
                missing += 1
        return missing
