"""Paper's own books: what the simulated account did, in the rows of a venue's ledger.

Owns the rows (kinds market, order, end, leg, resolve, settle of docs/VENUE.md), so that the very checks that hold
a run against a real venue's ledger hold a paper run against this one.  Money is worked out here from price, size
and the market's fee schedule, and must come to what the execution core booked: `check_cash` compares.
Must not decide what is filled.  Called by paper.gateway.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polybot._fast.event import Side
from polybot._fast.fees import leg_micro_usd, taker_fee_micro_usd
from polybot.errors import InvariantBroken
from polybot.gateway.tracker import TrackedOrder
from polybot.market.spec import MarketSpec
from polybot.sim.ledger import Ledger, read_ledger

__all__ = ["PAPER_ACCOUNT", "PaperFill", "PaperLedger"]

PAPER_ACCOUNT = "paper"  # the name of every simulated account; sessions tell them apart
BUY = int(Side.BUY)


@dataclass(frozen=True, slots=True)
class PaperFill:
    """One simulated match."""

    trade_id: str
    price_ticks: int
    ushares: int
    is_maker: bool


class PaperLedger:
    """Append-only rows in a file, or in memory when there is no path; one account, one session."""

    def __init__(self, *, account: str, session: str, path: Path | None = None) -> None:
        self.account = account
        self.session = session
        self._path = path
        self._book = Ledger(path, session)
        self._cash = 0
        self._markets: dict[str, MarketSpec] = {}
        self._accepted: set[str] = set()
        self._shares: dict[str, list[int]] = {}

    def rows(self) -> list[dict[str, Any]]:
        """Everything written so far."""
        return self._book.rows if self._path is None else read_ledger(self._path)

    def close(self) -> None:
        """No more rows."""
        self._book.close()

    def open_account(self, cash_usd: int, now_ns: int) -> None:
        """The account and its cash, micro-USD."""
        self._cash = cash_usd
        self._book.write("account", now_ns, account=self.account, funder=self.account, balance=cash_usd)

    def market(self, spec: MarketSpec, now_ns: int) -> None:
        """A market that may be traded."""
        self._markets[spec.condition_id] = spec
        self._shares[spec.condition_id] = [0, 0]
        self._book.write(
            "market",
            now_ns,
            market=spec.condition_id,
            slug=spec.slug,
            up=spec.token_up,
            down=spec.token_down,
            fee_rate_ppm=(spec.fee_rate_ppm or 0) if spec.fees_enabled else 0,
            fee_exponent=spec.fee_exponent,
        )

    def accepted(self, order: TrackedOrder, now_ns: int) -> None:
        """The simulated venue took the order; told once, however often it is called."""
        if order.order_id in self._accepted:
            return
        self._accepted.add(order.order_id)
        self._book.write(
            "order",
            now_ns,
            id=order.order_id,
            account=self.account,
            market=order.condition_id,
            outcome=order.plan.outcome,
            side=order.plan.side,
            price=order.plan.price_ticks,
            ushares=order.plan.ushares,
            type=order.plan.order_type,
            status="ACCEPTED",
        )

    def ended(self, order: TrackedOrder, *, matched: int, status: str, now_ns: int) -> None:
        """An order's end, with what it matched."""
        kind = "end" if order.order_id in self._accepted else "reject"
        fields: dict[str, Any] = {"id": order.order_id, "account": self.account, "status": status}
        if kind == "end":
            fields |= {"matched": matched, "cash": self._cash}
        self._accepted.discard(order.order_id)
        self._book.write(kind, now_ns, **fields)

    def filled(self, order: TrackedOrder, fill: PaperFill, now_ns: int) -> None:
        """One match: shares and money move at once."""
        spec, plan = self._markets[order.condition_id], order.plan
        usd = leg_micro_usd(plan.outcome, fill.ushares, fill.price_ticks)
        fee = 0 if fill.is_maker else _fee(spec, fill.ushares, fill.price_ticks)
        sign = 1 if plan.side == BUY else -1
        self._cash -= sign * usd + fee
        self._shares[order.condition_id][plan.outcome] += sign * fill.ushares
        ours, theirs = ("maker", "taker") if fill.is_maker else ("taker", "maker")
        mine = {"": self.account, "_order": order.order_id, "_outcome": plan.outcome, "_side": plan.side}
        mine |= {"_price": fill.price_ticks, "_usd": usd}
        other = {"": "market", "_order": "", "_outcome": plan.outcome, "_side": 1 - plan.side}
        other |= {"_price": fill.price_ticks, "_usd": usd}
        parties = {ours + key: value for key, value in mine.items()}
        parties |= {theirs + key: value for key, value in other.items()}
        where = {"trade": fill.trade_id, "leg": 0, "market": order.condition_id, "ushares": fill.ushares}
        self._book.write("leg", now_ns, **where, fee=fee, **parties)

    def settled(self, condition_id: str, winner: int, now_ns: int) -> int:
        """Pay 1 USD per winning share; returns micro-USD."""
        up, down = self._shares.pop(condition_id)
        paid = down if winner else up
        self._cash += paid
        self._book.write("resolve", now_ns, market=condition_id, winner=winner)
        self._book.write(
            "settle",
            now_ns,
            market=condition_id,
            account=self.account,
            internal=False,
            winner=winner,
            up=up,
            down=down,
            paid=paid,
            cash=self._cash,
        )
        return paid

    def check_cash(self, cash_usd: int) -> None:
        """Raise InvariantBroken unless the execution core has the very same cash, micro-USD."""
        if cash_usd != self._cash:
            raise InvariantBroken(f"paper cash is {cash_usd} in the core and {self._cash} in its ledger")


def _fee(spec: MarketSpec, ushares: int, price_ticks: int) -> int:
    if not spec.fees_enabled or spec.fee_rate_ppm is None:
        return 0
    return taker_fee_micro_usd(ushares, price_ticks, spec.fee_rate_ppm, spec.fee_exponent)
