"""Rolling volume-weighted average price."""

class RollingVwap:
    """VWAP of the last window_s seconds; an entry exactly window_s old stays."""

    def __init__(self, window_s: float = 60.0, capacity: int = 4096) -> None: ...
    def add(self, price: float, qty: float, now_ns: int) -> None:
        """Take one trade: price in USD, qty in units of the asset."""

    def expire(self, now_ns: int) -> None:
        """Drop what is older than the window at now_ns."""

    @property
    def mean(self) -> float:
        """VWAP in USD, NaN when the window is empty."""

    @property
    def rejected(self) -> int: ...
    @property
    def overflowed(self) -> int: ...
    def __len__(self) -> int: ...
