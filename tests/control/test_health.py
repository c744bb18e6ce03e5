"""When a daemon is called well: lag of its loop, ages of its feeds, and who is asked."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from polybot.config_service import ServiceConfig
from polybot.control.health import HealthMonitor, LoopLag, describe_health, needed_ages_s

NS, MS = 1_000_000_000, 1_000_000
T0 = 1_795_338_600 * NS
LIMITS = ServiceConfig(data_age_s=15.0, loop_lag_ms=1_000.0, restart_age_s=300.0)


@dataclass
class Hands:
    """A clock whose two times are set by hand; venue time runs `speed` times as fast."""

    speed: float = 1.0
    mono: int = 100 * NS
    begun: int = field(default=100 * NS)

    def mono_ns(self) -> int:
        return self.mono

    def now_ns(self) -> int:
        return T0 + round((self.mono - self.begun) * self.speed)

    def real_s(self, seconds: float) -> float:
        return seconds / self.speed


def market(
    slug: str, *, start_s: int, end_s: int, book_s: float, observed: bool = False, closed: bool = False
) -> Any:
    return SimpleNamespace(
        spec=SimpleNamespace(slug=slug),
        observed=observed,
        closed=closed,
        start_ns=T0 + start_s * NS,
        end_ns=T0 + end_s * NS,
        book_ns=T0 + round(book_s * NS),
    )


def trader(clock: Hands, *, spot_s: float = 0.0, oracle_s: float = 0.0, markets: tuple[Any, ...] = ()) -> Any:
    spot = SimpleNamespace(data_ns=T0 + round(spot_s * NS), oracle_ns=T0 + round(oracle_s * NS))
    return SimpleNamespace(clock=clock, engine=SimpleNamespace(spot=spot, markets=dict(enumerate(markets))))


def lag_after(clock: Hands, *lags_ms: float, every_s: float = 1.0) -> LoopLag:
    lag = LoopLag(clock.mono_ns)
    for late_ms in lags_ms:
        lag.expect(clock.mono)
        clock.mono += round(late_ms * MS)
        lag.beat()
        clock.mono += round(every_s * NS)
    return lag


def test_a_loop_in_time_with_fresh_feeds_is_well() -> None:
    clock = Hands()
    ages_s = {"spot": 0.25, "oracle": 1.5}
    found = describe_health(is_ready=True, ages_s=ages_s, lag=lag_after(clock, 2.0), limits=LIMITS)
    assert found == {
        "ok": True,
        "reasons": [],
        "loop_lag_ms": {"last": 2.0, "worst": 2.0},
        "data_age_s": 1.5,
        "oldest": "oracle",
    }


@pytest.mark.parametrize(
    ("is_ready", "ages_s", "lag_ms", "reasons"),
    [
        (False, {"spot": 0.0}, 0.0, ["starting"]),
        (True, {"spot": 15.0, "oracle": 15.001}, 1_000.0, ["stale oracle"]),
        (True, {"spot": 16.0, "oracle": 1.0, "book slug": 99.0}, 0.0, ["stale spot", "stale book slug"]),
        (True, {"spot": 0.0}, 1_001.0, ["loop_lag"]),
        (True, {}, 0.0, []),
    ],
)
def test_every_illness_has_its_word(
    is_ready: bool, ages_s: dict[str, float], lag_ms: float, reasons: list[str]
) -> None:
    clock = Hands()
    found = describe_health(is_ready=is_ready, ages_s=ages_s, lag=lag_after(clock, lag_ms), limits=LIMITS)
    assert (found["ok"], found["reasons"]) == (not reasons, reasons)


def test_the_worst_lag_is_that_of_the_last_ten_seconds() -> None:
    clock = Hands()
    lag = lag_after(clock, 5.0, 800.0, *[1.0] * 8)
    assert (lag.last_ms(), lag.worst_ms()) == (1.0, 800.0)
    clock.mono += 3 * NS
    assert lag.worst_ms() == 1.0


def test_a_beat_that_is_overdue_counts_before_it_comes() -> None:
    clock = Hands()
    lag = lag_after(clock, 1.0)
    lag.expect(clock.mono + 100 * MS)
    assert lag.last_ms() == 1.0
    clock.mono += 2_600 * MS
    assert (lag.last_ms(), lag.worst_ms()) == (2_500.0, 2_500.0)


def test_needed_are_spot_oracle_and_the_books_of_windows_that_are_traded_now() -> None:
    clock = Hands(mono=160 * NS)  # 60 venue seconds after T0
    live = market("live", start_s=0, end_s=300, book_s=50.0)
    fresh = market("fresh", start_s=58, end_s=358, book_s=-999.0)  # has just begun: nothing can be old yet
    ended = market("ended", start_s=-300, end_s=0, book_s=-200.0)
    watched = market("watched", start_s=0, end_s=900, book_s=-200.0, observed=True)
    broken = market("broken", start_s=0, end_s=14_400, book_s=1.0, closed=True)  # given up: nobody follows its book
    markets = (live, fresh, ended, watched, broken)
    ages = needed_ages_s(trader(clock, spot_s=59.5, oracle_s=58.0, markets=markets), T0)
    assert ages == {"spot": 0.5, "oracle": 2.0, "book live": 10.0, "book fresh": 2.0}


def test_a_feed_that_never_came_is_as_old_as_the_process_and_ages_are_wall_seconds() -> None:
    clock = Hands(speed=20.0, mono=106 * NS)  # 6 wall seconds, 120 venue seconds
    one = trader(clock, spot_s=110.0)
    one.engine.spot.oracle_ns = -(1 << 62)
    assert needed_ages_s(one, T0) == {"spot": 0.5, "oracle": 6.0}


def test_the_watchdog_has_more_patience_with_a_feed_and_none_with_the_loop() -> None:
    clock = Hands()
    one = trader(clock)
    monitor = HealthMonitor(one, LIMITS, is_ready=lambda: True)
    clock.mono += 16 * NS
    assert not monitor.describe()["ok"]
    assert monitor.may_feed()
    clock.mono += 283 * NS
    assert monitor.may_feed()
    clock.mono += 2 * NS
    assert not monitor.may_feed()
    assert monitor.silent() == ["spot", "oracle"]
    one.engine.spot.data_ns = one.engine.spot.oracle_ns = clock.now_ns()
    assert monitor.may_feed()
    monitor.lag.expect(clock.mono - 1_100 * MS)
    assert not monitor.may_feed()


def test_a_blocked_loop_is_measured_and_calls_its_listeners_when_it_goes_on() -> None:
    async def main() -> tuple[float, float, int]:
        loop = asyncio.get_running_loop()
        clock = Hands()
        clock.mono_ns = lambda: round(loop.time() * NS)  # type: ignore[method-assign]
        monitor = HealthMonitor(trader(clock), LIMITS, is_ready=lambda: True)
        beats = asyncio.Event()
        monitor.listen(beats.set)
        monitor.start()
        await beats.wait()
        before = loop.time()
        while loop.time() < before + 0.3:  # the loop stands still
            pass
        blocked_ms = monitor.lag.last_ms()
        beats.clear()
        await beats.wait()
        monitor.stop()
        return blocked_ms, monitor.lag.worst_ms(), 1

    blocked_ms, worst_ms, _ = asyncio.run(main())
    assert blocked_ms >= 199.0  # the beat was due 100 ms after the last one
    assert worst_ms >= blocked_ms


def test_a_listener_that_raises_does_not_end_the_beats() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        clock = Hands()
        monitor = HealthMonitor(trader(clock), LIMITS, is_ready=lambda: True)
        thrice = asyncio.Event()

        def on_beat() -> None:
            if len(told) == 2:
                thrice.set()
            raise RuntimeError("no")

        monitor.listen(on_beat)
        monitor.start()
        await asyncio.wait_for(thrice.wait(), 60.0)
        monitor.stop()
        return len(told)

    told: list[BaseException] = []
    assert asyncio.run(main()) >= 3
    assert {str(error) for error in told} == {"no"}
