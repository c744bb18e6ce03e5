"""Market metadata over REST: one GET, one typed answer, exact numbers.

Owns the JSON shapes of Gamma events and series and of the CLOB's /clob-markets and /markets as far
as polybot reads them, and the calls that fetch them.  Lists encoded as strings are parsed twice,
decimals are read as Decimal, times as ns.  Must not judge: whether a market may be traded is
discovery's business, whether it is over is resolution's.
A body that is not what the API promises raises MarketRefused("bad_json"); 404 and empty lists are
None; any other status raises VenueError; no answer at all is the HTTP client's VenueUnavailable.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote, urlencode

from polybot.config import VenueConfig
from polybot.errors import MarketRefused, VenueError
from polybot.transport import HttpClient

__all__ = ["BookLevels", "ClobMarket", "FeeSchedule", "GammaMarket", "MarketRest", "parse_time_ns"]

NS = 1_000_000_000
MAX_FEE_EXPONENT = 4
MAX_PAGE = 100  # Gamma caps every page at 100, whatever is asked

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Taker fee per share = rate x (p (1 - p))^exponent."""

    rate: Decimal
    exponent: int
    taker_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaMarket:
    """One market of a Gamma event; None where the field is absent."""

    slug: str
    condition_id: str
    outcomes: tuple[str, ...]
    token_ids: tuple[str, ...]
    outcome_prices: tuple[str, ...]
    start_ns: int | None
    end_ns: int | None
    closed: bool
    resolved: bool
    order_book: bool
    neg_risk: bool
    version: str | None
    fees_enabled: bool | None
    fee: FeeSchedule | None
    seconds_delay: int
    resolution_source: str
    config_asset: str | None  # cryptoMarketConfig
    config_duration: str | None
    config_twap_s: int | None  # 0: the config says that there is no averaging
    price_to_beat: float | None  # eventMetadata, minutes after the start
    final_price: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClobMarket:
    """Trading metadata of one market: GET /clob-markets/{condition_id}."""

    condition_id: str
    tokens: tuple[tuple[str, str], ...]  # (outcome name, token_id)
    tick_size: Decimal
    min_size: Decimal
    accepting_orders: bool
    taker_delayed: bool
    seconds_delay: int
    neg_risk: bool | None
    version: str | None
    fee: FeeSchedule | None


