"""Pricing against 50-digit arithmetic, numeric differentiation and the published vectors."""

import math
import random
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference.math_reference import Case

from polybot._fast.normal import norm_cdf
from polybot._fast.pricing import (
    PriceStatus,
    PricingResult,
    Rule,
    half_kelly,
    implied_deviation,
    price,
    winner,
)

POINT, CANDLE, TWAP = int(Rule.RULE_POINT), int(Rule.RULE_CANDLE), int(Rule.RULE_TWAP)
NUMBERS = (
    "u", "m", "dm_ds", "t_eff", "v", "d2", "z", "p_up", "phi_d2", "delta", "gamma", "vega", "se_q",
)  # fmt: skip
INSIDE = Case(rule=TWAP, s=63_010.0, k=63_000.0, sigma=6e-5, tau_s=25.0, w_s=60.0, locked_sum=35 * 62_990.0)


def run(case: Case) -> PricingResult:
    return price(**asdict(case))


def random_cases(kind: str, count: int) -> list[Case]:
    """Plausible inputs; kind is point, candle, twap (before the window) or inside."""
    rnd = random.Random(kind)
    cases = []
    for _ in range(count):
        s = 10 ** rnd.uniform(0, 5)
        sigma = 10 ** rnd.uniform(-4.5, -3)
        tau_s = rnd.uniform(2, 900)
        case = Case(
            rule={"point": POINT, "candle": CANDLE}.get(kind, TWAP), s=s, k=s, sigma=sigma,
            tau_s=tau_s, var_strike=10 ** rnd.uniform(-12, -9), se_ln_sigma=rnd.uniform(0, 0.4),
            sd_x=10 ** rnd.uniform(-6, -4),
        )  # fmt: skip
        if kind == "twap":
            case = replace(case, w_s=60.0, lag_s=3.0, tau_s=tau_s + 63.0)
        if kind == "inside":
            locked_s = rnd.uniform(1, 58)
            mean = s * math.exp(rnd.gauss(0, 3e-4))
            case = replace(case, w_s=60.0, lag_s=3.0, tau_s=63.0 - locked_s, locked_sum=locked_s * mean,
                           var_locked=10 ** rnd.uniform(-12, -10))  # fmt: skip
        k = float(case.mean(s)) * math.exp(rnd.gauss(0, 1.5) * float(case.deviation(sigma)))
        cases.append(replace(case, k=k))
    return cases


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Case(POINT, 1e5, 1e5, 1e-3, 300.0), {"d2": (-0.0086602540, 1e-10), "p_up": (0.4965451017, 1e-10),
         "z": (0.0, 0.0), "delta": (2.3032079579e-4, 1e-14), "gamma": (-1.15160e-9, 1e-14),
         "vega": (-3.45481194, 1e-8)}),
        (Case(POINT, 105_000.0, 1e5, 1e-3, 300.0), {"d2": (2.8082411877, 1e-10), "z": (2.81690144, 1e-8),
         "delta": (4.25294e-6, 1e-11), "gamma": (-6.6076e-9, 1e-13), "vega": (-21.85467, 1e-5)}),
        (Case(POINT, 95_000.0, 1e5, 1e-3, 300.0), {"d2": (-2.9700799863, 1e-10), "z": (-2.96141973, 1e-8)}),
        (Case(POINT, 96_000.0, 95_000.0, 1e-3, 122.0), {"p_up": (0.827033, 1e-6), "z": (0.94802695, 1e-8)}),
        (Case(POINT, 69_068.99, 69_076.0, 6.569e-5, 136.0), {"p_up": (0.447152, 1e-6),
         "z": (-0.13247812, 1e-8), "delta": (7.47352e-3, 1e-8)}),
    ],
)  # fmt: skip
def test_point_rule_matches_the_vectors(case: Case, expected: dict[str, tuple[float, float]]) -> None:
    result = run(case)
    for name, (value, tolerance) in expected.items():
        assert getattr(result, name) == pytest.approx(value, abs=tolerance), name


