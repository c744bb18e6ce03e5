"""Types of polybot._fast.surface as Python sees them."""

from enum import IntEnum

class SurfaceStatus(IntEnum):
    SURFACE_OK = 0
    NO_SUCH_WINDOW = 1
    NO_FORECAST = 2
    NO_FIT = 3

class Surface:
    level_sd: float
    forward_sd: float
    quote_lag_s: float
    quote_error_usd: float
    min_mid_usd: float
    min_abs_z: float
    max_abs_z: float
    count: int
    usable: int
    used: int
    q_up: float
    sd: float
    misfit: float
    v: float
    level: float
    def __init__(
        self,
        *,
        level_sd: float = 0.5,
        forward_sd: float = 0.25,
        quote_lag_s: float = 1.0,
        quote_error_usd: float = 0.002,
        min_mid_usd: float = 0.03,
        min_abs_z: float = 0.3,
        max_abs_z: float = 2.2,
    ) -> None: ...
    def start(
        self, *, sigma: float, se_ln_sigma: float, var_basis: float = 0.0, move: float = 0.0
    ) -> None: ...
    def add_window(
        self,
        *,
        tau_s: float,
        m: float,
        k: float,
        bid: float,
        ask: float,
        w_s: float = 0.0,
        lag_s: float = 0.0,
        reach: float = 1.0,
        basis_reach: float = 0.0,
        extra: float = 0.0,
        var_own: float = 0.0,
        unseen: float = 0.0,
    ) -> int: ...
    def price(self, target: int, skip: int = -1) -> int: ...
    def implied(self, place: int) -> tuple[bool, float, float]: ...
    def forwards(self) -> list[tuple[float, float]]: ...

def weight_of(u_s: float, w_s: float, start_s: float, end_s: float) -> float: ...
