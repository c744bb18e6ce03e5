"""The scanner's JSON grammar and numbers against json, float, Decimal and random input."""

import json
import random
import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from reference.frame_mutation import ODD, UNKNOWN, damage, spell

from polybot._fast import event as ev
from polybot._fast.scan import (
    DEC_MALFORMED,
    DEC_OK,
    DEC_UNSUPPORTED,
    FrameDecoder,
    check_json,
    read_double,
    read_fixed,
    read_stamp,
)


def is_json(text: bytes) -> bool:
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(text.decode("utf-8"), parse_constant=refuse, parse_int=str, parse_float=str)
    except ValueError:
        return False
    return True


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_values_are_json_or_not_as_json_says(seed: int) -> None:
    rng = random.Random(seed)
    results = {DEC_OK: 0, DEC_MALFORMED: 0, DEC_UNSUPPORTED: 0}
    for _ in range(6000):
        text = spell(rng.choice((*UNKNOWN, *ODD)), rng, wild=0.5)
        for _ in range(rng.choice((0, 1, 2))):
            text = damage(text, rng)
        result = check_json(text)
        results[result] += 1
        if result != DEC_UNSUPPORTED:
            assert (result == DEC_OK) == is_json(text), f"seed {seed}: {text!r}"
    assert min(results.values()) > 100, results


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"tru",
        b"nul",
        b"True",
        b"NaN",
        b"Infinity",
        b"-",
        b"01",
        b"-01",
        b"1.",
        b".5",
        b"1e",
        b"1e+",
        b"+1",
        b"0x1",
        b'"',
        b'"\\',
        b'"\\x"',
        b'"\\u12"',
        b'"\\u12g4"',
        b'"\x1f"',
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"{",
        b'{"a"',
        b'{"a":',
        b'{"a":1',
        b'{"a":1,}',
        b"{1:1}",
        b'{"a" 1}',
        b"[1}",
        b'{"a":1]',
        b"1 2",
        b"\x00",
    ],
)
def test_what_is_not_json_is_malformed(text: bytes) -> None:
    assert check_json(text) == DEC_MALFORMED
    assert not is_json(text)


@pytest.mark.parametrize("text", ['"ü"'.encode(), b'"\xff"', b'"\\ud83d\\ude00"', b"[" * 33 + b"]" * 33])
def test_what_needs_a_full_parser_is_left_to_one(text: bytes) -> None:
    assert check_json(text) == DEC_UNSUPPORTED


@pytest.mark.parametrize(
    "text",
    [b'"\\n\\"\\\\\\/\\u00e9"', b"[" * 32 + b"]" * 32, b'\t{ "a" : [ ] , "b":{}}\n', b"-0.5E+07"],
)
def test_plain_json_of_any_shape_is_fine(text: bytes) -> None:
    assert check_json(text) == DEC_OK


def test_special_bytes_are_found_at_every_offset() -> None:
    for length in range(50):
        for at in range(length):
            for special in (b'"', b"\x1f", b"\x00", b"\x80", b"\xff", b"\\"):
                body = b"a" * at + special + b"~" * (length - at - 1)
                expected = {b'"': DEC_MALFORMED, b"\\": DEC_MALFORMED}.get(
                    special, DEC_UNSUPPORTED if special >= b"\x80" else DEC_MALFORMED
                )
                assert check_json(b'"' + body + b'"') == expected, (length, at, special)
        assert check_json(b'"' + b"\x7f" * length + b'"') == DEC_OK


