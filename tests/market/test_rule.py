"""Resolution sources: the recorded ones map to their rule, everything else is refused."""

import pytest

from polybot.errors import MarketRefused
from polybot.market.rule import ResolutionRule, resolution_rule

TWAP_60 = "https://data.chain.link/streams/btc-usd-twap-60s-streams"
POINT = "https://data.chain.link/streams/btc-usd"
CANDLE = "https://www.binance.com/en/trade/BTC_USDT"


def rule(
    source: str,
    interval: str = "5m",
    config_asset: str | None = None,
    config_duration: str | None = None,
    config_twap_s: int | None = None,
) -> ResolutionRule:
    return resolution_rule(
        source,
        asset="btc",
        interval=interval,
        config_asset=config_asset,
        config_duration=config_duration,
        config_twap_s=config_twap_s,
    )


def test_recorded_twap_source_with_its_config() -> None:
    expected = ResolutionRule("twap", 60)
    assert rule(TWAP_60, config_asset="btc", config_duration="5m", config_twap_s=60) == expected
    assert rule(TWAP_60 + "/") == expected


def test_recorded_point_source() -> None:
    assert rule(POINT) == ResolutionRule("point")
    assert rule(POINT, config_asset="btc", config_duration="5m", config_twap_s=0) == ResolutionRule("point")


def test_exchange_page_is_the_candle_rule_of_1h_only() -> None:
    assert rule(CANDLE, interval="1h") == ResolutionRule("candle")
    with pytest.raises(MarketRefused) as refused:
        rule(CANDLE, interval="5m")
    assert refused.value.code == "unknown_resolution_rule"


@pytest.mark.parametrize(
    ("source", "changes", "code"),
    [
        ("", {}, "unknown_resolution_rule"),
        ("https://data.chain.link/streams/btc-usd-twap-30s-streams", {}, "unknown_resolution_rule"),
        ("https://data.chain.link/feeds/btc-usd", {}, "unknown_resolution_rule"),
        ("https://data.chain.link.evil/streams/btc-usd", {}, "unknown_resolution_rule"),
        ("https://www.coinbase.com/price/bitcoin", {}, "unknown_resolution_rule"),
        (TWAP_60, {"config_twap_s": 30}, "unknown_resolution_rule"),
        (TWAP_60, {"config_twap_s": 0}, "unknown_resolution_rule"),
        (POINT, {"config_twap_s": 60}, "unknown_resolution_rule"),
        (TWAP_60, {"config_duration": "15m"}, "unknown_resolution_rule"),
        (TWAP_60.replace("btc", "eth"), {}, "wrong_asset"),
        (POINT.replace("btc", "eth"), {}, "wrong_asset"),
        (TWAP_60, {"config_asset": "eth"}, "wrong_asset"),
        (CANDLE.replace("BTC", "ETH"), {"interval": "1h"}, "wrong_asset"),
        ("https://www.binance.com/en/trade/BTC_USDC", {"interval": "1h"}, "unknown_resolution_rule"),
    ],
)
def test_unknown_or_contradictory_source_is_refused(source: str, changes: dict[str, str], code: str) -> None:
    with pytest.raises(MarketRefused) as refused:
        rule(source, **changes)  # type: ignore[arg-type]
    assert refused.value.code == code
