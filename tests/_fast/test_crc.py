"""crc32 against a bit-by-bit reference and zlib, both ways of computing it, at every length around its steps."""

import zlib
from random import Random

import pytest

from polybot._fast.crc import crc32, crc32_by_tables

POLYNOMIAL = 0xEDB88320


def slow_crc32(data: bytes, start: int = 0) -> int:
    """One bit after the other, as the definition says."""
    crc = start ^ 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("compute", [crc32, crc32_by_tables])
def test_every_short_length_equals_the_reference(compute) -> None:
    rng = Random(1)
    for length in range(200):
        data, start = rng.randbytes(length), rng.randrange(1 << 32)
        assert compute(data, start) == slow_crc32(data, start)


@pytest.mark.parametrize("compute", [crc32, crc32_by_tables])
def test_long_random_data_in_pieces_equals_zlib(compute) -> None:
    rng = Random(2)
    for _ in range(300):
        data = rng.randbytes(rng.randrange(20_000))
        cut = rng.randrange(len(data) + 1)
        assert compute(data[cut:], compute(data[:cut])) == zlib.crc32(data)


def test_the_published_check_value_is_met() -> None:
    assert crc32(b"123456789") == crc32_by_tables(b"123456789") == slow_crc32(b"123456789") == 0xCBF43926
