"""One window's order book over time, as a measurement needs it, and who writes it down.

Owns the compact record of every change of a book (best prices, sizes at the touch, shares within 5 c) and
the watcher that fills it from the embedded venue's exchange, without wire text or sockets.
Must not judge: research.book_figures does.  Called by research.venue_check.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polybot.sim.markets import BUY, SELL, MarketState

__all__ = ["BookRecorder", "WindowBook"]

NS = 1_000_000_000
SHARE = 1_000_000
NEAR_TICKS = 500  # depth is counted within 5 c of the best price
CENT_TICKS = 100  # the coarse grid

# (seconds from the start, best bid, best ask, size bid, size ask, depth bid, depth ask); prices in cents.
_Row = tuple[float, float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class WindowBook:
    """Every change of one book within its window; the first row is what stood at the start.

    Prices in cents of Up (NaN: that side is empty), sizes in shares (0 when empty).
    """

    length_s: float
    at_s: NDArray[np.float32]
    bid: NDArray[np.float32]
    ask: NDArray[np.float32]
    sizes: NDArray[np.float32]  # at the best bid and ask, 2 x n
    depths: NDArray[np.float32]  # within 5 c of them, 2 x n
    prints: int  # public trades

    @classmethod
    def of_rows(cls, rows: Sequence[_Row], *, length_s: float, prints: int) -> "WindowBook":
        """From rows in time order."""
        table = np.asarray(rows, dtype=np.float32).T
        return cls(length_s, table[0], table[1], table[2], table[3:5], table[5:7], prints)

    @property
    def mid(self) -> NDArray[np.floating]:
        """Middle in cents; an empty side counts as the end of the scale."""
        return (np.nan_to_num(self.bid, nan=0.0) + np.nan_to_num(self.ask, nan=100.0)) / 2

    @property
    def is_one_sided(self) -> NDArray[np.bool_]:
        """Where a side is empty."""
        return np.isnan(self.bid) | np.isnan(self.ask)


class BookRecorder:
    """A watcher of the exchange that keeps the rows of every market whose window runs."""

    def __init__(self) -> None:
        self._rows: dict[str, list[_Row]] = {}
        self._prints: dict[str, int] = {}

    def take(self, market: MarketState) -> WindowBook:
        """The finished book of one market; it is forgotten here."""
        rows = self._rows.pop(market.condition_id)
        length_s = (market.spec.end_ns - market.spec.start_ns) / NS
        return WindowBook.of_rows(rows, length_s=length_s, prints=self._prints.pop(market.condition_id, 0))

    def wants(self, market: MarketState) -> bool:
        """Every market."""
        del market
        return True

    def on_new_market(self, market: MarketState, now_ns: int) -> None:
        """Nothing to write down."""

    def on_book(self, market: MarketState, changes: Sequence[tuple[int, int, int]], now_ns: int) -> None:
        """Write the book as it stands."""
        del changes
        if not market.is_open or now_ns >= market.spec.end_ns:
            return
        at_s = (now_ns - market.spec.start_ns) / NS
        rows = self._rows.setdefault(market.condition_id, [])
        if at_s < 0.0:
            rows[:] = [_row(market, 0.0)]
            return
        rows.append(_row(market, at_s))
        if market.prints:
            known = self._prints.get(market.condition_id, 0)
            self._prints[market.condition_id] = known + len(market.prints)

    def on_tick_size(self, market: MarketState, old_ticks: int, now_ns: int) -> None:
        """Nothing to write down."""

    def on_resolved(self, market: MarketState, now_ns: int) -> None:
        """Nothing to write down."""


def _row(market: MarketState, at_s: float) -> _Row:
    # Ten levels hold 5 c on the coarse grid; once the grid is fine, levels of both kinds mix.
    limit = NEAR_TICKS // 50 if market.tick_ticks >= CENT_TICKS else NEAR_TICKS
    bids, asks = market.book.levels(BUY, limit), market.book.levels(SELL, limit)
    nan = float("nan")
    bid, bid_size = bids[0] if bids else (nan, 0)
    ask, ask_size = asks[0] if asks else (nan, 0)
    bid_depth = sum(ushares for price, ushares in bids if price >= bid - NEAR_TICKS)
    ask_depth = sum(ushares for price, ushares in asks if price <= ask + NEAR_TICKS)
    return (
        at_s,
        bid / 100,
        ask / 100,
        bid_size / SHARE,
        ask_size / SHARE,
        bid_depth / SHARE,
        ask_depth / SHARE,
    )
