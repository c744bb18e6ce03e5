"""LatencyHistogram against exact order statistics of the same samples."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from polybot._fast.histogram import LatencyHistogram

SHARES = (0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999)
Samples = npt.NDArray[np.int64]


def exact(samples: Samples, share: float) -> int:
    """Smallest sample that a share of the samples does not exceed."""
    ordered = np.sort(samples)
    return int(ordered[max(1, math.ceil(share * len(ordered))) - 1])


def filled(samples: Samples) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for value in samples.tolist():
        histogram.record(value)
    return histogram


def lognormal(rng: np.random.Generator, count: int) -> Samples:
    return rng.lognormal(mean=9.0, sigma=1.5, size=count).astype(np.int64)


def uniform_small(rng: np.random.Generator, count: int) -> Samples:
    return rng.integers(0, 300, size=count)


def heavy_tail(rng: np.random.Generator, count: int) -> Samples:
    return (200.0 * (1.0 + rng.pareto(0.7, size=count))).clip(max=9e17).astype(np.int64)


def two_humps(rng: np.random.Generator, count: int) -> Samples:
    fast = rng.normal(18_000, 900, size=count)
    slow = rng.normal(2.5e8, 1e7, size=count)
    return np.where(rng.random(count) < 0.97, fast, slow).clip(min=0).astype(np.int64)


@pytest.mark.parametrize("draw", [lognormal, uniform_small, heavy_tail, two_humps], ids=lambda f: f.__name__)
@pytest.mark.parametrize("count", [100_000, 300_000])
def test_percentiles_are_within_one_percent_of_exact(
    draw: Callable[[np.random.Generator, int], Samples], count: int
) -> None:
    samples = draw(np.random.default_rng(count), count)
    histogram = filled(samples)
    for share in SHARES:
        want = exact(samples, share)
        assert histogram.percentile(share) == pytest.approx(want, rel=0.01, abs=0.5), share
    assert histogram.count == count


def constant(rng: np.random.Generator, count: int) -> Samples:
    return np.full(count, 7_654_321)


def rounded_clock(rng: np.random.Generator, count: int) -> Samples:
    """A clock that tells whole milliseconds, as a venue's stamps do."""
    return 1_000_000 * rng.poisson(40.0, size=count).astype(np.int64)


@pytest.mark.parametrize(
    "draw", [lognormal, uniform_small, heavy_tail, two_humps, constant, rounded_clock], ids=lambda f: f.__name__
)
def test_percentiles_of_a_million_samples_are_within_two_percent_of_exact(
    draw: Callable[[np.random.Generator, int], Samples],
) -> None:
    samples = draw(np.random.default_rng(1_000_000), 1_000_000)
    histogram = filled(samples)
    ordered = np.sort(samples)
    for share in (0.0, 0.05, *SHARES, 0.75, 0.95, 0.99999, 1.0):
        want = int(ordered[max(1, math.ceil(share * len(ordered))) - 1])
        assert histogram.percentile(share) == pytest.approx(want, rel=0.02, abs=0.5), share
    assert (histogram.count, histogram.min, histogram.max) == (1_000_000, ordered[0], ordered[-1])


def test_a_million_samples_keep_exact_count_extremes_and_mean() -> None:
    samples = lognormal(np.random.default_rng(7), 1_000_000)
    histogram = filled(samples)
    assert histogram.count == 1_000_000
    assert (histogram.min, histogram.max) == (samples.min(), samples.max())
    assert histogram.mean == pytest.approx(samples.mean(), rel=1e-12)
    assert histogram.percentile(0.99) == pytest.approx(exact(samples, 0.99), rel=0.01)


def test_small_values_are_exact() -> None:
    histogram = filled(np.arange(128))
    assert [histogram.percentile((k + 1) / 128) for k in range(128)] == list(range(128))


@pytest.mark.parametrize("value", [0, 1, 63, 64, 127, 128, 129, 1_000, 2**31, 2**53 + 1, 2**63 - 1])
def test_one_sample_is_every_percentile(value: int) -> None:
    histogram = filled(np.array([value]))
    assert histogram.percentile(0.0) == histogram.percentile(0.5) == histogram.percentile(1.0) == float(value)


def test_every_power_of_two_boundary_falls_into_a_bucket_of_its_size() -> None:
    for shift in range(62):
        for value in ((1 << shift) - 1, 1 << shift, (1 << shift) + 1):
            histogram = filled(np.array([value, 2**62]))
            assert histogram.percentile(0.5) == pytest.approx(value, rel=0.008)


def test_an_empty_histogram_says_nan() -> None:
    histogram = LatencyHistogram()
    numbers = (histogram.percentile(0.5), histogram.min, histogram.max, histogram.mean)
    assert all(math.isnan(number) for number in numbers)
    assert histogram.count == 0


def test_a_negative_delay_counts_as_none_and_is_told() -> None:
    histogram = filled(np.array([-5, -1, 10]))
    assert (histogram.count, histogram.negative, histogram.min, histogram.total) == (3, 2, 0.0, 10.0)


def test_merge_equals_recording_both() -> None:
    rng = np.random.default_rng(3)
    first, second = lognormal(rng, 5_000), two_humps(rng, 5_000)
    merged, both = filled(first), filled(np.concatenate([first, second]))
    merged.merge(filled(second))
    merged.merge(LatencyHistogram())
    assert [merged.percentile(s) for s in SHARES] == [both.percentile(s) for s in SHARES]
    assert (merged.count, merged.min, merged.max) == (both.count, both.min, both.max)


def test_merge_into_an_empty_one_takes_its_extremes() -> None:
    merged = LatencyHistogram()
    merged.merge(filled(np.array([500, 900])))
    assert (merged.min, merged.max) == (500.0, 900.0)


def test_reset_forgets_everything() -> None:
    histogram = filled(np.array([-1, 500]))
    histogram.reset()
    assert (histogram.count, histogram.negative, histogram.total) == (0, 0, 0.0)
    assert math.isnan(histogram.percentile(0.5))


def test_cumulative_counts_for_prometheus_buckets() -> None:
    samples = lognormal(np.random.default_rng(1), 20_000)
    bounds = [1_000.0, 10_000.0, 100_000.0, 1e12]
    counts = filled(samples).cumulative(bounds)
    assert counts[-1] == 20_000
    for bound, count in zip(bounds, counts, strict=True):
        assert (samples <= bound * 0.99).sum() <= count <= (samples <= bound * 1.01).sum()


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        LatencyHistogram().percentile(share)
