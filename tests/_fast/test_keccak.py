"""Keccak-256 against published values and a plain reference."""

import random

import pytest
from reference import keccak_reference

from polybot._fast.keccak import keccak_256

RATE = 136


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (b"testing", "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02"),
        (b"transfer(address,uint256)", "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b"),
    ],
)
def test_published_values(text: bytes, expected: str) -> None:
    assert keccak_256(text).hex() == expected
    assert keccak_reference.keccak_256(text).hex() == expected


@pytest.mark.parametrize("around", [0, RATE, 2 * RATE, 3 * RATE])
def test_every_length_around_the_block_borders_matches_the_reference(around: int) -> None:
    rnd = random.Random(around)
    for length in range(max(0, around - 3), around + 4):
        data = rnd.randbytes(length)
        assert keccak_256(data) == keccak_reference.keccak_256(data), length


def test_random_inputs_match_the_reference() -> None:
    rnd = random.Random(7)
    for _ in range(200):
        data = rnd.randbytes(rnd.randrange(0, 700))
        assert keccak_256(data) == keccak_reference.keccak_256(data)


def test_matches_pycryptodome_when_it_is_installed() -> None:
    crypto = pytest.importorskip("Crypto.Hash.keccak")
    rnd = random.Random(9)
    for _ in range(500):
        data = rnd.randbytes(rnd.randrange(0, 2_000))
        assert keccak_256(data) == crypto.new(digest_bits=256, data=data).digest()


def test_input_is_not_changed() -> None:
    data = bytes(range(200))
    keccak_256(data)
    assert data == bytes(range(200))
