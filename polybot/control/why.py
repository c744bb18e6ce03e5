"""Why a window is or was not traded, as plain values: time by reason, and per strategy its counts and misses.

Owns the shape of `why` in market.json and of what `status --why` shows of a live window: the same for both.  Counts
are those of one process: what an earlier one did in the same window stands in the sessions before it.  For each
strategy signals == dispatched + dropped + the sum of denied, at every instant (the engine's own counters).
Looks only; no I/O.  Called by control.status and polybot.telling.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from polybot._fast.risk import Denial
from polybot._fast.state import GateCompare, GateResult, MarketState

if TYPE_CHECKING:
    from polybot._fast.strategy import Strategy

__all__ = ["describe_strategy", "nearest_miss", "seconds_by_reason", "window_counts"]

NS = 1_000_000_000
ASKED = "ASKED"  # among the reasons of a window: strategies were asked
WANTED = {GateCompare.GATE_AT_LEAST: "at least", GateCompare.GATE_AT_MOST: "at most", GateCompare.GATE_FLAG: "yes"}


def window_counts(market: MarketState, strategies: Iterable["Strategy"]) -> dict[str, Any]:
    """Everything of one window, for market.json; NaN and infinity are None there."""
    stats = market.stats()
    return {
        "seconds": seconds_by_reason(stats),
        "strategies": {
            one.name: {
                **_finite(describe_strategy(market, stats, one)),
                "restored": stats["restored"][one.index],
                "unasked": stats["unasked"][one.index],
            }
            for one in strategies
        },
    }


def describe_strategy(market: MarketState, stats: Mapping[str, Any], strategy: "Strategy") -> dict[str, Any]:
    """What one strategy did in one window (`stats` are the window's) and what keeps it from more."""
    index = strategy.index
    denied = sorted(stats["denials"][index].items(), key=lambda item: (-item[1], item[0]))
    return {
        "name": strategy.name,
        "enabled": strategy.enabled,
        "signals": stats["signals"][index],
        "orders": stats["dispatched"][index],
        "dropped": stats["dropped"][index],
        "denied": {Denial(code).name: count for code, count in denied},
        "miss": _last_miss(market, strategy) if strategy.enabled else None,
        "nearest": nearest_miss(market, strategy),
    }


def nearest_miss(market: MarketState, strategy: "Strategy") -> dict[str, Any] | None:
    """Of all evaluations of the window the one that came closest to a signal; None while every one made a signal."""
    found = market.nearest_miss(strategy.index)
    if found is None:
        return None
    gate, value, threshold, compare, passed, left_s = found
    return {
        "gate": strategy.gate_names[gate],
        "value": value,
        "threshold": threshold,
        "wanted": WANTED[GateCompare(compare)],
        "passed": passed,
        "of": len(strategy.gate_names),
        "left_s": round(left_s, 3),
    }


def seconds_by_reason(stats: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of the window by what its last look said, longest first: ASKED, or what blocked every entry."""
    spent = sorted(stats["reason_ns"].items(), key=lambda item: (-item[1], item[0]))
    return {Denial(code).name if code else ASKED: round(ns / NS, 3) for code, ns in spent}


def _last_miss(market: MarketState, strategy: "Strategy") -> dict[str, Any] | None:
    """The gate that stopped the strategy at its last look; None when none did."""
    rows = market.gate_rows(strategy.index)
    for gate, (value, threshold, compare, result) in zip(strategy.gate_names, rows, strict=False):
        if result == GateResult.GATE_BLOCKED:
            return {"gate": gate, "value": value, "wanted": WANTED[GateCompare(compare)], "threshold": threshold}
    return None


def _finite(facts: dict[str, Any]) -> dict[str, Any]:
    """The same with None for numbers that JSON does not know."""
    return {name: _plain(value) for name, value in facts.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return _finite(value)
    return None if isinstance(value, float) and value - value != 0.0 else value
