"""Online basis between the resolution oracle and the exchange's spot price."""

class OracleBasis:
    """Rolling median of oracle minus spot over window_s seconds of oracle stamps."""

    def __init__(self, window_s: float = 90.0, lag_s: float = 0.0, min_pairs: int = 5) -> None: ...
    def add_spot(self, price: float, now_ns: int) -> None:
        """Take one spot price (USD) at now_ns, venue time."""

    def add_oracle(self, price: float, venue_ns: int) -> None:
        """Take one oracle price (USD) with its own stamp."""

    def expire(self, now_ns: int) -> None:
        """Drop pairs older than the window at now_ns."""

    def set_lag(self, lag_s: float) -> None:
        """Set the oracle's own lag in seconds."""

    @property
    def beta(self) -> float:
        """Oracle minus spot in USD, NaN until min_pairs pairs are there."""

    @property
    def sd(self) -> float:
        """Robust standard deviation of one difference, USD."""

    @property
    def variance(self) -> float:
        """sd^2, USD^2."""

    @property
    def var_ln(self) -> float:
        """Variance of ln(spot + beta)."""

    @property
    def pairs(self) -> int: ...
    @property
    def min_pairs(self) -> int: ...
    @property
    def unpaired(self) -> int: ...
    @property
    def ignored(self) -> int: ...
