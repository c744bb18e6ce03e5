"""Clocks: venue time from a shared anchor, and in a virtual loop."""

import asyncio
import time

from polybot.clock import SystemClock, VirtualClock, wall_clock
from polybot.sim.virtual_loop import VirtualLoop

NS = 1_000_000_000
EPOCH_NS = 1_790_000_000 * NS


def test_two_processes_with_the_same_three_numbers_agree_on_venue_time():
    anchor = time.monotonic_ns() - 2 * NS
    one, two = SystemClock(EPOCH_NS, anchor, 30.0), SystemClock(EPOCH_NS, anchor, 30.0)
    first, second, third = one.now_ns(), two.now_ns(), one.now_ns()
    assert first <= second <= third
    assert first >= EPOCH_NS + 60 * NS


def test_before_the_anchor_venue_time_stands_still_short_of_the_epoch():
    clock = SystemClock(EPOCH_NS, time.monotonic_ns() + 3_600 * NS, 30.0)
    assert clock.now_ns() == clock.now_ns() == EPOCH_NS - 1


def test_a_sleep_begun_before_the_anchor_lasts_its_venue_seconds_from_there():
    clock = SystemClock(EPOCH_NS, time.monotonic_ns() + NS // 20, 30.0)
    asyncio.run(clock.sleep(0.3))
    assert clock.now_ns() >= EPOCH_NS + 270_000_000  # a loop timer may fire a millisecond early


def test_no_sleep_does_not_wait_for_the_anchor():
    clock = SystemClock(EPOCH_NS, time.monotonic_ns() + 3_600 * NS, 30.0)
    asyncio.run(clock.sleep(0.0))
    assert clock.now_ns() == EPOCH_NS - 1


def test_wall_seconds_of_a_venue_duration_shrink_with_speed():
    assert SystemClock(EPOCH_NS, 0, 20.0).real_s(10.0) == 0.5
    assert wall_clock().real_s(10.0) == 10.0


def test_the_wall_clock_is_the_machines_time():
    before, now, after = time.time_ns(), wall_clock().now_ns(), time.time_ns()
    assert before - NS < now < after + NS


def test_virtual_time_jumps_and_both_its_clocks_are_the_loops():
    async def nap():
        clock = VirtualClock(asyncio.get_running_loop(), EPOCH_NS)
        await clock.sleep(3_600.0)
        return clock.now_ns(), clock.mono_ns(), clock.real_s(5.0)

    begun = time.process_time()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(nap()) == (EPOCH_NS + 3_600 * NS, 3_600 * NS, 5.0)
    assert time.process_time() - begun < 5.0
