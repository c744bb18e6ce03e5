"""Taker fee and notional, exact in integers."""

from enum import IntEnum

class FeeLimit(IntEnum):
    FEE_INVALID = -1
    MAX_FEE_EXPONENT = 4
    MAX_RATE_PPM = 1_000_000

def taker_fee_micro_usd(ushares: int, price_ticks: int, rate_ppm: int, exponent: int) -> int:
    """Fee in micro-USD for micro-shares at price ticks (1e-4 USD); ValueError outside the limits."""

def notional_micro_usd(ushares: int, price_ticks: int) -> int:
    """price x shares in micro-USD, half up where it is not exact; ValueError outside the limits."""

def leg_micro_usd(outcome: int, ushares: int, price_ticks: int) -> int:
    """Micro-USD an outcome pays at its own price: Up half up, Down the rest of 1 USD; ValueError outside the limits."""

def fee_per_share(p: float, rate: float, exponent: int) -> float:
    """Taker fee of one share at price p in USD, unrounded; NaN for bad input."""
