"""Types of polybot._fast.strike_misalign as Python sees them."""

from polybot._fast.strategy import Strategy

class StrikeMisalign(Strategy):
    opening_s: float
    opening_frac: float
    opening_max_s: float
    min_shift_edge: float
    min_edge: float
    order_type: int
    post_only: bool
    life_s: float
    cancel_edge: float
    size_cap_frac: float
    confidence_scale_edge: float
    confidence_min: float
    confidence_max: float
    def __init__(
        self,
        *,
        opening_s: float = 15.0,
        opening_frac: float = 0.05,
        opening_max_s: float = 300.0,
        min_shift_edge: float = 0.02,
        min_edge: float = 0.02,
        order_type: str = "FAK",
        life_s: float = 10.0,
        cancel_edge: float = 0.0,
        size_cap_frac: float = 0.02,
        confidence_scale_edge: float = 0.10,
        confidence_min: float = 0.4,
        confidence_max: float = 0.9,
        edge_se_multiple: float = 1.0,
        enabled: bool = True,
    ) -> None: ...
