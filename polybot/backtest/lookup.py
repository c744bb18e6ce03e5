"""What was known of a market at an instant: rows of a table in time order, found by market and time.

Owns the search in quotes and samples: the last row at or before an instant, never one after it.
Must not interpret the rows.  Called by markouts, attribution and equity.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot.backtest.counted import TICKS_PER_USD

__all__ = ["Timeline", "quote_mids"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Timeline:
    """Rows by market and time; build it once, ask for many instants at a time."""

    def __init__(self, market: Any, at_ns: Any) -> None:
        """Take two columns of a table, shapes (n,), in any order; rows of equal times keep theirs.

        The columns are kept as they are (they may be mapped into memory), with 8 bytes a row beside them.
        """
        markets, self._at_ns = np.asarray(market), np.asarray(at_ns)
        if (self._at_ns[1:] < self._at_ns[:-1]).any():
            self._order = np.lexsort((self._at_ns, markets))
        else:
            self._order = np.argsort(markets, kind="stable")
        counts = np.bincount(markets)
        ends = np.cumsum(counts)
        self._ends = np.concatenate([[0], ends])  # rows of market m: _order[_ends[m] : _ends[m + 1]]

    def rows_of(self, market: int) -> Ints:
        """Rows of one market, in time order."""
        if market + 1 >= len(self._ends):
            return np.zeros(0, dtype=np.int64)
        return self._order[self._ends[market] : self._ends[market + 1]]

    def last_at(self, market: Any, at_ns: Any) -> Ints:
        """Row of the table for each (market, instant): the last with its time <= the instant, -1 for none."""
        markets, instants = np.asarray(market, dtype=np.int64), np.asarray(at_ns, dtype=np.int64)
        found = np.full(len(markets), -1, dtype=np.int64)
        order = np.argsort(markets, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(markets[order])) + 1):
            rows = self.rows_of(int(markets[mine[0]])) if len(mine) else mine
            if len(rows):
                place = np.searchsorted(self._at_ns[rows], instants[mine], side="right") - 1
                found[mine] = np.where(place >= 0, rows[place], -1)
        return found


def quote_mids(quotes: Any, rows: Any) -> Floats:
    """Mid of Up, USD, in rows of a table of QUOTE_DTYPE; NaN where a side of the book is empty or the row is -1."""
    wanted = np.asarray(rows)
    known = wanted >= 0
    mids = np.full(len(wanted), np.nan)
    bid, ask = (
        np.asarray(quotes[name])[wanted[known]].astype(np.float64) for name in ("bid_ticks", "ask_ticks")
    )
    mids[known] = np.where((bid > 0) & (ask > 0), (bid + ask) / (2 * TICKS_PER_USD), np.nan)
    return mids
