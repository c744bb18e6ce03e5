"""Wire text in C against f-strings and the json module."""

import json
import random

import pytest

from polybot._fast.event import OrderType
from polybot._fast.matching import MatchBook
from polybot._fast.wire_text import SpotText, changes_text, decimal8, decimal_text, levels_text
from polybot.sim.path import Quote, Trade

BID, ASK = 0, 1
E8 = 100_000_000


def slow_decimal(value, digits):
    """value / 10**digits as the shortest exact decimal."""
    whole, rest = divmod(value, 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def slow_decimal8(value_e8):
    return f"{value_e8 // E8}.{value_e8 % E8:08d}"


def numbers(seed, top, count=2_000):
    rng = random.Random(seed)
    return [int(10 ** rng.uniform(0.0, top)) for _ in range(count)]


def random_book(seed):
    rng, book = random.Random(seed), MatchBook()
    for _ in range(60):
        book.submit(BID, rng.randrange(1, 5_000), rng.randrange(1, 10**10), 1, int(OrderType.GTC))
        book.submit(ASK, rng.randrange(5_000, 10_000), rng.randrange(1, 10**10), 1, int(OrderType.GTC))
    return book


def test_decimals_are_the_shortest_exact_ones_from_the_smallest_to_the_largest():
    for value in (0, 1, 10, 999_999, 10**6, 10**18 - 1, 10**18, 10**18 + 10, 10**40 + 1, *numbers(1, 18.0)):
        assert decimal_text(value) == slow_decimal(value, 6)


def test_eight_decimals_are_always_written():
    for value in (0, 1, E8 - 1, E8, 2**63 - 1, *numbers(2, 18.0)):
        assert decimal8(value) == slow_decimal8(value)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mirrored", [False, True])
def test_levels_of_a_random_book_are_written_best_last(seed, mirrored):
    book = random_book(seed)
    for side in (BID, ASK):
        expected = [
            {
                "price": slow_decimal(10_000 - price if mirrored else price, 4),
                "size": slow_decimal(ushares, 6),
            }
            for price, ushares in reversed(book.levels(side))
        ]
        assert len(expected) > 40
        assert json.loads(f"[{levels_text(book, side, mirrored)}]") == expected


def test_an_empty_side_is_an_empty_text():
    assert levels_text(MatchBook(), BID, False) == ""


def test_a_full_side_with_the_largest_sizes_fits():
    book = MatchBook()
    for price in range(1, 10_000):
        book.submit(ASK, price, 10**14 - 1, 1, int(OrderType.GTC))
    assert len(json.loads(f"[{levels_text(book, ASK, False)}]")) == 9_999


def test_changes_carry_each_level_in_both_tokens_terms():
    rng = random.Random(3)
    changes = [
        (rng.randrange(2), rng.randrange(1, 10_000), rng.choice((0, 1, 5 * 10**6, 2**62))) for _ in range(200)
    ]
    text = changes_text(changes, ('{"t":"up","p":"', '{"t":"down","p":"'), ('","x":1}', '","x":2}'))
    expected = []
    for side, price, ushares in changes:
        size = slow_decimal(ushares, 6)
        words = ("BUY", "SELL")
        expected.append({"t": "up", "p": slow_decimal(price, 4), "size": size, "side": words[side], "x": 1})
        expected.append(
            {"t": "down", "p": slow_decimal(10_000 - price, 4), "size": size, "side": words[1 - side], "x": 2}
        )
    assert json.loads(f"[{text}]") == expected
    assert changes_text([], ("", ""), ("", "")) == ""


@pytest.mark.parametrize("combined", [False, True])
@pytest.mark.parametrize("micro", [False, True])
def test_spot_messages_are_the_exchanges_in_every_form(combined, micro):
    text = SpotText("BTCUSDT", combined=combined, micro=micro)
    at_us, unit = 1_795_337_100_123_456, 1 if micro else 1_000
    quote = Quote(at_us * 1_000, 50_093_239_189, 6_512_345_000_000, 1_000, 6_512_346_000_000, 2_000_000_000)
    trade = Trade(3_735_683_258, 9, 6_512_345_000_000, 123_456_000, at_us, False)
    raw_quote = (
        '{"u":50093239189,"s":"BTCUSDT","b":"65123.45000000","B":"0.00001000",'
        '"a":"65123.46000000","A":"20.00000000"}'
    )
    raw_trade = (
        f'{{"e":"trade","E":{(at_us + 789) // unit},"s":"BTCUSDT","t":3735683258,"p":"65123.45000000",'
        f'"q":"1.23456000","T":{at_us // unit},"m":false,"M":true}}'
    )
    if combined:
        raw_quote = f'{{"stream":"btcusdt@bookTicker","data":{raw_quote}}}'
        raw_trade = f'{{"stream":"btcusdt@trade","data":{raw_trade}}}'
    assert text.quote(quote) == raw_quote
    assert text.trade(trade, at_us + 789) == raw_trade
    assert '"m":true' in text.trade(trade._replace(buyer_is_maker=True), at_us)


def test_the_largest_numbers_fit_and_a_symbol_that_is_too_long_is_refused():
    most = 2**63 - 1
    message = json.loads(
        SpotText("X" * 20, combined=True, micro=True).quote((0, most, most, most, most, most))
    )
    assert message["data"]["A"] == slow_decimal8(most)
    with pytest.raises(ValueError, match="too long"):
        SpotText("X" * 200, combined=True, micro=True)
