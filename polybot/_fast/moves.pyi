"""Types of polybot._fast.moves as Python sees them."""

class MoveTracker:
    """Overreaction of one market; probabilities are USD per share of Up."""

    def __init__(self) -> None: ...
    def configure(self, *, lookback_s: float, half_life_s: float, min_samples: int) -> None:
        """Begin to track moves over lookback_s (s); ValueError for numbers out of range."""

    def add(self, mid: float, fair: float, now_ns: int) -> None:
        """Take one sample of Up: mid of the book and model fair, USD per share."""

    def reset(self) -> None:
        """Begin the lookback anew: there was a hole in the sampling."""

    def move_beyond_model(self, mid: float, fair: float, now_ns: int) -> float:
        """Move of Up's mid beyond fair's since the lookback, USD per share; NaN when not known."""

    @property
    def deviation(self) -> float:
        """Standard deviation of such moves, USD per share; NaN when not known."""

    @property
    def lookback_ns(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def half_life_s(self) -> float: ...
    @property
    def min_samples(self) -> int: ...
