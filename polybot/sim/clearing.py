"""Money and shares of the embedded venue: reservations, the three kinds of match, payout.

    BUY x SELL of one token     the shares change hands
    BUY Up x BUY Down           a pair is minted: both prices together are 1 USD of collateral
    SELL Up x SELL Down         a pair is merged: the collateral is paid out

Every leg moves exactly ushares micro-USD between its parties and the collateral, whatever the
rounding: the Down amount is the rest of the Up amount.  The taker pays the fee on top (BUY) or out
of the proceeds (SELL) to the fee account.  Must not know books or messages.  Called by exchange.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from polybot._fast.fees import leg_micro_usd, notional_micro_usd, taker_fee_micro_usd
from polybot.sim.accounts import Account
from polybot.sim.ledger import Ledger
from polybot.sim.markets import BUY, DOWN, ONE, UP, MarketState
from polybot.sim.orders import Order

if TYPE_CHECKING:
    from polybot.sim.trades import TradeLeg

__all__ = ["Clearing", "fee_micro_usd", "needed", "release", "reserve"]


Party = tuple[Account, int, int]  # account, outcome, side


def fee_micro_usd(market: MarketState, ushares: int, price_ticks: int) -> int:
    """Taker fee of one leg; 0 on markets without fees."""
    spec = market.spec
    if not spec.fees_enabled or spec.fee_rate_ppm is None:
        return 0
    return taker_fee_micro_usd(ushares, price_ticks, spec.fee_rate_ppm, spec.fee_exponent)


def needed(order: Order, *, as_taker: bool) -> int:
    """What the unmatched part must hold: micro-USD (BUY, with the fee when it takes) or micro-shares."""
    if order.side != BUY:
        return order.left
    usd = notional_micro_usd(order.left, order.price_ticks)
    return usd + fee_micro_usd(order.market, order.left, order.price_ticks) if as_taker else usd


def reserve(order: Order, amount: int) -> bool:
    """Hold `amount` instead of what the order holds now; False and no change when it is not there."""
    account = order.account
    if account.is_internal:
        return True
    more = amount - order.reserve
    if order.side == BUY:
        if more > 0 and account.free_cash() < more:
            return False
        account.held_cash += more
    else:
        condition_id = order.market.condition_id
        if more > 0 and account.free_shares(condition_id, order.outcome) < more:
            return False
        account.held(condition_id)[order.outcome] += more
    order.reserve = amount
    return True


def release(order: Order) -> None:
    """Hold nothing for this order any more."""
    reserve(order, 0)


class Clearing:
    """Moves the money; every movement is a flow of one account in one market in the ledger."""

    def __init__(self, ledger: Ledger, fee_account: Account) -> None:
        self._ledger = ledger
        self._fees = fee_account

    def settle_leg(
        self,
        market: MarketState,
        taker: Party,
        maker: Party,
        up_price: int,
        ushares: int,
    ) -> tuple[int, int, int]:
        """Move shares and money of one leg; each party is (account, outcome, side).

        Returns (taker micro-USD, maker micro-USD, fee): what each paid or got for its shares, unsigned.
        """
        amounts = (leg_micro_usd(UP, ushares, up_price), leg_micro_usd(DOWN, ushares, ONE - up_price))
        fee = fee_micro_usd(market, ushares, up_price if taker[1] == UP else ONE - up_price)
        minted = 0
        for account, outcome, side in (taker, maker):
            sign = 1 if side == BUY else -1
            account.position(market.condition_id)[outcome] += sign * ushares
            self._pay(account, market, sign * amounts[outcome])
            minted += sign * amounts[outcome]
        assert minted in (ushares, -ushares, 0), "a match must conserve money"
        market.collateral += minted
        self._pay(taker[0], market, fee)
        self._pay(self._fees, market, -fee)
        return amounts[taker[1]], amounts[maker[1]], fee

    def undo_leg(self, market: MarketState, taker: Party, maker: Party, leg: "TradeLeg") -> None:
        """Reverse settle_leg exactly: shares, money, collateral and fee."""
        returned = 0
        for (account, outcome, side), usd in ((taker, leg.taker_usd), (maker, leg.maker_usd)):
            sign = 1 if side == BUY else -1
            account.position(market.condition_id)[outcome] -= sign * leg.ushares
            self._pay(account, market, -sign * usd)
            returned += sign * usd
        assert returned in (leg.ushares, -leg.ushares, 0), "a reversal must conserve money"
        market.collateral -= returned
        self._pay(taker[0], market, -leg.fee)
        self._pay(self._fees, market, leg.fee)

    def can_undo(self, market: MarketState, legs: "Sequence[tuple[Party, Party, TradeLeg]]") -> bool:
        """Whether every account with a key still has, free, what it would have to give back."""
        cash: dict[int, int] = {}
        shares: dict[tuple[int, int], int] = {}
        parties: dict[int, Account] = {}
        for taker, maker, leg in legs:
            for (account, outcome, side), usd in ((taker, leg.taker_usd), (maker, leg.maker_usd)):
                if account.is_internal:
                    continue
                parties[account.number] = account
                key = (account.number, outcome)
                shares[key] = shares.get(key, 0) + (leg.ushares if side == BUY else -leg.ushares)
                cash[account.number] = cash.get(account.number, 0) + (-usd if side == BUY else usd)
        return all(parties[n].free_cash() >= usd for n, usd in cash.items()) and all(
            parties[n].free_shares(market.condition_id, outcome) >= ushares
            for (n, outcome), ushares in shares.items()
        )

    def pay_out(self, account: Account, market: MarketState, winner: int) -> tuple[int, int, int]:
        """Turn a position into cash at the outcome; returns (Up, Down, micro-USD) paid out."""
        up, down = account.shares.pop(market.condition_id, [0, 0])
        account.held_shares.pop(market.condition_id, None)
        won = up if winner == UP else down  # a winning share is 1 USD: micro-shares are micro-USD
        market.collateral -= won
        self._pay(account, market, -won)
        return up, down, won

    def _pay(self, account: Account, market: MarketState, micro_usd: int) -> None:
        account.cash -= micro_usd
        self._ledger.flow(account.name, market.condition_id, -micro_usd)
