"""One complete comparison with the venue: open orders, own trades, cash and shares.  The venue wins.

Owns what a comparison needs and when it may be believed: every page of every list, or VenueError and nothing is
applied.  Orders we hold for open that the venue does not list are only marked missing: not listed is not
canceled, the resolver looks them up.  Orders of ours that had ended and are listed open are revenants, to be
canceled.  Open orders at the venue that are not ours are strangers; trades of this
account that no order of ours made, and money or shares our fills do not explain, are problems: as long as there
is one, no new order may leave (the daemon sees to that).
Called by gateway.clob (start, after each user connect, every 30 s, after a hang or a lost heartbeat).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from polybot._fast.event import EventBuffer, EventKind
from polybot.clock import Clock
from polybot.errors import DecodeError, VenueError
from polybot.gateway.holdings import Holdings
from polybot.gateway.resolver import Resolver
from polybot.gateway.rest import ClobRest, read_json
from polybot.gateway.tracker import OrderTracker
from polybot.market.spec import MarketSpec

__all__ = ["ReconcileReport", "Reconciler"]


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What one comparison found."""

    open_orders: int
    strangers: tuple[str, ...]  # ids of open orders at the venue that are not ours
    missing: int  # orders we hold for open that the venue does not list; being looked up
    balance_micro_usd: int
    ours_to_cancel: tuple[str, ...] = ()  # of the strangers, those in markets we trade
    canceled_strangers: tuple[str, ...] = ()
    revenants: tuple[str, ...] = ()  # ids of our own orders that had ended for us and are listed open
    problems: tuple[str, ...] = ()  # what else of this account we cannot explain, in words


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
        funder: str,
        holdings: Holdings,
        emit: Callable[[EventBuffer], None],
    ) -> None:
        self._rest = rest
        self._tracker = tracker
        self._resolver = resolver
        self._clock = clock
        self._signature_type = signature_type
        self._funder = funder.lower()
        self._holdings = holdings
        self._emit = emit

    async def list_open(self) -> list[dict[str, Any]]:
        """Return every open order of the account; raises VenueError unless the list is complete."""
        return await self._rest.read_pages("/data/orders")

    async def read_balance(self, token_id: str = "") -> int:
        """Return the collateral in micro-USD, or the micro-shares of a token; raises VenueError."""
        what = "GET /balance-allowance"
        query = {"asset_type": "COLLATERAL", "signature_type": str(self._signature_type)}
        if token_id:
            query |= {"asset_type": "CONDITIONAL", "token_id": token_id}
        answer = read_json(await self._rest.read("/balance-allowance", **query), what)
        told = answer.get("balance") if isinstance(answer, dict) else None
        if not isinstance(told, str) or not (told.isascii() and told.isdigit()):
            raise VenueError(f"{what}: no balance")
        return int(told)

    async def compare(self, markets: Mapping[str, MarketSpec]) -> ReconcileReport:
        """Compare the account and these markets (by condition id); all of it is asked for, then applied, or nothing.

        A difference is looked at twice: a fill in the middle of the questions makes one that is none.
        """
        report = await self._pass(markets)
        if report.problems:  # each revenant is one
            report = await self._pass(markets)
        self._holdings.believe(report.balance_micro_usd)
        out = EventBuffer(1)
        out.add(int(EventKind.EV_BALANCE), recv_ns=self._clock.now_ns(), j=report.balance_micro_usd)
        self._emit(out)
        return report

    async def _pass(self, markets: Mapping[str, MarketSpec]) -> ReconcileReport:
        asked_ns = self._clock.now_ns()
        ended = {order.order_id for order in self._tracker if order.is_terminal}
        listed = await self.list_open()
        wanted = {order.condition_id for order in self._tracker.open_orders()}.union(markets)
        trades = {condition: await self._resolver.fetch_trades(condition) for condition in sorted(wanted)}
        shares = {
            token_id: await self.read_balance(token_id)
            for _, spec in sorted(markets.items())
            if asked_ns < spec.end_ns  # after its end a position may be paid out at any moment
            for token_id in (spec.token_up, spec.token_down)
        }
        balance = await self.read_balance()
        strangers = self._apply_open(listed)
        for part in trades.values():
            self._resolver.apply_trades(part)
        missing = self._mark_missing({str(row.get("id", "")).lower() for row in listed}, asked_ns)
        problems = self._foreign_trades(part for key, part in trades.items() if key in markets)
        problems += self._holdings.check(balance, shares, self._clock.now_ns())
        revenants = self._find_revenants(listed, ended)
        problems += tuple(f"order {order_id[:18]} had ended here and is open at the venue" for order_id in revenants)
        return ReconcileReport(
            open_orders=len(listed),
            strangers=tuple(strangers),
            missing=missing,
            balance_micro_usd=balance,
            ours_to_cancel=tuple(key for key, condition in strangers.items() if condition in markets),
            revenants=revenants,
            problems=problems,
        )

    def _apply_open(self, listed: list[dict[str, Any]]) -> dict[str, str]:
        """Apply the list of open orders; returns the market of each that is not ours, by its id."""
        out = EventBuffer(8)
        strangers: dict[str, str] = {}
        try:
            for row in listed:
                order = self._tracker.on_order_event(out, row, now_ns=self._clock.now_ns())
                if order is None:
                    strangers[str(row.get("id", ""))] = str(row.get("market", ""))
                else:
                    order.missing = order.cancel_answered = False
        except DecodeError as error:
            raise VenueError(f"GET /data/orders: {error}") from error
        finally:
            if len(out):
                self._emit(out)
        return strangers

    def _find_revenants(self, listed: list[dict[str, Any]], ended: set[str]) -> tuple[str, ...]:
        """Ids of our orders that had ended before the list was asked for, still have, and are listed alive."""
        alive = (str(row.get("id", "")).lower() for row in listed if _is_alive(row))
        return tuple(
            order_id
            for order_id in dict.fromkeys(alive)
            if order_id in ended and (order := self._tracker.by_id(order_id)) is not None and order.is_terminal
        )

    def _foreign_trades(self, lists: Iterable[list[dict[str, Any]]]) -> tuple[str, ...]:
        """Name trades of this wallet in markets we trade which no order of ours made."""
        foreign: dict[str, None] = {}
        for trade in (trade for part in lists for trade in part):
            legs = [leg for leg in trade.get("maker_orders") or () if isinstance(leg, dict)]
            orders = [trade.get("taker_order_id"), *(leg.get("order_id") for leg in legs)]
            wallets = [trade.get("maker_address"), *(leg.get("maker_address") for leg in legs)]
            is_ours = any(self._tracker.by_id(str(order_id)) is not None for order_id in orders)
            if not is_ours and self._funder in (str(wallet).lower() for wallet in wallets):
                foreign[f"trade {str(trade.get('id'))[:40]} was not made by an order of ours"] = None
        return tuple(foreign)

    def _mark_missing(self, listed: set[str], asked_ns: int) -> int:
        """Mark orders that were sent and answered before we asked and are not listed."""
        missing = 0
        for order in self._tracker.open_orders():
            if order.answered and order.placed_ns < asked_ns and order.order_id not in listed:
                order.missing = True
                missing += 1
        return missing


def _is_alive(row: Mapping[str, object]) -> bool:
    return str(row.get("status", "")).upper().removeprefix("ORDER_STATUS_").startswith(("LIVE", "DELAYED"))