@dataclass(frozen=True, slots=True)
class BookLevels:
    """One token's book over REST: (price in ticks of 1e-4, size in micro-shares) per level."""

    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class MarketRest:
    """The few GETs that describe a market; a timeout (wall seconds) on each."""

    def __init__(self, http: HttpClient, venue: VenueConfig) -> None:
        self._http = http
        self._gamma = venue.gamma_url.rstrip("/")
        self._clob = venue.clob_url.rstrip("/")
        self._timeout_s = venue.request_timeout_s

    async def event(self, slug: str) -> tuple[GammaMarket, ...] | None:
        """Return the markets of the event with that slug, None when there is no such event."""
        answer = await self._get(f"{self._gamma}/events/slug/{quote(slug)}")
        events = _one_or_many(answer)
        return _markets_of(events[0]) if events else None

    async def series_id(self, series_slug: str) -> str | None:
        """Return the id of the series with exactly that slug, None when there is none."""
        answer = await self._get(f"{self._gamma}/series?{urlencode({'slug': series_slug})}")
        for series in _one_or_many(answer):
            if series.get("slug") == series_slug:
                return str(_need(series, "id", str, int))
        return None

    async def series_markets(self, series_id: str, start_ns: int) -> tuple[GammaMarket, ...]:
        """Return the open markets of a series whose window starts at start_ns (at most one page)."""
        query = urlencode(
            {
                "series_id": series_id,
                "closed": "false",
                "start_time_min": _iso(start_ns),
                "start_time_max": _iso(start_ns),
                "limit": MAX_PAGE,
            }
        )
        events = _one_or_many(await self._get(f"{self._gamma}/events?{query}"))
        markets = [market for event in events for market in _markets_of(event)]
        return tuple(market for market in markets if market.start_ns == start_ns)

    async def clob_market(self, condition_id: str) -> ClobMarket | None:
        """Return the CLOB's trading metadata, None while it does not know the market."""
        answer = await self._get(f"{self._clob}/clob-markets/{quote(condition_id)}")
        return None if answer is None else _clob_market(_object(answer, "clob market"))

    async def winners(self, condition_id: str) -> tuple[str, ...]:
        """Return the token_ids the CLOB calls winner: one when resolved, else none."""
        answer = await self._get(f"{self._clob}/markets/{quote(condition_id)}")
        if answer is None:
            return ()
        tokens = _need(_object(answer, "market"), "tokens", list)
        parsed = [_object(token, "token") for token in tokens]
        return tuple(_text(token, "token_id") for token in parsed if token.get("winner") is True)

    async def book(self, token_id: str) -> BookLevels:
        """Return the venue's book of one token: bids and asks as (price_ticks, micro-shares)."""
        answer = await self._get(f"{self._clob}/book?{urlencode({'token_id': token_id})}")
        if answer is None:
            raise VenueError(f"no book of token {token_id}")
        book = _object(answer, "book")
        return BookLevels(bids=_levels(book, "bids"), asks=_levels(book, "asks"))

    async def _get(self, url: str) -> Any:
        """Fetch JSON with decimals as Decimal; None for 404."""
        answer = await self._http.request("GET", url, timeout_s=self._timeout_s)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise VenueError(f"GET {url}: status {answer.status}")
        try:
            return json.loads(answer.body, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise MarketRefused("bad_json", f"GET {url}: {error}") from error


def parse_time_ns(text: str) -> int:
    """Parse `2026-09-23T00:35:00Z`, `2026-09-23 00:36:28+00` or with a fraction to epoch ns (whole us).

    Raises MarketRefused("bad_json") for anything else, and for a time without a zone.
    """
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError as error:
        raise MarketRefused("bad_json", f"time {text!r}") from error
    if stamp.tzinfo is None:
        raise MarketRefused("bad_json", f"time {text!r} has no zone")
    since = stamp - _EPOCH
    return (since.days * 86_400 + since.seconds) * NS + since.microseconds * 1_000


def _markets_of(event: Mapping[str, Any]) -> tuple[GammaMarket, ...]:
    markets = event.get("markets")
    if markets is None:
        return ()
    if not isinstance(markets, list):
        raise MarketRefused("bad_json", "event.markets")
    return tuple(_gamma_market(event, _object(market, "market")) for market in markets)


def _gamma_market(event: Mapping[str, Any], market: Mapping[str, Any]) -> GammaMarket:
    metadata = _section(event, "eventMetadata")
    config = _section(market, "cryptoMarketConfig")
    return GammaMarket(
        slug=_text(market, "slug"),
        condition_id=_text(market, "conditionId"),
        outcomes=_encoded_list(market, "outcomes"),
        token_ids=_encoded_list(market, "clobTokenIds"),
        outcome_prices=_encoded_list(market, "outcomePrices"),
        start_ns=_time(market, "eventStartTime") or _time(event, "startTime"),
        end_ns=_time(market, "endDate"),
        closed=market.get("closed") is True,
        resolved=market.get("umaResolutionStatus") == "resolved",
        order_book=market.get("enableOrderBook") is True,
        neg_risk=market.get("negRisk") is True,
        version=_optional(market, "version", str),
        fees_enabled=_optional(market, "feesEnabled", bool),
        fee=_fee(_section(market, "feeSchedule"), "rate", "exponent", "takerOnly"),
        seconds_delay=_optional(market, "secondsDelay", int) or 0,
        resolution_source=_source(event, market),
        config_asset=_optional(config, "asset", str),
        config_duration=_optional(config, "duration", str),
        config_twap_s=_twap_s(config),
        price_to_beat=_number(metadata, "priceToBeat"),
        final_price=_number(metadata, "finalPrice"),
    )


def _levels(book: Mapping[str, Any], side: str) -> tuple[tuple[int, int], ...]:
    levels = [_object(level, side) for level in _need(book, side, list)]
    return tuple(
        (_scaled(_text(level, "price"), 10_000), _scaled(_text(level, "size"), 1_000_000)) for level in levels
    )


def _scaled(text: str, scale: int) -> int:
    """Decimal text times scale as an exact integer; raises MarketRefused("bad_json") when it is not one."""
    try:
        value = Decimal(text) * scale
    except InvalidOperation as error:
        raise MarketRefused("bad_json", f"number {text!r}") from error
    if not value.is_finite() or value != int(value):
        raise MarketRefused("bad_json", f"number {text!r} is finer than 1/{scale}")
    return int(value)


def _clob_market(market: Mapping[str, Any]) -> ClobMarket:
    tokens = [_object(token, "token") for token in _need(market, "t", list)]
    return ClobMarket(
        condition_id=_text(market, "c"),
        tokens=tuple((_text(token, "o"), _text(token, "t")) for token in tokens),
        tick_size=Decimal(_need(market, "mts", Decimal, int)),
        min_size=Decimal(_need(market, "mos", Decimal, int)),
        accepting_orders=market.get("ao") is True,
        taker_delayed=market.get("itode") is True,
        seconds_delay=_optional(market, "sd", int) or 0,
        neg_risk=_optional(market, "nr", bool),
        version=_optional(market, "v", str),
        fee=_fee(_section(market, "fd"), "r", "e", "to"),
    )


def _fee(section: Mapping[str, Any], rate: str, exponent: str, taker_only: str) -> FeeSchedule | None:
    """Read a fee schedule; None when any part is absent or of a kind we do not know."""
    rate_value, exponent_value = section.get(rate), section.get(exponent)
    if isinstance(rate_value, bool) or not isinstance(rate_value, int | Decimal):
        return None
    if isinstance(exponent_value, bool) or not isinstance(exponent_value, int | Decimal):
        return None
    if not 0 <= exponent_value <= MAX_FEE_EXPONENT or exponent_value != int(exponent_value):
        return None
    return FeeSchedule(Decimal(rate_value), int(exponent_value), section.get(taker_only) is True)


def _twap_s(config: Mapping[str, Any]) -> int | None:
    if not config:
        return None
    if config.get("twapEnabled") is not True:
        return 0
    seconds = _need(config, "twapLookbackSeconds", int)
    assert isinstance(seconds, int)
    return seconds


def _source(event: Mapping[str, Any], market: Mapping[str, Any]) -> str:
    """Return the resolution source; the event's copy, where present, must say the same."""
    ours = _optional(market, "resolutionSource", str) or ""
    theirs = _optional(event, "resolutionSource", str) or ""
    if ours and theirs and ours != theirs:
        raise MarketRefused("unknown_resolution_rule", f"event says {theirs!r}, market says {ours!r}")
    return ours or theirs


def _encoded_list(market: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Read a list of strings that is itself encoded as a string; () when absent or empty."""
    value = market.get(key)
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except ValueError as error:
            raise MarketRefused("bad_json", f"{key}={value!r}") from error
    if value is None or value == "":
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise MarketRefused("bad_json", f"{key}={value!r}")
    return tuple(value)


def _one_or_many(answer: Any) -> list[Mapping[str, Any]]:
    """Accept an object, a list of objects, or nothing: Gamma has both forms of every call."""
    if answer is None:
        return []
    return [_object(item, "item") for item in (answer if isinstance(answer, list) else [answer])]


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MarketRefused("bad_json", f"{what} is no object")
    return value


def _section(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return {} if value is None else _object(value, key)


def _need(parent: Mapping[str, Any], key: str, *kinds: type) -> Any:
    value = parent.get(key)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise MarketRefused("bad_json", f"{key}={value!r}")
    return value


def _text(parent: Mapping[str, Any], key: str) -> str:
    value = _need(parent, key, str)
    assert isinstance(value, str)
    return value


def _optional(parent: Mapping[str, Any], key: str, kind: type) -> Any:
    return None if parent.get(key) is None else _need(parent, key, kind)


def _number(parent: Mapping[str, Any], key: str) -> float | None:
    value = parent.get(key)
    return None if value is None else float(_need(parent, key, Decimal, int))


def _time(parent: Mapping[str, Any], key: str) -> int | None:
    value = _optional(parent, key, str)
    return parse_time_ns(value) if value else None


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
