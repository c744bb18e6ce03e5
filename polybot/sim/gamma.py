"""Gamma of the embedded venue: events, markets and series with the real one's fields and quirks.

Owns the JSON of `GET /events/slug/{slug}`, `/events?slug=`, `/events?series_id=`, `/markets/slug/{slug}`,
`/markets?slug=` and `/series?slug=`: lists encoded as strings, numbers where the real one has numbers,
`eventMetadata` only after the window, two spellings of time (samples of 2026-09-23, see docs/VENUE.md).
The facts are sim.lifecycle's; asking for a coming window's slug lists it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from polybot.config import AssetConfig
from polybot.sim.exchange import Exchange
from polybot.sim.lifecycle import Lifecycle, MarketRecord, SeriesRecord
from polybot.sim.markets import ONE, UP
from polybot.sim.oracle import E18
from polybot.sim.path import NS
from polybot.transport import HttpResponse

__all__ = ["GammaApi"]

PAGE_MAX = 100
OFFSET_MAX = 2_000
LISTED_S = 86_400  # markets appear a day ahead; ours were "created" then
JSON = {"Content-Type": "application/json"}
EASTERN = ZoneInfo("America/New_York")

Query = Mapping[str, Sequence[str]]


class GammaApi:
    """Answers GET requests."""

    def __init__(self, lifecycle: Lifecycle, exchange: Exchange, asset: AssetConfig) -> None:
        self._lifecycle = lifecycle
        self._exchange = exchange
        self._asset = asset

    def handle(self, path: str, query: Query, now_ns: int) -> HttpResponse:
        """Answer one GET; query values are lists, as a key may repeat."""
        kind, _, rest = path.strip("/").partition("/")
        if rest.startswith("slug/"):
            return self._by_slug(kind, rest.removeprefix("slug/"), now_ns)
        if rest or kind not in ("events", "markets", "series"):
            return _not_found(kind)
        if kind == "series":
            wanted = query.get("slug", ())
            rows = [s for s in self._lifecycle.series.values() if not wanted or s.slug in wanted]
            return _json([_series(series) for series in rows])
        try:
            offset = int(_first(query, "offset") or 0)
            limit = min(int(_first(query, "limit") or PAGE_MAX), PAGE_MAX)
            records = self._select(kind, query)
        except ValueError as error:
            return _json({"type": "validation error", "error": str(error)}, 422)
        if offset > OFFSET_MAX:
            return _json({"type": "validation error", "error": "offset too large"}, 422)
        page = records[offset : offset + limit]
        if kind == "events":
            return _json([self._event(record, now_ns) for record in page])
        return _json([self._market(record, now_ns) for record in page])

    def _by_slug(self, kind: str, name: str, now_ns: int) -> HttpResponse:
        record = self._lifecycle.find(name)
        if record is None:
            return _not_found("slug")
        if kind == "events":
            return _json(self._event(record, now_ns))
        if kind == "markets":
            market = self._market(record, now_ns)
            event = {"id": record.event_id, "slug": record.spec.slug, **_metadata(record, now_ns)}
            return _json({**market, "events": [event]})
        return _not_found(kind)

    def _select(self, kind: str, query: Query) -> list[MarketRecord]:
        """Records that match; raises ValueError for a time that cannot be read."""
        names = query.get("slug", ())
        if names:
            found = [self._lifecycle.find(name) for name in names]
            records = [record for record in found if record is not None]
        else:
            records = sorted(self._lifecycle.records.values(), key=lambda record: record.spec.start_ns)
        if "series_id" in query:
            records = [record for record in records if record.series.series_id in query["series_id"]]
        closed = _first(query, "closed")
        if closed is not None or (kind == "markets" and not names):
            records = [record for record in records if (record.winner is not None) == (closed == "true")]
        for key, keep in (("start_time_min", 1), ("start_time_max", -1)):
            stamp = _first(query, key)
            if stamp is not None:
                limit_ns = int(datetime.fromisoformat(stamp).timestamp()) * NS
                records = [record for record in records if (record.spec.start_ns - limit_ns) * keep >= 0]
        return records

    def _event(self, record: MarketRecord, now_ns: int) -> dict[str, Any]:
        spec = record.spec
        resolved = record.winner is not None
        row = {
            "id": record.event_id,
            "ticker": spec.slug,
            "slug": spec.slug,
            "title": self._title(record),
            "resolutionSource": spec.resolution_source,
            "startDate": _iso_us(spec.start_ns - LISTED_S * NS),
            "creationDate": _iso_us(spec.start_ns - LISTED_S * NS + 65 * NS),
            "endDate": _iso(spec.end_ns),
            "active": True,
            "closed": resolved,
            "archived": False,
            "restricted": True,
            "volume": 0.0,
            "enableOrderBook": True,
            "negRisk": False,
            "markets": [self._market(record, now_ns)],
            "series": [_series(record.series)],
            "startTime": _iso(spec.start_ns),
            "seriesSlug": record.series.slug,
            **_metadata(record, now_ns),
            "version": "v1",
        }
        if resolved:
            row["closedTime"] = _iso(record.resolved_ns)
        return row

    def _market(self, record: MarketRecord, now_ns: int) -> dict[str, Any]:
        spec = record.spec
        row: dict[str, Any] = {
            "id": record.market_id,
            "question": self._title(record),
            "conditionId": spec.condition_id,
            "slug": spec.slug,
            "resolutionSource": spec.resolution_source,
            "endDate": _iso(spec.end_ns),
            "startDate": _iso_us(spec.start_ns - LISTED_S * NS),
            "outcomes": '["Up", "Down"]',
            **self._prices(record),
            "volume": "0",
            "active": True,
            "closed": record.winner is not None,
            "enableOrderBook": True,
            "orderPriceMinTickSize": record.tick_ticks / ONE,
            "orderMinSize": spec.min_size_ushares // 1_000_000,
            "clobTokenIds": f'["{spec.token_up}", "{spec.token_down}"]',
            "makerBaseFee": 1000,
            "takerBaseFee": 1000,
            "acceptingOrders": not record.is_over,
            "negRisk": spec.neg_risk,
            "acceptingOrdersTimestamp": _iso(spec.start_ns - LISTED_S * NS - 60 * NS),
            "rewardsMinSize": 50,
            "rewardsMaxSpread": 4.5,
            "restricted": True,
            "funded": False,
            "ready": False,
            "secondsDelay": 0,
            "eventStartTime": _iso(spec.start_ns),
            "feesEnabled": spec.fees_enabled,
            "makerRebatesFeeShareBps": 10000,
            "feeType": "crypto_fees_v2",
            "feeSchedule": {
                "exponent": spec.fee_exponent,
                "rate": (spec.fee_rate_ppm or 0) / 1_000_000,
                "takerOnly": True,
                "rebateRate": 0.2,
            },
            "version": "v1",
        }
        if spec.rule == "twap":
            config_id = f"{spec.asset}-{spec.interval}-twap-{spec.twap_window_s}"
            row["cryptoMarketConfigId"] = config_id
            row["cryptoMarketConfig"] = {
                "id": config_id,
                "asset": spec.asset,
                "duration": spec.interval,
                "twapEnabled": True,
                "twapLookbackSeconds": spec.twap_window_s,
            }
        if record.winner is not None:
            closed = datetime.fromtimestamp(record.resolved_ns // NS, UTC)
            row["closedTime"] = closed.strftime("%Y-%m-%d %H:%M:%S+00")
            row["umaEndDate"] = _iso(record.resolved_ns)
            row["umaResolutionStatus"] = "resolved"
            row["automaticallyResolved"] = True
        return row

    def _prices(self, record: MarketRecord) -> dict[str, Any]:
        if record.winner is not None:
            return {"outcomePrices": '["1", "0"]' if record.winner == UP else '["0", "1"]'}
        bid, ask = self._exchange.best(record.spec.condition_id)
        low, high = max(bid, 0) / ONE, (ask if ask > 0 else ONE) / ONE
        middle = round((low + high) / 2, 4)
        return {
            "outcomePrices": f'["{middle:g}", "{round(1.0 - middle, 4):g}"]',
            "spread": round(high - low, 4),
            "bestBid": low,
            "bestAsk": high,
        }

    def _title(self, record: MarketRecord) -> str:
        start = datetime.fromtimestamp(record.terms.start_s, EASTERN)
        end = datetime.fromtimestamp(record.terms.end_s, EASTERN)
        name = self._asset.long_name.capitalize()
        day = f"{start.strftime('%B')} {start.day}"
        if record.spec.interval == "1h":
            return f"{name} Up or Down - {day}, {start.hour % 12 or 12}{start.strftime('%p')} ET"
        return f"{name} Up or Down - {day}, {_clock(start)}-{_clock(end)} ET"


def _clock(at: datetime) -> str:
    return f"{at.hour % 12 or 12}:{at.minute:02d}{at.strftime('%p')}"


def _series(series: SeriesRecord) -> dict[str, Any]:
    return {
        "id": series.series_id,
        "ticker": series.slug,
        "slug": series.slug,
        "title": series.title,
        "seriesType": "single",
        "recurrence": "hourly" if series.interval == "1h" else series.interval,
    }


def _metadata(record: MarketRecord, now_ns: int) -> dict[str, Any]:
    """`eventMetadata`, from some time after the window on."""
    if not record.is_over or now_ns < record.metadata_ns or record.final_e18 is None:
        return {}
    assert record.strike_e18 is not None
    return {"eventMetadata": {"finalPrice": record.final_e18 / E18, "priceToBeat": record.strike_e18 / E18}}


def _first(query: Query, key: str) -> str | None:
    values = query.get(key)
    return values[0] if values else None


def _iso(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _iso_us(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, JSON, orjson.dumps(body))


def _not_found(what: str) -> HttpResponse:
    return _json({"type": "not found error", "error": f"{what} not found"}, 404)
