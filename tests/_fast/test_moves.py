"""MoveTracker against a plain list of all samples, and where its history ends."""

import math
import random

import pytest

from polybot._fast.moves import MoveTracker

NS = 1_000_000_000
BEAT = NS // 10


class SlowMoves:
    """Every sample kept in a list; nothing running."""

    def __init__(self, lookback_s, half_life_s, min_samples):
        self.lookback, self.half_life, self.least = lookback_s, half_life_s, min_samples
        self.stretch, self.moved = [], []

    def move(self, mid, fair, now):
        if not self.stretch or now - self.stretch[-1][0] > 2 * NS:
            return math.nan
        old = [gap for ns, gap in self.stretch if ns <= now - round(self.lookback * NS)]
        return mid - fair - old[-1] if old else math.nan

    def add(self, mid, fair, now):
        if math.isnan(mid) or math.isnan(fair):
            self.stretch = []
            return
        if self.stretch and now - self.stretch[-1][0] < NS // 20:
            return
        moved = self.move(mid, fair, now)
        if not math.isnan(moved):
            self.moved.append((now, moved))
        if self.stretch and now - self.stretch[-1][0] > 2 * NS:
            self.stretch = []
        self.stretch.append((now, mid - fair))

    def deviation(self):
        if len(self.moved) < self.least:
            return math.nan
        last = self.moved[-1][0]
        weights = [2.0 ** ((ns - last) / NS / self.half_life) for ns, _ in self.moved]
        squares = [w * x * x for w, (_, x) in zip(weights, self.moved, strict=True)]
        return math.sqrt(sum(squares) / sum(weights))


def tracker(lookback_s=5.0, half_life_s=60.0, min_samples=20):
    made = MoveTracker()
    made.configure(lookback_s=lookback_s, half_life_s=half_life_s, min_samples=min_samples)
    return made


@pytest.mark.parametrize("seed", range(6))
def test_random_samples_with_holes_and_late_beats_agree_with_the_list(seed):
    rng = random.Random(seed)
    settings = (rng.choice((1.0, 5.0, 12.5)), rng.choice((3.0, 60.0)), rng.choice((1, 30)))
    ours, slow = tracker(*settings), SlowMoves(*settings)
    now, mid, known = 1_790_000_000 * NS, 0.5, 0
    for _ in range(1_500):
        now += rng.choice(
            (BEAT, BEAT, BEAT, BEAT + 3_000_000, NS // 50, NS, 3 * NS if rng.random() < 0.1 else BEAT)
        )
        mid += rng.gauss(0.0, 0.01)
        value = math.nan if rng.random() < 0.01 else mid
        fair = 0.5 + 0.1 * math.sin(now / NS)
        ask_ns = now + rng.randrange(0, BEAT)
        ours.add(value, fair, now)
        slow.add(value, fair, now)
        assert ours.move_beyond_model(mid, 0.4, ask_ns) == pytest.approx(
            slow.move(mid, 0.4, ask_ns), abs=1e-12, nan_ok=True
        )
        assert ours.deviation == pytest.approx(slow.deviation(), rel=1e-9, nan_ok=True)
        known += not math.isnan(ours.deviation)
    assert known > 500
    assert ours.samples == len(slow.moved)


def feed(moves, first, count, *, mid=0.5, fair=0.5):
    for k in range(count):
        moves.add(mid, fair, first + k * BEAT)
    return first + (count - 1) * BEAT


def test_the_first_lookback_is_unknown_and_the_sample_exactly_so_old_counts():
    moves = tracker(lookback_s=5.0)
    last = feed(moves, 0, 50)
    assert last == 49 * BEAT
    assert math.isnan(moves.move_beyond_model(0.4, 0.5, last))
    assert math.isnan(moves.move_beyond_model(0.4, 0.5, 50 * BEAT - 1))
    assert moves.move_beyond_model(0.4, 0.5, 50 * BEAT) == pytest.approx(-0.1)


def test_a_move_the_model_made_too_is_no_overreaction():
    moves = tracker(lookback_s=1.0)
    last = feed(moves, 0, 20)
    assert moves.move_beyond_model(0.6, 0.6, last + BEAT) == pytest.approx(0.0)
    assert moves.move_beyond_model(0.5, 0.6, last + BEAT) == pytest.approx(-0.1)


def test_the_deviation_is_unknown_before_its_samples_and_does_not_look_ahead():
    moves = tracker(lookback_s=1.0, min_samples=5)
    last = feed(moves, 0, 14)  # the first 10 have no move yet
    assert moves.samples == 4
    assert math.isnan(moves.deviation)
    moves.add(0.5, 0.5, last + BEAT)
    assert moves.deviation == 0.0
    moves.move_beyond_model(0.9, 0.5, last + 2 * BEAT)  # looking is not feeding
    assert moves.deviation == 0.0
    moves.add(0.6, 0.5, last + 2 * BEAT)
    assert moves.deviation == pytest.approx(math.sqrt(0.01 / 6.0), rel=0.02)


def test_an_old_move_weighs_half_after_a_half_life():
    moves = tracker(lookback_s=0.1, half_life_s=10.0, min_samples=1)
    moves.add(0.5, 0.5, 0)
    moves.add(0.6, 0.5, BEAT)
    moves.reset()
    moves.add(0.5, 0.5, 10 * NS)
    moves.add(0.5, 0.5, 10 * NS + BEAT)
    assert moves.deviation == pytest.approx(math.sqrt(0.01 * 0.5 / 1.5))


@pytest.mark.parametrize("hole", ["reset", "one-sided", "unpriced", "late"])
def test_a_hole_begins_the_lookback_anew_and_keeps_the_deviation(hole):
    moves = tracker(lookback_s=1.0, min_samples=1)
    last = feed(moves, 0, 40)
    assert not math.isnan(moves.move_beyond_model(0.5, 0.5, last))
    if hole == "reset":
        moves.reset()
    elif hole == "late":
        last += 2 * NS
        moves.add(0.5, 0.5, last + BEAT)
    else:
        moves.add(
            math.nan if hole == "one-sided" else 0.5, 0.5 if hole == "one-sided" else math.nan, last + BEAT
        )
    assert math.isnan(moves.move_beyond_model(0.5, 0.5, last + 2 * BEAT))
    again = feed(moves, last + 3 * BEAT, 11)
    assert moves.move_beyond_model(0.5, 0.5, again) == 0.0
    assert moves.deviation == 0.0


def test_the_longest_lookback_fits_the_history_at_the_fastest_sampling():
    moves = tracker(lookback_s=25.0, min_samples=1)
    for k in range(3_000):
        moves.add(0.5 + k / 1e5, 0.5, k * NS // 100)
    assert moves.move_beyond_model(0.5, 0.5, 3_000 * NS // 100) == pytest.approx(-500 / 1e5)


def test_nothing_is_tracked_before_it_is_configured():
    moves = MoveTracker()
    feed(moves, 0, 100)
    assert moves.samples == 0
    assert math.isnan(moves.deviation)


@pytest.mark.parametrize(
    "bad",
    [
        {"lookback_s": 0.0},
        {"lookback_s": 26.0},
        {"lookback_s": math.nan},
        {"half_life_s": 0.0},
        {"half_life_s": math.inf},
        {"min_samples": 0},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        MoveTracker().configure(**{"lookback_s": 5.0, "half_life_s": 60.0, "min_samples": 20, **bad})
