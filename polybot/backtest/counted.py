"""Which markets and fills of a run count, and what each fill came to in exact micro-USD.

Owns the rule: a market counts when the run says so and its outcome is known; a fill counts when its market does and
its trade did not fail.  PnL of a fill is what its shares paid minus what they cost: +shares for a winning BUY,
-shares for a winning SELL, since a share pays 1 USD; so fills of a market sum to its payout minus its cost.
Must not look at quotes or samples.  Called by the score modules.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot._fast.event import Side, TradeStatus
from polybot.errors import TapeError

__all__ = ["MICRO", "TICKS_PER_USD", "Counted"]

MICRO = 1_000_000
TICKS_PER_USD = 10_000

Table = NDArray[np.void]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Counted:
    """The tables of markets and fills; arrays of fills are of those that count, in order of recv_ns."""

    markets: Table
    all_fills: Table

    @classmethod
    def of(cls, markets: Any, fills: Any) -> "Counted":
        """Check that fills name markets that are there; raises TapeError."""
        indices = np.asarray(markets["index"])
        if len(np.unique(indices)) != len(indices):
            raise TapeError("the table of markets has an index twice")
        lost = np.setdiff1d(np.asarray(fills["market"]), indices)
        if len(lost):
            raise TapeError(f"fills of markets that are not in the table of markets: {lost[:5].tolist()}")
        return cls(np.asarray(markets), np.asarray(fills)[np.argsort(fills["recv_ns"], kind="stable")])

    @cached_property
    def settled(self) -> Bools:
        """Which rows of the table of markets count."""
        return np.asarray(self.markets["counted"] & (self.markets["outcome"] >= 0), dtype=np.bool_)

    @cached_property
    def by_slug(self) -> Ints:
        """Rows of the settled markets, in the order of their slugs."""
        rows = np.flatnonzero(self.settled)
        return np.asarray(rows[np.argsort(self.markets["slug"][rows], kind="stable")], dtype=np.int64)

    @cached_property
    def failed(self) -> Bools:
        """Which of all fills were undone by the venue."""
        return np.asarray(self.all_fills["status"] == TradeStatus.TS_FAILED, dtype=np.bool_)

    @cached_property
    def counts(self) -> Bools:
        """Which of all fills count."""
        return np.asarray(~self.failed & self.settled[self.row_of(self.all_fills["market"])], dtype=np.bool_)

    @cached_property
    def fills(self) -> Table:
        """The fills that count."""
        return np.asarray(self.all_fills[self.counts])

    @cached_property
    def row(self) -> Ints:
        """Row in the table of markets of each fill."""
        return self.row_of(self.fills["market"])

    @cached_property
    def sign(self) -> Ints:
        """+1 for a BUY, -1 for a SELL."""
        return np.where(self.fills["side"] == Side.BUY, 1, -1).astype(np.int64)

    @cached_property
    def won(self) -> Bools:
        """Whether the traded outcome won."""
        return np.asarray(self.fills["outcome"] == self.markets["outcome"][self.row], dtype=np.bool_)

    @cached_property
    def payout(self) -> Ints:
        """Micro-USD the shares of each fill paid, negative for shares sold."""
        return np.asarray(np.where(self.won, self.sign * self.fills["shares"], 0), dtype=np.int64)

    @cached_property
    def pnl(self) -> Ints:
        """Micro-USD of each fill."""
        return np.asarray(self.payout - self.fills["cost"], dtype=np.int64)

    @cached_property
    def shares(self) -> Floats:
        """Shares of each fill, for weights."""
        return np.asarray(self.fills["shares"] / MICRO, dtype=np.float64)

    @cached_property
    def price(self) -> Floats:
        """USD per share of each fill."""
        return np.asarray(self.fills["price_ticks"] / TICKS_PER_USD, dtype=np.float64)

    @cached_property
    def fee_per_share(self) -> Floats:
        """USD per share of each fill."""
        shares = np.maximum(self.fills["shares"], 1)
        return np.asarray(self.fills["fee"] / shares, dtype=np.float64)

    def row_of(self, index: Any) -> Ints:
        """Rows in the table of markets for market indices, which must be there."""
        order = np.argsort(self.markets["index"], kind="stable")
        if not len(order):
            return np.zeros(len(index), dtype=np.int64)
        return np.asarray(order[np.searchsorted(self.markets["index"][order], index)], dtype=np.int64)

    def inside(self, table: Any) -> Bools:
        """Which rows of a table of quotes or samples were received inside their window."""
        if not len(table):
            return np.zeros(0, dtype=np.bool_)
        row, at = self.row_of(table["market"]), np.asarray(table["recv_ns"])
        after = at >= self.markets["start_ns"][row]
        return np.asarray(after & (at < self.markets["end_ns"][row]), dtype=np.bool_)

    def per_market(self, values: Any, mask: Any = None) -> Floats:
        """Sum values of fills (or those of mask) by settled market, in the order of slugs."""
        chosen = slice(None) if mask is None else mask
        weights = np.asarray(values, dtype=np.float64)[chosen]
        sums = np.bincount(self.row[chosen], weights=weights, minlength=len(self.markets))
        return np.asarray(sums[self.by_slug], dtype=np.float64)
