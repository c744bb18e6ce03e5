"""The `gate` fixture: holds a claim of the performance table against a measurement, and proves that it can fail.

Each call measures the real thing, which must be within its limit, and then a planted fault by the same measurement,
which must not be: a gate that stays green on its plant fails with "this gate cannot fail".  Without a plant of its
own ours is done as many times per call as it takes to exceed the limit and its slack by half.

Ratios pair ours and theirs round by round, so that both see the same machine; the median of the rounds' ratios
decides, else the ratio of the minima, and what is out of its limit is measured again before it fails.  Absolute
budgets are scaled by the calibration kernel (bench/timing.py).  The measurement goes through pytest-benchmark.
"""

import math
import os
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.gate_table import CLAIMS, GateLine, Ledger, shown
from bench.peer import Peer, why_absent
from bench.timing import (
    SHORT,
    TRIES,
    breathe,
    calibrate,
    calls_per_round,
    median_ns,
    rounds_of,
    scale_of,
    timed_ns,
)

__all__ = ["RATIO_SLACK", "Gate"]

RATIO_SLACK = 1.3  # of ratios, for the noise of a shared machine
PAIR_ROUNDS = 7 if SHORT else 15
PLANT_ROUNDS = 5
PLANT_TRIES = 4
PLANT_MARGIN = 1.5  # a default plant exceeds the limit with its slack by this factor
REQUIRED = "required"  # POLYBOT_PEERS: an absent peer is a failure

Figure = Callable[[], float]
Work = Callable[[], Any]


