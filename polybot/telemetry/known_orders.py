"""What telemetry remembers of each order, so that its later records are written with the terms it was placed with.

Owns the bound: the oldest order beyond it is forgotten, and what comes of it later is written with what the records
say themselves.  Must not write or tell anything.  Used by TelemetryWriter.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from polybot.telemetry.market_log import MarketLog
from polybot.telemetry.records import Record

__all__ = ["KnownOrder", "KnownOrders"]

ORDERS_MAX = 1 << 16


@dataclass(slots=True)
class KnownOrder:
    """What is known of one order_seq."""

    log: MarketLog | None = None
    place: Record | None = None
    order_id: str = ""
    reason: str = ""
    told: tuple[int, int] = (-1, -1)  # status and matched size that watchers heard last

    def with_terms(self, record: Record) -> Record:
        """An update with the terms the order was placed with; size and price from the update if it has them."""
        place = self.place
        if place is None:
            return record
        return record._replace(
            outcome=place.outcome,
            side=place.side,
            order_type=place.order_type,
            strategy=place.strategy,
            price_ticks=record.price_ticks or place.price_ticks,
            shares=record.shares or place.shares,
        )

    def is_news(self, status: int, matched_micro: int) -> bool:
        """Has watchers not heard this state yet?  Takes note of it."""
        before, self.told = self.told, (status, matched_micro)
        return before != self.told


class KnownOrders:
    """Orders by order_seq."""

    def __init__(self) -> None:
        self._orders: dict[int, KnownOrder] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def of(self, order_seq: int) -> KnownOrder:
        """The order, new when nothing was known of it."""
        order = self._orders.get(order_seq)
        if order is None:
            order = self._orders[order_seq] = KnownOrder()
            if len(self._orders) > ORDERS_MAX:
                del self._orders[next(iter(self._orders))]
        return order

    def log_of(self, order_seq: int) -> MarketLog | None:
        """The market of an order, None while nobody knows it."""
        order = self._orders.get(order_seq)
        return None if order is None else order.log

    def forget(self, order_seqs: Iterable[int]) -> None:
        """These are over."""
        for order_seq in order_seqs:
            self._orders.pop(order_seq, None)
