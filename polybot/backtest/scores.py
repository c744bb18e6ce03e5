"""All numbers of a report, from a run's tables: `scores(result)` builds the tree of polybot.backtest.score_tree.

Owns the order of the work and the notes: what could not be known or is too thin to mean anything is said in words.
A run without fills, without settled markets or with a single one is scored like any other.  Nothing here decides,
simulates or reads a clock.  Called by the commands backtest, report and analyze, and by programs.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from polybot._fast.risk import Denial as Reason
from polybot.backtest import conditions
from polybot.backtest.attribution import Terms, attribution, terms_of
from polybot.backtest.bootstrap import BOOTSTRAP_SEED, DRAWS, sum_intervals
from polybot.backtest.calibration import calibration
from polybot.backtest.counted import MICRO, Counted
from polybot.backtest.equity import equity
from polybot.backtest.markouts import MarkoutTable, edge_bins
from polybot.backtest.result import Result
from polybot.backtest.score_tree import (
    VERSION,
    Agreement,
    DayRow,
    FlatteryRow,
    Interval,
    Scores,
    StrategyScore,
    Totals,
    load_scores,
    save_scores,
)

__all__ = ["FEW_MARKETS", "Scores", "load_scores", "save_scores", "scores"]

FEW_MARKETS = 30  # below, a bootstrap interval is itself a guess
ALL = "all"


def scores(
    result: Result,
    *,
    flattery: tuple[FlatteryRow, ...] = (),
    agreement: Agreement | None = None,
    seed: int | None = None,
    draws: int = DRAWS,
) -> Scores:
    """Score one run; flattery and agreement, which need other runs, are taken over as they are.

    seed: of the bootstraps, by default the run's own (backtest.seed).  Raises TapeError for tables that contradict
    each other.
    """
    info = result.info
    if seed is None:
        seed = int(_setting(info, "backtest", "seed") or BOOTSTRAP_SEED)
    counted = Counted.of(result.table("markets"), result.table("fills"))
    quotes, samples = result.table("quotes"), result.table("samples")
    bankroll = _bankroll_micro(info)
    groups = _Groups(counted, samples, quotes, result.strategies, draws=draws, seed=seed)
    counts = conditions.signal_counts(result.table("signals"), info, result.strategies)
    totals = _totals(counted, bankroll, groups.intervals[ALL])
    covered = conditions.coverage(
        counted, samples, result.table("seconds"), info, sample_s=_setting(info, "backtest", "sample_s")
    )
    slices = calibration(counted, samples, draws=draws, seed=seed)
    return Scores(
        version=VERSION,
        run=result.name,
        label=str(info.get("label", "")),
        seed=seed,
        notes=(
            *_state(info),
            *_observed(counted),
            *_overlapping(counted),
            *_notes(totals, judged=slices[-1].n),
        ),
        totals=totals,
        equity=equity(counted, quotes, samples, bankroll_micro=bankroll),
        all=groups.score(ALL, sum(counts.values(), Counter())),
        strategies=tuple(groups.score(name, counts.get(name, Counter())) for name in groups.names),
        calibration=slices,
        denials=conditions.denials(counts),
        latency=conditions.latency(result.table("latency")),
        coverage=covered,
        days=_days(counted),
        blocked=conditions.blocked(info),
        flattery=flattery,
        agreement=agreement,
    )


class _Groups:
    """Fills by strategy name, and `all`: what is computed once for all of them, then a score for any."""

    def __init__(
        self,
        counted: Counted,
        samples: Any,
        quotes: Any,
        strategies: tuple[str, ...],
        *,
        draws: int,
        seed: int,
    ) -> None:
        self._counted = counted
        self._terms: Terms = terms_of(counted, samples)
        self._markouts = MarkoutTable(counted, quotes)
        named = dict(enumerate(strategies))
        for code in np.unique(counted.all_fills["strategy"]).tolist():
            named.setdefault(code, conditions.strategy_name(strategies, code))
        masks = {name: np.asarray(counted.fills["strategy"] == code) for code, name in named.items()}
        self.names = tuple(masks)
        self._masks = masks | {ALL: np.ones(len(counted.fills), dtype=np.bool_)}
        columns = [counted.per_market(counted.pnl, mask) / MICRO for mask in self._masks.values()]
        found = sum_intervals(np.stack(columns, axis=1), draws=draws, seed=seed)
        self.intervals: dict[str, Interval] = dict(zip(self._masks, found, strict=True))

    def score(self, name: str, signals: Counter[str]) -> StrategyScore:
        """Score the fills of one strategy; signals: how many by reason."""
        counted, mask = self._counted, self._masks[name]
        dispatched = signals[Reason.DISPATCHED.name]
        return StrategyScore(
            name=name,
            signals=signals.total(),
            dispatched=dispatched,
            denied=signals.total() - dispatched,
            fills=int(mask.sum()),
            maker_fills=int((mask & counted.fills["maker"]).sum()),
            markets=len(np.unique(counted.row[mask])),
            shares_micro=int(counted.fills["shares"][mask].sum()),
            pnl_micro=int(counted.pnl[mask].sum()),
            pnl_interval=self.intervals[name],
            attribution=attribution(self._terms, mask),
            markouts=self._markouts.rows(mask),
            edges=edge_bins(counted, mask),
        )


def _totals(counted: Counted, bankroll_micro: int | None, interval: Interval) -> Totals:
    markets, settled, fills = counted.markets, counted.settled, counted.fills
    observed = markets["observed"] & ~settled
    outside = ~counted.counts & ~counted.failed
    pnl = int(counted.pnl.sum())
    n = int(settled.sum())
    return Totals(
        markets=len(markets),
        settled=n,
        observed=int(observed.sum()),
        left_out=len(markets) - n - int(observed.sum()),
        traded=len(np.unique(counted.row)),
        fills=len(fills),
        fills_left_out=int(outside.sum()),
        cost_left_out_micro=int(counted.all_fills["cost"][outside].sum()),
        fills_failed=int(counted.failed.sum()),
        shares_micro=int(fills["shares"].sum()),
        cost_micro=int(fills["cost"].sum()),
        payout_micro=int(counted.payout.sum()),
        fees_micro=int(fills["fee"].sum()),
        pnl_micro=pnl,
        unexplained_micro=int(markets["pnl"][settled].sum()) - pnl,
        bankroll_micro=bankroll_micro,
        days=len(np.unique(markets["day"][settled])),
        mean_per_market_usd=pnl / n / MICRO if n else None,
        pnl_interval=interval,
    )


def _days(counted: Counted) -> tuple[DayRow, ...]:
    """One row per UTC day with a settled market, in order, and the run without it."""
    day = counted.markets["day"]
    of_fills = day[counted.row]
    total, settled = int(counted.pnl.sum()), int(counted.settled.sum())
    rows = []
    for number in np.unique(day[counted.settled]).tolist():
        mine = of_fills == number
        pnl = int(counted.pnl[mine].sum())
        markets = int((counted.settled & (day == number)).sum())
        others = settled - markets
        rows.append(
            DayRow(
                day=str(np.datetime64(number, "D")),
                markets=markets,
                fills=int(mine.sum()),
                pnl_micro=pnl,
                pnl_without_micro=total - pnl,
                mean_without_usd=(total - pnl) / others / MICRO if others else None,
            )
        )
    return tuple(rows)


def _state(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Say when a run was not finished."""
    state = str(info.get("state", "complete"))
    return () if state == "complete" else (f"the run was {state}: what came after is not in it",)