class Gate:
    """The claims of one test; the fixture `gate` makes it."""

    def __init__(self, benchmark: Any, ledger: Ledger) -> None:
        self._benchmark = benchmark
        self._ledger = ledger
        self._is_plugin_used = False
        self._peers: dict[str, Peer] = {}

    def ratio(
        self,
        row: str,
        what: str,
        *,
        ours: Work,
        theirs: Work,
        at_least: float,
        inner: int = 1,
        planted: Work | None = None,
        rounds: int = PAIR_ROUNDS,
    ) -> float:
        """Theirs takes at least so many times as long as ours; both do `inner` operations a call; return the ratio."""
        ours_ns = self._figure(ours, inner)
        planted_ns = None if planted is None else self._figure(planted, inner)
        theirs_ns = self._figure(theirs, inner)
        return self.paired(
            row, what, ours=ours_ns, theirs=theirs_ns, at_least=at_least, planted=planted_ns, rounds=rounds
        )

    def paired(
        self,
        row: str,
        what: str,
        *,
        ours: Figure,
        theirs: Figure,
        at_least: float,
        planted: Figure | None = None,
        rounds: int = PAIR_ROUNDS,
    ) -> float:
        """As `ratio`, of callables that each do one round and return its cost (CPU of a child, a peer's answer)."""
        best: GateLine | None = None
        for number in range(TRIES):
            breathe(number)
            line = self._pair(row, what, ours, theirs, at_least=at_least, rounds=rounds)
            best = _better(best, line)
            if best.verdict == "ok":
                break
        assert best is not None
        self._settle_real(best)
        assert best.measured is not None
        times = max(2, math.ceil(best.measured * RATIO_SLACK * PLANT_MARGIN / at_least))
        fault = planted or (lambda: sum(ours() for _ in range(times)))
        self._settle(best, lambda: _pair_line(row, what, _pairs(fault, theirs, PLANT_ROUNDS), at_least))
        return float(best.measured or 0.0)

    def median(
        self,
        row: str,
        what: str,
        fn: Work,
        *,
        below_ns: float,
        inner: int = 1,
        planted: Work | None = None,
        slack: float = 1.0,
    ) -> float:
        """The median ns per operation is at most so much (times the machine's scale); fn does `inner` a call."""
        calls, round_ns = calls_per_round(fn)

        def real_ns() -> float:
            return self._median_ns(fn, calls, rounds=rounds_of(round_ns)) / inner

        best: GateLine | None = None
        for number in range(TRIES):
            breathe(number)
            line = _median_line(row, what, below_ns, slack, round_ns, real_ns)
            best = _better(best, line)
            if best.verdict == "ok":
                break
        assert best is not None
        self._settle_real(best)
        fault = planted
        if fault is None:
            assert best.measured is not None
            limit_ns = below_ns * best.scale * slack * PLANT_MARGIN
            fault = _repeated(fn, max(2, math.ceil(limit_ns / best.measured)))
        fault_calls, fault_round_ns = calls_per_round(fault)

        def fault_ns() -> float:
            return median_ns(fault, fault_calls, rounds=PLANT_ROUNDS) / inner

        self._settle(best, lambda: _median_line(row, what, below_ns, slack, fault_round_ns, fault_ns))
        return float(best.measured or 0.0)

    def value(
        self,
        row: str,
        what: str,
        value: float | Figure,
        *,
        planted: float | Figure,
        at_most: float | None = None,
        at_least: float | None = None,
        unit: str = "",
        slack: float = 1.0,
    ) -> float:
        """A figure measured elsewhere, or by calling it, and the same of a planted fault; exactly one limit."""
        assert (at_most is None) != (at_least is None), "exactly one limit"
        is_floor = at_most is None
        limit = at_least if at_most is None else at_most
        assert limit is not None

        def line_of(measured: float) -> GateLine:
            is_ok = measured * slack >= limit if is_floor else measured <= limit * slack
            verdict = "ok" if is_ok else "RED"
            return GateLine(row, what, verdict, unit, measured, limit, is_floor, slack)

        best: GateLine | None = None
        for number in range(TRIES if callable(value) else 1):
            breathe(number)
            best = _better(best, line_of(self._once(value if callable(value) else lambda: value)))
            if best.verdict == "ok":
                break
        assert best is not None
        self._settle_real(best)
        self._settle(best, lambda: line_of(planted() if callable(planted) else planted))
        return float(best.measured or 0.0)

    def report(self, row: str, what: str, value: float, *, unit: str = "") -> None:
        """A figure that is shown and never red."""
        self._once(lambda: value)
        self._add(GateLine(row, what, "reported", unit, value))

    def peer(self, row: str, name: str) -> Peer:
        """The peer's process, ready to be asked; ends the test as skipped (or failed) when it is not installed."""
        reason = why_absent(name)
        if reason:
            is_required = os.environ.get("POLYBOT_PEERS") == REQUIRED
            self._add(GateLine(row, f"peer {name}", "RED" if is_required else "skipped", reason=reason))
            if is_required:
                pytest.fail(f"{row}: {reason}, and POLYBOT_PEERS=required", pytrace=False)
            pytest.skip(f"{row}: {reason}")
        if name not in self._peers:
            self._peers[name] = Peer(name)
        return self._peers[name]

    def close(self) -> None:
        """End the peers' processes."""
        for peer in self._peers.values():
            peer.close()

    # -- measuring ----------------------------------------------------------------------------------

    def _pair(
        self, row: str, what: str, ours: Figure, theirs: Figure, *, at_least: float, rounds: int
    ) -> GateLine:
        """The first time through pytest-benchmark, which times ours and lets theirs go before each round."""
        pairs: list[tuple[float, float]] = []
        waiting: list[float] = []

        def before() -> None:
            waiting.append(theirs())

        def one_round() -> None:
            pairs.append((ours(), waiting.pop()))

        if self._take_plugin():
            self._benchmark.pedantic(one_round, setup=before, rounds=rounds, iterations=1)
        pairs += _pairs(ours, theirs, max(0, rounds - len(pairs)))
        return _pair_line(row, what, pairs, at_least)

    def _median_ns(self, fn: Work, calls: int, *, rounds: int) -> float:
        if self._take_plugin():
            self._benchmark.pedantic(fn, rounds=rounds, iterations=calls, warmup_rounds=1)
            if self._benchmark.stats is not None:
                return float(self._benchmark.stats.stats.median) * 1e9
        return median_ns(fn, calls, rounds=rounds)

    def _once(self, fn: Figure) -> float:
        if self._take_plugin():
            return float(self._benchmark.pedantic(fn, rounds=1, iterations=1))
        return float(fn())

    def _take_plugin(self) -> bool:
        """Whether pytest-benchmark may still be used: it measures one thing per test."""
        is_free = not self._is_plugin_used
        self._is_plugin_used = True
        return is_free

    @staticmethod
    def _figure(fn: Work, inner: int) -> Figure:
        """One round of calls as ns per operation."""
        calls, _ = calls_per_round(fn)
        return lambda: timed_ns(fn, calls) / calls / inner

    # -- judging ------------------------------------------------------------------------------------

    def _settle_real(self, line: GateLine) -> None:
        """Fail when the real thing is out of its limit."""
        if line.verdict == "ok":
            return
        self._add(line)
        _, _, limit, measured, share, _, _ = line.cells()
        pytest.fail(
            f"{line.row}: {line.what}: measured {measured}, wanted {limit} ({share} of it used, "
            f"slack {line.slack:.2f}, machine scale {line.scale:.2f})",
            pytrace=False,
        )

    def _settle(self, line: GateLine, measure_fault: Callable[[], GateLine]) -> None:
        """Fail when the planted fault is not red."""
        fault = measure_fault()
        for number in range(1, PLANT_TRIES):
            if fault.verdict == "RED":
                break
            breathe(number)
            fault = measure_fault()
        assert fault.measured is not None
        is_proven = fault.verdict == "RED"
        self._add(replace(line, planted=fault.measured, verdict="ok" if is_proven else "RED"))
        if not is_proven:
            pytest.fail(
                f"{line.row}: this gate cannot fail: {line.what}: the planted fault measured "
                f"{shown(fault.measured, fault.unit)}, which is within the limit",
                pytrace=False,
            )

    def _add(self, line: GateLine) -> None:
        assert line.row in CLAIMS, f"{line.row} is no row of the performance table"
        self._ledger.add(line)
        self._benchmark.extra_info.setdefault("gates", []).append(" | ".join(line.cells()))


