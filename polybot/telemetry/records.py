"""Command records as Python sees them in telemetry: field names, code names, exact number texts.

Owns the reading of COMMAND_DTYPE rows and the words for every code; the meaning of each field
stands beside its kind in _fast/event.pxd.  Must not do I/O.  Used by writer, csv_sinks and console.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, NamedTuple

from polybot._fast.event import (
    OrderStatus,
    OrderType,
    StrikeSource,
    TradeStatus,
)

__all__ = [
    "DISPATCHED",
    "REGIMES",
    "TERMINAL",
    "GateCompare",
    "Record",
    "clock_text",
    "denial_text",
    "expected_price_text",
    "fraction_text",
    "iso_text",
    "money_text",
    "number_text",
    "order_status_text",
    "order_type_text",
    "outcome_text",
    "price_text",
    "read_records",
    "shares_text",
    "side_text",
    "strike_source_text",
    "trade_status_text",
    "usd_text",
]

TICKS_PER_USD = 10_000
MICRO = 1_000_000
NS_PER_MS = 1_000_000
DISPATCHED = 0  # reason code of a signal that became an order
REGIMES = ("ambiguous", "range", "trend")
_OUTCOMES = ("Up", "Down")
_SIDES = ("Buy", "Sell")

TERMINAL = frozenset(
    int(status)
    for status in (
        OrderStatus.OS_FILLED,
        OrderStatus.OS_CANCELED,
        OrderStatus.OS_EXPIRED,
        OrderStatus.OS_REJECTED,
    )
)


class GateCompare(IntEnum):
    """How a gate's value meets its threshold."""

    AT_LEAST = 0
    AT_MOST = 1
    FLAG = 2


class Record(NamedTuple):
    """One command record; same names and order as COMMAND_DTYPE."""

    decided_ns: int
    order_seq: int
    kind: int
    market: int
    outcome: int
    side: int
    order_type: int
    strategy: int
    price_ticks: int
    reason: int
    shares: int
    usd: int
    edge: float
    fair: float
    confidence: float
    size_frac: float
    spot: float
    distance: float
    tau_s: float
    delta: float
    gamma: float
    vega: float

    @property
    def ts_ms(self) -> int:
        """When it was decided, venue time, ms since the epoch."""
        return self.decided_ns // NS_PER_MS


def read_records(array: Any) -> Iterator[Record]:
    """Rows of a structured array of COMMAND_DTYPE, shape (n,)."""
    return map(Record._make, array.tolist())


def _words(codes: type[IntEnum], prefix: str = "") -> dict[int, str]:
    return {int(code): name.removeprefix(prefix) for name, code in codes.__members__.items()}


_ORDER_STATUSES = _words(OrderStatus, "OS_")
_TRADE_STATUSES = _words(TradeStatus, "TS_")
_ORDER_TYPES = _words(OrderType)
_STRIKE_SOURCES = _words(StrikeSource, "STRIKE_")


def order_status_text(code: int) -> str:
    """OrderStatus without its prefix: LIVE, FILLED, UNKNOWN, ..."""
    return _ORDER_STATUSES.get(code, f"CODE_{code}")


def trade_status_text(code: int) -> str:
    """TradeStatus without its prefix: MATCHED, CONFIRMED, FAILED, ..."""
    return _TRADE_STATUSES.get(code, f"CODE_{code}")


def order_type_text(code: int) -> str:
    """GTC, GTD, FOK or FAK."""
    return _ORDER_TYPES.get(code, f"CODE_{code}")


def strike_source_text(code: int) -> str:
    """StrikeSource without its prefix."""
    return _STRIKE_SOURCES.get(code, f"CODE_{code}")


def outcome_text(code: int) -> str:
    """Up or Down; empty for anything else."""
    return _OUTCOMES[code] if 0 <= code < len(_OUTCOMES) else ""


def side_text(code: int) -> str:
    """Buy or Sell; empty for anything else."""
    return _SIDES[code] if 0 <= code < len(_SIDES) else ""


def denial_text(code: int, names: tuple[str, ...]) -> str:
    """DISPATCHED or the denial's name."""
    return names[code] if 0 <= code < len(names) else f"DENIED_{code}"


def _decimal_text(value: int, scale: int, digits: int) -> str:
    """value / scale exactly, without trailing zeros."""
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), scale)
    text = f"{rest:0{digits}d}".rstrip("0")
    return f"{sign}{whole}.{text}" if text else f"{sign}{whole}"


def price_text(price_ticks: int) -> str:
    """Price in USD from ticks of 1e-4, exact."""
    return _decimal_text(price_ticks, TICKS_PER_USD, 4)


def expected_price_text(record: Record) -> str:
    """Price a signal expects to pay per share (its average over the levels), exact; else its limit price."""
    return _decimal_text(record.usd, MICRO, 6) if record.usd else price_text(record.price_ticks)


def shares_text(shares_micro: int) -> str:
    """Shares from micro-shares, exact."""
    return _decimal_text(shares_micro, MICRO, 6)


def money_text(usd_micro: int, *, sign: bool = False) -> str:
    """USD with two decimals for people to read (rounded half away from zero)."""
    cents = (abs(usd_micro) + 5_000) // 10_000
    prefix = "-" if usd_micro < 0 and cents else "+" if sign and cents else ""
    return f"{prefix}{cents // 100}.{cents % 100:02d}"


def usd_text(usd_micro: int, *, sign: bool = False) -> str:
    """The same with the dollar where people write it: -$3.50, with `sign` +$3.50."""
    text = money_text(usd_micro, sign=sign)
    return f"{text[0]}${text[1:]}" if text[0] in "+-" else f"${text}"


def number_text(value: float) -> str:
    """A model number with 12 significant digits; NaN is an empty cell."""
    return "" if math.isnan(value) else format(value, ".12g")


def fraction_text(value: float) -> str:
    """A share of one with four decimals; NaN is an empty cell."""
    return "" if math.isnan(value) else f"{value:.4f}"


def iso_text(at_ns: int) -> str:
    """UTC second as 2026-11-22T07:50:00Z."""
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock_text(at_ns: int) -> str:
    """UTC time of day with ms: 07:50:00.123."""
    second = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%H:%M:%S")
    return f"{second}.{at_ns // NS_PER_MS % 1000:03d}"
