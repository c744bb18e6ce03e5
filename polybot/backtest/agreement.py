"""A live or paper session beside the backtest of its own tape: which fills agree, and are the signals the same.

Owns the matching.  Markets are the same by slug, strategies by name.  All that one order got is one fill, at its
average price; it agrees with a fill of the other run of the same market, strategy, outcome and side whose order was
decided at the same instant, or else with the nearest within WINDOW_S that is free.  Signals are compared as given:
what risk adds (fate, order number, the size it cut) is left out, everything else byte for byte.
Called by the commands backtest and report, and by programs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polybot._fast.event import COMMAND_DTYPE, Side
from polybot.backtest.conditions import strategy_name
from polybot.backtest.counted import MICRO, Counted
from polybot.backtest.result import Result
from polybot.backtest.score_tree import Agreement, StrategyAgreement

__all__ = ["WINDOW_S", "agreement", "agreement_text"]

WINDOW_S = 1.0  # two orders of one intent are decided no further apart: one waits for what the other saw
TICKS_PER_USD = 10_000
NS = 1_000_000_000
AFTER_STRATEGY = ("order_seq", "kind", "reason", "shares")  # of a signal: what the engine and risk put there
DIFFERENCES_SHOWN = 6  # fields of the first signal that differs

Table = NDArray[np.void]
Key = tuple[str, str, int, int]  # slug, strategy, outcome, side


@dataclass(frozen=True, slots=True)
class _Fill:
    """All that one order got: ns, micro-shares, average price in ticks, PnL of the shares (None: not settled)."""

    decided_ns: int
    shares: int
    ticks: float


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two runs, over the markets both have."""

    fills: dict[Key, list[_Fill]]
    pnl: dict[str, int]  # by strategy, over the markets settled in both
    signals: Table  # with market and strategy numbered as in `slugs` and `names`


@dataclass(slots=True)
class _Tally:
    """Counts of one strategy, or of all."""

    live: int = 0
    tested: int = 0
    agreed: int = 0
    weighted_ticks: float = 0.0
    weight: int = 0
    worst_ticks: float | None = None

    def add(
        self, live: Sequence[_Fill], tested: Sequence[_Fill], pairs: Sequence[tuple[_Fill, _Fill]], side: int
    ) -> None:
        """Count one group of fills and those of it that agree."""
        self.live += len(live)
        self.tested += len(tested)
        self.agreed += len(pairs)
        sign = 1.0 if side == Side.BUY else -1.0
        for ours, theirs in pairs:
            difference = sign * (theirs.ticks - ours.ticks)
            self.weighted_ticks += difference * ours.shares
            self.weight += ours.shares
            if self.worst_ticks is None or abs(difference) > abs(self.worst_ticks):
                self.worst_ticks = difference

    @property
    def ticks(self) -> float | None:
        """Share-weighted mean difference of price."""
        return self.weighted_ticks / self.weight if self.weight else None


def agreement(live: Result, tested: Result, *, window_s: float = WINDOW_S) -> Agreement:
    """Compare a session with its backtest; raises TapeError for tables that contradict each other."""
    counted = [Counted.of(run.table("markets"), run.table("fills")) for run in (live, tested)]
    known = [_slugs(item.markets, ~item.markets["observed"]) for item in counted]
    slugs = sorted(known[0] & known[1])
    settled = _slugs(counted[0].markets, counted[0].settled) & _slugs(counted[1].markets, counted[1].settled)
    names = list(dict.fromkeys([*live.strategies, *tested.strategies]))
    ours, theirs = (
        _side(run, item, slugs, settled, names) for run, item in zip((live, tested), counted, strict=True)
    )
    everything, by_name = _Tally(), {name: _Tally() for name in names}
    for key in sorted({*ours.fills, *theirs.fills}):
        here, there = ours.fills.get(key, []), theirs.fills.get(key, [])
        pairs = _matched(here, there, int(window_s * NS))
        for tally in (everything, by_name.setdefault(key[1], _Tally())):
            tally.add(here, there, pairs, key[3])
    equal, first = None, ""
    if _kept_signals(live) and _kept_signals(tested):
        equal, first = _signals_compared(ours.signals, theirs.signals, slugs, names)
    pnl = [sum(item.pnl.values()) if settled else None for item in (ours, theirs)]
    return Agreement(
        live=live.name,
        tested=tested.name,
        window_s=window_s,
        markets=len(slugs),
        markets_live_only=len(known[0] - known[1]),
        markets_tested_only=len(known[1] - known[0]),
        fills_live=everything.live,
        fills_tested=everything.tested,
        agreed=everything.agreed,
        missed=everything.live - everything.agreed,
        extra=everything.tested - everything.agreed,
        agreed_frac=everything.agreed / everything.live if everything.live else None,
        shares_live_micro=_shares(ours),
        shares_tested_micro=_shares(theirs),
        price_difference_ticks=everything.ticks,
        price_worst_ticks=everything.worst_ticks,
        markets_settled=len(settled),
        pnl_live_micro=pnl[0],
        pnl_tested_micro=pnl[1],
        pnl_difference_micro=None if pnl[0] is None or pnl[1] is None else pnl[1] - pnl[0],
        signals_live=len(ours.signals),
        signals_tested=len(theirs.signals),
        signals_equal=equal,
        first_difference=first,
        by_strategy=tuple(
            StrategyAgreement(
                name=name,
                fills_live=tally.live,
                fills_tested=tally.tested,
                agreed=tally.agreed,
                missed=tally.live - tally.agreed,
                extra=tally.tested - tally.agreed,
                price_difference_ticks=tally.ticks,
                pnl_live_micro=ours.pnl.get(name, 0) if settled else None,
                pnl_tested_micro=theirs.pnl.get(name, 0) if settled else None,
            )
            for name, tally in by_name.items()
        ),
    )


