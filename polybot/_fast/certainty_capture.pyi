"""Types of polybot._fast.certainty_capture as Python sees them."""

from polybot._fast.strategy import Strategy

class CertaintyCapture(Strategy):
    min_abs_z: float
    min_edge: float
    order_type: int
    size_cap_frac: float
    size_cap_mid_frac: float
    size_cap_mid_abs_z: float
    size_cap_high_frac: float
    size_cap_high_abs_z: float
    confidence_scale_z: float
    confidence_min: float
    confidence_max: float
    def __init__(
        self,
        *,
        min_abs_z: float = 1.5,
        min_edge: float = 0.02,
        order_type: str = "FAK",
        size_cap_frac: float = 0.02,
        size_cap_mid_frac: float = 0.03,
        size_cap_mid_abs_z: float = 2.5,
        size_cap_high_frac: float = 0.05,
        size_cap_high_abs_z: float = 3.0,
        confidence_scale_z: float = 4.0,
        confidence_min: float = 0.5,
        confidence_max: float = 0.99,
        edge_se_multiple: float = 1.0,
        enabled: bool = True,
    ) -> None: ...
