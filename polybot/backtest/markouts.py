"""What fills were worth later: own outcome's mid at some horizons, and the payout, against the price paid.

Owns the horizons and which mid counts: the quote in force at fill + horizon, never an older instant and never one
after it; unknown after the window's end, with a side of the book empty, or before the first quote.  A markout that
falls with the horizon is adverse selection; one that rises only at settlement is luck or a slow market.
Also edge predicted against realised.  Called by polybot.backtest.scores.
"""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot._fast.event import Outcome
from polybot.backtest.bootstrap import clustered_mean
from polybot.backtest.counted import Counted
from polybot.backtest.lookup import Timeline, quote_mids
from polybot.backtest.score_tree import EdgeBin, Markout

__all__ = ["EDGE_BOUNDS", "HORIZONS", "MarkoutTable", "edge_bins"]

NS_PER_MS = 1_000_000
HORIZONS = (("100 ms", 100), ("1 s", 1_000), ("5 s", 5_000), ("30 s", 30_000))  # ms
SETTLEMENT = "settlement"
# Bins of the promised edge, USD per share: below 0 no order is wanted, above 10 c it is hardly believed.
EDGE_BOUNDS = (None, 0.0, 0.01, 0.02, 0.03, 0.05, 0.10, None)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class MarkoutTable:
    """Markouts of every fill that counts; then rows for any group of them."""

    def __init__(self, counted: Counted, quotes: Any) -> None:
        """quotes: rows of QUOTE_DTYPE."""
        self._counted = counted
        timeline = Timeline(quotes["market"], quotes["recv_ns"])
        self.before_fee = {name: _at(counted, timeline, quotes, ms * NS_PER_MS) for name, ms in HORIZONS}
        paid = counted.won.astype(np.float64)
        self.before_fee[SETTLEMENT] = np.asarray(counted.sign * (paid - counted.price), dtype=np.float64)

    def rows(self, mask: Bools) -> tuple[Markout, ...]:
        """One row per horizon for the fills in mask."""
        horizons = [*((name, ms * NS_PER_MS) for name, ms in HORIZONS), (SETTLEMENT, None)]
        return tuple(self._row(name, ns, mask) for name, ns in horizons)

    def _row(self, name: str, horizon_ns: int | None, mask: Bools) -> Markout:
        counted = self._counted
        values = self.before_fee[name]
        known = mask & np.isfinite(values)
        weights, clusters = counted.shares[known], counted.row[known]
        mean, _, _ = clustered_mean(values[known], weights, clusters)
        net = values[known] - counted.fee_per_share[known]
        mean_net, error, markets = clustered_mean(net, weights, clusters)
        fills, wanted = int(known.sum()), int(mask.sum())
        return Markout(
            horizon=name,
            horizon_ns=horizon_ns,
            fills=fills,
            markets=markets,
            unknown=wanted - fills,
            unknown_frac=(wanted - fills) / wanted if wanted else None,
            mean_usd=mean,
            mean_net_usd=mean_net,
            error_usd=error,
            shares_micro=int(counted.fills["shares"][known].sum()),
        )


def edge_bins(counted: Counted, mask: Bools) -> tuple[EdgeBin, ...]:
    """Promised edge against what a share earned after the fee, for the fills in mask; unknown edges are in no bin."""
    edge = np.asarray(counted.fills["edge"], dtype=np.float64)
    realised = counted.pnl / np.maximum(counted.fills["shares"], 1)
    rows = []
    for low, high in itertools.pairwise(EDGE_BOUNDS):
        inside = mask & np.isfinite(edge)
        if low is not None:
            inside &= edge >= low
        if high is not None:
            inside &= edge < high
        weights, clusters = counted.shares[inside], counted.row[inside]
        predicted, _, _ = clustered_mean(edge[inside], weights, clusters)
        mean, error, markets = clustered_mean(realised[inside], weights, clusters)
        rows.append(
            EdgeBin(
                low_usd=low,
                high_usd=high,
                fills=int(inside.sum()),
                markets=markets,
                shares_micro=int(counted.fills["shares"][inside].sum()),
                predicted_usd=predicted,
                realised_usd=mean,
                error_usd=error,
            )
        )
    return tuple(rows)


def _at(counted: Counted, timeline: Timeline, quotes: Any, horizon_ns: int) -> Floats:
    """Signed mid at fill + horizon minus price, USD per share; NaN where it is unknown."""
    fills = counted.fills
    at = np.asarray(fills["recv_ns"], dtype=np.int64) + horizon_ns
    row = timeline.last_at(fills["market"], at)
    inside = at < counted.markets["end_ns"][counted.row]
    up = quote_mids(quotes, np.where(inside, row, -1))
    own = np.where(fills["outcome"] == Outcome.UP, up, 1.0 - up)
    return np.asarray(counted.sign * (own - counted.price), dtype=np.float64)
