"""What the real market looked like: the figures the embedded venue is held against, and how near it must be.

Owns the table (recordings and days: docs/VENUE.md) and the comparison of one figure.  The order books are
82 markets of 2026-04-13 to 16, under the rule of single oracle prints and on the 0.01 grid.
Must not measure.  Called by research.venue_check.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from polybot.research.book_figures import BUCKETS

__all__ = ["FACTS", "TOLERANCE", "Fact"]

TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class Fact:
    """One recorded figure, or its range over recorded days; `slack` is allowed besides the tolerance."""

    name: str
    unit: str
    low: float
    high: float
    slack: float = 0.0
    is_bound: bool = True

    @property
    def recorded(self) -> str:
        """As printed."""
        return f"{self.low:,g}" if self.low == self.high else f"{self.low:,g} to {self.high:,g}"

    def is_met(self, value: float) -> bool:
        """Within the tolerance of the recorded figure or range."""
        least, most = self.low - TOLERANCE * abs(self.low), self.high + TOLERANCE * abs(self.high)
        return math.isfinite(value) and least - self.slack <= value <= most + self.slack


def _by_time_left() -> Iterator[Fact]:
    """Rows of the recorded books by time left: bid and ask depth are the ends of a range."""
    # fmt: off
    columns: tuple[tuple[str, str, tuple[float, ...], float, bool], ...] = (
        ("spread", "c", (1.16, 1.17, 1.17, 1.22, 1.15, 1.11, 1.12, 1.18, 1.32), 0.0, True),
        ("one tick", "%", (88, 89, 88, 86, 91, 93, 93, 92, 90), 0.0, True),
        ("one side empty", "%", (0, 0, 0.2, 5, 23, 41, 47, 55, 67), 1.5, True),
        ("spread in the middle", "c", (1.16, 1.17, 1.20, 1.29, 1.28, 1.30, 1.54, 1.78, 2.99), 0.0, False),
        ("mid in the middle", "%", (99.7, 93, 81, 62, 44, 32, 24, 23, 12), 0.0, False),
    )
    # fmt: on
    for name, unit, values, slack, is_bound in columns:
        for (low, high), value in zip(BUCKETS, values, strict=True):
            yield Fact(f"{name} {low}-{high}", unit, value, value, slack, is_bound)
    depths = (
        (2914, 3036), (3184, 3323), (3340, 3407), (3333, 3346), (2164, 2221), (1537, 1564), (1067, 1287), (624, 1166),
        (663, 965),
    )  # fmt: skip
    for (low, high), (least, most) in zip(BUCKETS, depths, strict=True):
        yield Fact(f"depth {low}-{high}", "shares", least, most)


def _single(name: str, unit: str, low: float, high: float = math.nan, *, is_bound: bool = True) -> Fact:
    return Fact(name, unit, low, low if math.isnan(high) else high, is_bound=is_bound)


FACTS: tuple[Fact, ...] = (
    *_by_time_left(),
    _single("touch 5", "shares", 8),
    _single("touch 25", "shares", 65),
    _single("touch 50", "shares", 220),
    _single("touch 75", "shares", 510),
    _single("touch 95", "shares", 1_150),
    _single("best price changes", "per s", 2.0),
    _single("sd of 1 s minute 1", "c", 1.8),
    _single("sd of 1 s minute 2", "c", 1.8),
    _single("sd of 1 s minute 3", "c", 1.8),
    _single("sd of 1 s minute 4", "c", 1.8),
    _single("sd of 1 s minute 5", "c", 3.4),
    _single("share of 5 c in 1 s", "%", 3.3),
    _single("autocorrelation 1 s", "", 0.20, is_bound=False),
    _single("autocorrelation 2 s", "", 0.05, is_bound=False),
    _single("moves", "per window", 19.4),
    _single("repricing", "s", 1.2),
    _single("repricing 10", "s", 0.2, is_bound=False),
    _single("prints", "per s", 7.0, 9.5),
    _single("spot trades", "per s", 28, 33),
    _single("spot trades median", "per s", 9, 23),
    _single("basis sd", "bp", 1.0),
    _single("oracle age", "s", 1.3, 1.6),
)