def agreement_text(found: Agreement) -> str:
    """Lines for a person."""
    lines = [
        f"agreement of {found.tested} (tested) with {found.live} (live): {found.markets} markets in both"
        f", {found.markets_live_only} live only, {found.markets_tested_only} tested only",
        f"  signals before risk: {_signals_text(found)}",
        f"  fills (all that one order got, matched within {found.window_s:g} s): live {found.fills_live}, "
        f"tested {found.fills_tested}: {found.agreed} agreed, {found.missed} missed, {found.extra} extra",
        f"  shares: live {found.shares_live_micro / MICRO:.2f}, tested {found.shares_tested_micro / MICRO:.2f}",
    ]
    if found.price_difference_ticks is not None and found.price_worst_ticks is not None:
        cents = 100 / TICKS_PER_USD
        lines.append(
            f"  price of agreed fills: tested pays {found.price_difference_ticks * cents:+.4f} c a share more, "
            f"at most {abs(found.price_worst_ticks) * cents:.4f} c apart"
        )
    if found.pnl_live_micro is None or found.pnl_tested_micro is None or found.pnl_difference_micro is None:
        lines.append("  PnL: no market was settled in both")
    else:
        money = [found.pnl_live_micro, found.pnl_tested_micro, found.pnl_difference_micro]
        live, tested, difference = (f"{micro / MICRO:+.6f}" for micro in money)
        where = f"{found.markets_settled} markets settled in both"
        lines.append(f"  PnL over {where}, USD: live {live}, tested {tested}, difference {difference}")
    for row in found.by_strategy:
        if row.fills_live or row.fills_tested:
            lines.append(
                f"    {row.name}: live {row.fills_live}, tested {row.fills_tested}: "
                f"{row.agreed} agreed, {row.missed} missed, {row.extra} extra"
            )
    return "\n".join(lines)


# -- one run ----------------------------------------------------------------------------------------


def _slugs(markets: Table, mask: Any) -> set[str]:
    return set(markets["slug"][mask].tolist())


def _side(run: Result, counted: Counted, slugs: list[str], settled: set[str], names: list[str]) -> _Side:
    pnl = dict.fromkeys(names, 0)
    for row, code, micro in zip(
        counted.row.tolist(), counted.fills["strategy"].tolist(), counted.pnl.tolist(), strict=True
    ):
        if str(counted.markets["slug"][row]) in settled:
            name = strategy_name(run.strategies, code)
            pnl[name] = pnl.get(name, 0) + micro
    return _Side(_fills(run, counted, set(slugs)), pnl, _signals(run, counted, slugs, names))


def _fills(run: Result, counted: Counted, slugs: set[str]) -> dict[Key, list[_Fill]]:
    """What every order got, by key and in order of decision."""
    orders: dict[tuple[Key, int], list[int]] = {}
    fills = counted.all_fills[~counted.failed]
    of_fills = counted.markets["slug"][counted.row_of(fills["market"])]
    for slug, fill in zip(of_fills.tolist(), fills, strict=True):
        if slug not in slugs:
            continue
        key = (
            slug,
            strategy_name(run.strategies, int(fill["strategy"])),
            int(fill["outcome"]),
            int(fill["side"]),
        )
        sums = orders.setdefault((key, int(fill["order_seq"])), [int(fill["decided_ns"]), 0, 0])
        sums[1] += int(fill["shares"])
        sums[2] += int(fill["shares"]) * int(fill["price_ticks"])
    found: dict[Key, list[_Fill]] = {}
    for (key, _), (decided_ns, shares, worth) in orders.items():
        found.setdefault(key, []).append(_Fill(decided_ns, shares, worth / shares if shares else 0.0))
    for group in found.values():
        group.sort(key=lambda item: item.decided_ns)
    return found


