"""What is known of one market when it is opened: ids, window, grid, fees, resolution rule.

Pure data (layer 1).  Discovery builds it, the engine takes its numbers, gateway and feeds its ids.
"""

from dataclasses import dataclass

__all__ = ["MarketSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSpec:
    """One Up/Down market.  Prices are on the 1e-4 grid (`_ticks`), shares in micro-shares."""

    slug: str
    asset: str  # btc
    interval: str  # 5m
    condition_id: str  # 0x...
    token_up: str  # decimal string of the 256-bit token_id
    token_down: str
    start_ns: int
    end_ns: int
    tick_size_ticks: int  # 100 = 0.01
    min_size_ushares: int  # 5_000_000 = 5 shares
    fees_enabled: bool
    fee_rate_ppm: int | None  # 70_000 = 0.07; None: schedule unknown (no taking while fees are enabled)
    fee_exponent: int
    taker_delay_ms: int
    neg_risk: bool
    rule: str  # "twap" | "point" | "candle"
    twap_window_s: int  # 0 unless rule == "twap"
    resolution_source: str
    accepting_orders: bool = True