@pytest.mark.parametrize("kind", ["point", "candle", "twap", "inside"])
def test_numbers_match_high_precision_arithmetic(kind: str) -> None:
    for case in random_cases(kind, 100):
        result = run(case)
        assert result.status == PriceStatus.PRICE_OK
        assert result.u == pytest.approx(float(case.u), rel=1e-14)
        assert result.m == pytest.approx(float(case.mean(case.s)), rel=1e-14)
        assert result.t_eff == pytest.approx(float(case.t_eff()), rel=1e-12)
        assert result.v == pytest.approx(float(case.deviation(case.sigma)), rel=1e-12)
        assert result.z == pytest.approx(float(case.z()), rel=1e-9, abs=1e-10)
        assert result.p_up == pytest.approx(float(case.p_up()), rel=1e-9)
        assert result.d2 == pytest.approx(result.z - result.v / 2, abs=1e-12)


@pytest.mark.parametrize("kind", ["point", "candle", "twap", "inside"])
def test_greeks_and_standard_error_match_numeric_differentiation(kind: str) -> None:
    for case in random_cases(kind, 25):
        result = run(case)
        scale = 1 / (case.s * float(case.deviation(case.sigma)))
        assert result.delta == pytest.approx(float(case.delta()), rel=1e-8)
        assert result.gamma == pytest.approx(float(case.gamma()), rel=1e-8, abs=1e-10 * scale**2)
        assert result.vega == pytest.approx(float(case.vega()), rel=1e-8, abs=1e-9)
        assert result.se_q == pytest.approx(float(case.se_q()), rel=1e-8)


def test_delta_inside_the_window_with_a_basis_holds_v_and_is_a_thousandth_off_the_full_one() -> None:
    for case in random_cases("inside", 20):
        with_basis = replace(case, var_basis=2.5e-9)
        result = run(with_basis)
        assert result.delta == pytest.approx(float(with_basis.delta()), rel=1e-8)
        assert result.delta == pytest.approx(float(with_basis.full_delta()), rel=5e-3)


def test_basis_variance_touches_only_the_part_not_yet_locked() -> None:
    plain, with_basis = run(INSIDE), run(replace(INSIDE, var_basis=1e-8))
    share = (25 / 60) * INSIDE.s / plain.m
    assert with_basis.v**2 - plain.v**2 == pytest.approx(1e-8 * share**2, rel=1e-9)


def test_candle_rule_prices_as_the_point_rule() -> None:
    case = Case(POINT, 69_068.99, 69_076.0, 6.569e-5, 136.0)
    other = run(replace(case, rule=CANDLE))
    assert [getattr(run(case), name) for name in NUMBERS] == [getattr(other, name) for name in NUMBERS]


def test_twap_formulas_meet_where_the_window_opens() -> None:
    before = run(replace(INSIDE, tau_s=60.0, locked_sum=0.0))
    after = run(replace(INSIDE, tau_s=60.0 - 1e-9, locked_sum=1e-9 * INSIDE.s))
    assert before.t_eff == pytest.approx(20.0, rel=1e-12)
    for name in NUMBERS:
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-6), name


def test_lag_of_the_oracle_shortens_tau() -> None:
    for tau_s in (200.0, 25.0):
        plain = run(replace(INSIDE, tau_s=tau_s))
        lagged = run(replace(INSIDE, tau_s=tau_s + 3.0, lag_s=3.0))
        assert [getattr(plain, name) for name in NUMBERS] == [getattr(lagged, name) for name in NUMBERS]


def test_last_minute_of_a_twap_is_more_certain_than_the_point_rule_says() -> None:
    twap = run(replace(INSIDE, locked_sum=35 * INSIDE.s))
    point = run(replace(INSIDE, rule=POINT))
    assert point.v / twap.v == pytest.approx(math.sqrt(25 / (25**3 / 10_800)), rel=1e-12)
    assert twap.p_up > point.p_up


