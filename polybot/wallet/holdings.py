"""What the account holds, read over the venue's order-book API with the same signed requests as trading.

Owns the question which markets to look at (those traded within a time), the balances of their tokens, and what of
it waits to be redeemed.  Integers in 1e-6 throughout.  Reads only.  Called by wallet.command.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polybot.errors import VenueError
from polybot.gateway.rest import ClobRest, read_json

__all__ = ["Balance", "Holding", "Holdings", "find_market", "read_balance", "read_holdings"]

UNLIMITED = 1 << 128  # an approval above this is never used up
TIE_MICRO_USD = 500_000  # a share's payout when a market has no winner


@dataclass(frozen=True, slots=True)
class Balance:
    """One token's balance in 1e-6, and how much of it each spender may move."""

    amount: int
    allowances: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Holding:
    """Shares of one outcome; `is_closed`: the market has its outcome, `is_winner`: it is this one."""

    slug: str
    condition_id: str
    outcome: str
    token_id: str
    ushares: int
    is_closed: bool
    is_winner: bool
    is_tie: bool = False

    @property
    def redeem_micro_usd(self) -> int:
        """What redeeming it would pay."""
        if not self.is_closed:
            return 0
        if self.is_tie:
            return self.ushares * TIE_MICRO_USD // 1_000_000
        return self.ushares if self.is_winner else 0


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything `wallet` shows."""

    collateral: Balance
    tokens: tuple[Holding, ...]  # with shares, by market and outcome
    markets: int  # looked at

    @property
    def redeem_micro_usd(self) -> int:
        """What redeeming everything would pay."""
        return sum(token.redeem_micro_usd for token in self.tokens)


async def read_holdings(rest: ClobRest, *, wallet: str, signature_type: int, since_s: int) -> Holdings:
    """Ask for everything of `wallet` (the funder); raises VenueError unless every answer came whole."""
    collateral = await read_balance(rest, signature_type, asset_type="COLLATERAL")
    trades = await rest.read_pages("/data/trades", maker_address=wallet, after=str(since_s))
    conditions = sorted({str(trade["market"]) for trade in trades if trade.get("market")})
    held: list[Holding] = []
    for condition_id in conditions:
        for outcome in await _read_outcomes(rest, condition_id):
            balance = await read_balance(
                rest, signature_type, asset_type="CONDITIONAL", token_id=outcome.token_id
            )
            if balance.amount:
                held.append(_with_shares(outcome, balance.amount))
    return Holdings(collateral, tuple(sorted(held, key=lambda item: (item.slug, item.outcome))), len(conditions))


def find_market(holdings: Holdings, slug: str) -> tuple[Holding, ...]:
    """Return what is held of one market; raises VenueError when nothing is."""
    found = tuple(token for token in holdings.tokens if token.slug == slug)
    if not found:
        held = ", ".join(dict.fromkeys(token.slug for token in holdings.tokens)) or "nothing"
        raise VenueError(f"no shares of {slug} are held; held: {held}")
    return found


async def read_balance(rest: ClobRest, signature_type: int, **asked: str) -> Balance:
    """Ask for one balance of the wallet that the key has of this type; raises VenueError."""
    what = "GET /balance-allowance"
    answer = read_json(await rest.read("/balance-allowance", **asked, signature_type=str(signature_type)), what)
    told = answer.get("allowances") if isinstance(answer, dict) else None
    amount = _whole(answer.get("balance") if isinstance(answer, dict) else None)
    if amount is None:
        raise VenueError(f"{what}: no balance")
    allowances = {
        str(spender): whole
        for spender, value in (told.items() if isinstance(told, dict) else ())
        if (whole := _whole(value)) is not None
    }
    return Balance(amount, allowances)


async def _read_outcomes(rest: ClobRest, condition_id: str) -> list[Holding]:
    what = f"GET /markets/{condition_id[:12]}..."
    answer = read_json(await rest.public("GET", f"/markets/{condition_id}"), what)
    tokens: Any = answer.get("tokens") if isinstance(answer, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        raise VenueError(f"{what}: no tokens")
    is_closed = answer.get("closed") is True
    winners = [token for token in tokens if token.get("winner") is True]
    return [
        Holding(
            slug=str(answer.get("market_slug", condition_id)),
            condition_id=condition_id,
            outcome=str(token.get("outcome", "?")),
            token_id=str(token.get("token_id", "")),
            ushares=0,
            is_closed=is_closed and bool(winners or _is_tie(tokens)),
            is_winner=token in winners,
            is_tie=is_closed and not winners and _is_tie(tokens),
        )
        for token in tokens
        if token.get("token_id")
    ]


def _is_tie(tokens: list[dict[str, Any]]) -> bool:
    return all(token.get("price") == 0.5 for token in tokens)


def _with_shares(outcome: Holding, ushares: int) -> Holding:
    return Holding(
        slug=outcome.slug,
        condition_id=outcome.condition_id,
        outcome=outcome.outcome,
        token_id=outcome.token_id,
        ushares=ushares,
        is_closed=outcome.is_closed,
        is_winner=outcome.is_winner,
        is_tie=outcome.is_tie,
    )


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None
