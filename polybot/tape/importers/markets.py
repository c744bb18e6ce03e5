"""What is known of a market from elsewhere: Gamma objects with strike and outcome, or no more than a slug.

Owns the reading of market lists (one JSON object per line: a Gamma market in `raw`, or one itself) into MarketSpec,
strike and outcome.  A rule or fee the source does not tell is left unknown, never filled in.
Called by the importers of this folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from polybot._fast.event import StrikeSource
from polybot.errors import DecodeError, TapeError
from polybot.market.spec import MarketSpec
from polybot.market.window import Window, parse_slug
from polybot.tape.importers.files import read_lines

__all__ = ["KnownMarket", "guessed_spec", "read_markets", "rule_of"]

E18 = Decimal(10) ** 18
GRID = 10_000
MICRO = 1_000_000
# Every window opens with this grid, 0.01.  A list is made later: what it tells may be the finer one of the end, and
# that grid is known only when a message or a price shows it.
OPENING_TICKS = 100
UNKNOWN_TOKEN = "0"  # no token has this id
WINNERS = {("1", "0"): 0, ("0", "1"): 1}
# The venue's rule of windows that start at or after these instants, newest first (read off published markets): the
# average of 60 s since 2026-08-14, of 30 s since 2026-08-07, before that two single reports.
NS = 1_000_000_000
RULES = ((1_786_665_600 * NS, ("twap", 60)), (1_786_060_800 * NS, ("twap", 30)), (0, ("point", 0)))


@dataclass(frozen=True, slots=True)
class KnownMarket:
    """One market of a list; strike USD, outcome 0 Up or 1 Down, None: not told."""

    spec: MarketSpec
    strike: float | None
    outcome: int | None

    def told(self) -> dict[str, Any]:
        """What a manifest says of it."""
        found: dict[str, Any] = {}
        if self.strike is not None:
            source = int(StrikeSource.STRIKE_GAMMA)
            stamp_ns = self.spec.start_ns
            found["strike"] = {"value": self.strike, "source": source, "stamp_ns": stamp_ns, "variance": 0.0}
        if self.outcome is not None:
            found["outcome"] = self.outcome
        return found


def read_markets(path: Path) -> list[KnownMarket]:
    """Read a list of markets; raises TapeError naming file and line."""
    found = []
    for number, text in read_lines(path):
        try:
            found.append(_known(orjson.loads(text)))
        except (KeyError, TypeError, ValueError, ArithmeticError, DecodeError, StopIteration) as error:
            raise TapeError(f"{path}: line {number} is no market: {type(error).__name__}: {error}") from error
    return found


def guessed_spec(slug: str, window: Window, condition_id: str, tokens: tuple[str, ...]) -> MarketSpec:
    """Return the market of a dump that has ids and nothing else: the first token is called Up."""
    return MarketSpec(
        slug=slug,
        asset=parse_slug(slug).asset,
        interval=window.interval,
        condition_id=condition_id,
        token_up=tokens[0],
        token_down=tokens[1] if len(tokens) > 1 else UNKNOWN_TOKEN,
        start_ns=window.start_ns,
        end_ns=window.end_ns,
        tick_size_ticks=OPENING_TICKS,
        min_size_ushares=5 * MICRO,
        fees_enabled=True,
        fee_rate_ppm=None,
        fee_exponent=1,
        taker_delay_ms=0,
        neg_risk=False,
        rule="",
        twap_window_s=0,
        resolution_source="",
    )


def rule_of(interval: str, start_ns: int) -> tuple[str, int]:
    """Return the resolution rule a window of that date had and its averaging window in seconds (0: none)."""
    if interval == "1h":
        return "candle", 0
    return next(rule for since_ns, rule in RULES if start_ns >= since_ns)


def _known(item: Mapping[str, Any]) -> KnownMarket:
    raw = item.get("raw", item)
    slug = str(raw["slug"])
    window = parse_slug(slug).windows[0]
    tokens = _list(raw["clobTokenIds"])
    names = _list(raw["outcomes"])
    token_of = dict(zip(names, tokens, strict=True))
    fee = raw.get("feeSchedule") or {}
    config = raw.get("cryptoMarketConfig") or {}
    source = str(raw.get("resolutionSource", ""))
    twap_s = int(config.get("twapLookbackSeconds") or 0)
    spec = MarketSpec(
        slug=slug,
        asset=parse_slug(slug).asset,
        interval=window.interval,
        condition_id=str(raw["conditionId"]),
        token_up=str(token_of["Up"]),
        token_down=str(token_of["Down"]),
        start_ns=window.start_ns,
        end_ns=window.end_ns,
        tick_size_ticks=max(OPENING_TICKS, int(Decimal(str(raw["orderPriceMinTickSize"])) * GRID)),
        min_size_ushares=int(Decimal(str(raw["orderMinSize"])) * MICRO),
        fees_enabled=bool(raw.get("feesEnabled", True)),
        fee_rate_ppm=int(Decimal(str(fee["rate"])) * MICRO) if "rate" in fee else None,
        fee_exponent=int(fee.get("exponent", 1)),
        taker_delay_ms=0,
        neg_risk=bool(raw.get("negRisk", False)),
        rule="twap" if twap_s else "point" if "/streams/" in source else "",
        twap_window_s=twap_s,
        resolution_source=source,
        accepting_orders=bool(raw.get("acceptingOrders", False)),
    )
    prices = dict(zip(names, _list(raw.get("outcomePrices", "[]")), strict=False))
    outcome = WINNERS.get((str(prices.get("Up")), str(prices.get("Down"))))
    strike = item.get("strike_value")
    return KnownMarket(spec, float(Decimal(str(strike)) / E18) if strike else None, outcome)


def _list(value: Any) -> list[Any]:
    found: list[Any] = orjson.loads(value) if isinstance(value, str) else value
    return found
