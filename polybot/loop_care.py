"""What the settings of section `loop` ask for, done for one running trader.

Theory of operation, on every beat of control.health (0.1 s):
    before the warm-up is over   nothing; it is over when entries open first, or WARM_S after the first beat
    at its end                   the loop's thread goes onto its core, the heap is settled, spinning begins
    in the end guard of a traded window, LATER_FRAC into it, once: the heap is collected; a guard that was missed
                                 (it is short at high venue.speed, or 0) is made good at the next beat
    every gc_watch_s             memory is looked at, threads that strayed onto the loop's cores are moved off
Collections are logged with how long they took.  Must not trade, and changes no decision: only when things are done.
Made by polybot.daemon around the run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loguru import logger

from polybot.loop_cores import CoreBinding
from polybot.loop_heap import HeapKeeper
from polybot.loop_spin import BusySpin

if TYPE_CHECKING:
    from polybot._fast.state import MarketState
    from polybot.control.operator import Operator
    from polybot.trader import Trader

__all__ = ["LoopCare", "tended"]

NS = 1_000_000_000
WARM_S = 30.0  # wall; the warm-up ends at the latest so long after the first beat
LATER_FRAC = 0.4  # so far into an end guard its cancels are out


@contextmanager
def tended(trader: "Trader", cores: CoreBinding, operator: "Operator") -> Iterator["LoopCare"]:
    """Care for the loop of `trader` while the block runs; on the running loop."""
    care = LoopCare(trader, cores, has_beaten=lambda: operator.is_ready)
    operator.health.listen(care.on_beat)
    try:
        yield care
    finally:
        care.stop()


class LoopCare:
    """Heap, cores and spinning of one daemon."""

    def __init__(self, trader: "Trader", cores: CoreBinding, *, has_beaten: Callable[[], bool]) -> None:
        """`has_beaten`: the trader's first beat has been; before it nothing says whether entries are open."""
        self.heap = HeapKeeper(trader.config.loop, tell=trader.notice, mono_ns=trader.clock.mono_ns)
        self.spin = BusySpin()
        self._trader = trader
        self._settings = trader.config.loop
        self._cores = cores
        self._has_beaten = has_beaten
        self._guard_ns = round(trader.config.engine.end_guard_s * NS)
        self._is_off = False
        self._is_warm = False
        self._begun_ns = 0
        self._watched_ns = 0
        self._done_ns = 0  # end of the last window whose end guard was used

    def on_beat(self) -> None:
        """One look; called ten times a second, on the loop."""
        if self._is_off:
            return
        mono_ns = self._trader.clock.mono_ns()
        if not self._is_warm:
            if not self._has_beaten():
                return
            self._begun_ns = self._begun_ns or mono_ns
            if not self._trader.entries.closed_by or mono_ns - self._begun_ns >= WARM_S * NS:
                self._settle()
            return
        now_ns = self._trader.clock.now_ns()
        ending = self._ending(now_ns)
        if ending is not None:
            self._collect(ending, now_ns)
        elif mono_ns - self._watched_ns >= self._settings.gc_watch_s * NS:
            self._watched_ns = mono_ns
            self._watch(now_ns)

    def stop(self) -> None:
        """The collector and the loop as they were found; the cores are given back by their owner."""
        self._is_off = True
        self.spin.stop()
        self.heap.close()

    def _settle(self) -> None:
        self._is_warm = True
        self._done_ns = self._trader.clock.now_ns()
        self._cores.take()
        self._cores.tend()
        if self._settings.gc_policy == "window_end":
            took_ms = self.heap.settle()
            logger.info("heap settled took_ms={:.2f}", took_ms)
        if self._settings.busy_spin:
            self.spin.start()

    def _ending(self, now_ns: int) -> "MarketState | None":
        """The traded window whose end guard has come, or was missed, and has not been used."""
        if not self.heap.is_settled:
            return None
        later_ns = round(self._guard_ns * (1.0 - LATER_FRAC))
        for market in self._trader.engine.markets.values():
            if not market.observed and market.end_ns > self._done_ns and now_ns >= market.end_ns - later_ns:
                return market
        return None

    def _collect(self, ending: "MarketState", now_ns: int) -> None:
        self._done_ns = ending.end_ns
        took_ms = self.heap.collect()
        where = "end guard" if now_ns < ending.end_ns else "after the end"
        logger.info("heap collected window={} in={} took_ms={:.2f}", ending.spec.slug, where, took_ms)

    def _watch(self, now_ns: int) -> None:
        self._cores.tend()
        if self.heap.is_settled:
            self.heap.watch(may_collect=not self._is_trading(now_ns))

    def _is_trading(self, now_ns: int) -> bool:
        """Is a window of ours between its start and its end?"""
        markets = self._trader.engine.markets.values()
        return any(not m.observed and not m.closed and m.start_ns <= now_ns < m.end_ns for m in markets)
