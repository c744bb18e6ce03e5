"""P1: the normal distribution's function against 50 digits, wherever a price can need it (abs(x) <= 8).

The plant is the polynomial that textbooks give (Abramowitz and Stegun 26.2.17): 7.5e-8 off, and far more in the tails
relative to the value.
"""

import math
from collections.abc import Callable

import mpmath
import pytest

from bench.gate import Gate
from polybot._fast.normal import norm_cdf

POINTS = [k / 250 for k in range(-2_000, 2_001)] + [k / 97 for k in range(-776, 777)]
# Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.17.
POLYNOMIAL = (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)


@pytest.fixture(scope="module")
def exact() -> list[mpmath.mpf]:
    """Phi at POINTS, to 50 digits."""
    with mpmath.workdps(50):
        return [mpmath.ncdf(mpmath.mpf(x)) for x in POINTS]


def by_polynomial(x: float) -> float:
    k = 1.0 / (1.0 + 0.2316419 * abs(x))
    upper = math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) * sum(a * k ** (n + 1) for n, a in enumerate(POLYNOMIAL))
    return 1.0 - upper if x >= 0 else upper


def largest_error(cdf: Callable[[float], float], exact: list[mpmath.mpf], *, is_relative: bool) -> float:
    with mpmath.workdps(50):
        errors = [abs(mpmath.mpf(cdf(x)) - wanted) for x, wanted in zip(POINTS, exact, strict=True)]
        if is_relative:
            errors = [error / wanted for error, wanted in zip(errors, exact, strict=True)]
        return float(max(errors))


def test_absolute_error(gate: Gate, exact: list[mpmath.mpf]) -> None:
    gate.value(
        "P1",
        "Phi: largest absolute error, |x| <= 8",
        lambda: largest_error(norm_cdf, exact, is_relative=False),
        at_most=2e-16,
        planted=lambda: largest_error(by_polynomial, exact, is_relative=False),
    )


def test_relative_error(gate: Gate, exact: list[mpmath.mpf]) -> None:
    gate.value(
        "P1",
        "Phi: largest relative error, |x| <= 8",
        lambda: largest_error(norm_cdf, exact, is_relative=True),
        at_most=2e-14,
        planted=lambda: largest_error(by_polynomial, exact, is_relative=True),
    )
