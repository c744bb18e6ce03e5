"""One market's folder: its five CSV files, its market.json, its row in markets.csv.

Owns what is known of one market for people and analysis: metadata, strike, outcome, totals per strategy,
coverage.  Must not decide what a record means for other markets, nor print.  Driven by TelemetryWriter on
the telemetry thread; a restart within a window appends to the same files and keeps the earlier session.
"""

import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polybot.market.spec import MarketSpec
from polybot.telemetry.csv_sinks import (
    FILLS_COLUMNS,
    ORDERS_COLUMNS,
    SAMPLES_COLUMNS,
    SIGNALS_COLUMNS,
    CsvSink,
    csv_text,
    sample_cells,
)
from polybot.telemetry.inbox import MarketCounts, Second, StrikeCaptured
from polybot.telemetry.latency import LATENCY_COLUMNS
from polybot.telemetry.records import (
    NS_PER_MS,
    fraction_text,
    iso_text,
    number_text,
    outcome_text,
    strike_source_text,
)
from polybot.telemetry.totals import MarketSummary, StrategyTotals

__all__ = ["MarketLog", "markets_columns"]

NS_PER_S = 1_000_000_000
# Sessions of one window kept in market.json; more means a crash loop, whose logs tell more.
EARLIER_MAX = 16
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


def markets_columns(strategies: Sequence[str]) -> tuple[str, ...]:
    """Columns of markets.csv; one PnL column per strategy at the end."""
    return (
        "slug", "start", "end", "strike", "strike_source", "outcome", "our_mark", "spot_coverage",
        "book_coverage", "signals", "dispatched", "denied", "dropped", "untold", "orders", "fills", "cost_micro_usd",
        "fees_micro_usd", "payout_micro_usd", "pnl_micro_usd",
        *(f"pnl_{name}_micro_usd" for name in strategies),
    )  # fmt: skip


