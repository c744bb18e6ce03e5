"""A strategy that proposes what a test says, for tests of what happens to orders afterwards."""

from typing import Any

from scenario import SHARE, Scenario

from polybot._fast.event import BUY, FAK, GTC, UP
from polybot._fast.strategy import Signal, Strategy, Trigger


class Scripted(Strategy):
    """Signals `say` (field: value) once per spot trade while it is set."""

    def __init__(self, name: str = "scripted", *, passive: bool = False) -> None:
        super().__init__(name, gate_names=("armed",), triggers=Trigger.ON_SPOT_TRADE, passive=passive)
        self.say: dict[str, Any] | None = None

    def evaluate(self, market: Any, spot: Any, signal: Signal) -> int:
        if not self.check_flag(0, self.say is not None):
            return 0
        for name, value in (self.say or {}).items():
            setattr(signal, name, value)
        return 1


def opinion(
    outcome: int = UP, *, ticks: int = 4_800, shares: int = 10 * SHARE, **more: Any
) -> dict[str, Any]:
    """A BUY worth five cents more than it costs; post_only makes it rest."""
    return {
        "outcome": outcome,
        "side": BUY,
        "order_type": GTC if more.get("post_only") else FAK,
        "price_ticks": ticks,
        "price": ticks / 1e4,
        "shares": shares,
        "fair": ticks / 1e4 + 0.05,
        "edge": 0.05,
        "confidence": 0.5,
        "size_frac": 0.01,
        **more,
    }


def place(scenario: Scenario, t: float = 21.0, **say: Any) -> Any:
    """Have the (only) strategy say this at t; the commands."""
    strategy = scenario.engine.strategies[0]
    assert isinstance(strategy, Scripted)
    strategy.say = opinion(**say)
    scenario.trade(t, scenario.price)
    commands = scenario.go()
    strategy.say = None
    return commands