@pytest.mark.parametrize("quoted", [False, True])
def test_doubles_are_those_of_float_bit_for_bit(quoted: bool) -> None:
    rng = random.Random(53)
    for _ in range(20_000):
        digits = rng.randint(1, 20)
        text = f"{rng.randrange(10**digits)}.{rng.randrange(10 ** rng.randint(1, 25))}"
        if rng.random() < 0.2:
            text = f"-{text}e{rng.randint(-30, 30)}"
        spelled = f'"{text}"' if quoted else text
        value = read_double(spelled.encode())
        assert value is not None, text
        assert bits(value) == bits(float(text)), text


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-0",
        "0.0",
        "9007199254740993",
        "9007199254740992.5",
        "5e-324",
        "1.7976931348623157e308",
        "1e22",
        "1e23",
        "8.41e21",
        "2.2250738585072011e-308",
        "0.000000000000000000000000000001",
        "123456789012345678901234567890",
    ],
)
def test_hard_doubles_are_those_of_float(text: str) -> None:
    value = read_double(text.encode())
    assert value is not None
    assert bits(value) == bits(float(text))


def test_scaled_integers_round_once() -> None:
    rng = random.Random(18)
    for _ in range(5000):
        text = str(rng.randrange(10 ** rng.randint(15, 26)))
        assert read_double(f'"{text}"'.encode(), -18) == int(text) / 10**18


@pytest.mark.parametrize(
    "text",
    ["1e400", "-1e400", "1" * 61, '"1 "', '" 1"', '"1_0"', '"0x1"', '"nan"', '""', "null", '"1e"'],
)
def test_numbers_that_are_none_or_too_long_are_refused(text: str) -> None:
    assert read_double(text.encode()) is None


@pytest.mark.parametrize("decimals", [0, 4, 6, 8])
def test_fixed_point_is_exact_or_refused(decimals: int) -> None:
    rng = random.Random(decimals)
    read = refused = 0
    for _ in range(10_000):
        text = f"{rng.randrange(10 ** rng.randint(1, 19))}"
        if rng.random() < 0.8:
            text += f".{rng.randrange(10 ** rng.randint(1, 9))}" + "0" * rng.choice((0, 0, 3, 20))
        text = f"-{text}" if rng.random() < 0.2 else text
        exact = Fraction(Decimal(text)) * 10**decimals
        possible = exact.denominator == 1 and abs(exact) < 2**63
        assert read_fixed(f'"{text}"'.encode(), decimals) == (int(exact) if possible else None), text
        read += possible
        refused += not possible
    assert min(read, refused) > 1000


def test_digits_read_eight_at_a_time_end_at_the_first_other_byte() -> None:
    digits = b"973186420512345678"
    for length in range(1, len(digits) + 1):
        assert read_fixed(digits[:length], 0) == int(digits[:length])
        for place in range(length):
            for other in b"/:;@`\x7f\xb0\xff":
                spoilt = digits[:place] + bytes((other,)) + digits[place + 1 : length]
                assert read_fixed(b'"' + spoilt + b'"', 0) is None, spoilt


def test_stamps_are_told_apart_by_magnitude() -> None:
    for text, ns in (
        ("0", 0),
        ("1672515782", 1_672_515_782_000_000_000),
        ("1672515782136", 1_672_515_782_136_000_000),
        ("1672515782136001", 1_672_515_782_136_001_000),
        ("1672515782136001002", 1_672_515_782_136_001_002),
    ):
        assert read_stamp(text.encode()) == ns
        assert read_stamp(f'"{text}"'.encode()) == ns
    assert read_stamp(b"null") == read_stamp(b'""') == 0
    for text in (
        "-1",
        "50000000000",
        "10000000000000",
        "10000000000000000",
        "9100000000000000000",
        "1.5",
        "true",
    ):
        assert read_stamp(text.encode()) is None


def test_a_decoder_of_no_feed_refuses_everything() -> None:
    decoder, out = FrameDecoder(), ev.EventBuffer()
    assert decoder.feed(b"{}", 1, out) == DEC_UNSUPPORTED
    assert decoder.counters() == {"frames": 0, "ignored": 0, "malformed": 0, "unsupported": 1}


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="shift"):
        read_double(b"1", 1)
    with pytest.raises(ValueError, match="decimals"):
        read_fixed(b"1", 9)
    with pytest.raises(TypeError):
        FrameDecoder().feed("text", 1, ev.EventBuffer())  # type: ignore[arg-type]