def _signals(run: Result, counted: Counted, slugs: list[str], names: list[str]) -> Table:
    """Signals of the common markets, with common numbers for market and strategy and without what came after."""
    rows = run.table("signals")
    if not len(rows):
        return np.zeros(0, COMMAND_DTYPE)
    numbers = {slug: number for number, slug in enumerate(slugs)}
    of_market = np.array([numbers.get(slug, -1) for slug in counted.markets["slug"].tolist()], dtype=np.int64)
    market = of_market[counted.row_of(rows["market"])]
    kept = np.array(rows[market >= 0])
    for name in AFTER_STRATEGY:
        kept[name] = 0
    kept["market"] = market[market >= 0]
    codes = {code: names.index(name) for code, name in enumerate(run.strategies)}
    kept["strategy"] = [codes.get(code, code) for code in kept["strategy"].tolist()]
    return kept


def _kept_signals(run: Result) -> bool:
    """Whether a run that had signals has them in its table."""
    return len(run.table("signals")) > 0 or int(run.table("markets")["signals"].sum()) == 0


def _shares(side: _Side) -> int:
    return sum(item.shares for group in side.fills.values() for item in group)


# -- both runs --------------------------------------------------------------------------------------


def _matched(live: Sequence[_Fill], tested: Sequence[_Fill], window_ns: int) -> list[tuple[_Fill, _Fill]]:
    """Pairs of one group: the same instant first, then the nearest in time; every fill in one pair at most."""
    distances = [
        (abs(theirs.decided_ns - ours.decided_ns), here, there)
        for here, ours in enumerate(live)
        for there, theirs in enumerate(tested)
        if abs(theirs.decided_ns - ours.decided_ns) <= window_ns
    ]
    used_here: set[int] = set()
    used_there: set[int] = set()
    pairs = []
    for _, here, there in sorted(distances):
        if here not in used_here and there not in used_there:
            used_here.add(here)
            used_there.add(there)
            pairs.append((live[here], tested[there]))
    return pairs


def _signals_compared(
    live: Table, tested: Table, slugs: list[str], names: list[str]
) -> tuple[bool | None, str]:
    """Whether all are the same, and in words the first that is not."""
    both = min(len(live), len(tested))
    width = COMMAND_DTYPE.itemsize
    raw = [np.ascontiguousarray(rows[:both]).view(np.uint8).reshape(both, width) for rows in (live, tested)]
    differing = np.flatnonzero((raw[0] != raw[1]).any(axis=1))
    if len(differing):
        at = int(differing[0])
        return False, f"signal {at}: {_difference_text(live[at], tested[at], slugs, names)}"
    if len(live) == len(tested):
        return True, ""
    longer, who = (live, "live") if len(live) > len(tested) else (tested, "tested")
    return False, f"signal {both}: {who} alone has {_signal_text(longer[both], slugs, names)}"


def _signal_text(row: Any, slugs: list[str], names: list[str]) -> str:
    outcome = "Up" if row["outcome"] == 0 else "Down"
    name = strategy_name(names, int(row["strategy"]))
    return f"{name} {outcome} on {slugs[int(row['market'])]} at {int(row['decided_ns'])} ns"


def _difference_text(live: Any, tested: Any, slugs: list[str], names: list[str]) -> str:
    ours, theirs = _signal_text(live, slugs, names), _signal_text(tested, slugs, names)
    if ours != theirs:
        return f"live {ours}, tested {theirs}"
    fields = [name for name in COMMAND_DTYPE.names or () if live[name].tobytes() != tested[name].tobytes()]
    shown = ", ".join(f"{name} {live[name]!s} / {tested[name]!s}" for name in fields[:DIFFERENCES_SHOWN])
    return f"{ours}: live / tested {shown}"


def _signals_text(found: Agreement) -> str:
    counts = f"live {found.signals_live:,}, tested {found.signals_tested:,}"
    if found.signals_equal is None:
        return f"{counts}; not comparable, they were not kept"
    return (
        f"{counts}: identical"
        if found.signals_equal
        else f"{counts}: first difference at {found.first_difference}"
    )