def test_everything_locked_prices_from_the_remaining_errors_alone() -> None:
    case = replace(INSIDE, tau_s=2.0, lag_s=3.0, locked_sum=60 * 63_005.0, var_strike=1e-10, var_locked=2e-10)
    result = run(case)
    assert result.v == pytest.approx(math.sqrt(3e-10), rel=1e-12)
    assert [getattr(result, name) for name in ("u", "dm_ds", "t_eff", "delta", "gamma", "vega")] == [0.0] * 6
    d2 = math.log(63_005 / 63_000) / result.v - result.v / 2
    assert result.p_up == pytest.approx(norm_cdf(d2), rel=1e-12)


def test_everything_locked_without_any_error_has_no_price() -> None:
    result = run(replace(INSIDE, tau_s=2.0, lag_s=3.0, locked_sum=60 * 63_005.0))
    assert result.status == PriceStatus.BAD_VARIANCE
    assert math.isnan(result.p_up)


BASE: dict[str, Any] = {"rule": POINT, "s": 1e5, "k": 1e5, "sigma": 1e-3, "tau_s": 300.0}
NOT_POSITIVE = (0.0, -1.0, math.nan, math.inf, -math.inf)
NOT_A_VARIANCE = (-1e-9, math.nan, math.inf)
BAD_INPUT = [
    *[({"sigma": x}, PriceStatus.BAD_SIGMA) for x in NOT_POSITIVE],
    *[({"s": x}, PriceStatus.BAD_SPOT) for x in NOT_POSITIVE],
    *[({"k": x}, PriceStatus.BAD_STRIKE) for x in NOT_POSITIVE],
    *[({"tau_s": x}, PriceStatus.BAD_TAU) for x in (-1e-9, math.nan, math.inf)],
    ({"tau_s": 0.0}, PriceStatus.BAD_VARIANCE),
    *[({"var_basis": x}, PriceStatus.BAD_VARIANCE) for x in NOT_A_VARIANCE],
    *[({"var_strike": x}, PriceStatus.BAD_VARIANCE) for x in NOT_A_VARIANCE],
    *[({"var_locked": x}, PriceStatus.BAD_VARIANCE) for x in NOT_A_VARIANCE],
    *[({"se_ln_sigma": x}, PriceStatus.BAD_SE) for x in NOT_A_VARIANCE],
    *[({"sd_x": x}, PriceStatus.BAD_SE) for x in NOT_A_VARIANCE],
    *[({"rule": x}, PriceStatus.BAD_RULE) for x in (-1, 3, 99)],
    *[({"rule": TWAP, "w_s": x}, PriceStatus.BAD_WINDOW) for x in NOT_POSITIVE],
    *[({"rule": TWAP, "w_s": 60.0, "lag_s": x}, PriceStatus.BAD_WINDOW) for x in NOT_A_VARIANCE],
    # 40 s are locked: nothing, half of it, or a NaN handed over
    *[({"rule": TWAP, "w_s": 60.0, "tau_s": 20.0, "locked_sum": x}, PriceStatus.BAD_LOCKED)
      for x in (0.0, 20 * 1e5, -40 * 1e5, math.nan, math.inf)],
]  # fmt: skip


@pytest.mark.parametrize(("change", "status"), BAD_INPUT)
def test_bad_input_has_a_status_and_no_number(change: dict[str, Any], status: PriceStatus) -> None:
    result = price(**(BASE | change))
    assert result.status == status
    assert all(math.isnan(getattr(result, name)) for name in NUMBERS)


def test_extreme_but_valid_input_stays_finite() -> None:
    for s, k in ((1e-9, 1e12), (1e12, 1e-9)):
        result = price(rule=POINT, s=s, k=k, sigma=1e-9, tau_s=1e-9)
        assert result.status == PriceStatus.PRICE_OK
        assert result.p_up in (0.0, 1.0)
        assert all(math.isfinite(getattr(result, name)) for name in NUMBERS)


def test_result_shows_its_numbers() -> None:
    assert "p_up=0.496545" in repr(price(**BASE))


