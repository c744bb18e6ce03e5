"""Normal functions against 50-digit arithmetic."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import math_reference

from polybot._fast.normal import norm_cdf, norm_pdf, norm_ppf


def test_density_at_zero_is_the_known_constant() -> None:
    assert norm_pdf(0.0) == pytest.approx(0.3989422804014327, rel=1e-16)


@pytest.mark.parametrize(
    ("x", "expected"), [(1.96, 0.9750021), (1.0, 0.8413447), (3.0, 0.9986501), (0.0, 0.5)]
)
def test_distribution_matches_the_table(x: float, expected: float) -> None:
    assert norm_cdf(x) == pytest.approx(expected, abs=1e-7)


def test_distribution_is_accurate_within_eight_deviations() -> None:
    rnd = random.Random(1)
    grid = [k / 16 for k in range(-128, 129)] + [rnd.uniform(-8, 8) for _ in range(3000)]
    errors = [(x, abs(norm_cdf(x) - math_reference.norm_cdf(x))) for x in grid]
    assert max(error for _, error in errors) <= 2e-16
    assert max(error / math_reference.norm_cdf(x) for x, error in errors) <= 2e-14


def test_density_is_accurate_within_eight_deviations() -> None:
    rnd = random.Random(2)
    for x in [rnd.uniform(-8, 8) for _ in range(2000)]:
        assert abs(norm_pdf(x) / math_reference.norm_pdf(x) - 1) <= 1e-14


def test_distribution_of_the_far_tails_is_finite_and_ordered() -> None:
    assert norm_cdf(-40.0) == 0.0
    assert 0.0 < norm_cdf(-37.0) < norm_cdf(-36.0) < 1e-280
    assert norm_cdf(math.inf) == 1.0
    assert norm_cdf(-math.inf) == 0.0


def test_nan_stays_nan() -> None:
    assert all(math.isnan(f(math.nan)) for f in (norm_pdf, norm_cdf, norm_ppf))


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, 1.1, math.inf, -math.inf])
def test_quantile_outside_the_open_unit_interval_is_nan(p: float) -> None:
    assert math.isnan(norm_ppf(p))


def test_quantile_of_one_half_is_zero() -> None:
    assert norm_ppf(0.5) == 0.0


def test_quantile_is_accurate_in_the_middle_and_in_both_tails() -> None:
    rnd = random.Random(3)
    probabilities = [0.02425, 0.97575, math.nextafter(0.02425, 0), math.nextafter(0.97575, 1)]
    for _ in range(300):
        probabilities += [
            rnd.uniform(1e-3, 0.499),
            rnd.uniform(0.501, 0.999),
            0.5 + rnd.choice((-1, 1)) * 10 ** rnd.uniform(-12, -2),
            10 ** rnd.uniform(-290, -2),
            1 - 10 ** rnd.uniform(-15, -2),
        ]
    for p in probabilities:
        found = norm_ppf(p)
        exact = math_reference.norm_ppf(p, found)
        assert abs(found - exact) <= 1e-15 * abs(exact), p


@settings(max_examples=100, deadline=None)
@given(st.floats(min_value=1e-12, max_value=1 - 1e-12))
def test_distribution_undoes_the_quantile(p: float) -> None:
    assert norm_cdf(norm_ppf(p)) == pytest.approx(p, rel=1e-13)
