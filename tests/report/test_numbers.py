"""How numbers are written: signs, thousands, units; unknown and too few never look like a value."""

import math

import numpy as np
import pytest
from report.page_reader import read_page

from polybot.report.markup import Column, Span, table, text
from polybot.report.numbers import number, plain, shown


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (-1_250_000, "micro_usd", "−1.25"),
        (1_234_567_890_000, "micro_usd", "+1,234,567.89"),
        (0, "micro_usd", "0.00"),
        (-4_000, "micro_usd", "0.00"),  # less than half a cent has no sign
        (-6_000, "micro_usd", "−0.01"),
        (97_210_000, "micro_usd_amount", "97.21"),
        (0.123456, "frac", "12.3 %"),
        (-0.0354, "cents", "−3.54"),
        (5_200, "ticks", "0.5200"),
        (1_234, "count", "1,234"),
        (41_260_000, "ns_ms", "41.3"),
        (-0.01234, "score_change", "−0.0123"),
    ],
)
def test_values_are_written_with_their_unit(value: float, unit: str, words: str) -> None:
    assert shown(value, unit) == words


def test_number_carries_its_exact_value() -> None:
    (found,) = read_page(number("a.b", np.int64(-1_234_567), "micro_usd")).numbers
    assert found == ("a.b", "micro_usd", "-1234567", "−1.23")
    (found,) = read_page(number("x", 0.1 + 0.2, "probability")).numbers
    assert float(found.value) == 0.1 + 0.2


@pytest.mark.parametrize("value", [None, math.nan, math.inf, np.float64("nan")])
def test_unknown_is_said_and_has_no_value(value: float | None) -> None:
    (found,) = read_page(number("x", value, "usd")).numbers
    assert (found.value, found.text) == ("", "unknown")


def test_too_few_cases_hide_the_value_and_say_how_many() -> None:
    html = number("x", 0.987, "probability", n=7, least=20)
    (found,) = read_page(html).numbers
    assert (found.value, found.text) == ("", "not enough data (n = 7)")
    assert "987" not in html
    assert read_page(number("x", 0.987, "probability", n=20, least=20)).numbers[0].value == "0.987"


def test_name_with_markup_is_escaped() -> None:
    (found,) = read_page(number('"><script>', 1, "count")).numbers
    assert found.name == '"><script>'


def test_plain_takes_numpy_values_apart() -> None:
    assert plain(np.bool_(True)) == 1
    assert plain(np.float32(0.5)) == 0.5


def test_row_that_does_not_fill_its_table_is_refused() -> None:
    columns = (Column("a"), Column("b"), Column("c"))
    assert 'colspan="2"' in table(columns, [[text("x"), Span(text("y"), 2)]], name="t")
    with pytest.raises(ValueError, match="2 cells for 3 columns"):
        table(columns, [[text("x"), text("y")]], name="t")