@settings(max_examples=200, deadline=None)
@given(st.floats(0.002, 0.998), st.floats(-0.02, 0.02))
def test_implied_deviation_prices_the_probability_back(p: float, x: float) -> None:
    v = implied_deviation(p, math.exp(x), 1.0)
    assume(not math.isnan(v))
    x = math.log(math.exp(x))
    assert v > 0
    assert norm_cdf(x / v - v / 2) == pytest.approx(p, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-5, 0.05), st.floats(-4, 4))
def test_implied_deviation_finds_the_deviation_that_made_the_price(v: float, z: float) -> None:
    x = z * v
    assume(x >= 0 or -x >= v * v / 2)
    p = norm_cdf(x / v - v / 2)
    assume(abs(x) > 1e-9 and abs(z) > 0.05 and 1e-4 < p < 1 - 1e-4)
    assert implied_deviation(p, 1e5 * math.exp(x), 1e5) == pytest.approx(v, rel=1e-6)


def test_implied_deviation_takes_the_smaller_of_two_roots() -> None:
    x, v = -0.001, 0.002
    p = norm_cdf(x / v - v / 2)
    found = implied_deviation(p, math.exp(x), 1.0)
    other = -2 * x / found
    assert found == pytest.approx(v, rel=1e-9)
    assert norm_cdf(x / other - other / 2) == pytest.approx(p, rel=1e-9)
    assert found < other


@pytest.mark.parametrize(
    ("p", "m", "k"),
    [(0.5, 0.999, 1.0), (0.6, 0.999, 1.0), (0.4999, 0.9, 1.0),  # below the strike, yet no v is so optimistic
     (0.5, 1.0, 1.0), (0.6, 1.0, 1.0),
     (0.0, 1.1, 1.0), (1.0, 1.1, 1.0), (math.nan, 1.1, 1.0), (0.6, math.nan, 1.0), (0.6, 1.1, 0.0),
     (0.6, -1.0, 1.0), (0.6, math.inf, 1.0)],
)  # fmt: skip
def test_implied_deviation_without_a_root_is_nan(p: float, m: float, k: float) -> None:
    assert math.isnan(implied_deviation(p, m, k))


def test_implied_deviation_at_the_strike_is_minus_twice_the_quantile() -> None:
    v = implied_deviation(0.49, 1e5, 1e5)
    assert norm_cdf(-v / 2) == pytest.approx(0.49, rel=1e-12)


@pytest.mark.parametrize(
    ("edge", "cost", "expected"),
    [(0.10, 0.40, 0.083333), (0.90, 0.01, 0.15), (0.009, 0.99, 0.15), (0.0, 0.4, 0.0), (-0.1, 0.4, 0.0),
     (0.0, 1.0, 0.0), (0.1, 1.2, 0.0), (0.1, -0.1, 0.0), (math.nan, 0.4, 0.0), (0.1, math.nan, 0.0)],
)  # fmt: skip
def test_half_kelly_matches_the_table(edge: float, cost: float, expected: float) -> None:
    assert half_kelly(cost + edge, cost, 0.15) == pytest.approx(expected, abs=1e-6)


def test_half_kelly_without_room_or_with_a_probability_above_one_is_zero() -> None:
    assert half_kelly(0.6, 0.4, 0.0) == half_kelly(0.6, 0.4, math.nan) == half_kelly(1.1, 0.4, 0.15) == 0.0


@pytest.mark.parametrize(
    ("final", "strike", "expected"),
    [(100.0, 100.0, 0), (math.nextafter(100.0, 101), 100.0, 0), (math.nextafter(100.0, 99), 100.0, 1),
     (math.nan, 100.0, -1), (100.0, math.nan, -1), (0.0, 100.0, -1),
     (100.0, -1.0, -1), (math.inf, 100.0, -1)],
)  # fmt: skip
def test_winner_is_up_on_a_tie_and_unknown_without_prices(final: float, strike: float, expected: int) -> None:
    assert winner(final, strike) == expected
