"""Under what conditions a run traded: what was denied, how late its orders were, how much data there was.

Owns the tables of denials, latency and coverage.  A second counts as covered when a sample of it knew the thing (one
sample stands for the run's sampling interval), and for the oracle when a price of it came.  Must not judge.
Called by polybot.backtest.scores.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot._fast.event import Special
from polybot._fast.risk import Denial as Reason
from polybot.backtest.counted import Counted
from polybot.backtest.score_tree import Coverage, Denial, LatencyStage
from polybot.backtest.seconds import BIT_ORACLE, seconds_inside

__all__ = [
    "NO_STRATEGY_NAME",
    "SignalCounts",
    "blocked",
    "coverage",
    "denials",
    "latency",
    "signal_counts",
    "strategy_name",
]

NS_PER_MS = 1_000_000
NS = 1_000_000_000
NO_STRATEGY_NAME = "none"  # orders no strategy asked for: what an operator's flatten sold
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
# Bounds of the histogram, ms: two to four a decade, from a loopback's to a dead connection's.
EDGES_MS = (0, 1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 60_000)

SignalCounts = dict[
    str, Counter[str]
]  # of every strategy, how many signals by reason; DISPATCHED: became an order


def strategy_name(names: Sequence[str], index: int) -> str:
    """Name of a strategy by its index in the tables."""
    if index == Special.NO_STRATEGY:
        return NO_STRATEGY_NAME
    return names[index] if index < len(names) else f"strategy {index}"


def signal_counts(signals: Any, info: Mapping[str, Any], names: Sequence[str]) -> SignalCounts:
    """Count signals by strategy and reason, from the table of signals or, when it was not kept, from run.json."""
    found: SignalCounts = {name: Counter() for name in names}
    if not len(signals):
        for name, reasons in info.get("denials", {}).items():
            found.setdefault(name, Counter()).update({str(reason): int(n) for reason, n in reasons.items()})
        return found
    words = {int(code): code.name for code in Reason}
    pairs = np.stack([signals["strategy"].astype(np.int64), signals["reason"].astype(np.int64)])
    codes, numbers = np.unique(pairs, axis=1, return_counts=True)
    for strategy, reason, n in zip(*codes.tolist(), numbers.tolist(), strict=True):
        counter = found.setdefault(strategy_name(names, strategy), Counter())
        counter[words.get(reason, f"DENIED_{reason}")] += n
    return found


def denials(counts: SignalCounts) -> tuple[Denial, ...]:
    """Denials alone, the most frequent first."""
    rows = [
        Denial(strategy=name, reason=reason, n=n)
        for name, counter in counts.items()
        for reason, n in counter.items()
        if reason != Reason.DISPATCHED.name and n
    ]
    return tuple(sorted(rows, key=lambda row: (-row.n, row.strategy, row.reason)))


def blocked(info: Mapping[str, Any]) -> tuple[Denial, ...]:
    """Why markets could not be traded at all, as the run counted it; strategy is empty."""
    rows = [
        Denial(strategy="", reason=str(reason), n=int(n)) for reason, n in info.get("blocked", {}).items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.n, row.reason)))


def latency(table: Any) -> tuple[LatencyStage, ...]:
    """Stages of the orders in a table of LATENCY_DTYPE."""
    decided = np.asarray(table["decided_ns"], dtype=np.int64)
    arrived = np.asarray(table["arrived_ns"], dtype=np.int64)
    told = np.asarray(table["told_ns"], dtype=np.int64)
    return (
        _stage("decision to venue", decided, arrived),
        _stage("venue to first answer", arrived, told),
        _stage("decision to first answer", decided, told),
    )


def coverage(
    counted: Counted, samples: Any, seconds_table: Any, info: Mapping[str, Any], *, sample_s: float | None
) -> Coverage:
    """Sum over all markets; sample_s None: the run did not note it, it is taken from the samples."""
    markets = counted.markets
    step = sample_s or _step_s(samples)
    windows_s = float((markets["end_ns"] - markets["start_ns"]).sum()) / NS
    inside = counted.inside(samples)

    def seconds(known: NDArray[np.bool_]) -> float:
        return float((inside & known).sum()) * (step or 0.0)

    def column(name: str) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(samples[name]), dtype=np.bool_)

    oracle_s = None
    if len(seconds_table):
        oracle_s = float(
            seconds_inside(seconds_table, BIT_ORACLE, markets["start_ns"], markets["end_ns"]).sum()
        )
    return Coverage(
        markets=len(markets),
        window_s=windows_s,
        sample_s=step,
        sampled_s=seconds(np.ones(len(samples), dtype=np.bool_)),
        book_s=seconds(column("mid")),
        spot_s=seconds(column("spot")),
        fair_s=seconds(column("fair")),
        oracle_s=oracle_s,
        gap_s=float(markets["gap_ns"].sum()) / NS,
        markets_with_gaps=int((markets["gap_ns"] > 0).sum()),
        strikes_unknown=int((~np.isfinite(markets["strike"])).sum()),
        damage=(*_texts(info, "damage"), *_texts(info, "unreadable")),
        warnings=_texts(info, "warnings"),
    )


def _stage(name: str, first: NDArray[np.int64], second: NDArray[np.int64]) -> LatencyStage:
    known = (first > 0) & (second > 0)
    took = (second - first)[known] / NS_PER_MS
    n = len(took)
    edges = [float(edge) for edge in EDGES_MS]
    if n and took.min() < edges[0]:
        edges.insert(0, float(np.floor(took.min())))
    if n and took.max() > edges[-1]:
        edges.append(float(np.ceil(took.max())))
    percentiles = {}
    if n:
        values = np.percentile(took, PERCENTILES).tolist()
        percentiles = {f"{which:g}": value for which, value in zip(PERCENTILES, values, strict=True)}
        percentiles["max"] = float(took.max())
    return LatencyStage(
        name=name,
        n=n,
        unknown=len(first) - n,
        mean_ms=float(took.mean()) if n else None,
        percentiles_ms=percentiles,
        edges_ms=tuple(edges),
        counts=tuple(int(count) for count in np.histogram(took, bins=edges)[0]),
    )


def _step_s(samples: Any) -> float | None:
    """Median time between samples of one market, s; None: too few."""
    if len(samples) < 2:
        return None
    order = np.lexsort((samples["recv_ns"], samples["market"]))
    steps = np.diff(samples["recv_ns"][order])[np.diff(samples["market"][order].astype(np.int64)) == 0]
    return float(np.median(steps)) / NS if len(steps) else None


def _texts(info: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Texts a run noted of itself or of its tapes."""
    found = [str(item) for item in info.get(key, [])]
    for tape in info.get("tapes", []):
        if isinstance(tape, Mapping):
            name = tape.get("name", tape.get("path", ""))
            found += [f"{name}: {item}" for item in tape.get(key, [])]
    return tuple(dict.fromkeys(found))
