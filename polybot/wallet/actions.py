"""Transactions of the wallet: planned from what is held, shown, confirmed by typing, then handed to the chain.

Owns the plan and the confirmation.  Nothing is sent before the exact words were typed, or given by wallet.confirm
where no terminal is.  Must not know how a transaction is made (wallet.official).  Called by wallet.command.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO

from polybot.errors import ConfigError, VenueError
from polybot.wallet.holdings import Holding, Holdings, find_market

__all__ = ["Chain", "Plan", "carry_out", "confirm", "plan_action"]

MICRO = 1_000_000


class Chain(Protocol):
    """What can be done on the chain; each returns the transaction's hash ("": nothing was needed)."""

    async def approve(self) -> str:
        """Let the exchanges and adapters move collateral and shares."""
        ...

    async def redeem(self, condition_id: str) -> str:
        """Turn all shares of a resolved market into collateral."""
        ...

    async def merge(self, condition_id: str, ushares: int) -> str:
        """Turn as many shares of both outcomes into collateral."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction, in words and in numbers; `phrase` must be typed before it is sent."""

    action: str
    phrase: str
    words: str
    condition_id: str = ""
    ushares: int = 0


def plan_action(action: str, holdings: Holdings, *, market: str, shares: float) -> Plan:
    """Return what would be done; raises ConfigError or VenueError for what cannot be."""
    if action == "approve":
        return Plan(action, "approve", "let the venue's contracts move this wallet's collateral and shares")
    if not market:
        raise ConfigError(f"wallet action={action} needs a market: add market=SLUG")
    held = find_market(holdings, market)
    if action == "redeem":
        return _plan_redeem(market, held)
    return _plan_merge(market, held, shares)


def confirm(plan: Plan, given: str, *, terminal: TextIO, out: TextIO) -> None:
    """Return when the plan's phrase was given or typed; raises ConfigError when it was not."""
    out.write(f"{plan.action}: {plan.words}\n")
    out.flush()
    typed = given
    if not given:
        if not terminal.isatty():
            raise ConfigError(
                f"wallet action={plan.action} is not confirmed and no terminal is here: add confirm={plan.phrase}"
            )
        out.write(f'type "{plan.phrase}" to do it: ')
        out.flush()
        typed = terminal.readline().strip()
    if typed != plan.phrase:
        raise ConfigError(
            f"wallet action={plan.action} was not confirmed: nothing was done (the words are {plan.phrase})"
        )


async def carry_out(plan: Plan, chain: Chain) -> str:
    """Send a confirmed plan; returns the transaction's hash."""
    if plan.action == "approve":
        return await chain.approve()
    if plan.action == "redeem":
        return await chain.redeem(plan.condition_id)
    return await chain.merge(plan.condition_id, plan.ushares)


def _plan_redeem(market: str, held: Sequence[Holding]) -> Plan:
    if not all(token.is_closed for token in held):
        raise VenueError(f"{market} has no outcome yet: nothing can be redeemed")
    payout = sum(token.redeem_micro_usd for token in held)
    shares = ", ".join(f"{_decimal(token.ushares)} {token.outcome}" for token in held)
    words = f"turn {shares} of {market} into {_decimal(payout)} USD of collateral"
    return Plan("redeem", f"redeem-{market}", words, held[0].condition_id)


def _plan_merge(market: str, held: Sequence[Holding], shares: float) -> Plan:
    most = min(token.ushares for token in held) if len(held) == 2 else 0
    ushares = round(shares * MICRO) or most
    if not 0 < ushares <= most:
        raise VenueError(f"at most {_decimal(most)} shares of both sides of {market} can be merged")
    words = f"turn {_decimal(ushares)} Up and as many Down of {market} into {_decimal(ushares)} USD of collateral"
    return Plan("merge", f"merge-{market}", words, held[0].condition_id, ushares)


def _decimal(micro: int) -> str:
    return f"{micro // MICRO:,}.{micro % MICRO:06d}"
