"""Numbers as people read them, each with its exact value beside it for machines.

Owns how a value of a unit is written (signs, decimals, thousands) and the element that carries it:
`<data class="num" data-name="total.pnl" data-unit="micro_usd" data-value="-1250000" value="-1250000">-1.25</data>`.
What is not known is said so and never becomes 0; a statistic of too few cases says so and carries no value.
Must not compute: values come from the scores and the tables.  Called by every section of the page.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np

from polybot.report.markup import Markup

__all__ = ["UNITS", "Unit", "few", "number", "plain", "shown"]

Value = int | float | bool | None

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Unit:
    """How a stored value becomes text: shown = value * scale, with `decimals`, a sign when asked, a suffix."""

    scale: float
    decimals: int
    signed: bool = False
    suffix: str = ""
    toned: bool = False  # more is better: gains and losses have their colours


UNITS: Mapping[str, Unit] = {
    "micro_usd": Unit(1e-6, 2, signed=True, toned=True),  # money that came or went
    "micro_usd_amount": Unit(1e-6, 2),  # fees, balances, sizes
    "usd": Unit(1.0, 2, signed=True, toned=True),
    "usd_amount": Unit(1.0, 2),
    "price_usd": Unit(1.0, 2),  # of the asset
    "cents": Unit(100.0, 2, signed=True, toned=True),  # USD per share, shown in cents
    "cents_error": Unit(100.0, 2),
    "share_price": Unit(1.0, 4),  # USD per share, 0 to 1
    "ticks": Unit(1e-4, 4),  # price_ticks, shown as USD per share
    "micro_shares": Unit(1e-6, 2),
    "shares": Unit(1.0, 2),
    "frac": Unit(100.0, 1, suffix=" %"),
    "probability": Unit(1.0, 3),
    "score": Unit(1.0, 4),
    "score_change": Unit(1.0, 4, signed=True),
    "count": Unit(1.0, 0),
    "ms": Unit(1.0, 1),
    "ns_ms": Unit(1e-6, 1),  # ns, shown in ms
    "ns_s": Unit(1e-9, 1),  # ns, shown in s
    "ns_min": Unit(1e-9 / 60.0, 1),  # ns, shown in minutes
    "s": Unit(1.0, 1),
    "tick_change": Unit(1.0, 1, signed=True),  # price steps of 1e-4 USD
    "ratio": Unit(1.0, 2),
    "plain": Unit(1.0, 6),
}


def number(name: str, value: Value, unit: str, *, n: int | None = None, least: int = 0) -> Markup:
    """Return the element of one number; `n` cases stand behind it, and below `least` they are too few to show it."""
    if n is not None and n < least:
        return few(name, n)
    raw = plain(value)
    if raw is None:
        return Markup(
            f'<data class="num unknown" data-name="{escape(name)}" data-unit="{unit}" data-value="" value="">'
            f"{UNKNOWN}</data>"
        )
    tone = f" {tone_of(raw)}" if UNITS[unit].toned else ""
    exact = repr(raw)
    return Markup(
        f'<data class="num{tone}" data-name="{escape(name)}" data-unit="{unit}" data-value="{exact}" '
        f'value="{exact}">{shown(raw, unit)}</data>'
    )


def few(name: str, n: int) -> Markup:
    """Return the element that says a statistic of n cases is not shown."""
    return Markup(
        f'<data class="num few" data-name="{escape(name)}" data-unit="few" data-value="" data-n="{n}" value="">'
        f"not enough data (n = {n})</data>"
    )


def shown(value: int | float, unit: str) -> str:
    """Return the text of a known value, without markup; minus is the true sign, thousands have a thin comma."""
    kind = UNITS[unit]
    scaled = value * kind.scale
    text = f"{abs(scaled):,.{kind.decimals}f}"
    zero = not text.strip("0.,")
    sign = "" if zero else "−" if scaled < 0 else "+" if kind.signed else ""
    return f"{sign}{text}{kind.suffix}"


def plain(value: Value | np.generic) -> int | float | None:
    """Return a number as Python's own; None for None, NaN and infinities."""
    found: Value = value.item() if isinstance(value, np.generic) else value
    if found is None:
        return None
    if isinstance(found, bool | int):
        return int(found)
    return found if math.isfinite(found) else None


def tone_of(value: float) -> str:
    """Return the class of a signed number."""
    return "gain" if value > 0 else "loss" if value < 0 else "even"
