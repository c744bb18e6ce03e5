"""What happens to an accepted order: the delay, the match, the queue, the end.

    accepted -> held (DELAYED) -> matched now -> rests (LIVE) -> MATCHED | CANCELED...
             '------------------^            '-> MATCHED | CANCELED... (FAK, FOK, filled)

Owns the transitions and tells them to the user watchers and the ledger; books are in Up terms and
belong to markets, money to clearing, trade statuses to trades.  Must not check requests: exchange
does.  Called by exchange.
"""

import random
from typing import Protocol

from polybot._fast.event import OrderType
from polybot._fast.matching import MatchResult
from polybot.sim.accounts import Accounts
from polybot.sim.clearing import Clearing, needed, release, reserve
from polybot.sim.ledger import Ledger
from polybot.sim.markets import BUY, DOWN, SELL, UP, Markets, MarketState, Print, mirror
from polybot.sim.orders import (
    CANCELED,
    CANCELED_EXPIRED,
    CANCELED_FAK,
    CANCELED_FOK,
    DELAYED,
    INVALID,
    LIVE,
    MATCHED,
    Order,
)
from polybot.sim.scheduler import Scheduler
from polybot.sim.settings import ExchangeSettings
from polybot.sim.trades import Settlement, Trade, TradeLeg

__all__ = ["OrderLife", "UserWatcher"]

NS = 1_000_000_000
NS_PER_MS = 1_000_000
FEE_ACCOUNT = "fees"
FOK, GTD = int(OrderType.FOK), int(OrderType.GTD)
FILLED, KILLED = int(MatchResult.MATCH_FILLED), int(MatchResult.MATCH_KILLED)
PARTIAL_KILLED = int(MatchResult.MATCH_PARTIAL_KILLED)


class UserWatcher(Protocol):
    """Who is told about orders and trades of accounts with a key."""

    def on_order(self, order: Order, kind: str, now_ns: int) -> None:
        """kind is PLACEMENT, UPDATE or CANCELLATION."""
        ...

    def on_trade(self, trade: Trade, now_ns: int) -> None:
        """A trade was made or its status moved."""
        ...