def _pairs(ours: Figure, theirs: Figure, rounds: int) -> list[tuple[float, float]]:
    """(ours, theirs) of each round, one after the other."""
    pairs = []
    for _ in range(rounds):
        their_figure = theirs()
        pairs.append((ours(), their_figure))
    return pairs


def _pair_line(row: str, what: str, pairs: list[tuple[float, float]], at_least: float) -> GateLine:
    """The median of the rounds' ratios, or the ratio of the minima when only that is within the limit."""
    by_median = statistics.median(theirs / ours for ours, theirs in pairs)
    by_minima = min(theirs for _, theirs in pairs) / min(ours for ours, _ in pairs)
    least = at_least / RATIO_SLACK
    ratio = by_minima if by_median < least <= by_minima else by_median
    verdict = "ok" if ratio >= least else "RED"
    return GateLine(row, what, verdict, "x", ratio, at_least, True, RATIO_SLACK)


def _median_line(
    row: str, what: str, below_ns: float, slack: float, round_ns: int, measure: Figure
) -> GateLine:
    """An absolute budget, scaled by the calibrations before and after its measurement."""
    before_ns = calibrate(round_ns)
    measured = measure()
    scale = scale_of(before_ns, calibrate(round_ns))
    verdict = "ok" if measured <= below_ns * scale * slack else "RED"
    return GateLine(row, what, verdict, "ns", measured, below_ns, False, slack, scale)


def _better(best: GateLine | None, line: GateLine) -> GateLine:
    """The one that uses less of its limit."""
    if best is None:
        return line
    assert best.share is not None
    assert line.share is not None
    return line if line.share < best.share else best


def _repeated(fn: Work, times: int) -> Work:
    def run() -> None:
        for _ in range(times):
            fn()

    return run
