"""The scanner alone: numbers and nested values it has to skip."""

from collections.abc import Callable

from polybot._fast.scan import DEC_OK, check_json, read_double, read_fixed

Budget = Callable[..., float]
CALLS = 100
NESTED = b'{"a":[1,2,{"b":"text","c":[true,false,null]}],"d":"0123456789012345678901234567890123456789"}'


def test_numbers(budget: Budget) -> None:
    def run() -> None:
        for _ in range(CALLS):
            read_double(b'"61685.99000000"')
            read_fixed(b'"102358.34"', 6)

    budget(run, name="scan a double and a fixed-point number", median_ns=2000, inner=CALLS)
    assert read_double(b'"61685.99000000"') == 61685.99


def test_long_double(budget: Budget) -> None:
    def run() -> None:
        for _ in range(CALLS):
            read_double(b'"78803.715261094101516288"')

    budget(run, name="scan a double of 23 digits", median_ns=3000, inner=CALLS)
    assert read_double(b'"78803.715261094101516288"') == 78803.715261094101516288


def test_skipping(budget: Budget) -> None:
    def run() -> None:
        for _ in range(CALLS):
            check_json(NESTED)

    budget(run, name="scan 93 B of nested JSON", median_ns=3000, inner=CALLS)
    assert check_json(NESTED) == DEC_OK