class OrderLife:
    """Transitions of all orders of one exchange."""

    def __init__(
        self,
        *,
        settings: ExchangeSettings,
        scheduler: Scheduler,
        ledger: Ledger,
        accounts: Accounts,
        listings: Markets,
        rng: random.Random,
    ) -> None:
        self.watchers: list[UserWatcher] = []
        self.clearing = Clearing(ledger, accounts.internal(FEE_ACCOUNT))
        self._settings = settings
        self._scheduler = scheduler
        self._ledger = ledger
        self._accounts = accounts
        self._listings = listings
        self._rng = rng
        self.settlement = Settlement(
            settings, scheduler, ledger, rng, publish=self._publish_trade, undo=self._undo
        )

    # ---- transitions

    def accept(self, order: Order, *, takes: bool) -> Trade | None:
        """Start an order of an account with a key: hold it when it takes and the market delays takers."""
        account, market = order.account, order.market
        account.orders[order.order_id] = account.history[order.order_id] = order
        delay_ms = market.spec.taker_delay_ms if takes else 0
        if delay_ms:
            order.status = DELAYED
            market.held[order.order_id] = order
            due_ns = self._scheduler.now_ns + delay_ms * NS_PER_MS
            order.timer = self._scheduler.at(due_ns, lambda: self._end_delay(order))
        self._ledger.write(
            "order",
            self._scheduler.now_ns,
            id=order.order_id,
            account=account.name,
            market=market.condition_id,
            outcome=order.outcome,
            side=order.side,
            price=order.price_ticks,
            ushares=order.ushares,
            type=order.order_type,
            status=order.status,
        )
        self._publish_order(order, "PLACEMENT")
        return None if delay_ms else self.execute(order)

    def execute(self, order: Order) -> Trade | None:
        """Match an order now; the remainder rests or dies as its type says."""
        market = order.market
        side, price = order.up_terms
        result = market.book.submit(side, price, order.left, order.account.number, order.order_type)
        rested = market.book.rested
        for handle in market.book.self_hits():
            mine = market.resting.get(handle)
            if mine is not None:
                self.cancel(mine, CANCELED)
        trade = self._clear(order) if market.book.filled else None
        self._listings.touch(market)
        if rested:
            self._rest(order, rested)
        elif result == FILLED:
            self._finish(order, MATCHED, "UPDATE")
        elif result == KILLED:
            self._finish(order, CANCELED_FOK if order.order_type == FOK else CANCELED_FAK, "CANCELLATION")
        else:
            assert result == PARTIAL_KILLED, "an accepted order ended in an unknown way"
            self._publish_order(order, "UPDATE")
            self._finish(order, CANCELED, "CANCELLATION")
        return trade

    def cancel(self, order: Order, status: str) -> None:
        """End a held or resting order."""
        if order.handle:
            order.market.book.cancel(order.handle)
            self._listings.touch(order.market)
        order.market.held.pop(order.order_id, None)
        self._finish(order, status, "CANCELLATION")

    def _end_delay(self, order: Order) -> None:
        del order.market.held[order.order_id]
        order.timer = None
        order.status = LIVE
        if order.price_ticks % order.market.tick_ticks:  # the grid changed meanwhile
            self._finish(order, INVALID, "CANCELLATION")
        else:
            self.execute(order)

    def _rest(self, order: Order, handle: int) -> None:
        order.handle = handle
        order.market.resting[handle] = order
        order.account.orders[order.order_id] = order
        is_held = reserve(order, needed(order, as_taker=False))
        assert is_held, "a resting order needs no more than it held as a taker"
        if order.order_type == GTD:
            due_ns = (order.expiration_s - self._settings.gtd_removed_early_s) * NS
            order.timer = self._scheduler.at(due_ns, lambda: self.cancel(order, CANCELED_EXPIRED))
        if order.matched or order.created_ns < self._scheduler.now_ns:  # PLACEMENT said something else
            self._publish_order(order, "UPDATE")

    def _finish(self, order: Order, status: str, kind: str) -> None:
        """Terminal state: hold nothing, rest nowhere."""
        order.status = status
        if order.timer is not None:
            order.timer.cancel()
            order.timer = None
        if order.handle:
            del order.market.resting[order.handle]
            order.handle = 0
        release(order)
        order.account.orders.pop(order.order_id, None)
        self._publish_order(order, kind)
        if not order.account.is_internal:
            self._ledger.write(
                "end",
                self._scheduler.now_ns,
                id=order.order_id,
                account=order.account.name,
                matched=order.matched,
                status=status,
                cash=order.account.cash,
            )

    # ---- matches

    def _clear(self, order: Order) -> Trade | None:
        """Settle the legs of the last match in this order's book."""
        market = order.market
        taker = (order.account, order.outcome, order.side)
        legs: list[TradeLeg] = []
        makers: list[Order] = []
        for handle, owner, up_price, ushares, _ in market.book.legs():
            resting = market.resting.get(handle)
            if resting is None:  # a ladder quote: bids buy Up, asks buy Down
                maker = (self._accounts.by_number(owner), UP if order.up_terms[0] == SELL else DOWN, BUY)
                maker_id = _ladder_order_id(market, handle)
            else:
                maker, maker_id = (resting.account, resting.outcome, resting.side), resting.order_id
                resting.matched += ushares
                makers.append(resting)
            order.matched += ushares
            taker_usd, maker_usd, fee = self.clearing.settle_leg(market, taker, maker, up_price, ushares)
            legs.append(
                TradeLeg(
                    maker_order_id=maker_id,
                    maker=maker[0],
                    maker_outcome=maker[1],
                    maker_side=maker[2],
                    maker_price=mirror(maker[1], BUY, up_price)[1],
                    taker_price=mirror(order.outcome, BUY, up_price)[1],
                    ushares=ushares,
                    maker_usd=maker_usd,
                    taker_usd=taker_usd,
                    fee=fee,
                )
            )
            market.last_price = up_price
        trade = self._record(order, legs, makers)
        for resting in makers:
            self._after_maker_fill(resting)
        return trade

    def _record(self, order: Order, legs: list[TradeLeg], makers: list[Order]) -> Trade | None:
        """Public prints, and a trade when anybody with a key took part."""
        market = order.market
        transaction_hash = f"0x{self._rng.getrandbits(256):064x}"
        sizes: dict[int, int] = {}
        for leg in legs:
            sizes[leg.taker_price] = sizes.get(leg.taker_price, 0) + leg.ushares
        for price, ushares in sizes.items():
            market.prints.append(Print(order.outcome, order.side, price, ushares, transaction_hash))
        if order.account.is_internal and all(leg.maker.is_internal for leg in legs):
            return None
        trade = self.settlement.new_trade(order, legs, transaction_hash)
        for party in (order, *makers):
            party.trade_ids.append(trade.trade_id)
        self._publish_trade(trade)
        return trade

    def _undo(self, trade: Trade) -> bool:
        """Reverse a match that the chain refused, to the micro-unit; False when what it gave is gone."""
        market = trade.market
        legs = [
            (
                (trade.taker_order.account, trade.taker_order.outcome, trade.taker_order.side),
                (leg.maker, leg.maker_outcome, leg.maker_side),
                leg,
            )
            for leg in trade.legs
        ]
        if market.winner is not None or not self.clearing.can_undo(market, legs):
            return False
        for taker, maker, leg in legs:
            self.clearing.undo_leg(market, taker, maker, leg)
        return True

    def _after_maker_fill(self, order: Order) -> None:
        if order.left:
            reserve(order, needed(order, as_taker=False))
            self._publish_order(order, "UPDATE")
        else:
            self._finish(order, MATCHED, "UPDATE")

    def _publish_order(self, order: Order, kind: str) -> None:
        if not order.account.is_internal:
            for watcher in self.watchers:
                watcher.on_order(order, kind, self._scheduler.now_ns)

    def _publish_trade(self, trade: Trade) -> None:
        for watcher in self.watchers:
            watcher.on_trade(trade, self._scheduler.now_ns)


def _ladder_order_id(market: MarketState, handle: int) -> str:
    """Ladder quotes have no order record; their id is unique per market and handle."""
    return f"0x{market.number:016x}{handle:048x}"
