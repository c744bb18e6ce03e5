"""Exact numbers: decimal strings to integers, and amounts the venue's table accepts."""

import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polybot.errors import DecodeError
from polybot.gateway.amounts import (
    marketable_buy_amounts,
    marketable_sell_amounts,
    notional_micro_usd,
    parse_micro,
    parse_ticks,
)

# tick on the 1e-4 grid -> decimals of an amount (the venue's rounding table)
TABLE = {1_000: 3, 100: 4, 50: 5, 25: 6, 10: 5, 1: 6}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10", 10_000_000),
        ("0.000001", 1),
        ("", 0),
        (None, 0),
        ("12.345600", 12_345_600),
        (5, 5_000_000),
        (0.25, 250_000),
    ],
)
def test_sizes_with_up_to_six_decimals_are_exact(text: object, expected: int) -> None:
    assert parse_micro(text) == expected


@pytest.mark.parametrize(
    "bad",
    ["1e400", "abc", "-1", "0.0000001", "nan", "inf", True, [], {}, "1_000", "9" * 41, "1000000001", b"5"],
)
def test_sizes_that_cannot_be_real_are_refused(bad: object) -> None:
    with pytest.raises(DecodeError):
        parse_micro(bad)


@pytest.mark.parametrize(
    ("text", "expected"), [("0.52", 5_200), ("1", 10_000), ("0", 0), ("0.0001", 1), (0.5, 5_000)]
)
def test_prices_are_ticks_of_the_grid(text: object, expected: int) -> None:
    assert parse_ticks(text) == expected


@pytest.mark.parametrize("bad", ["0.00001", "1.0001", "-0.1", "", "x", None])
def test_prices_off_the_grid_are_refused(bad: object) -> None:
    with pytest.raises(DecodeError):
        parse_ticks(bad)


@given(st.integers(0, 10**15))
@settings(max_examples=200, deadline=None)
def test_every_micro_amount_survives_its_decimal_text(micro: int) -> None:
    assert parse_micro(str(Decimal(micro).scaleb(-6))) == micro


@pytest.mark.parametrize("tick", TABLE)
def test_limit_amounts_have_exactly_the_decimals_of_the_table(tick: int) -> None:
    rnd = random.Random(tick)
    for _ in range(300):
        price = tick * rnd.randrange(1, 10_000 // tick)
        ushares = 10_000 * rnd.randrange(1, 10_000_000)
        usd = notional_micro_usd(price, ushares)
        exact = Decimal(price) / 10_000 * Decimal(ushares) / 1_000_000
        assert Decimal(usd) / 1_000_000 == exact
        assert usd % 10 ** (6 - TABLE[tick]) == 0


@pytest.mark.parametrize("tick", TABLE)
def test_marketable_buys_are_whole_cents_never_larger_and_never_below_the_limit(tick: int) -> None:
    rnd = random.Random(tick)
    for _ in range(300):
        price = tick * rnd.randrange(1, 10_000 // tick)
        asked = 10_000 * rnd.randrange(500, 1_000_000)
        usd, ushares = marketable_buy_amounts(price, asked)
        assert usd % 10_000 == 0
        assert ushares % 100 == 0
        assert ushares <= asked
        assert usd * 10_000 >= price * ushares, (
            "implied price below the limit: the ask there cannot be lifted"
        )
        assert (usd * 10_000) // ushares - price <= 10_000 * 100 * 10_000 // ushares
        assert notional_micro_usd(price, asked) - usd < 10_000


def test_marketable_buy_in_whole_cents_keeps_its_size() -> None:
    assert marketable_buy_amounts(5_200, 10_000_000) == (5_200_000, 10_000_000)
    assert marketable_buy_amounts(5_300, 5_370_000) == (2_840_000, 5_358_400)


@pytest.mark.parametrize("tick", TABLE)
def test_marketable_sells_keep_price_exact_and_proceeds_at_four_decimals(tick: int) -> None:
    rnd = random.Random(tick)
    for _ in range(300):
        price = tick * rnd.randrange(1, 10_000 // tick)
        asked = 10_000 * rnd.randrange(500, 1_000_000)
        usd, ushares = marketable_sell_amounts(price, asked)
        assert usd % 100 == 0
        assert ushares % 10_000 == 0
        assert asked - 1_000_000 < ushares <= asked
        assert usd * 10_000 == price * ushares
