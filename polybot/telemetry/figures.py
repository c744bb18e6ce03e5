"""The figures of a run that watchers are shown: latency histograms, telemetry's own health, totals so far.

Owns how often they are made anew (once a second of the wall) and their encoding; they are made on the writer's
thread, so that the event loop only hands them on.  Totals are of everything since the start, the windows that are
not over yet included; wins, losses and PnL are of settled windows.  Must not decide or keep more than the last time.
Used by TelemetryWriter.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from polybot.telemetry.latency import LatencyBook
from polybot.telemetry.market_log import MarketLog
from polybot.telemetry.summary_lines import TelemetryHealth
from polybot.telemetry.totals import RunTotals

__all__ = ["Figures", "latency_facts", "totals_facts"]

NS = 1_000_000_000
EVERY_NS = NS
# Upper bounds of the histograms' buckets as Prometheus sees them, seconds: 1 us to 10 s, three a decade.
BOUNDS_S = (*(step * 10.0**power for power in range(-6, 1) for step in (1.0, 2.5, 5.0)), 10.0)
COUNTED = ("signals", "dispatched", "orders", "fills", "fees_usd")
BOUNDS_NS = tuple(bound * NS for bound in BOUNDS_S)


class Figures:
    """When figures are due, and what was made."""

    def __init__(self) -> None:
        self._made_ns: int | None = None

    def is_due(self, mono_ns: int) -> bool:
        """True once a second; takes note of it."""
        if self._made_ns is not None and mono_ns - self._made_ns < EVERY_NS:
            return False
        self._made_ns = mono_ns
        return True

    def make(
        self, latency: LatencyBook, health: TelemetryHealth, totals: RunTotals, *, logs: Iterable[MarketLog]
    ) -> Mapping[str, bytes]:
        """JSON by name; `logs` are the markets whose figures are known, finished ones among them."""
        live = [log for log in logs if log.summary is None]
        return {
            "latency": orjson.dumps(latency_facts(latency)),
            "telemetry": orjson.dumps(asdict(health)),
            "totals": orjson.dumps(totals_facts(totals, live)),
        }


def latency_facts(latency: LatencyBook) -> list[dict[str, Any]]:
    """One entry per stage that was measured: percentiles in us, sum in s, (upper bound s, cumulative count)."""
    facts = []
    for line in latency.table():
        histogram = latency.histogram(line.name)
        facts.append(
            {
                **asdict(line),
                "sum_s": histogram.total / NS,
                "buckets": list(zip(BOUNDS_S, histogram.cumulative(BOUNDS_NS), strict=True)),
            }
        )
    return facts


def totals_facts(totals: RunTotals, live: Iterable[MarketLog]) -> dict[str, Any]:
    """Sums over the run, in all and by strategy; money in micro-USD."""
    parts: dict[str, Counter[str]] = {}
    for name, counted in totals.strategy_counts.items():
        parts[name] = Counter(counted)
    for log in live:
        for name, part in log.strategies.items():
            parts.setdefault(name, Counter()).update(part.counts())
    by_strategy = {
        name: {
            **{key: counts[key] for key in COUNTED},
            "wins": totals.strategy_wins[name],
            "losses": totals.strategy_losses[name],
            "pnl_usd": totals.strategy_pnl_micro[name],
        }
        for name, counts in parts.items()
    }
    return {
        "markets": totals.markets,
        "settled": totals.settled,
        "wins": totals.wins,
        "losses": totals.losses,
        **{key: sum(part[key] for part in by_strategy.values()) for key in COUNTED},
        "pnl_usd": totals.pnl_micro,
        "by_strategy": by_strategy,
    }
