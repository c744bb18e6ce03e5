"""Market regime from the directions of recent price changes."""

from enum import IntEnum

class Regime(IntEnum):
    AMBIGUOUS = 0
    RANGE = 1
    TREND = 2

class RegimeClassifier:
    """Regime of the last window_s seconds."""

    def __init__(
        self,
        window_s: float = 30.0,
        min_ticks: int = 10,
        trend: float = 0.75,
        range_: float = 0.60,
        capacity: int = 4096,
    ) -> None: ...
    def add(self, price: float, now_ns: int) -> None:
        """Take one spot price (USD) at now_ns."""

    def expire(self, now_ns: int) -> None:
        """Drop what is older than the window at now_ns and classify again."""

    @property
    def regime(self) -> int: ...
    @property
    def fraction(self) -> float:
        """Share of the dominant direction, NaN without changes."""

    @property
    def up(self) -> int: ...
    @property
    def down(self) -> int: ...
    @property
    def overflowed(self) -> int: ...
