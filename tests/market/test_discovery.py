"""Discovery: a listed market becomes its spec, every defect its own refusal, delays are retryable."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from polybot.config import AssetConfig
from polybot.errors import MarketRefused, VenueError, VenueUnavailable
from polybot.market.discovery import RETRYABLE, Discovery, NotListedYet
from polybot.market.spec import MarketSpec
from polybot.market.window import Window, window_at
from tests.market import canned
from tests.market.canned import CLOB, CONDITION, GAMMA, NS, SLUG, START_S, TOKEN_DOWN, TOKEN_UP, StepClock

BTC = AssetConfig()
WINDOW = Window("5m", START_S * NS, (START_S + 300) * NS)
SPEC = MarketSpec(
    slug=SLUG,
    asset="btc",
    interval="5m",
    condition_id=CONDITION,
    token_up=TOKEN_UP,
    token_down=TOKEN_DOWN,
    start_ns=WINDOW.start_ns,
    end_ns=WINDOW.end_ns,
    tick_size_ticks=100,
    min_size_ushares=5_000_000,
    fees_enabled=True,
    fee_rate_ppm=70_000,
    fee_exponent=1,
    taker_delay_ms=150,
    neg_risk=False,
    rule="twap",
    twap_window_s=60,
    resolution_source="https://data.chain.link/streams/btc-usd-twap-60s-streams",
)


def discovery(http: canned.Http, now_s: int = START_S - 600) -> Discovery:
    return Discovery(http, StepClock(now_s * NS), canned.VENUE)


def find(http: canned.Http, window: Window = WINDOW, now_s: int = START_S - 600) -> MarketSpec:
    return asyncio.run(discovery(http, now_s).find(window, BTC))


def refusal(http: canned.Http, **args: Any) -> str:
    with pytest.raises(MarketRefused) as refused:
        find(http, **args)
    return refused.value.code


def test_listed_market_becomes_its_spec() -> None:
    assert find(canned.listed()) == SPEC


def test_tokens_are_mapped_by_outcome_name_not_by_position() -> None:
    swapped = canned.gamma_market(outcomes='["Down", "Up"]', clobTokenIds=json.dumps([TOKEN_DOWN, TOKEN_UP]))
    assert find(canned.listed(swapped)) == SPEC


def test_list_form_of_the_event_is_accepted() -> None:
    http = canned.listed()
    http.answers[f"{GAMMA}/events/slug/{SLUG}"] = [canned.gamma_event()]
    assert find(http) == SPEC


def test_start_may_stand_on_the_event_only() -> None:
    http = canned.listed()
    event = canned.gamma_event(
        canned.gamma_market(eventStartTime="absent"), startTime="2026-09-23 01:40:00+00"
    )
    http.answers[f"{GAMMA}/events/slug/{SLUG}"] = event
    assert find(http) == SPEC


def test_finer_tick_and_neg_risk_come_from_the_clob() -> None:
    spec = find(canned.listed(clob=canned.clob_market(mts=0.001, nr=True, mos=15.5)))
    assert (spec.tick_size_ticks, spec.neg_risk, spec.min_size_ushares) == (10, True, 15_500_000)


def test_delay_is_zero_when_the_clob_does_not_hold_takers() -> None:
    assert find(canned.listed(clob=canned.clob_market(itode=False))).taker_delay_ms == 0
    assert find(canned.listed(clob=canned.clob_market(itode=False, sd=3))).taker_delay_ms == 3_000


@pytest.mark.parametrize(
    ("gamma", "clob", "rate_ppm", "unknown"),
    [
        ({}, {}, 70_000, 0),
        ({"feeSchedule": "absent"}, {}, 70_000, 0),
        ({}, {"fd": "absent"}, 70_000, 0),
        ({"feeSchedule": "absent"}, {"fd": "absent"}, None, 1),
        ({"feeSchedule": "absent", "feesEnabled": "absent"}, {"fd": "absent"}, None, 1),
        ({"feeSchedule": "absent", "feesEnabled": False}, {"fd": "absent"}, 0, 0),
        ({}, {"fd": {"r": 0.072, "e": 1, "to": True}}, None, 1),  # two copies that differ
        ({"feeSchedule": "absent"}, {"fd": {"r": 0.07, "e": 1, "to": False}}, None, 1),  # makers pay too
        ({"feeSchedule": "absent"}, {"fd": {"r": 0.0700001, "e": 1, "to": True}}, None, 1),
        ({"feeSchedule": "absent"}, {"fd": {"r": 0.07, "e": 1.5, "to": True}}, None, 1),
        ({"feeSchedule": "absent"}, {"fd": {"r": "0.07", "e": 1, "to": True}}, None, 1),
    ],
)
def test_fee_schedule_is_exact_or_unknown(
    gamma: dict[str, Any], clob: dict[str, Any], rate_ppm: int | None, unknown: int
) -> None:
    http = canned.listed(canned.gamma_market(**gamma), canned.clob_market(**clob))
    found = discovery(http)
    spec = asyncio.run(found.find(WINDOW, BTC))
    assert spec.fee_rate_ppm == rate_ppm
    assert found.counters.get("fee_schedule_unknown", 0) == unknown


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"outcomes": '["Yes", "No"]'}, "outcome_names"),
        ({"outcomes": '["Up", "Up"]'}, "outcome_names"),
        ({"outcomes": "absent"}, "outcome_names"),
        ({"outcomes": "Up, Down"}, "bad_json"),
        ({"clobTokenIds": "absent"}, "empty_token_ids"),
        ({"clobTokenIds": ""}, "empty_token_ids"),
        ({"clobTokenIds": "[]"}, "empty_token_ids"),
        ({"clobTokenIds": '["", ""]'}, "empty_token_ids"),
        ({"clobTokenIds": json.dumps([TOKEN_UP, TOKEN_UP])}, "duplicate_tokens"),
        ({"clobTokenIds": json.dumps([TOKEN_UP])}, "bad_json"),
        ({"clobTokenIds": json.dumps([TOKEN_UP, "0x12"])}, "bad_json"),
        ({"clobTokenIds": json.dumps([TOKEN_UP, str(1 << 256)])}, "bad_json"),
        ({"clobTokenIds": json.dumps([TOKEN_UP, str(7 << 200)])}, "exchange_version"),
        ({"version": "v2"}, "exchange_version"),
        ({"enableOrderBook": False}, "no_order_book"),
        ({"closed": True}, "zombie"),
        ({"resolutionSource": "https://example.org/btc"}, "unknown_resolution_rule"),
        ({"resolutionSource": "absent"}, "unknown_resolution_rule"),
        (
            {"resolutionSource": "https://data.chain.link/streams/eth-usd-twap-60s-streams"},
            "wrong_asset",
        ),
        ({"eventStartTime": "2026-09-23T01:35:00Z"}, "wrong_window"),
        ({"eventStartTime": "absent"}, "wrong_window"),
        ({"endDate": "2026-09-23T01:55:00Z"}, "wrong_window"),
        ({"endDate": "2026-09-23T01:45:00"}, "bad_json"),  # no zone
        ({"conditionId": None}, "bad_json"),
        ({"slug": "btc-updown-5m-1790127900"}, "ambiguous_market"),
    ],
)
def test_defect_of_the_gamma_market_is_refused_by_code(changes: dict[str, Any], code: str) -> None:
    assert refusal(canned.listed(canned.gamma_market(**changes))) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ao": False}, "not_accepting_orders"),
        ({"ao": "absent"}, "not_accepting_orders"),
        ({"c": "0x00"}, "token_mismatch"),
        ({"t": []}, "empty_token_ids"),
        ({"t": [{"t": TOKEN_UP, "o": "Down"}, {"t": TOKEN_DOWN, "o": "Up"}]}, "token_mismatch"),
        ({"t": [{"t": TOKEN_UP, "o": "Up"}] * 2}, "token_mismatch"),
        ({"mts": 0.00001}, "tick_off_grid"),
        ({"mts": 0.003}, "tick_off_grid"),  # does not divide 1
        ({"mts": 0}, "tick_off_grid"),
        ({"mts": 1}, "tick_off_grid"),
        ({"mts": "0.01"}, "bad_json"),
        ({"mts": True}, "bad_json"),
        ({"mos": 0}, "min_size"),
        ({"mos": -5}, "min_size"),
        ({"mos": 0.00000001}, "min_size"),
        ({"mos": "absent"}, "bad_json"),
        ({"v": "v2"}, "exchange_version"),
    ],
)
def test_defect_of_the_clob_market_is_refused_by_code(changes: dict[str, Any], code: str) -> None:
    assert refusal(canned.listed(clob=canned.clob_market(**changes))) == code


def test_event_and_market_that_name_different_sources_are_refused() -> None:
    http = canned.listed()
    http.answers[f"{GAMMA}/events/slug/{SLUG}"] = canned.gamma_event(
        resolutionSource="https://data.chain.link/streams/btc-usd"
    )
    assert refusal(http) == "unknown_resolution_rule"


def test_window_that_is_over_is_a_zombie_although_not_closed() -> None:
    assert refusal(canned.listed(), now_s=START_S + 300) == "zombie"


def test_running_window_is_found() -> None:
    assert find(canned.listed(), now_s=START_S + 299) == SPEC


@pytest.mark.parametrize("body", [b"<html>", b"", b'{"markets": {}}', b"[1]", b'{"markets":[7]}', b"NaN"])
def test_body_that_is_no_event_is_bad_json(body: bytes) -> None:
    http = canned.listed()
    http.answers[f"{GAMMA}/events/slug/{SLUG}"] = body
    assert refusal(http) == "bad_json"


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        (f"{GAMMA}/events/slug/{SLUG}", None),
        (f"{GAMMA}/events/slug/{SLUG}", []),
        (f"{GAMMA}/events/slug/{SLUG}", {"slug": SLUG}),
        (f"{GAMMA}/events/slug/{SLUG}", {"slug": SLUG, "markets": []}),
        (f"{CLOB}/clob-markets/{CONDITION}", None),
    ],
)
def test_half_listed_market_is_not_listed_yet(url: str, answer: Any) -> None:
    http = canned.listed()
    http.answers[url] = answer
    found = discovery(http)
    with pytest.raises(NotListedYet):
        asyncio.run(found.find(WINDOW, BTC))
    assert found.counters["not_listed"] == 1


def test_server_error_and_silence_are_venue_errors_and_counted() -> None:
    for answer, kind in ((503, VenueError), (canned.UNAVAILABLE, VenueUnavailable)):
        http = canned.listed()
        http.answers[f"{CLOB}/clob-markets/{CONDITION}"] = answer
        found = discovery(http)
        with pytest.raises(kind) as caught:
            asyncio.run(found.find(WINDOW, BTC))
        assert not isinstance(caught.value, NotListedYet)
        assert found.counters == {"venue_error": 1}


def test_every_refusal_is_counted_by_its_code() -> None:
    http = canned.listed(canned.gamma_market(closed=True))
    found = discovery(http)
    for _ in range(3):
        with pytest.raises(MarketRefused):
            asyncio.run(found.find(WINDOW, BTC))
    assert found.counters == {"zombie": 3}


def test_retryable_codes_are_those_that_heal() -> None:
    assert {"not_accepting_orders", "empty_token_ids"} <= RETRYABLE
    assert not {"wrong_asset", "unknown_resolution_rule", "exchange_version", "zombie"} & RETRYABLE


def test_market_under_another_slug_is_found_by_its_series() -> None:
    other = canned.gamma_market(slug="btc-updown-5m-renamed")
    http = canned.Http(
        {
            f"{GAMMA}/series": [{"id": "1", "slug": "other"}, {"id": "10684", "slug": "btc-up-or-down-5m"}],
            f"{GAMMA}/events": [canned.gamma_event(other)],
            f"{CLOB}/clob-markets/{CONDITION}": canned.clob_market(),
        }
    )
    found = discovery(http)
    assert asyncio.run(found.find(WINDOW, BTC)) == replace(SPEC, slug="btc-updown-5m-renamed")
    assert asyncio.run(found.find(WINDOW, BTC)).slug == "btc-updown-5m-renamed"
    assert sum("/series?" in url for url in http.asked) == 1  # the id is cached
    assert "series_id=10684&closed=false&start_time_min=2026-09-23T01%3A40%3A00Z" in http.asked[2]


def test_series_of_another_name_is_never_used() -> None:
    http = canned.Http({f"{GAMMA}/series": [{"id": "1", "slug": "eth-up-or-down-5m"}]})
    found = discovery(http)
    with pytest.raises(NotListedYet):
        asyncio.run(found.find(WINDOW, BTC))
    assert found.counters == {"unknown_series": 1, "not_listed": 1}


def test_repeated_hour_is_told_apart_by_its_start() -> None:
    """On 2026-11-01 two 1h windows share a slug: the second is found through the series."""
    name = "bitcoin-up-or-down-november-1-2026-1am-et"
    second = window_at("1h", int(datetime(2026, 11, 1, 6, 30, tzinfo=UTC).timestamp()) * NS)

    def market(start: str, end: str, **changes: Any) -> dict[str, Any]:
        return canned.gamma_market(
            slug=name,
            eventStartTime=start,
            endDate=end,
            resolutionSource="https://www.binance.com/en/trade/BTC_USDT",
            cryptoMarketConfig="absent",
            **changes,
        )

    http = canned.Http(
        {
            f"{GAMMA}/events/slug/{name}": canned.gamma_event(
                market("2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z", conditionId="0xaa")
            ),
            f"{GAMMA}/series": [{"id": 10114, "slug": "btc-up-or-down-hourly"}],
            f"{GAMMA}/events": [canned.gamma_event(market("2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"))],
            f"{CLOB}/clob-markets/{CONDITION}": canned.clob_market(),
        }
    )
    spec = find(http, second, now_s=second.start_ns // NS - 60)
    assert (spec.condition_id, spec.start_ns, spec.rule) == (CONDITION, second.start_ns, "candle")
    http.answers[f"{GAMMA}/events"] = []
    assert refusal(http, window=second, now_s=second.start_ns // NS - 60) == "wrong_window"


def test_two_markets_on_one_window_are_ambiguous() -> None:
    http = canned.listed(canned.gamma_market(endDate="2026-09-23T01:55:00Z"))
    http.answers[f"{GAMMA}/series"] = {"id": "10684", "slug": "btc-up-or-down-5m"}
    http.answers[f"{GAMMA}/events"] = [canned.gamma_event(), canned.gamma_event()]
    assert refusal(http) == "ambiguous_market"


def test_recorded_event_of_a_resolved_window_reads_and_is_a_zombie(shared_dir: Path) -> None:
    name = "gamma_event_twap60_resolved_1790123400_trimmed.json"
    recorded = (shared_dir / "data" / "BrightKha+Claude-route" / name).read_bytes()
    window = Window("5m", 1_790_123_400 * NS, 1_790_123_700 * NS)
    http = canned.Http({f"{GAMMA}/events/slug/btc-updown-5m-1790123400": recorded})
    assert refusal(http, window=window, now_s=1_790_123_500) == "zombie"


def test_recorded_clob_market_reads(shared_dir: Path) -> None:
    recorded = shared_dir / "data" / "BrightKha+Claude-route" / "clob_market_btc5m_1790127600.json"
    assert find(canned.listed(clob=json.loads(recorded.read_bytes()))) == SPEC