class MarketLog:
    """Files and figures of one market, from opened to finished."""

    def __init__(
        self, interval_dir: Path, index: int, spec: MarketSpec, *, strategies: Sequence[str], now_ns: int
    ) -> None:
        self.index = index
        self.spec = spec
        self.label = f"{spec.asset.upper()} {spec.interval} {iso_text(spec.start_ns)[11:16]}"
        self.folder = interval_dir / _folder_name(spec.slug)
        self.signals = CsvSink(self.folder / "signals.csv", SIGNALS_COLUMNS, droppable=True)
        self.orders = CsvSink(self.folder / "orders.csv", ORDERS_COLUMNS)
        self.fills = CsvSink(self.folder / "fills.csv", FILLS_COLUMNS)
        self.latency = CsvSink(self.folder / "latency.csv", LATENCY_COLUMNS, droppable=True)
        self.samples = CsvSink(self.folder / "samples.csv", SAMPLES_COLUMNS, droppable=True)
        self.sinks = (self.signals, self.orders, self.fills, self.latency, self.samples)
        self.strategies = {name: StrategyTotals() for name in strategies}
        self.order_seqs: set[int] = set()
        self.recent_denials: Counter[str] = Counter()
        self.strikes: list[StrikeCaptured] = []
        self.outcome: int | None = None
        self.outcome_source = ""
        self.our_mark: int | None = None
        self.is_resumed = False  # fills of an earlier process are in its rows, not in these figures
        self.finished_ns: int | None = None
        self.summary: MarketSummary | None = None
        self.json_error = ""
        self.is_stale = False  # market.json does not hold the latest counts
        self._counts: MarketCounts | None = None
        self._opened_ns = now_ns
        seconds = max(1, (spec.end_ns - spec.start_ns) // NS_PER_S)
        self._spot_seconds = bytearray(seconds)
        self._book_seconds = bytearray(seconds)
        self._sampled = -1  # the last second of the window that has its row
        self._earlier = _read_earlier(self.folder / "market.json")

    def totals_of(self, strategy: str) -> StrategyTotals:
        """Totals of a strategy; one that was not announced gets its own."""
        totals = self.strategies.get(strategy)
        if totals is None:
            totals = self.strategies[strategy] = StrategyTotals()
        return totals

    def note_counts(self, note: MarketCounts) -> None:
        """The engine's own counts: the final ones are the truth, where records may have been lost on their way."""
        self._counts = note
        self.is_stale = True
        for name, counts in note.counts["strategies"].items() if note.is_final else ():
            self.totals_of(name).on_counts(counts)

    def note_second(self, note: Second) -> None:
        """Mark its second of the window as covered, with one row of samples; outside the window nothing counts."""
        second = (note.now_ns - self.spec.start_ns) // NS_PER_S
        if 0 <= second < len(self._spot_seconds):
            self._spot_seconds[second] |= note.spot_fresh
            self._book_seconds[second] |= note.book_fresh
            if second != self._sampled:
                self._sampled = second
                self.samples.add(sample_cells(note, self.spec.end_ns))

    @property
    def spot_coverage(self) -> float:
        """Share of the window's seconds with a fresh spot price."""
        return sum(self._spot_seconds) / len(self._spot_seconds)

    @property
    def book_coverage(self) -> float:
        """Share of the window's seconds with a fresh book."""
        return sum(self._book_seconds) / len(self._book_seconds)

    @property
    def strike_text(self) -> str:
        """Strike as known now, empty if unknown."""
        return number_text(self.strikes[-1].strike) if self.strikes else ""

    @property
    def strike_source(self) -> str:
        """Where the strike came from, empty if unknown."""
        return strike_source_text(self.strikes[-1].source) if self.strikes else ""

    def flush(self) -> bool:
        """Write queued rows of all files; False when the disk refused."""
        refused = [sink for sink in self.sinks if not sink.flush()]
        return not refused

    def close(self) -> None:
        """Close the files; late records open them again."""
        for sink in self.sinks:
            sink.close()

    def summarise(self) -> MarketSummary:
        """Figures as of now."""
        parts = self.strategies
        settled = [totals for totals in parts.values() if totals.pnl_micro is not None]
        fills_cost_micro = sum(totals.cost_micro for totals in parts.values())
        settled_cost_micro = sum(totals.settled_cost_micro or 0 for totals in settled)
        known = bool(settled) or (self.outcome is not None and fills_cost_micro == 0)
        denials: Counter[str] = Counter()
        for totals in parts.values():
            denials.update(totals.denials)
        return MarketSummary(
            signals=sum(totals.signals for totals in parts.values()),
            dispatched=sum(totals.dispatched for totals in parts.values()),
            dropped=sum(totals.dropped for totals in parts.values()),
            untold=sum(totals.untold for totals in parts.values()),
            orders=sum(totals.orders for totals in parts.values()),
            fills=sum(totals.fills for totals in parts.values()),
            cost_micro=settled_cost_micro if settled else fills_cost_micro,
            fees_micro=sum(totals.fees_micro for totals in parts.values()),
            payout_micro=sum(totals.payout_micro or 0 for totals in settled) if known else None,
            pnl_micro=sum(totals.pnl_micro or 0 for totals in settled) if known else None,
            mark_differs=None not in (self.outcome, self.our_mark) and self.outcome != self.our_mark,
            cost_differs=bool(settled) and settled_cost_micro != fills_cost_micro and not self.is_resumed,
            denials=denials,
            strategy_fills={name: totals.fills for name, totals in parts.items()},
            strategy_pnl_micro={
                name: totals.pnl_micro for name, totals in parts.items() if totals.pnl_micro is not None
            },
            strategy_counts={name: totals.counts() for name, totals in parts.items()},
        )

    def markets_row(self, summary: MarketSummary, strategies: Sequence[str]) -> tuple[str, ...]:
        """This market's row of markets.csv."""
        pnl = summary.strategy_pnl_micro
        return (
            csv_text(self.spec.slug),
            iso_text(self.spec.start_ns),
            iso_text(self.spec.end_ns),
            self.strike_text,
            self.strike_source,
            _outcome_or_empty(self.outcome),
            _outcome_or_empty(self.our_mark),
            fraction_text(self.spot_coverage),
            fraction_text(self.book_coverage),
            str(summary.signals),
            str(summary.dispatched),
            str(summary.denials.total()),
            str(summary.dropped),
            str(summary.untold),
            str(summary.orders),
            str(summary.fills),
            str(summary.cost_micro),
            str(summary.fees_micro),
            _int_or_empty(summary.payout_micro),
            _int_or_empty(summary.pnl_micro),
            *(_int_or_empty(pnl.get(name)) for name in strategies),
        )

    def write_json(self, scrub: Callable[[str], str]) -> bool:
        """Replace market.json by the present state; False when the disk refused."""
        text = scrub(json.dumps(self._document(), indent=2, allow_nan=False))
        path = self.folder / "market.json"
        part = path.with_suffix(".json.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_text(text + "\n", encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            self.json_error = f"{type(error).__name__}: {error.strerror}"
            return False
        self.json_error = ""
        self.is_stale = False
        return True

    def _document(self) -> dict[str, Any]:
        summary = self.summarise()
        return {
            "spec": asdict(self.spec),
            "opened": iso_text(self._opened_ns),
            "finished": iso_text(self.finished_ns) if self.finished_ns is not None else None,
            "strike": _strike_document(self.strikes[-1]) if self.strikes else None,
            "strike_history": [_strike_document(strike) for strike in self.strikes],
            "outcome": _outcome_or_empty(self.outcome) or None,
            "outcome_source": self.outcome_source or None,
            "our_mark": _outcome_or_empty(self.our_mark) or None,
            "coverage": {"spot": round(self.spot_coverage, 6), "book": round(self.book_coverage, 6)},
            "totals": {
                "signals": summary.signals,
                "dispatched": summary.dispatched,
                "denied": summary.denials.total(),
                "dropped": summary.dropped,
                "untold": summary.untold,
                "orders": summary.orders,
                "fills": summary.fills,
                "cost_micro_usd": summary.cost_micro,
                "fees_micro_usd": summary.fees_micro,
                "payout_micro_usd": summary.payout_micro,
                "pnl_micro_usd": summary.pnl_micro,
            },
            "cost_differs_from_fills": summary.cost_differs,
            "strategies": {name: _strategy_document(totals) for name, totals in self.strategies.items()},
            "refusals": dict(summary.denials.most_common()),
            "why": _why_document(self._counts),
            "rows_lost": sum(sink.lost for sink in self.sinks),
            "earlier_sessions": self._earlier,
        }


def _strategy_document(totals: StrategyTotals) -> dict[str, Any]:
    return {
        "signals": totals.signals,
        "dispatched": totals.dispatched,
        "denied": totals.denied,
        "dropped": totals.dropped,
        "untold": totals.untold,
        "refusals": dict(totals.denials.most_common()),
        "orders": totals.orders,
        "fills": totals.fills,
        "cost_micro_usd": totals.cost_micro,
        "fees_micro_usd": totals.fees_micro,
        "payout_micro_usd": totals.payout_micro,
        "pnl_micro_usd": totals.pnl_micro,
    }


def _why_document(note: MarketCounts | None) -> dict[str, Any] | None:
    """The engine's own counts and nearest misses (control.why), and when it told them; None: it never did."""
    return None if note is None else {"at": iso_text(note.now_ns), "final": note.is_final, **note.counts}


def _strike_document(strike: StrikeCaptured) -> dict[str, Any]:
    return {
        "value": strike.strike if math.isfinite(strike.strike) else None,
        "source": strike_source_text(strike.source),
        "stamp_ms": strike.stamp_ns // NS_PER_MS,
        "verified": strike.verified,
    }


def _read_earlier(path: Path) -> list[Any]:
    """Sessions of this window before this process; a file we cannot read is left to history."""
    try:
        last = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(last, dict):
        return []
    before = last.pop("earlier_sessions", [])
    last.pop("spec", None)
    kept = before if isinstance(before, list) else []
    return [*kept, last][-EARLIER_MAX:]


def _folder_name(slug: str) -> str:
    """The slug as a folder name; nothing in it can leave the interval's folder."""
    return _UNSAFE.sub("_", slug).lstrip(".") or "unnamed"


def _outcome_or_empty(outcome: int | None) -> str:
    return "" if outcome is None else outcome_text(outcome)


def _int_or_empty(value: int | None) -> str:
    return "" if value is None else str(value)
