"""Counts and money of one strategy, one market, one run: integers only, corrected as later news comes.

Owns the sums that market.json, markets.csv and the end summary show; settlement records of the engine are
the truth for payout and PnL, fills for cost and fees until then.  Must not format or write.
Used by market_log, writer and console.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polybot._fast.event import TradeStatus
from polybot.telemetry.records import Record

__all__ = ["MarketSummary", "RunTotals", "StrategyTotals"]

_FAILED = int(TradeStatus.TS_FAILED)


@dataclass(slots=True)
class _Fill:
    cost_micro: int
    fee_micro: int
    failed: bool


@dataclass(slots=True)
class StrategyTotals:
    """One strategy in one market."""

    signals: int = 0
    dispatched: int = 0
    dropped: int = 0  # proposed and never decided: no order could be made of them
    orders: int = 0
    denials: Counter[str] = field(default_factory=Counter)
    rows: int = 0  # signals that telemetry was told of
    payout_micro: int | None = None
    pnl_micro: int | None = None
    settled_cost_micro: int | None = None
    _fills: dict[tuple[int, int], _Fill] = field(default_factory=dict)

    def on_signal(self, status: str, *, dispatched: bool) -> None:
        """A signal and what became of it."""
        self.rows += 1
        self.signals += 1
        if dispatched:
            self.dispatched += 1
        else:
            self.denials[status] += 1

    def on_counts(self, counts: Mapping[str, Any]) -> None:
        """The engine's own final counts: records on their way here may have been lost."""
        self.signals, self.dispatched, self.dropped = counts["signals"], counts["orders"], counts["dropped"]
        self.denials = Counter(counts["denied"])

    def on_fill(self, record: Record) -> bool:
        """Book one status of one fill; True when it is the first news of it."""
        key = (int(record.confidence), record.order_seq)
        first = key not in self._fills
        self._fills[key] = _Fill(record.usd, int(record.edge), record.reason == _FAILED)
        return first

    def on_settlement(self, record: Record) -> None:
        """The engine's PnL of this strategy; the latest record counts."""
        self.payout_micro = record.shares
        self.pnl_micro = record.usd
        self.settled_cost_micro = int(record.edge)

    @property
    def fills(self) -> int:
        """Fills that did not fail."""
        return sum(not fill.failed for fill in self._fills.values())

    @property
    def cost_micro(self) -> int:
        """Cost of the fills with fees, micro-USD."""
        return sum(fill.cost_micro for fill in self._fills.values() if not fill.failed)

    @property
    def fees_micro(self) -> int:
        """Fees of the fills, micro-USD."""
        return sum(fill.fee_micro for fill in self._fills.values() if not fill.failed)

    @property
    def denied(self) -> int:
        """Signals that were refused, with the reason."""
        return sum(self.denials.values())

    @property
    def untold(self) -> int:
        """Signals decided whose record was lost before it came here."""
        return self.signals - self.dropped - self.rows

    def counts(self) -> dict[str, int]:
        """What it did, as a run adds it up; fees in micro-USD."""
        return {
            "signals": self.signals,
            "dispatched": self.dispatched,
            "orders": self.orders,
            "fills": self.fills,
            "fees_usd": self.fees_micro,
        }


@dataclass(frozen=True, slots=True)
class MarketSummary:
    """One market at its end; payout and PnL are None until it is settled."""

    signals: int
    dispatched: int
    dropped: int
    untold: int
    orders: int
    fills: int
    cost_micro: int
    fees_micro: int
    payout_micro: int | None
    pnl_micro: int | None
    mark_differs: bool
    cost_differs: bool
    denials: Counter[str]
    strategy_fills: dict[str, int]
    strategy_pnl_micro: dict[str, int]
    strategy_counts: dict[str, dict[str, int]]


@dataclass(slots=True)
class RunTotals:
    """Everything since the start; a market that is summarised anew replaces its old figures."""

    markets: int = 0
    settled: int = 0
    signals: int = 0
    dispatched: int = 0
    orders: int = 0
    fills: int = 0
    wins: int = 0
    losses: int = 0
    cost_micro: int = 0
    fees_micro: int = 0
    payout_micro: int = 0
    pnl_micro: int = 0
    marks_differed: int = 0
    costs_differed: int = 0
    denials: Counter[str] = field(default_factory=Counter)
    strategy_fills: Counter[str] = field(default_factory=Counter)
    strategy_wins: Counter[str] = field(default_factory=Counter)
    strategy_losses: Counter[str] = field(default_factory=Counter)
    strategy_pnl_micro: Counter[str] = field(default_factory=Counter)
    strategy_counts: dict[str, Counter[str]] = field(default_factory=dict)

    def replace(self, old: MarketSummary | None, new: MarketSummary) -> None:
        """Count a market's summary, taking its earlier one back."""
        if old is not None:
            self._count(old, -1)
        self._count(new, 1)

    def _count(self, summary: MarketSummary, sign: int) -> None:
        self.markets += sign
        self.signals += sign * summary.signals
        self.dispatched += sign * summary.dispatched
        self.orders += sign * summary.orders
        self.fills += sign * summary.fills
        self.cost_micro += sign * summary.cost_micro
        self.fees_micro += sign * summary.fees_micro
        self.marks_differed += sign * summary.mark_differs
        self.costs_differed += sign * summary.cost_differs
        for reason, count in summary.denials.items():
            self.denials[reason] += sign * count
        for strategy, count in summary.strategy_fills.items():
            self.strategy_fills[strategy] += sign * count
        for strategy, counts in summary.strategy_counts.items():
            total = self.strategy_counts.setdefault(strategy, Counter())
            for name, count in counts.items():
                total[name] += sign * count
        if summary.pnl_micro is not None:
            self._count_settled(summary, sign)

    def _count_settled(self, summary: MarketSummary, sign: int) -> None:
        pnl_micro = summary.pnl_micro or 0
        self.settled += sign
        self.payout_micro += sign * (summary.payout_micro or 0)
        self.pnl_micro += sign * pnl_micro
        self.wins += sign * (pnl_micro > 0)
        self.losses += sign * (pnl_micro < 0)
        for strategy, strategy_pnl in summary.strategy_pnl_micro.items():
            self.strategy_pnl_micro[strategy] += sign * strategy_pnl
            self.strategy_wins[strategy] += sign * (strategy_pnl > 0)
            self.strategy_losses[strategy] += sign * (strategy_pnl < 0)
