"""A strategy planted by tests: it would gain if it were told of the exchange's prices before they were received."""

from polybot.strategies import MarketState, Signal, SpotState, Strategy, Trigger

__all__ = ["Peeking"]


class Peeking(Strategy):
    """Buys what the newest price of the exchange says, where the book has not moved: gains only if it is told early."""

    def __init__(self, *, enabled: bool = True, edge_se_multiple: float = 1.0) -> None:
        super().__init__(
            "peeking",
            gate_names=("late",),
            triggers=Trigger.ON_BOOK + Trigger.ON_SPOT_TRADE,
            enabled=enabled,
            edge_se_multiple=edge_se_multiple,
        )

    def evaluate(self, market: MarketState, spot: SpotState, signal: Signal) -> int:
        is_up = spot.last > market.strike + 60.0
        if not is_up or not 0 < market.best_ask(0) <= 5_500:
            return 0
        if not self.size_buy(market, signal, 0, 0.02, -1.0):
            return 0
        signal.confidence = 1.0
        return 1
