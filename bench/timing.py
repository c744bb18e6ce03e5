"""How the benches measure: calls per round, medians of rounds, and the kernel that says how slow the machine is now.

The calibration kernel is a fixed piece of integer, float and dict work, timed beside each absolute measurement and
for as long as a round of it, so that it is interrupted as often by whoever else uses the machine.  A machine slower
than the reference scales the budget up, a faster one does not scale it down.
POLYBOT_BENCH_SHORT=1 takes fewer and shorter rounds.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

__all__ = [
    "ROUNDS",
    "SHORT",
    "TRIES",
    "breathe",
    "calibrate",
    "calls_per_round",
    "median_ns",
    "rounds_of",
    "scale_of",
    "timed_ns",
]

SHORT = os.environ.get("POLYBOT_BENCH_SHORT") == "1"
ROUNDS = 15 if SHORT else 60
ROUND_NS = 200_000 if SHORT else 500_000  # a round lasts at least so long
FEWEST_ROUNDS = 5
MEASURED_NS = 4_000_000_000 if SHORT else 40_000_000_000  # a measurement of long rounds takes fewer, to last so long
TRIES = 4
PAUSE_S = 0.25  # before a second try, twice as long before each further one: others' bursts of work pass
CALIBRATION_REF_NS = 68_000  # calibrate() on the reference machine (2 shared cores, 3.12), idle
CALIBRATION_MAX_NS = 20_000_000  # longer rounds are calibrated by this much


def timed_ns(fn: Callable[[], Any], calls: int) -> int:
    """Wall ns of so many calls."""
    start_ns = time.perf_counter_ns()
    for _ in range(calls):
        fn()
    return time.perf_counter_ns() - start_ns


def breathe(number: int) -> None:
    """Wait before try `number` (the first is 0), each time longer: what disturbed the last may be over by then."""
    if number > 0:
        time.sleep(PAUSE_S * 2 ** (number - 1))


def median_ns(fn: Callable[[], Any], calls: int, *, rounds: int = ROUNDS) -> float:
    """Median ns per call over the rounds."""
    return statistics.median(timed_ns(fn, calls) / calls for _ in range(rounds))


def calls_per_round(fn: Callable[[], Any]) -> tuple[int, int]:
    """Calls per round, so that a round lasts at least ROUND_NS, and how long it then lasts, ns; calls fn twice."""
    fn()
    call_ns = max(50, timed_ns(fn, 1))
    calls = max(1, min(20_000, round(ROUND_NS / call_ns)))
    return calls, calls * call_ns


def rounds_of(round_ns: int) -> int:
    """How many rounds of so many ns each are taken."""
    return max(FEWEST_ROUNDS, min(ROUNDS, MEASURED_NS // max(round_ns, 1)))


def scale_of(before_ns: float, after_ns: float) -> float:
    """How many times slower than the reference the machine was between two calibrations; at least 1."""
    return max(1.0, (before_ns + after_ns) / 2 / CALIBRATION_REF_NS)


def calibrate(round_ns: int = 0) -> float:
    """Median ns of a fixed piece of integer, float and dict work, over samples that last about as long as a round."""
    times = max(1, min(round_ns, CALIBRATION_MAX_NS) // CALIBRATION_REF_NS)
    return statistics.median(timed_ns(_kernel, times) / times for _ in range(9))


def _kernel() -> float:
    table = dict.fromkeys(range(64), 1.0)
    total = 0.0
    for i in range(1_000):
        total += table[i & 63] * 1.000001
    return total
