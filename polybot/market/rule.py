"""Which rule a market resolves by, read from its own resolution source; anything unknown is refused.

Owns the mapping from the venue's source URL to `ResolutionRule`.  Must not guess: an address it has
never seen, an averaging window no feed serves, or a config that contradicts the address is
MarketRefused("unknown_resolution_rule"), another asset's source is MarketRefused("wrong_asset").
Sources as recorded: `https://data.chain.link/streams/btc-usd` (2026-06-08, point),
`https://data.chain.link/streams/btc-usd-twap-60s-streams` (2026-09-23, twap).  The 1h source, the
exchange's own page of the pair, is from the venue's documentation.
"""

import re
from dataclasses import dataclass

from polybot.errors import MarketRefused

__all__ = ["SERVED_TWAP_S", "ResolutionRule", "resolution_rule"]

# Averaging windows (s) for which an oracle feed publishes the very value the market settles on.
SERVED_TWAP_S = (60,)

_TWAP = re.compile(r"https://data\.chain\.link/streams/([a-z0-9]+)-usd-twap-([0-9]{1,4})s-streams")
_POINT = re.compile(r"https://data\.chain\.link/streams/([a-z0-9]+)-usd")
_CANDLE = re.compile(r"https://www\.binance\.com/(?:[a-z]{2}/)?trade/([a-z0-9]+)_usdt")


@dataclass(frozen=True, slots=True)
class ResolutionRule:
    """name is "twap", "point" or "candle"; twap_window_s is 0 unless "twap"."""

    name: str
    twap_window_s: int = 0


def resolution_rule(
    source: str,
    *,
    asset: str,
    interval: str,
    config_asset: str | None,
    config_duration: str | None,
    config_twap_s: int | None,
) -> ResolutionRule:
    """Map a market's resolution source and its crypto config (None: absent) to its rule.

    `asset` is the short name ("btc").  Raises MarketRefused.
    """
    rule, source_asset = _rule_of(source, interval)
    for named in (source_asset, config_asset):
        if named is not None and named.lower() != asset:
            raise MarketRefused("wrong_asset", f"{source!r} and config {config_asset!r} are not {asset}")
    if config_duration is not None and config_duration != interval:
        raise MarketRefused("unknown_resolution_rule", f"config says {config_duration}, not {interval}")
    if config_twap_s is not None and config_twap_s != rule.twap_window_s:
        raise MarketRefused("unknown_resolution_rule", f"{source!r} but config averages {config_twap_s} s")
    return rule


def _rule_of(source: str, interval: str) -> tuple[ResolutionRule, str]:
    address = source.strip().lower().split("?")[0].rstrip("/")
    if match := _TWAP.fullmatch(address):
        window_s = int(match[2])
        if window_s not in SERVED_TWAP_S:
            raise MarketRefused("unknown_resolution_rule", f"{source!r}: no feed serves that average")
        return ResolutionRule("twap", window_s), match[1]
    if match := _POINT.fullmatch(address):
        return ResolutionRule("point"), match[1]
    if match := _CANDLE.fullmatch(address):
        if interval != "1h":
            raise MarketRefused("unknown_resolution_rule", f"{source!r}: candles settle 1h only")
        return ResolutionRule("candle"), match[1]
    raise MarketRefused("unknown_resolution_rule", repr(source))
