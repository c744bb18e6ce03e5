"""Orders of the embedded venue: what is asked, what became of it, and the checks on its numbers.

Order states (status text as the venue writes it):

    DELAYED -> MATCHED | LIVE | CANCELED...     a taker order waiting out the delay, not cancellable
    LIVE    -> MATCHED | CANCELED...            resting; partly filled orders stay LIVE
    MATCHED, CANCELED...                        terminal; text after CANCELED tells why

Owns the arithmetic from signed amounts to price and size (exact integers).  Must not touch books or
accounts.  Called by clob_rest and exchange.
"""

from dataclasses import dataclass, field

from polybot._fast.event import OrderType
from polybot.sim.accounts import Account
from polybot.sim.markets import BUY, ONE, MarketState, mirror
from polybot.sim.messages import decimal_text, fraction_text, price_text
from polybot.sim.refusals import (
    BAD_AMOUNTS_LIMIT,
    BAD_AMOUNTS_MARKET,
    FAK_NO_MATCH,
    FOK_NOT_FILLED,
    Refused,
    below_minimum_size,
    breaks_tick_size,
)
from polybot.sim.scheduler import Timer

__all__ = [
    "CANCELED",
    "CANCELED_EXPIRED",
    "CANCELED_FAK",
    "CANCELED_FOK",
    "CANCELED_RESOLVED",
    "DELAYED",
    "INVALID",
    "LIVE",
    "MATCHED",
    "Order",
    "OrderRequest",
    "check_terms",
    "read_terms",
]

LIVE, MATCHED, DELAYED, CANCELED = "LIVE", "MATCHED", "DELAYED", "CANCELED"
INVALID = "INVALID"
CANCELED_RESOLVED = "CANCELED_MARKET_RESOLVED"
CANCELED_EXPIRED = "CANCELED_EXPIRED_ORDER"
CANCELED_FOK = f"CANCELED_{FOK_NOT_FILLED}"
CANCELED_FAK = f"CANCELED_{FAK_NO_MATCH}"
LOT = 10_000  # micro-shares: size has two decimals
CENT = 10_000  # micro-USD
MARKET_STEP = 100  # taker amount of FAK/FOK orders has four decimals, whatever the tick (2026-07)
AMOUNT_DECIMALS = {1_000: 3, 100: 4, 50: 5, 25: 6, 10: 5, 1: 6}  # tick in ticks -> decimals of price x size


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """An order as asked, in the terms of its own token."""

    order_id: str
    token_id: str
    side: int
    price_ticks: int
    ushares: int
    amount: int  # micro-USD as signed
    order_type: int
    post_only: bool = False
    expiration_s: int = 0
    maker_address: str = ""


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class Order:
    """An accepted order and what became of it."""

    order_id: str
    account: Account
    market: MarketState
    outcome: int
    side: int
    price_ticks: int
    ushares: int
    order_type: int
    created_ns: int
    maker_address: str = ""
    expiration_s: int = 0
    status: str = LIVE
    matched: int = 0
    handle: int = 0  # in the matching book, 0: not there
    reserve: int = 0  # micro-USD (BUY) or micro-shares (SELL) this order holds of its account
    timer: Timer | None = None  # end of the delay, or expiry
    trade_ids: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Micro-shares not matched yet."""
        return self.ushares - self.matched

    @property
    def up_terms(self) -> tuple[int, int]:
        """(side, price) in the mirrored book."""
        return mirror(self.outcome, self.side, self.price_ticks)

    @property
    def is_open(self) -> bool:
        """Held or resting."""
        return self.status in (LIVE, DELAYED)


def read_terms(
    order_id: str, order_type: int, side: int, amounts: tuple[int, int], tick: int
) -> tuple[int, int, int]:
    """(price_ticks, micro-shares, micro-USD) of the signed (maker, taker) amounts; raises Refused.

    Limit orders must name price x size exactly; FAK and FOK orders carry rounded amounts, whose
    implied price is brought to the grid on the side that never costs the sender more.
    """
    maker_amount, taker_amount = amounts
    usd, ushares = (maker_amount, taker_amount) if side == BUY else (taker_amount, maker_amount)
    if usd <= 0 or ushares <= 0:
        raise Refused("invalid amounts, maker and taker amount must be higher than 0")
    word = "buy" if side == BUY else "sell"
    if order_type in (OrderType.FAK, OrderType.FOK):
        if maker_amount % CENT or taker_amount % MARKET_STEP:
            raise Refused(BAD_AMOUNTS_MARKET.format(side=word))
        if side == BUY:
            return usd * ONE // ushares // tick * tick, ushares, usd
        return -(-(usd * ONE) // ushares // tick) * tick, ushares, usd
    decimals = AMOUNT_DECIMALS.get(tick, 6)
    if ushares % LOT or usd % 10 ** (6 - decimals):
        maker, taker = (decimals, 2) if side == BUY else (2, decimals)
        raise Refused(BAD_AMOUNTS_LIMIT.format(side=word, maker=maker, taker=taker))
    if usd * ONE % ushares:
        raise breaks_tick_size(order_id, fraction_text(usd, ushares), price_text(tick))
    return usd * ONE // ushares, ushares, usd


def check_terms(request: OrderRequest, market: MarketState) -> None:
    """Refuse a price off the market's grid and a size below its minimum."""
    tick = market.tick_ticks
    if request.price_ticks % tick or not tick <= request.price_ticks <= ONE - tick:
        raise breaks_tick_size(request.order_id, price_text(request.price_ticks), price_text(tick))
    minimum = market.spec.min_size_ushares
    if request.ushares < minimum:
        raise below_minimum_size(request.order_id, decimal_text(request.ushares), decimal_text(minimum))