def _observed(counted: Counted) -> tuple[str, ...]:
    """Say how many markets were looked at and not traded."""
    observed = counted.markets["observed"] & ~counted.settled
    unknown = observed & (counted.markets["outcome"] < 0)
    if not observed.any():
        return ()
    how = f"{int(unknown.sum())} of them without a known outcome"
    return (f"{int(observed.sum())} markets were followed and not traded, {how}",)


def _overlapping(counted: Counted) -> tuple[str, ...]:
    """Say when markets that count ran at the same time: one move of the price decides them together."""
    markets = counted.markets[counted.settled]
    markets = markets[np.argsort(markets["start_ns"], kind="stable")]
    before = np.maximum.accumulate(markets["end_ns"])[:-1]
    n = int((markets["start_ns"][1:] < before).sum())
    if not n:
        return ()
    return (f"{n} of {len(markets)} settled markets began while another ran: intervals and errors take them for "
            "independent and are too narrow",)  # fmt: skip


def _notes(totals: Totals, *, judged: int) -> tuple[str, ...]:
    """Say what is missing or thin."""
    notes = []
    if not totals.markets:
        notes.append("no market was opened: there is nothing to score")
    elif not totals.settled:
        notes.append("no market was settled: there is no PnL, no attribution and no calibration")
    elif not totals.fills:
        notes.append(
            "no fill counts: PnL is 0 because nothing was traded, markouts and attribution are empty"
        )
    if totals.settled == 1:
        notes.append("one settled market: no interval and no standard error can be given")
    elif 1 < totals.settled < FEW_MARKETS:
        notes.append(f"{totals.settled} settled markets: intervals of fewer than {FEW_MARKETS} are guesses")
    if totals.days == 1:
        notes.append("one day: leaving it out leaves nothing, and no other kind of day was seen")
    if totals.left_out:
        cost = totals.cost_left_out_micro / MICRO
        notes.append(
            f"{totals.left_out} markets are left out (outcome not known or not counted), "
            f"with {totals.fills_left_out} fills that cost {cost:.2f} USD"
        )
    if totals.fills_failed:
        notes.append(f"{totals.fills_failed} fills were undone by the venue and count for nothing")
    if totals.unexplained_micro:
        notes.append(
            f"DEFECT: the table of markets says {totals.unexplained_micro / MICRO:+.6f} USD more than its fills"
        )
    if totals.settled and not judged:
        notes.append("no sample has both the model's probability and a mid: no calibration")
    return tuple(notes)


def _setting(info: Mapping[str, Any], group: str, key: str) -> Any:
    """One setting of the run, None where it is not in its dump."""
    section = info.get("settings", {}).get(group, {})
    return section.get(key) if isinstance(section, Mapping) else None


def _bankroll_micro(info: Mapping[str, Any]) -> int | None:
    bankroll = _setting(info, "risk", "bankroll_usd")
    return None if bankroll is None else round(float(bankroll) * MICRO)
