"""Strategies of a user's own, for tests that load them by name: one that breaks, as plugins do."""

from polybot.strategies import MarketState, Signal, SpotState, Strategy, Trigger

GOOD_EVALUATIONS = 25


class Breaks(Strategy):
    """Does nothing for a while, then divides by zero."""

    def __init__(self, *, enabled: bool = True, edge_se_multiple: float = 1.0) -> None:
        super().__init__(
            "breaks",
            gate_names=("luck",),
            triggers=Trigger.ON_SPOT_TRADE,
            enabled=enabled,
            edge_se_multiple=edge_se_multiple,
        )
        self.asked = 0

    def evaluate(self, market: MarketState, spot: SpotState, signal: Signal) -> int:
        self.asked += 1
        self.check_least(0, 1 / (GOOD_EVALUATIONS + 1 - self.asked), 2.0)
        return 0
