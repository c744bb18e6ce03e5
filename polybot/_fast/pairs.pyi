"""Types of polybot._fast.pairs as Python sees them."""

from polybot._fast.state import MarketState

OUTCOMES: tuple[str, str]

class PairFinder:
    found: int
    notes: list[str]
    def __init__(self, *, report_s: float = 60.0, book_max_age_s: float = 5.0) -> None: ...
    def look(self, markets: list[MarketState], now_ns: int) -> float: ...
    def take_notes(self) -> list[str]: ...
