"""Types of polybot._fast.lp_extreme as Python sees them."""

from polybot._fast.strategy import Strategy

class LpExtreme(Strategy):
    min_abs_z: float
    min_left_s: float
    min_left_frac: float
    max_ask_usd: float
    min_edge: float
    improve_ticks: int
    life_s: float
    cancel_edge: float
    size_cap_frac: float
    confidence_scale_edge: float
    confidence_min: float
    confidence_max: float
    def __init__(
        self,
        *,
        min_abs_z: float = 1.5,
        min_left_s: float = 60.0,
        min_left_frac: float = 0.10,
        max_ask_usd: float = 0.25,
        min_edge: float = 0.02,
        improve_ticks: int = 0,
        life_s: float = 30.0,
        cancel_edge: float = 0.0,
        size_cap_frac: float = 0.02,
        confidence_scale_edge: float = 0.10,
        confidence_min: float = 0.3,
        confidence_max: float = 0.65,
        edge_se_multiple: float = 1.0,
        enabled: bool = True,
    ) -> None: ...
