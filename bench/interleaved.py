"""How many times faster one thing is than another, measured in turns so that both see the same machine.

A ratio on a shared machine is worth what its pairing is worth: every round times both, one after
the other, and the median of the rounds' ratios is taken.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

ROUNDS = 15


def times_faster(ours: Callable[[], Any], theirs: Callable[[], Any], *, name: str, calls: int = 300) -> float:
    """Median over the rounds of (time of theirs) / (time of ours); `pytest -rP` shows it under its name."""
    ratios = []
    for _ in range(ROUNDS):
        ours_ns, theirs_ns = _timed(ours, calls), _timed(theirs, calls)
        ratios.append(theirs_ns / ours_ns)
    ratio = statistics.median(ratios)
    sys.stdout.write(f"{name}: {ratio:.1f} times faster\n")
    return ratio


def _timed(fn: Callable[[], Any], calls: int) -> int:
    start_ns = time.perf_counter_ns()
    for _ in range(calls):
        fn()
    return time.perf_counter_ns() - start_ns
