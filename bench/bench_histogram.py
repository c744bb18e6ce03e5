"""One latency sample, as Python records it, and reading a percentile."""

from collections.abc import Callable

import numpy as np

from polybot._fast.histogram import LatencyHistogram

Budget = Callable[..., float]
VALUES = [int(v) for v in np.random.default_rng(1).lognormal(9.0, 1.5, size=100)]


def test_record(budget: Budget) -> None:
    histogram = LatencyHistogram()

    def run() -> None:
        for value in VALUES:
            histogram.record(value)

    budget(run, name="histogram.record", median_ns=100, inner=len(VALUES))


def test_percentile(budget: Budget) -> None:
    histogram = LatencyHistogram()
    for value in VALUES:
        histogram.record(value)
    budget(lambda: histogram.percentile(0.99), name="histogram.percentile", median_ns=10_000)
