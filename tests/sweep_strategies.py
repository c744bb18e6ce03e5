"""Two busy strategies for fault sweeps: they trade all the time, for no reason, within every limit of risk."""

from polybot.strategies import MarketState, Signal, SpotState, Strategy, Trigger

BUY, SELL = 0, 1
GTC, FAK = 0, 3
SHARE = 1_000_000
FULL = 10_000
SELL_EVERY_S = 6  # of which the last third sells


def _fill_in(signal: Signal, outcome: int, side: int, ticks: int, shares: int) -> int:
    """An opinion worth ten cents a share; a post-only bid rests twelve seconds."""
    sign = 1 if side == BUY else -1
    signal.outcome, signal.side = outcome, side
    signal.price_ticks, signal.price = ticks, ticks / FULL
    signal.fair = ticks / FULL + sign * 0.1
    signal.edge, signal.confidence, signal.size_frac = 0.1, 0.5, 0.01
    signal.shares = shares
    return 1


class Churn(Strategy):
    """Takes the ask, now and then sells at the bid what it has."""

    def __init__(self, *, enabled: bool = True, edge_se_multiple: float = 1.0) -> None:
        super().__init__(
            "churn",
            gate_names=("touch",),
            triggers=Trigger.ON_BOOK,
            enabled=enabled,
            edge_se_multiple=edge_se_multiple,
        )

    def evaluate(self, market: MarketState, spot: SpotState, signal: Signal) -> int:
        outcome = market.house if market.house >= 0 else int(market.fair_up < 0.5)
        side = SELL if int(market.tau_s) % SELL_EVERY_S >= 4 and market.position()[outcome] else BUY
        ticks = market.best_ask(outcome) if side == BUY else market.best_bid(outcome)
        if not self.check_flag(0, 500 <= ticks <= 9_500):
            return 0
        signal.order_type, signal.post_only = FAK, False
        shares = max(6 * SHARE, (12_000 * SHARE // ticks // 10_000 + 1) * 10_000)
        return _fill_in(signal, outcome, side, ticks, shares)


class Rester(Strategy):
    """Rests small bids at the best bid, on either side."""

    def __init__(self, *, enabled: bool = True, edge_se_multiple: float = 1.0) -> None:
        super().__init__(
            "rester",
            gate_names=("touch",),
            triggers=Trigger.ON_BOOK,
            passive=True,
            enabled=enabled,
            edge_se_multiple=edge_se_multiple,
        )

    def evaluate(self, market: MarketState, spot: SpotState, signal: Signal) -> int:
        outcome = int(market.tau_s) // 7 % 2
        ticks = market.best_bid(outcome)
        if not self.check_flag(0, 300 <= ticks <= 9_700):
            return 0
        signal.order_type, signal.post_only = GTC, True
        signal.life_ns, signal.cancel_edge = 12_000_000_000, -1.0
        return _fill_in(signal, outcome, BUY, ticks, 6 * SHARE)
