"""What the console says when a market or the whole run is over, and what telemetry itself lost.

Pure wording, ASCII, no state; money comes as integer micro-USD.  Used by TelemetryWriter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from polybot.telemetry.console_lines import counts_text, facts_text, us_text
from polybot.telemetry.latency import StageStats
from polybot.telemetry.market_log import MarketLog
from polybot.telemetry.records import money_text, outcome_text, usd_text
from polybot.telemetry.totals import MarketSummary, RunTotals

__all__ = ["TelemetryHealth", "final_lines", "market_lines"]

INDENT = " " * 4


@dataclass(frozen=True, slots=True)
class TelemetryHealth:
    """What telemetry itself lost or could not do since the start."""

    records_dropped: int
    records_lost: int
    notes_dropped: int
    notes_lost: int
    rows_tried: int  # those on disk are rows_tried - rows_lost - rows_waiting
    rows_lost: int
    rows_waiting: int
    unassigned: int
    errors: int
    disk_error: str


def market_lines(log: MarketLog, summary: MarketSummary) -> list[str]:
    """A market is over: outcome, money, one line per strategy that did something."""
    facts = facts_text(
        outcome="UNRESOLVED" if log.outcome is None else outcome_text(log.outcome),
        our_mark="none" if log.our_mark is None else outcome_text(log.our_mark),
        pnl=_pnl_text(summary.pnl_micro),
        cost=usd_text(summary.cost_micro),
        fees=usd_text(summary.fees_micro),
        signals=summary.signals,
        orders=summary.orders,
        fills=summary.fills,
        coverage=f"spot {log.spot_coverage:.1%} book {log.book_coverage:.1%}",
    )
    lines = [f"MARKET    {facts}"]
    if summary.mark_differs:
        lines.append(f"{INDENT}WARNING: the venue's outcome differs from ours")
    if summary.cost_differs:
        lines.append(f"{INDENT}WARNING: settled cost differs from the fills' cost")
    for name, part in log.strategies.items():
        if not part.signals and not part.fills:
            continue
        facts = facts_text(
            signals=part.signals,
            dispatched=part.dispatched,
            fills=part.fills,
            pnl=_pnl_text(part.pnl_micro),
        )
        denied = f"  denied: {counts_text(part.denials)}" if part.denials else ""
        lines.append(f"{INDENT}{name:<18} {facts}{denied}")
    return lines


def final_lines(totals: RunTotals, health: TelemetryHealth, latency: Sequence[StageStats]) -> list[str]:
    """The table at the end of a run."""
    heads = (
        facts_text(markets=totals.markets, settled=totals.settled, wins=totals.wins, losses=totals.losses),
        facts_text(
            signals=totals.signals, dispatched=totals.dispatched, orders=totals.orders, fills=totals.fills
        ),
        facts_text(
            pnl=_pnl_text(totals.pnl_micro),
            cost=usd_text(totals.cost_micro),
            payout=usd_text(totals.payout_micro),
            fees=usd_text(totals.fees_micro),
        ),
    )
    lines = [f"SUMMARY   {heads[0]}", *(INDENT + head for head in heads[1:])]
    lines += _strategy_table(totals)
    lines.append(f"{INDENT}denied: {counts_text(totals.denials) or 'none'}")
    lines += _latency_table(latency)
    if totals.marks_differed:
        lines.append(f"{INDENT}WARNING: {totals.marks_differed} outcomes differed from our mark")
    if totals.costs_differed:
        lines.append(
            f"{INDENT}WARNING: {totals.costs_differed} markets settled at another cost than their fills"
        )
    lines.append(f"{INDENT}telemetry: {_health_text(health)}")
    return lines


def _strategy_table(totals: RunTotals) -> list[str]:
    names = sorted(set(totals.strategy_pnl_micro) | set(totals.strategy_fills))
    if not names:
        return []
    rows = [f"{INDENT}{'strategy':<18} {'fills':>6} {'wins':>6} {'losses':>6} {'pnl_usd':>12}"]
    for name in names:
        pnl = money_text(totals.strategy_pnl_micro[name], sign=True)
        wins, losses = totals.strategy_wins[name], totals.strategy_losses[name]
        rows.append(f"{INDENT}{name:<18} {totals.strategy_fills[name]:>6} {wins:>6} {losses:>6} {pnl:>12}")
    return rows


def _latency_table(latency: Sequence[StageStats]) -> list[str]:
    if not latency:
        return []
    rows = [f"{INDENT}{'latency_us':<14} {'count':>8} {'p50':>10} {'p90':>10} {'p99':>10} {'max':>10}"]
    for line in latency:
        values = (line.p50_us, line.p90_us, line.p99_us, line.max_us)
        cells = " ".join(f"{us_text(value):>10}" for value in values)
        rows.append(f"{INDENT}{line.name:<14} {line.count:>8} {cells}")
    return rows


def _health_text(health: TelemetryHealth) -> str:
    text = (
        f"dropped records={health.records_dropped} notes={health.notes_dropped};"
        f" lost records={health.records_lost} notes={health.notes_lost}"
        f" rows={health.rows_lost + health.rows_waiting} of {health.rows_tried};"
        f" unassigned={health.unassigned} errors={health.errors}"
    )
    return f"{text}; disk: {health.disk_error}" if health.disk_error else text


def _pnl_text(pnl_micro: int | None) -> str:
    return "unknown" if pnl_micro is None else usd_text(pnl_micro, sign=True)
