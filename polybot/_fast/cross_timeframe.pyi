"""Types of polybot._fast.cross_timeframe as Python sees them."""

from polybot._fast.pairs import PairFinder
from polybot._fast.state import MarketState, SpotState
from polybot._fast.strategy import Strategy
from polybot._fast.surface import Surface

class CrossTimeframe(Strategy):
    others_count: int
    max_fair_sd: float
    min_edge: float
    min_edge_sd: float
    size_cap_frac: float
    confidence_scale_sd: float
    confidence_min: float
    confidence_max: float
    min_left_s: float
    book_max_age_s: float
    pair_report_s: float
    surface: Surface
    pairs: PairFinder
    def __init__(
        self,
        *,
        others_count: int = 2,
        max_fair_sd: float = 0.06,
        min_edge: float = 0.01,
        min_edge_sd: float = 1.5,
        size_cap_frac: float = 0.005,
        confidence_scale_sd: float = 4.0,
        confidence_min: float = 0.3,
        confidence_max: float = 0.9,
        min_left_s: float = 10.0,
        book_max_age_s: float = 5.0,
        level_sd: float = 0.5,
        forward_sd: float = 0.25,
        quote_lag_s: float = 1.0,
        quote_error_usd: float = 0.002,
        min_mid_usd: float = 0.03,
        min_abs_z: float = 0.3,
        max_abs_z: float = 2.2,
        pair_report_s: float = 60.0,
        edge_se_multiple: float = 1.0,
        enabled: bool = True,
    ) -> None: ...
    def take_notes(self) -> list[str]: ...

def look_at(market: MarketState, spot: SpotState, now_ns: int) -> tuple[float, float, float]: ...
