"""Settings of the `wallet` command.

Owns what it does and for which market, its confirmation, and where the relayer and the chain are reached.
Secrets are names only, as everywhere.  Called by polybot.config.
"""

from dataclasses import dataclass
from typing import Any, Literal

from polybot.config_schema import env_name, matching, ranged

__all__ = ["WalletConfig"]


def _url(default: str) -> Any:
    return matching(default, r"https://\S+|http://(127\.0\.0\.1|localhost)(:\d+)?", "an https:// address")


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletConfig:
    """What `wallet` does."""

    action: Literal["show", "approve", "redeem", "merge"] = "show"
    market: str = matching("", r"|[a-z0-9-]{1,100}", "a market's slug")
    shares: float = ranged(0.0, 0.0, 1e9)  # to merge, of each side; 0 = all that both sides hold
    confirm: str = matching("", r"|[a-z0-9.-]{1,120}", "what the command asked to type")
    lookback_h: float = ranged(72.0, 1.0, 8_760.0)  # markets traded so long ago are looked at
    relayer_url: str = _url("https://relayer-v2.polymarket.com")
    rpc_url: str = _url("https://polygon.drpc.org")
    data_url: str = _url("https://data-api.polymarket.com")
    relayer_key_env: str = env_name("POLYMARKET_RELAYER_API_KEY")
    poll_s: float = ranged(2.0, 0.05, 60.0)  # wall, between two looks at a transaction
    wait_s: float = ranged(200.0, 1.0, 3_600.0)  # wall, for its last word
