"""Exact numbers between the venue's decimal strings and our integers.

Owns parsing of shares, prices and USD as the venue writes them, and the amounts of an order
(6-decimals integers on both sides).  No floats, no rounding except where the venue's own table
demands it (marketable orders), and there never above what was asked.
Called by orders, trades and responses.
"""

from decimal import Decimal, InvalidOperation
from math import gcd

from polybot.errors import DecodeError

__all__ = [
    "LOT_USHARES",
    "MAX_USHARES",
    "PRICE_ONE_TICKS",
    "marketable_buy_amounts",
    "marketable_sell_amounts",
    "notional_micro_usd",
    "parse_micro",
    "parse_ticks",
]

PRICE_ONE_TICKS = 10_000  # price 1.0 on the 1e-4 grid
LOT_USHARES = 10_000  # the venue's size step: 0.01 share
MAX_USHARES = 10**15  # a billion shares: above that a number is garbage
_CENT_MICRO_USD = 10_000
# Marketable orders: what is taken has at most four decimals whatever the tick (py-clob-client-v2 #99, 2026-07-04).
_BUY_STEP_USHARES = 100
_SELL_STEP_MICRO_USD = 100


def parse_micro(value: object) -> int:
    """Return a decimal number of shares or USD as an integer of 1e-6; "" and None are 0.

    Raises DecodeError for anything that is no decimal number, is negative, has more than six
    decimals or cannot be real.
    """
    if value is None or value == "":
        return 0
    scaled = _scaled(value, 6)
    if not 0 <= scaled <= MAX_USHARES:
        raise DecodeError("amount_range", str(value)[:40])
    return scaled


def parse_ticks(value: object) -> int:
    """Return a price in [0, 1] as an integer on the 1e-4 grid; raises DecodeError when it is not one."""
    ticks = _scaled(value, 4)
    if not 0 <= ticks <= PRICE_ONE_TICKS:
        raise DecodeError("price_range", str(value)[:40])
    return ticks


def notional_micro_usd(price_ticks: int, ushares: int) -> int:
    """Return price x size in micro-USD; the size is in whole lots, so this is exact."""
    assert ushares % LOT_USHARES == 0, "size is not in whole lots"
    return price_ticks * (ushares // LOT_USHARES)


def marketable_buy_amounts(price_ticks: int, ushares: int) -> tuple[int, int]:
    """Return (micro-USD, micro-shares) of a FAK or FOK BUY, at most the size asked.

    The venue takes whole cents and at most four decimals of shares here.  When price x size is not
    in whole cents, USD is floored to the cent and shares are floored after it, so that the implied
    price never lies below the limit (an ask exactly there can still be lifted).
    """
    exact = notional_micro_usd(price_ticks, ushares)
    cents = exact - exact % _CENT_MICRO_USD
    if cents == exact:
        return exact, ushares
    shares = cents * PRICE_ONE_TICKS // price_ticks
    return cents, shares - shares % _BUY_STEP_USHARES


def marketable_sell_amounts(price_ticks: int, ushares: int) -> tuple[int, int]:
    """Return (micro-USD, micro-shares) of a FAK or FOK SELL, at most the size asked.

    The venue takes at most four decimals of USD here.  The size is cut to the next lot where
    price x size has no more: price and proceeds stay exact.
    """
    step_lots = _SELL_STEP_MICRO_USD // gcd(price_ticks, _SELL_STEP_MICRO_USD)
    lots = ushares // LOT_USHARES
    lots -= lots % step_lots
    return price_ticks * lots, lots * LOT_USHARES


def _scaled(value: object, decimals: int) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DecodeError("not_a_number", type(value).__name__)
    text = value if isinstance(value, str) else repr(value)
    if len(text) > 40 or "_" in text:
        raise DecodeError("not_a_number", text[:40])
    try:
        number = Decimal(text).scaleb(decimals)
        scaled = int(number)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise DecodeError("not_a_number", text) from error
    if scaled != number:
        raise DecodeError("too_many_decimals", text)
    return scaled
