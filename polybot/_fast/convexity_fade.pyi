"""Types of polybot._fast.convexity_fade as Python sees them."""

from polybot._fast.strategy import Strategy

class ConvexityFade(Strategy):
    max_distance_frac: float
    min_left_s: float
    lookback_s: float
    overreaction_min_sd: float
    overreaction_z: float
    overreaction_half_life_s: float
    overreaction_min_samples: int
    min_edge: float
    life_s: float
    cancel_buffer_edge: float
    swing_s: float
    size_cap_frac: float
    confidence_min: float
    confidence_max: float
    def __init__(
        self,
        *,
        max_distance_frac: float = 0.003,
        min_left_s: float = 30.0,
        lookback_s: float = 5.0,
        overreaction_z: float = 2.0,
        overreaction_min_sd: float = 0.005,
        overreaction_half_life_s: float = 120.0,
        overreaction_min_samples: int = 300,
        min_edge: float = 0.02,
        life_s: float = 10.0,
        cancel_buffer_edge: float = 0.01,
        swing_s: float = 10.0,
        size_cap_frac: float = 0.005,
        confidence_min: float = 0.3,
        confidence_max: float = 0.65,
        edge_se_multiple: float = 1.0,
        enabled: bool = True,
    ) -> None: ...
