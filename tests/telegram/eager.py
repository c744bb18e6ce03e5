"""A strategy that buys the least possible again and again, to have many orders to measure; it means nothing."""

from polybot._fast.event import BUY, FAK
from polybot.strategies import MarketState, Signal, SpotState, Strategy, Trigger

__all__ = ["Eager"]

SHARES = 5_000_000  # micro, the venue's least


class Eager(Strategy):
    """Takes the best ask of the likelier outcome at every look."""

    def __init__(self, *, enabled: bool = True, edge_se_multiple: float = 1.0) -> None:
        super().__init__(
            "eager",
            gate_names=("ask",),
            triggers=Trigger.ON_SPOT_TRADE,
            enabled=enabled,
            edge_se_multiple=edge_se_multiple,
        )

    def evaluate(self, market: MarketState, spot: SpotState, signal: Signal) -> int:
        """Say that it is worth ten cents more than it costs."""
        outcome = 0 if market.fair_up >= 0.5 else 1
        ask = market.best_ask(outcome)
        if not self.check_flag(0, 100 <= ask <= 8_500):
            return 0
        signal.outcome, signal.side, signal.order_type = outcome, BUY, FAK
        signal.price_ticks, signal.price, signal.shares = ask, ask / 1e4, SHARES
        signal.fair, signal.edge, signal.confidence, signal.size_frac = ask / 1e4 + 0.1, 0.1, 1.0, 0.001
        return 1
