"""Is this daemon well: does its loop keep up, and do the feeds it needs bring something?

Owns the meter of the loop's lag (how late a beat of its own, every BEAT_S, is run) and the judgement of lag and data
ages by named limits.  Two words come of it: `ok` (the strict one, for people and monitors) and `may_feed` (the
patient one, for the service manager's watchdog, which would end the process).  A halt, entries that are closed or a
venue that is down are no illness: a restart would not help.
Must not act, block or touch the engine.  Used by control.serving, the control verb `watch`,
polybot.notify and polybot.telling, which says when a needed feed is lost.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from polybot.config_service import ServiceConfig

if TYPE_CHECKING:
    from polybot._fast.engine import Engine
    from polybot._fast.state import MarketState
    from polybot.trader import Trader

__all__ = ["HealthMonitor", "LoopLag", "describe_health", "followed_markets", "needed_ages_s", "needed_stamps"]

NS, NS_PER_MS = 1_000_000_000, 1_000_000
BEAT_S = 0.1  # wall
WORST_S = 10  # the worst lag is that of so many seconds
Ages = Mapping[str, float]


class LoopLag:
    """How late a beat that was due is run; also says so while the next one is overdue."""

    def __init__(self, mono_ns: Callable[[], int]) -> None:
        self._mono_ns = mono_ns
        self._due_ns = 0
        self._last_ns = 0
        self._worst: deque[tuple[int, int]] = deque(maxlen=WORST_S + 1)  # (second, worst lag in it)

    def expect(self, due_ns: int) -> None:
        """The next beat is due then (monotonic)."""
        self._due_ns = due_ns

    def beat(self) -> None:
        """The beat that was due runs now."""
        now_ns = self._mono_ns()
        self._last_ns = max(0, now_ns - self._due_ns)
        self._due_ns = 0
        second = now_ns // NS
        if self._worst and self._worst[-1][0] == second:
            self._worst[-1] = (second, max(self._worst[-1][1], self._last_ns))
        else:
            self._worst.append((second, self._last_ns))

    def last_ms(self) -> float:
        """Lag of the last beat, or of the one that is overdue."""
        overdue_ns = self._mono_ns() - self._due_ns if self._due_ns else 0
        return max(self._last_ns, overdue_ns) / NS_PER_MS

    def worst_ms(self) -> float:
        """Worst lag of the last WORST_S seconds."""
        oldest = self._mono_ns() // NS - WORST_S
        worst_ns = max((lag_ns for second, lag_ns in self._worst if second >= oldest), default=0)
        return max(worst_ns / NS_PER_MS, self.last_ms())


def describe_health(
    *, is_ready: bool, ages_s: Ages, lag: LoopLag, limits: ServiceConfig
) -> dict[str, Any]:
    """Judge: {"ok", "reasons", "loop_lag_ms": {"last", "worst"}, "data_age_s", "oldest"}; ages are wall seconds."""
    last_ms, worst_ms = lag.last_ms(), lag.worst_ms()
    reasons = [] if is_ready else ["starting"]
    if worst_ms > limits.loop_lag_ms:
        reasons.append("loop_lag")
    reasons += [f"stale {name}" for name, age_s in ages_s.items() if age_s > limits.data_age_s]
    oldest = max(ages_s, key=lambda name: ages_s[name], default="")
    return {
        "ok": not reasons,
        "reasons": reasons,
        "loop_lag_ms": {"last": round(last_ms, 3), "worst": round(worst_ms, 3)},
        "data_age_s": round(ages_s[oldest], 3) if oldest else None,
        "oldest": oldest,
    }


def needed_ages_s(trader: "Trader", since_ns: int) -> dict[str, float]:
    """Wall seconds since each feed that is needed now brought something; since `since_ns` (venue) when nothing did."""
    now_ns = trader.clock.now_ns()
    stamps = needed_stamps(trader.engine, now_ns)
    return {
        name: trader.clock.real_s(max(0, now_ns - max(stamp_ns, since_ns)) / NS) for name, stamp_ns in stamps.items()
    }


def needed_stamps(engine: "Engine", now_ns: int) -> dict[str, int]:
    """When each feed that is needed now last brought something (venue ns), a book not before its window began."""
    stamps = {"spot": engine.spot.data_ns, "oracle": engine.spot.oracle_ns}
    for _, market in followed_markets(engine, now_ns):
        stamps[f"book {market.spec.slug}"] = max(market.book_ns, market.start_ns)
    return stamps


def followed_markets(engine: "Engine", now_ns: int) -> Iterator[tuple[int, "MarketState"]]:
    """Windows that are traded now, by index; one that broke is closed and has no feed any more."""
    for index, market in engine.markets.items():
        if not market.observed and not market.closed and market.start_ns <= now_ns < market.end_ns:
            yield index, market


class HealthMonitor:
    """Health of one running trader; its beat runs between start() and stop()."""

    def __init__(self, trader: "Trader", limits: ServiceConfig, *, is_ready: Callable[[], bool]) -> None:
        """`is_ready`: the trader's first beat has been."""
        self.lag = LoopLag(trader.clock.mono_ns)
        self._trader = trader
        self._limits = limits
        self._is_ready = is_ready
        self._since_ns = trader.clock.now_ns()
        self._listeners: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to beat on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._since_ns = self._trader.clock.now_ns()
        self._schedule()

    def stop(self) -> None:
        """No beat any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None

    def listen(self, on_beat: Callable[[], None]) -> None:
        """Call with every beat, on the loop; what is called must be quick and raise nothing."""
        self._listeners.append(on_beat)

    def describe(self) -> dict[str, Any]:
        """The judgement as of now."""
        ages_s = needed_ages_s(self._trader, self._since_ns)
        return describe_health(is_ready=self._is_ready(), ages_s=ages_s, lag=self.lag, limits=self._limits)

    def may_feed(self) -> bool:
        """May the watchdog be fed: the loop runs in time now and no needed feed was silent for restart_age_s."""
        return self.lag.last_ms() <= self._limits.loop_lag_ms and not self.silent()

    def silent(self) -> list[str]:
        """The needed feeds that were silent for restart_age_s."""
        ages_s = needed_ages_s(self._trader, self._since_ns)
        return [name for name, age_s in ages_s.items() if age_s > self._limits.restart_age_s]

    def _schedule(self) -> None:
        if self._loop is not None:
            self.lag.expect(self._trader.clock.mono_ns() + round(BEAT_S * NS))
            self._timer = self._loop.call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        self.lag.beat()
        self._schedule()  # first: no listener can end the beats
        for on_beat in self._listeners:
            on_beat()

