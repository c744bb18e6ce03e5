"""A strategy in plain Python, to be copied: buys the likelier outcome when its ask is clearly too low.

`python -m polybot strategy=[latency_arb,example]` runs it; its numbers are in conf/strategy/example.yaml.
The engine asks when everything is known and fresh, and does the rest: side, limits, orders, money.
Must not keep state between calls, read a clock or do I/O: a replay must come to the same Signals.
"""

from polybot.strategies import MarketState, Signal, SpotState, Strategy, Trigger

__all__ = ["Example"]


class Example(Strategy):
    """Edges are USD per share after the fee; sizes are fractions of bankroll."""

    def __init__(
        self,
        *,
        min_left_s: float = 60.0,  # these are named as in the yaml
        min_edge: float = 0.05,
        size_cap_frac: float = 0.01,
        enabled: bool = True,  # these two are given to every strategy
        edge_se_multiple: float = 1.0,
    ) -> None:
        super().__init__(
            "example",  # as in the yaml
            gate_names=("time_left", "edge", "size"),  # as the diagnostics show them
            triggers=Trigger.ON_BOOK,  # or ON_SPOT_TRADE, or the two added
            enabled=enabled,
            edge_se_multiple=edge_se_multiple,
        )
        self.min_left_s = min_left_s
        self.min_edge = min_edge
        self.size_cap_frac = size_cap_frac

    def evaluate(self, market: MarketState, spot: SpotState, signal: Signal) -> int:
        """Return 1 with the signal filled in to buy, else 0; a check_ records its gate as it asks it."""
        outcome = 0 if market.fair_up >= 0.5 else 1  # 0 Up, 1 Down
        least = max(self.min_edge, self.edge_se_multiple * market.se_fair)  # more than the model's own error
        edge = self.edge_at_ask(market, outcome)  # NaN, when there is no ask, passes no gate
        if not self.check_least(0, market.tau_s, self.min_left_s):  # later, those who sell know more
            return 0
        if not self.check_least(1, edge, least):
            return 0
        # Takes level by level while one still leaves `least`, at most half of Kelly and the cap.
        if not self.check_flag(2, self.size_buy(market, signal, outcome, self.size_cap_frac, least)):
            return 0
        signal.confidence = min(1.0, edge / 0.10)  # 0 to 1; the larger edge x confidence goes first
        return 1
