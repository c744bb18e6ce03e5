"""Fees and notionals against fractions."""

import math
import random

import pytest
from reference import math_reference

from polybot._fast.fees import (
    FeeLimit,
    fee_per_share,
    leg_micro_usd,
    notional_micro_usd,
    taker_fee_micro_usd,
)

SHARE = 1_000_000


def test_fee_at_one_half_is_a_cent_and_three_quarters_per_share() -> None:
    assert taker_fee_micro_usd(100 * SHARE, 5000, 70_000, 1) == 1_750_000


@pytest.mark.parametrize("exponent", range(5))
def test_fee_matches_exact_fractions_for_every_exponent(exponent: int) -> None:
    rnd = random.Random(exponent)
    for _ in range(2000):
        ushares = int(10 ** rnd.uniform(0, 15))
        ticks, rate = (
            rnd.randrange(10_001),
            rnd.choice((0, 70_000, 72_000, 250_000, rnd.randrange(1_000_001))),
        )
        expected = math_reference.fee_micro_usd(ushares, ticks, rate, exponent)
        assert taker_fee_micro_usd(ushares, ticks, rate, exponent) == expected, (ushares, ticks, rate)


@pytest.mark.parametrize("exponent", range(5))
def test_fee_at_the_largest_input_does_not_overflow(exponent: int) -> None:
    args = (10**15, 5000, 1_000_000, exponent)
    assert taker_fee_micro_usd(*args) == math_reference.fee_micro_usd(*args)


@pytest.mark.parametrize("rate", [1, 70_000, 1_000_000])
@pytest.mark.parametrize("ticks", [1, 4_999, 5_000])
def test_fee_is_exact_on_both_sides_of_what_64_bits_hold(rate: int, ticks: int) -> None:
    edge = (2**63 - 1) // (2 * ticks * (10_000 - ticks) * rate)
    for ushares in {min(10**15, edge + step) for step in range(-2, 4)}:
        expected = math_reference.fee_micro_usd(ushares, ticks, rate, 1)
        assert taker_fee_micro_usd(ushares, ticks, rate, 1) == expected, ushares


def test_fee_exactly_between_two_steps_goes_up() -> None:
    # 0.5 x 0.5 x 0.1 x 0.0006 shares = 0.000015 USD
    assert taker_fee_micro_usd(600, 5000, 100_000, 1) == 20


def test_fee_below_the_smallest_step_is_zero_even_when_it_would_round_up() -> None:
    # 0.5 x 0.5 x 0.1 shares x 0.00036 = 0.000009 USD
    assert taker_fee_micro_usd(360, 5000, 100_000, 1) == 0
    assert taker_fee_micro_usd(400, 5000, 100_000, 1) == 10


def test_fee_is_symmetric_in_the_price_and_zero_at_the_ends() -> None:
    assert taker_fee_micro_usd(SHARE, 1234, 70_000, 1) == taker_fee_micro_usd(SHARE, 8766, 70_000, 1)
    assert taker_fee_micro_usd(SHARE, 0, 70_000, 1) == taker_fee_micro_usd(SHARE, 10_000, 70_000, 1) == 0


@pytest.mark.parametrize(
    "args",
    [(-1, 5000, 70_000, 1), (10**15 + 1, 5000, 70_000, 1), (1, -1, 70_000, 1), (1, 10_001, 70_000, 1),
     (1, 5000, -1, 1), (1, 5000, 1_000_001, 1), (1, 5000, 70_000, -1), (1, 5000, 70_000, 5)],
)  # fmt: skip
def test_fee_of_bad_input_raises(args: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no fee"):
        taker_fee_micro_usd(*args)


def test_notional_is_exact_on_both_sides_of_what_64_bits_hold() -> None:
    for ushares in (9 * 10**14 - 1, 9 * 10**14, 9 * 10**14 + 1, 10**15):
        for ticks in (1, 3_333, 9_999, 10_000):
            assert notional_micro_usd(ushares, ticks) == math_reference.notional_micro_usd(ushares, ticks)


def test_notional_matches_exact_fractions() -> None:
    rnd = random.Random(7)
    for _ in range(3000):
        ushares, ticks = int(10 ** rnd.uniform(0, 15)), rnd.randrange(10_001)
        assert notional_micro_usd(ushares, ticks) == math_reference.notional_micro_usd(ushares, ticks)


def test_notional_on_the_share_lot_is_exact() -> None:
    assert notional_micro_usd(20_000_000, 5200) == 10_400_000
    assert notional_micro_usd(10_000, 1) == 1


def test_notional_of_bad_input_raises() -> None:
    with pytest.raises(ValueError, match="no notional"):
        notional_micro_usd(-1, 5000)
    with pytest.raises(ValueError, match="no notional"):
        notional_micro_usd(1, 10_001)


def test_fee_per_share_agrees_with_the_integer_fee_of_many_shares() -> None:
    for ticks in range(0, 10_001, 250):
        for exponent in range(3):
            exact = taker_fee_micro_usd(10**6 * SHARE, ticks, 70_000, exponent) / 10**12
            assert fee_per_share(ticks / 10_000, 0.07, exponent) == pytest.approx(exact, abs=1e-11)


@pytest.mark.parametrize(
    "args",
    [
        (-0.1, 0.07, 1),
        (1.1, 0.07, 1),
        (math.nan, 0.07, 1),
        (0.5, math.nan, 1),
        (0.5, -1.0, 1),
        (0.5, 0.07, 9),
    ],
)
def test_fee_per_share_of_bad_input_is_nan(args: tuple[float, float, int]) -> None:
    assert math.isnan(fee_per_share(*args))


def test_invalid_code_is_no_possible_fee() -> None:
    assert FeeLimit.FEE_INVALID < 0


def test_both_sides_of_a_pair_pay_exactly_its_collateral_whatever_the_rounding() -> None:
    rng = random.Random(5)
    for _ in range(5_000):
        ushares, ticks = rng.randrange(1, 10**9), rng.randrange(1, 10_000)
        up, down = leg_micro_usd(0, ushares, ticks), leg_micro_usd(1, ushares, 10_000 - ticks)
        assert up == math_reference.notional_micro_usd(ushares, ticks)
        assert up + down == ushares
    assert (leg_micro_usd(0, 5_000, 3_001), leg_micro_usd(1, 5_000, 6_999)) == (
        1_501,
        3_499,
    )  # 1500.5 and 3499.5
    with pytest.raises(ValueError, match="no amount"):
        leg_micro_usd(2, 1, 1)
