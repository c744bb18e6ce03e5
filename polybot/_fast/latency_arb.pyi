"""Types of polybot._fast.latency_arb as Python sees them."""

from polybot._fast.strategy import Strategy

class LatencyArb(Strategy):
    min_edge: float
    require_move: bool
    require_move_edge: float
    size_cap_frac: float
    confidence_scale_edge: float
    confidence_min: float
    order_type: int
    def __init__(
        self,
        *,
        min_edge: float = 0.03,
        require_move: bool = True,
        require_move_edge: float = 0.01,
        order_type: str = "FAK",
        size_cap_frac: float = 0.15,
        confidence_scale_edge: float = 0.10,
        confidence_min: float = 0.3,
        edge_se_multiple: float = 1.0,
        enabled: bool = True,
    ) -> None: ...
