"""Regime classifier against counted directions."""

import math
import random
from pathlib import Path

import pytest
from reference import math_reference, recorded

from polybot._fast.regime import Regime, RegimeClassifier

NS = 1_000_000_000


def after(ups: int, downs: int) -> RegimeClassifier:
    """A classifier that saw so many changes within a second."""
    classifier = RegimeClassifier()
    price = 1000.0
    classifier.add(price, 0)
    for k in range(ups + downs):
        price += 1.0 if k < ups else -1.0
        classifier.add(price, k)
    return classifier


@pytest.mark.parametrize(
    ("ups", "downs", "expected"),
    [(59, 41, Regime.RANGE), (60, 40, Regime.AMBIGUOUS), (74, 26, Regime.AMBIGUOUS), (75, 25, Regime.TREND),
     (9, 0, Regime.AMBIGUOUS), (10, 0, Regime.TREND), (25, 75, Regime.TREND), (41, 59, Regime.RANGE)],
)  # fmt: skip
def test_regime_matches_the_table(ups: int, downs: int, expected: Regime) -> None:
    classifier = after(ups, downs)
    assert classifier.regime == expected
    assert classifier.fraction == pytest.approx(max(ups, downs) / (ups + downs), rel=1e-15)
    assert (classifier.up, classifier.down) == (ups, downs)


def test_nothing_seen_is_ambiguous_without_a_fraction() -> None:
    classifier = RegimeClassifier()
    assert classifier.regime == Regime.AMBIGUOUS
    assert math.isnan(classifier.fraction)


def test_unchanged_prices_are_no_changes() -> None:
    classifier = after(12, 0)
    for k in range(50):
        classifier.add(1012.0, k)
    assert (classifier.up, classifier.down) == (12, 0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_price_is_no_change(bad: float) -> None:
    classifier = after(12, 0)
    classifier.add(bad, 100)
    classifier.add(1012.0, 101)
    assert (classifier.up, classifier.down) == (12, 0)


def test_change_exactly_thirty_seconds_old_stays_and_the_clock_alone_evicts() -> None:
    classifier = after(12, 0)
    classifier.expire(30 * NS)
    assert classifier.regime == Regime.TREND
    classifier.expire(30 * NS + 3)
    assert (classifier.up, classifier.regime) == (9, Regime.AMBIGUOUS)
    classifier.expire(31 * NS)
    assert classifier.up == 0
    assert math.isnan(classifier.fraction)


def test_first_price_after_an_empty_window_is_compared_with_the_last_one_seen() -> None:
    classifier = after(1, 0)
    classifier.expire(100 * NS)
    classifier.add(1000.0, 100 * NS)
    assert (classifier.up, classifier.down) == (0, 1)


@pytest.mark.parametrize("capacity", [2, 4096])
def test_random_prices_match_the_reference_while_the_ring_grows_and_wraps(capacity: int) -> None:
    rnd = random.Random(capacity)
    classifier = RegimeClassifier(window_s=3.0, capacity=capacity)
    prices: list[tuple[float, int]] = []
    ns, drift = 0, 0.0
    for k in range(4000):
        if k % 200 == 0:
            drift = rnd.uniform(-1, 1)
        ns += rnd.randrange(100_000_000)
        prices.append((60_000 + rnd.choice((-1, 0, 1)) + (k % 200) * drift, ns))
        classifier.add(*prices[-1])
        expected = math_reference.direction_counts(prices[-300:], ns, 3 * NS)
        assert (classifier.up, classifier.down) == expected
        assert classifier.regime == math_reference.regime(*expected)


def test_recorded_trades_match_the_reference(shared_dir: Path) -> None:
    prices = [(price, ns) for price, _, ns in recorded.spot_trades(shared_dir)]
    classifier = RegimeClassifier()
    seen = set()
    for k, (price, ns) in enumerate(prices):
        classifier.add(price, ns)
        if k % 400 == 0:
            expected = math_reference.direction_counts(prices[: k + 1], ns, 30 * NS)
            assert (classifier.up, classifier.down) == expected
            assert classifier.regime == math_reference.regime(*expected)
            seen.add(classifier.regime)
    assert Regime.RANGE in seen


@pytest.mark.parametrize(
    "kwargs",
    [
        {"window_s": 0.0},
        {"min_ticks": 0},
        {"trend": 0.55},
        {"range_": 0.4},
        {"trend": 1.1},
        {"capacity": 100},
    ],
)
def test_bad_settings_are_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must|need"):
        RegimeClassifier(**kwargs)  # type: ignore[arg-type]
