"""Settings of the embedded venue's exchange; the rules of the real one as of November 2026.

Data only.  Built by the venue from its configuration, read by every part of the exchange.
"""

from dataclasses import dataclass

__all__ = ["ExchangeSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """How the exchange behaves; durations in venue seconds, money in micro-USD."""

    chain_id: int = 137
    clob_version: int = 2
    domain_name: str = "Polymarket CTF Exchange"
    domain_version: str = "2"
    exchange_address: str = "0xE111180000d2663C0091e4f400237545B87B996B"
    neg_risk_exchange_address: str = "0xe2222d279d744050d28e00520010520000310F59"
    auto_account_micro_usd: int | None = None  # given to an unknown wallet at its first login; None: refused
    marketable_buy_min_micro_usd: int = 1_000_000
    gtd_min_s: int = 180  # expiration must lie so far ahead
    gtd_removed_early_s: int = 60  # and the order goes so long before it
    login_skew_s: int = 30
    heartbeat_limit_s: int = 10
    heartbeat_sweep_s: int = 5
    page_size: int = 100
    mined_s: float = 2.0  # from match to MINED
    confirmed_min_s: float = 4.0  # from match to CONFIRMED
    confirmed_max_s: float = 8.0
