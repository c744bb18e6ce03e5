"""From a window to a tradable MarketSpec, or to a precise reason why not.

Owns every check between the venue's metadata and a market polybot will open; each refusal has a
code, is raised as MarketRefused and counted.  Fails closed: what is unknown, contradictory or of
another asset, window or exchange version is not traded.  Fees alone may be unknown (`fee_rate_ppm`
None): such a market is quoted but never taken.
The market is looked up by slug; when that is missing or belongs to another window (two 1h windows
share a slug when clocks go back), by its series and its exact eventStartTime.
Must not wait: the caller retries NotListedYet, RETRYABLE codes and VenueError with backoff.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from polybot.clock import Clock
from polybot.config import VenueConfig
from polybot.errors import MarketRefused, VenueError
from polybot.market.rest import ClobMarket, FeeSchedule, GammaMarket, MarketRest
from polybot.market.rule import ResolutionRule, resolution_rule
from polybot.market.spec import MarketSpec
from polybot.market.window import Window, slug
from polybot.transport import HttpClient

__all__ = ["RETRYABLE", "AssetIds", "Discovery", "NotListedYet"]

# Refusals that can heal by themselves before the window starts.
RETRYABLE = frozenset({"bad_json", "empty_token_ids", "no_order_book", "not_accepting_orders"})

GRID = 10_000  # price_ticks per 1.0
MICRO = 1_000_000
OUTCOMES = ("Up", "Down")
MAX_TOKEN = 1 << 256
_V3_FIELD = ((1 << 64) - 1) << 40  # all zero in the token ids of Exchange V3


class AssetIds(Protocol):
    """What discovery needs to know of an asset."""

    @property
    def name(self) -> str:
        """Short name, `btc`."""
        ...

    @property
    def long_name(self) -> str:
        """Name in 1h slugs, `bitcoin`."""
        ...

    @property
    def series_slugs(self) -> Mapping[str, str]:
        """Interval name to series slug."""
        ...


class NotListedYet(VenueError):
    """The venue does not show this market yet (or only half of it): ask again later."""


class Discovery:
    """Finds markets; `counters` holds how often each refusal code occurred."""

    def __init__(self, http: HttpClient, clock: Clock, venue: VenueConfig) -> None:
        self._rest = MarketRest(http, venue)
        self._clock = clock
        self._taker_delay_ms = venue.taker_delay_ms
        self._series_ids: dict[str, str] = {}
        self.counters: dict[str, int] = {}

    async def find(self, window: Window, asset: AssetIds) -> MarketSpec:
        """Return the market of `asset` on `window`.

        Raises NotListedYet (retry), MarketRefused (retry only if its code is in RETRYABLE),
        VenueError and VenueUnavailable (retry).
        """
        try:
            market = await self._gamma_market(window, asset)
            rule = self._check_gamma(market, window, asset)
            clob = await self._rest.clob_market(market.condition_id)
            if clob is None:
                raise NotListedYet(f"{market.slug}: not on the CLOB yet")
            return self._build(market, clob, rule, window, asset)
        except MarketRefused as refused:
            self._count(refused.code)
            raise
        except NotListedYet:
            self._count("not_listed")
            raise
        except VenueError:
            self._count("venue_error")
            raise

    async def _gamma_market(self, window: Window, asset: AssetIds) -> GammaMarket:
        name = slug(asset, window.interval, window.start_ns)
        by_slug = _pick(await self._rest.event(name), name)
        if by_slug is not None and _fits(by_slug, window):
            return by_slug
        by_series = await self._from_series(window, asset)
        if by_series is not None:
            return by_series
        if by_slug is None:
            raise NotListedYet(name)
        raise MarketRefused(
            "wrong_window", f"{name} runs {by_slug.start_ns}..{by_slug.end_ns}, wanted {window}"
        )

    async def _from_series(self, window: Window, asset: AssetIds) -> GammaMarket | None:
        """Look the window up in its series; None when that shows no market with exactly these ends."""
        series_slug = asset.series_slugs.get(window.interval)
        if series_slug is None:
            return None
        if series_slug not in self._series_ids:
            series_id = await self._rest.series_id(series_slug)
            if series_id is None:
                self._count("unknown_series")
                return None
            self._series_ids[series_slug] = series_id
        markets = await self._rest.series_markets(self._series_ids[series_slug], window.start_ns)
        fitting = [market for market in markets if _fits(market, window)]
        if len(fitting) > 1:
            raise MarketRefused("ambiguous_market", f"{series_slug}: {len(fitting)} markets on {window}")
        return fitting[0] if fitting else None

    def _check_gamma(self, market: GammaMarket, window: Window, asset: AssetIds) -> ResolutionRule:
        """Refuse on metadata alone; returns the resolution rule."""
        if market.closed or window.end_ns <= self._clock.now_ns():
            raise MarketRefused("zombie", f"{market.slug} is over")
        if market.version not in (None, "v1"):
            raise MarketRefused("exchange_version", f"{market.slug} is {market.version!r}")
        if not market.order_book:
            raise MarketRefused("no_order_book", market.slug)
        rule = resolution_rule(
            market.resolution_source,
            asset=asset.name,
            interval=window.interval,
            config_asset=market.config_asset,
            config_duration=market.config_duration,
            config_twap_s=market.config_twap_s,
        )
        _check_tokens(market)
        return rule

    def _build(
        self, market: GammaMarket, clob: ClobMarket, rule: ResolutionRule, window: Window, asset: AssetIds
    ) -> MarketSpec:
        token_of = dict(zip(market.outcomes, market.token_ids, strict=True))
        _check_clob(market, clob, token_of)
        fees_enabled = market.fees_enabled is not False
        rate_ppm, exponent = self._fee(market, clob, fees_enabled)
        delay_s = max(clob.seconds_delay, market.seconds_delay)
        return MarketSpec(
            slug=market.slug,
            asset=asset.name,
            interval=window.interval,
            condition_id=market.condition_id,
            token_up=token_of["Up"],
            token_down=token_of["Down"],
            start_ns=window.start_ns,
            end_ns=window.end_ns,
            tick_size_ticks=_tick_size_ticks(clob.tick_size),
            min_size_ushares=_min_size_ushares(clob.min_size),
            fees_enabled=fees_enabled,
            fee_rate_ppm=rate_ppm,
            fee_exponent=exponent,
            taker_delay_ms=delay_s * 1_000 + (self._taker_delay_ms if clob.taker_delayed else 0),
            neg_risk=market.neg_risk if clob.neg_risk is None else clob.neg_risk,
            rule=rule.name,
            twap_window_s=rule.twap_window_s,
            resolution_source=market.resolution_source,
            accepting_orders=True,
        )

    def _fee(self, market: GammaMarket, clob: ClobMarket, fees_enabled: bool) -> tuple[int | None, int]:
        """Return (rate in ppm or None when unknown, exponent); both copies, where present, must agree."""
        if not fees_enabled and clob.fee is None and market.fee is None:
            return 0, 1
        schedules = {fee for fee in (clob.fee, market.fee) if fee is not None}
        rate_ppm = _rate_ppm(schedules.pop()) if len(schedules) == 1 else None
        exponent = (clob.fee or market.fee or FeeSchedule(Decimal(0), 1, True)).exponent
        if rate_ppm is None:
            self._count("fee_schedule_unknown")
        return rate_ppm, exponent

    def _count(self, code: str) -> None:
        self.counters[code] = self.counters.get(code, 0) + 1


def _pick(markets: tuple[GammaMarket, ...] | None, name: str) -> GammaMarket | None:
    """Return the event's market of that slug; None when the event is missing or still empty."""
    if not markets:
        return None
    named = [market for market in markets if market.slug == name]
    if len(named) != 1:
        raise MarketRefused("ambiguous_market", f"{name}: {len(markets)} markets, {len(named)} of that name")
    return named[0]


