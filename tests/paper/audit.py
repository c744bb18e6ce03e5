"""Was every simulated fill possible?  Judges fills by the data alone, without a line of the execution core.

A taker's fill must have been shown: at its instant, at its price, on the other side, in that size.  A maker's fill
must have been printed: at its instant, by a taker of the other side, at our price or through it; and all that an
order got must not be more than was printed at or through its price since it joined.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polybot._fast import event as ev
from polybot._fast.book import Book

TOP = 10_000


@dataclass(frozen=True)
class PaperFill:
    at_ns: int
    seq: int
    outcome: int
    side: int
    price: int
    size: int
    is_maker: bool


@dataclass
class Verdict:
    takers: int = 0
    makers: int = 0
    problems: list[str] = field(default_factory=list)


def fills_of(told: Iterable[Any]) -> list[PaperFill]:
    """Every first telling of a fill among events of the core, by its own time."""
    return [
        PaperFill(
            int(row["venue_ns"]),
            int(row["seq"]),
            int(row["outcome"]),
            int(row["side"]),
            int(row["i"]),
            int(row["j"]),
            bool(row["flags"] & ev.F_MAKER),
        )
        for row in told
        if row["kind"] == ev.EV_FILL and row["x"] == ev.TS_MATCHED
    ]


def joined_at(told: Iterable[Any]) -> dict[int, int]:
    """When each order began to rest."""
    return {
        int(row["seq"]): int(row["venue_ns"])
        for row in told
        if row["kind"] == ev.EV_ORDER_UPDATE and row["i"] == ev.OS_LIVE
    }


def judge(data: np.ndarray, told: np.ndarray, *, tick_size: int = 100) -> Verdict:
    """Hold the fills in `told` (events of one market) against its market events, in order of receipt."""
    verdict, book = Verdict(), Book(tick_size)
    joined, printed = joined_at(told), defaultdict(int)
    prints = [row for row in data if row["kind"] == ev.EV_PUBLIC_TRADE]
    at, one = 0, ev.EventBuffer(1)
    takers: dict[tuple[int, int, int], int] = defaultdict(int)
    for fill in fills_of(told):
        while at < len(data) and data["recv_ns"][at] <= fill.at_ns:
            one.reset()
            one.extend(data[at : at + 1])
            book.apply_events(one)
            at += 1
        if fill.is_maker:
            verdict.makers += 1
            printed[fill.seq] += fill.size
            verdict.problems += _judge_maker(fill, prints, joined, printed[fill.seq])
        else:
            verdict.takers += 1
            takers[fill.at_ns, fill.seq, fill.price] += fill.size
            shown = book.size_at(fill.outcome, 1 - fill.side, fill.price)
            if takers[fill.at_ns, fill.seq, fill.price] > shown:
                verdict.problems.append(f"{fill}: only {shown} shown")
    return verdict


def _judge_maker(fill: PaperFill, prints: list[Any], joined: dict[int, int], total: int) -> list[str]:
    reached = [row for row in prints if _reaches(fill, row)]
    now = sum(int(row["j"]) for row in reached if row["recv_ns"] == fill.at_ns)
    since = sum(int(row["j"]) for row in reached if joined[fill.seq] <= row["recv_ns"] <= fill.at_ns)
    problems = []
    if fill.size > now:
        problems.append(f"{fill}: {now} printed at that instant")
    if total > since:
        problems.append(f"{fill}: {total} filled of {since} printed since it joined")
    return problems


def _reaches(fill: PaperFill, row: Any) -> bool:
    """True when the print's taker stood against our order at our price or a better one for him."""
    ours = fill.price if fill.outcome == 0 else TOP - fill.price
    buys_up = (fill.side ^ fill.outcome) & 1 == 0
    taker_buys_up = (int(row["side"]) ^ int(row["outcome"])) & 1 == 0
    price = int(row["i"]) if row["outcome"] == 0 else TOP - int(row["i"])
    return taker_buys_up != buys_up and (price <= ours if buys_up else price >= ours)
