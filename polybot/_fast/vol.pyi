"""Spot volatility per sqrt(second)."""

class Volatility:
    """Base of the estimators; never warm."""

    def add(self, price: float, now_ns: int) -> None:
        """Take one spot price (USD) at now_ns; what is no price is ignored."""

    def walk(self, prices: list[float], start_ns: int, step_ns: int) -> list[float]:
        """Take prices (USD) at equal distances from start_ns on; sigma per sqrt(s) as known after each."""

    def value(self) -> float:
        """Sigma per sqrt(s), NaN until warm."""

    def standard_error(self) -> float:
        """Standard error of ln(sigma), NaN until warm."""

    @property
    def warm(self) -> bool:
        """Whether enough samples were seen for value() to mean something."""

class SampledEwmaVol(Volatility):
    """EWMA of r^2/dt over returns at least sample_ms apart."""

    def __init__(
        self,
        lambda_: float = 0.94,
        sample_ms: int = 1000,
        warmup: int = 10,
        floor_annual: float = 0.30,
        bias_correct: bool = True,
    ) -> None: ...
    @property
    def samples(self) -> int: ...
    @property
    def var(self) -> float:
        """EWMA as it runs, per s, start bias not corrected."""

class TickEwmaVol(Volatility):
    """EWMA of r^2 over every price."""

    def __init__(self, lambda_: float = 0.94, warmup: int = 10, floor_annual: float = 0.30) -> None: ...
    @property
    def samples(self) -> int: ...
    @property
    def var(self) -> float:
        """EWMA of squared returns, per tick."""