def _fits(market: GammaMarket, window: Window) -> bool:
    return market.start_ns == window.start_ns and market.end_ns == window.end_ns


def _check_tokens(market: GammaMarket) -> None:
    if sorted(market.outcomes) != sorted(OUTCOMES):
        raise MarketRefused("outcome_names", f"{market.slug}: {market.outcomes}")
    if not market.token_ids or not all(market.token_ids):
        raise MarketRefused("empty_token_ids", market.slug)
    if len(market.token_ids) != len(OUTCOMES):
        raise MarketRefused("bad_json", f"{market.slug}: {len(market.token_ids)} token ids")
    if len(set(market.token_ids)) != len(OUTCOMES):
        raise MarketRefused("duplicate_tokens", market.slug)
    for token in market.token_ids:
        if not (token.isascii() and token.isdigit() and len(token) <= 78 and int(token) < MAX_TOKEN):
            raise MarketRefused("bad_json", f"{market.slug}: token id {token!r}")
        if int(token) & _V3_FIELD == 0:
            raise MarketRefused("exchange_version", f"{market.slug}: token id of Exchange V3")


def _check_clob(market: GammaMarket, clob: ClobMarket, token_of: dict[str, str]) -> None:
    """The CLOB must describe the same market, on the exchange we sign for, and take orders."""
    if clob.condition_id.lower() != market.condition_id.lower():
        raise MarketRefused("token_mismatch", f"{market.slug}: CLOB answered {clob.condition_id}")
    if not clob.tokens or not all(token for _, token in clob.tokens):
        raise MarketRefused("empty_token_ids", f"{market.slug} on the CLOB")
    if sorted(clob.tokens) != sorted(token_of.items()):
        raise MarketRefused("token_mismatch", f"{market.slug}: Gamma and CLOB name different tokens")
    if clob.version not in (None, "v1"):
        raise MarketRefused("exchange_version", f"{market.slug} is {clob.version!r}")
    if not clob.accepting_orders:
        raise MarketRefused("not_accepting_orders", market.slug)


def _tick_size_ticks(tick_size: Decimal) -> int:
    """Exact size of the venue's tick on the 1e-4 grid; it must divide 1.0."""
    if not 0 < tick_size < 1:
        raise MarketRefused("tick_off_grid", str(tick_size))
    ticks = tick_size * GRID
    if ticks != int(ticks) or GRID % int(ticks):
        raise MarketRefused("tick_off_grid", str(tick_size))
    return int(ticks)


def _min_size_ushares(min_size: Decimal) -> int:
    if not 0 < min_size <= MICRO:
        raise MarketRefused("min_size", str(min_size))
    ushares = min_size * MICRO
    if ushares != int(ushares):
        raise MarketRefused("min_size", str(min_size))
    return int(ushares)


def _rate_ppm(fee: FeeSchedule) -> int | None:
    """Exact rate in ppm; None when makers pay too or the rate is finer than 1e-6 or absurd."""
    if not fee.taker_only or not 0 <= fee.rate <= 1:
        return None
    ppm = fee.rate * MICRO
    return int(ppm) if ppm == int(ppm) else None
