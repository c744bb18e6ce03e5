"""Facts about runs, and how they become the rows of a table: filter, group, add up.

A fact is what one run did in one market, or one strategy of one run in one market.  Owns the meaning of every column
of `analyze`.  Money is integer micro-USD until it is shown; PnL that is not known (the outcome was never told) counts
nowhere and is not 0.  Must not read files.  Called by polybot.analyze.command; polybot.analyze.sources makes facts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import Any

from polybot.analyze.frame import Frame
from polybot.config_analyze import AnalyzeConfig

__all__ = ["OUTCOMES", "Fact", "RunFigures", "day_text", "keeps", "needs_strategies", "tabulate"]

USD = 1_000_000
OUTCOMES: Mapping[int, str] = {0: "up", 1: "down", -1: "unknown"}
SUMS = (
    "markets", "settled", "won", "lost", "signals", "orders", "fills", "pnl_usd", "per_market_usd",
    "cost_usd", "fees_usd",
)  # fmt: skip
RUN_FIGURES = ("pnl_low_usd", "pnl_high_usd", "drawdown_usd", "brier_model", "elapsed_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One run, one market; strategy "" means all of them, market "" all together.  None: not known."""

    run: str
    kind: str
    label: str
    asset: str
    interval: str
    market: str
    day: str
    outcome: str
    strategy: str = ""
    pnl_micro: int | None = None
    cost_micro: int | None = None
    fees_micro: int | None = None
    fills: int = 0
    signals: int | None = None
    orders: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What is known of a run as a whole, not of its markets; None: not known."""

    pnl_low_usd: float | None = None
    pnl_high_usd: float | None = None
    drawdown_usd: float | None = None
    brier_model: float | None = None
    elapsed_s: float | None = None


@dataclass(slots=True)
class _Sum:
    """One row under way."""

    markets: set[tuple[str, str]] = field(default_factory=set)
    settled: dict[tuple[str, str], int] = field(default_factory=dict)  # PnL by run and market
    cost: int | None = None
    fees: int | None = None
    apart: int | None = None  # PnL that is not told by market
    fills: int = 0
    signals: int | None = None
    orders: int | None = None

    def add(self, fact: Fact) -> None:
        key = fact.run, fact.market
        if not fact.market:
            self.apart = _plus(self.apart, fact.pnl_micro)
        else:
            self.markets.add(key)
            if fact.pnl_micro is not None:
                self.settled[key] = self.settled.get(key, 0) + fact.pnl_micro
        self.cost = _plus(self.cost, fact.cost_micro)
        self.fees = _plus(self.fees, fact.fees_micro)
        self.fills += fact.fills
        self.signals = _plus(self.signals, fact.signals)
        self.orders = _plus(self.orders, fact.orders)

    def values(self) -> tuple[Any, ...]:
        """In the order of SUMS."""
        count, told = len(self.settled), sum(self.settled.values())
        pnl = _plus(told if count else None, self.apart)
        return (
            len(self.markets),
            count,
            sum(value > 0 for value in self.settled.values()),
            sum(value < 0 for value in self.settled.values()),
            self.signals,
            self.orders,
            self.fills,
            _usd(pnl),
            told / USD / count if count else None,
            _usd(self.cost),
            _usd(self.fees),
        )


def needs_strategies(settings: AnalyzeConfig) -> bool:
    """Must facts be told by strategy for this table?"""
    return bool(settings.strategy) or "strategy" in settings.by


def keeps(settings: AnalyzeConfig) -> Callable[[Fact], bool]:
    """The filter of facts."""

    def is_kept(fact: Fact) -> bool:
        return (
            (not settings.kind or fact.kind in settings.kind)
            and (not settings.strategy or fact.strategy in settings.strategy)
            and (not settings.asset or fact.asset in settings.asset)
            and (not settings.interval or fact.interval in settings.interval)
            and (not settings.outcome or fact.outcome in settings.outcome)
            and (not settings.from_day or fact.day >= settings.from_day)
            and (not settings.to_day or "" < fact.day <= settings.to_day)
            and (not settings.run or fnmatchcase(fact.run, settings.run))
            and (not settings.market or fnmatchcase(fact.market, settings.market))
            and settings.label in fact.label
        )

    return is_kept


def tabulate(facts: Iterable[Fact], figures: Mapping[str, RunFigures], settings: AnalyzeConfig) -> Frame:
    """Group the facts that pass the filter, drop rows outside the limits, sort and cut.

    A table of one row per run also has the run's own figures, unless a filter left a part of the run out: they are
    of the whole run.
    """
    by: Sequence[str] = settings.by
    sums: dict[tuple[str, ...], _Sum] = {}
    is_kept = keeps(settings)
    for fact in facts:
        if is_kept(fact):
            key = tuple(getattr(fact, name) for name in by)
            sums.setdefault(key, _Sum()).add(fact)
    whole = tuple(by) == ("run",) and _is_whole(settings)
    names = (*by, *SUMS, *(RUN_FIGURES if whole else ()))
    at_fills, at_pnl = len(by) + SUMS.index("fills"), len(by) + SUMS.index("pnl_usd")
    rows = []
    for key in sorted(sums):
        row = (*key, *sums[key].values())
        if whole:
            of_run = figures.get(key[0], RunFigures())
            row = (*row, *(getattr(of_run, name) for name in RUN_FIGURES))
        if row[at_fills] >= settings.min_fills and _is_within(row[at_pnl], settings):
            rows.append(row)
    frame = Frame(names, rows)
    if settings.sort:
        frame = frame.sorted_by(settings.sort.lstrip("-"), descending=settings.sort.startswith("-"))
    return frame.first(settings.limit_count)


def day_text(day: int) -> str:
    """A UTC day, given as days since the epoch."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _is_whole(settings: AnalyzeConfig) -> bool:
    parts = (settings.strategy, settings.asset, settings.interval, settings.market, settings.outcome)
    return not any((*parts, settings.from_day, settings.to_day))


def _is_within(pnl_usd: float | None, settings: AnalyzeConfig) -> bool:
    """Unknown PnL passes as long as nobody asked for some."""
    default = AnalyzeConfig()
    if pnl_usd is None:
        return (settings.min_pnl_usd, settings.max_pnl_usd) == (default.min_pnl_usd, default.max_pnl_usd)
    return settings.min_pnl_usd <= pnl_usd <= settings.max_pnl_usd


def _plus(left: int | None, right: int | None) -> int | None:
    if left is None or right is None:
        return left if right is None else right
    return left + right


def _usd(micro: int | None) -> float | None:
    return None if micro is None else micro / USD
