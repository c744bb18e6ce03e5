"""Stamps read in C against clock.SystemClock and against exact integer arithmetic."""

import random
import time
from fractions import Fraction

import pytest

from polybot._fast.stamp import VenueStamp
from polybot.clock import SystemClock, wall_clock

NS = 1_000_000_000
EPOCH_NS = 1_790_000_000 * NS
SPEEDS = (1.0, 0.25, 2.0, 20.0, 30.0, 99.99, 1e-3, 1_000.0)


def slow_venue_ns(stamp: VenueStamp, mono_ns: int) -> int:
    """Venue time by the definition; the speed is applied in double precision, as clock.SystemClock does."""
    elapsed = mono_ns - stamp.mono_anchor_ns
    if elapsed < 0:
        return stamp.epoch_ns - 1
    if stamp.speed == 1.0:
        return stamp.epoch_ns + elapsed
    product = float(Fraction(float(elapsed)) * Fraction(stamp.speed))  # rounded once, as a product of doubles is
    return stamp.epoch_ns + int(product)


@pytest.mark.parametrize("speed", SPEEDS)
def test_random_moments_give_the_venue_time_of_the_definition(speed):
    rng = random.Random(7)
    for _ in range(2_000):
        anchor = rng.randrange(10**17)
        stamp = VenueStamp(EPOCH_NS, anchor, speed)
        mono_ns = anchor + rng.choice((-1, 0, 1, rng.randrange(10**6), rng.randrange(10**15), -rng.randrange(10**12)))
        assert stamp.at_ns(mono_ns) == slow_venue_ns(stamp, mono_ns)


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_clock_and_its_stamp_say_the_same_at_the_same_moment(speed, monkeypatch):
    clock = SystemClock(EPOCH_NS, 5 * NS, speed)
    stamp = clock.stamp()
    for mono_ns in (0, 5 * NS - 1, 5 * NS, 5 * NS + 1, 3_600 * NS + 123_456_789, 10**15 + 7):
        monkeypatch.setattr(time, "monotonic_ns", lambda at=mono_ns: at)
        assert clock.now_ns() == stamp.at_ns(mono_ns)


def test_the_monotonic_clock_read_in_c_is_pythons():
    stamp = wall_clock().stamp()
    before, read, after = time.monotonic_ns(), stamp.mono_ns(), time.monotonic_ns()
    assert before <= read <= after


def test_stamps_lie_between_two_readings_of_the_clock_they_come_from():
    clock = SystemClock(EPOCH_NS, time.monotonic_ns() - NS, 30.0)
    stamp = clock.stamp()
    for _ in range(1_000):
        assert clock.now_ns() <= stamp.now_ns() <= clock.now_ns()


def test_before_the_anchor_the_stamp_stands_still_short_of_the_epoch():
    stamp = VenueStamp(EPOCH_NS, time.monotonic_ns() + 3_600 * NS, 30.0)
    assert stamp.now_ns() == stamp.now_ns() == EPOCH_NS - 1


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_is_none_is_refused(speed):
    with pytest.raises(ValueError, match="speed"):
        VenueStamp(EPOCH_NS, 0, speed)
