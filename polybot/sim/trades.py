"""Trades of the embedded venue: one match of a taker order, its legs, and its way to CONFIRMED.

    MATCHED -(2 s)-> MINED -(4 to 8 s after the match)-> CONFIRMED
    MATCHED -(2 s)-> RETRYING -> MINED -> CONFIRMED | FAILED        when a fault plan says so

Owns the trade records and their timed statuses.  Money has moved at the match (clearing); a status
says how far the chain is.  FAILED undoes the match; when what it gave was spent meanwhile or the market is
resolved, it cannot fail any more and is confirmed.  Called by order_life; the user channel is told of every status.
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from polybot.sim.accounts import Account
from polybot.sim.faults import TradeFate
from polybot.sim.ledger import Ledger
from polybot.sim.markets import MarketState
from polybot.sim.orders import Order
from polybot.sim.scheduler import Scheduler
from polybot.sim.settings import ExchangeSettings

__all__ = ["Settlement", "Trade", "TradeLeg"]

NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeLeg:
    """One resting order met by the taker; prices in each party's own terms, money in micro-USD."""

    maker_order_id: str
    maker: Account
    maker_outcome: int
    maker_side: int
    maker_price: int
    taker_price: int
    ushares: int
    maker_usd: int
    taker_usd: int
    fee: int


@dataclass(slots=True, eq=False, repr=False)
class Trade:
    """All legs of one taker order matched at one instant."""

    trade_id: str
    market: MarketState
    taker_order: Order
    legs: list[TradeLeg]
    match_ns: int
    update_ns: int
    transaction_hash: str
    status: str = "MATCHED"
    parties: list[tuple[Account, bool]] = field(default_factory=list)  # (account with a key, is_taker)


class Settlement:
    """Makes trades and moves their status on time."""

    def __init__(
        self,
        settings: ExchangeSettings,
        scheduler: Scheduler,
        ledger: Ledger,
        rng: random.Random,
        *,
        publish: Callable[[Trade], None],
        undo: Callable[[Trade], bool],
    ) -> None:
        self.fates: Callable[[], TradeFate | None] = lambda: None
        self._undo = undo
        self._settings = settings
        self._scheduler = scheduler
        self._ledger = ledger
        self._rng = rng
        self._publish = publish

    def new_trade(self, order: Order, legs: list[TradeLeg], transaction_hash: str) -> Trade:
        """Record a match that touches an account with a key; schedules what follows MATCHED."""
        now_ns = self._scheduler.now_ns
        trade_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        trade = Trade(trade_id, order.market, order, legs, now_ns, now_ns, transaction_hash)
        if not order.account.is_internal:
            trade.parties.append((order.account, True))
        for index, leg in enumerate(legs):
            self._write_leg(trade, index, leg)
            known = any(leg.maker is account for account, _ in trade.parties)
            if not leg.maker.is_internal and not known:
                trade.parties.append((leg.maker, False))
        for account, _ in trade.parties:
            account.trades.append(trade)
        confirmed_s = self._rng.uniform(self._settings.confirmed_min_s, self._settings.confirmed_max_s)
        self._schedule(trade, self.fates() or TradeFate(), self._settings.mined_s, confirmed_s)
        return trade

    def _schedule(self, trade: Trade, fate: TradeFate, mined_s: float, confirmed_s: float) -> None:
        first = "RETRYING" if fate.retry_s > 0.0 else "MINED"
        self._later(mined_s, lambda: self._move(trade, first))
        if fate.is_failed:
            self._later(mined_s + fate.retry_s, lambda: self._fail(trade))
            return
        if fate.retry_s > 0.0:
            self._later(mined_s + fate.retry_s, lambda: self._move(trade, "MINED"))
        self._later(confirmed_s + fate.retry_s + fate.late_s, lambda: self._move(trade, "CONFIRMED"))

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._scheduler.at(self._scheduler.now_ns + round(seconds * NS), call)

    def _fail(self, trade: Trade) -> None:
        self._move(trade, "FAILED" if self._undo(trade) else "CONFIRMED")

    def _move(self, trade: Trade, status: str) -> None:
        trade.status = status
        trade.update_ns = self._scheduler.now_ns
        self._ledger.write("trade", trade.update_ns, trade=trade.trade_id, status=status)
        self._publish(trade)

    def _write_leg(self, trade: Trade, index: int, leg: TradeLeg) -> None:
        order = trade.taker_order
        self._ledger.write(
            "leg",
            trade.match_ns,
            trade=trade.trade_id,
            leg=index,
            market=trade.market.condition_id,
            ushares=leg.ushares,
            taker=order.account.name,
            taker_order=order.order_id,
            taker_outcome=order.outcome,
            taker_side=order.side,
            taker_price=leg.taker_price,
            taker_usd=leg.taker_usd,
            fee=leg.fee,
            maker=leg.maker.name,
            maker_order=leg.maker_order_id,
            maker_outcome=leg.maker_outcome,
            maker_side=leg.maker_side,
            maker_price=leg.maker_price,
            maker_usd=leg.maker_usd,
        )
