"""Strike capture, the candle's open, the late check and outcome polling."""

import asyncio
import csv
import gzip
import json
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from scenario import make_spec

from polybot._fast.event import EventKind, Outcome, StrikeSource
from polybot.config import EngineConfig
from polybot.errors import VenueError
from polybot.market.resolution import OutcomePoller, OutcomeUnknown, Strike, StrikeCapture, kline_strike
from tests.market import canned
from tests.market.canned import CLOB, CONDITION, GAMMA, NS, SLUG, START_S, TOKEN_DOWN, TOKEN_UP, StepClock

T = TypeVar("T")
START_NS = START_S * NS
END_NS = START_NS + 300 * NS
MARKETS = f"{CLOB}/markets/{CONDITION}"
EVENT = f"{GAMMA}/events/slug/{SLUG}"
TWAP_SPEC = make_spec(
    slug=SLUG, condition_id=CONDITION, token_up=TOKEN_UP, token_down=TOKEN_DOWN, start_ns=START_NS, end_ns=END_NS
)
POINT_SPEC = replace(TWAP_SPEC, rule="point", twap_window_s=0)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def twap(
    capture: StrikeCapture, value: float, after_s: float, *, window_s: int = 60, sequenced: bool = False
) -> Strike | None:
    stamp_ns = START_NS + int(after_s * NS)
    return capture.on_oracle_tick(
        EventKind.EV_ORACLE_TWAP, value, stamp_ns, stamp_ns + NS, window_s=window_s, sequenced=sequenced
    )


def spot(capture: StrikeCapture, value: float, after_s: float) -> Strike | None:
    stamp_ns = START_NS + int(after_s * NS)
    return capture.on_oracle_tick(EventKind.EV_ORACLE_SPOT, value, stamp_ns, stamp_ns + NS)


class TestStrikeCapture:
    def test_exact_rtds_tick_after_its_neighbour_is_the_strike(self) -> None:
        capture = StrikeCapture(TWAP_SPEC, strike_sd=2e-5)
        assert twap(capture, 100.0, -2) is None
        assert twap(capture, 101.0, -1) is None
        assert capture.status == "waiting"
        strike = twap(capture, 102.5, 0)
        assert strike == Strike(102.5, StrikeSource.STRIKE_RTDS_TWAP, START_NS, variance=pytest.approx(4e-10))
        assert capture.strike is strike
        assert capture.status == "captured"

    def test_strike_is_given_once_and_a_differing_copy_only_counts(self) -> None:
        capture = StrikeCapture(TWAP_SPEC)
        twap(capture, 101.0, -1)
        assert twap(capture, 102.5, 0) is not None
        assert twap(capture, 102.5, 0) is None
        assert twap(capture, 102.6, 0) is None
        assert (capture.conflicts, capture.strike) == (
            1,
            Strike(102.5, StrikeSource.STRIKE_RTDS_TWAP, START_NS),
        )

    @pytest.mark.parametrize("before_s", [-1.501, -60.0])
    def test_rtds_tick_after_a_gap_leaves_the_strike_unknown(self, before_s: float) -> None:
        capture = StrikeCapture(TWAP_SPEC)
        twap(capture, 101.0, before_s)
        assert twap(capture, 102.5, 0) is None
        assert twap(capture, 102.5, 0) is None
        assert capture.status == "gap"

    def test_neighbour_exactly_one_and_a_half_seconds_earlier_is_adjacent(self) -> None:
        capture = StrikeCapture(TWAP_SPEC)
        twap(capture, 101.0, -1.5)
        assert twap(capture, 102.5, 0) is not None

    def test_rtds_tick_with_nothing_before_it_leaves_the_strike_unknown(self) -> None:
        capture = StrikeCapture(TWAP_SPEC)
        assert twap(capture, 102.5, 0) is None
        assert capture.status == "gap"

    def test_polybolt_tick_needs_no_neighbour_and_heals_a_gap(self) -> None:
        capture = StrikeCapture(TWAP_SPEC, strike_sd=2e-5)
        twap(capture, 102.5, 0)
        assert capture.status == "gap"
        strike = twap(capture, 102.5, 0, sequenced=True)
        assert strike == Strike(102.5, StrikeSource.STRIKE_POLYBOLT_TWAP, START_NS)

    def test_ticks_after_the_start_only_mean_missed(self) -> None:
        capture = StrikeCapture(TWAP_SPEC)
        twap(capture, 101.0, -1)
        assert twap(capture, 102.5, 1) is None
        assert twap(capture, 102.5, 2) is None
        assert capture.status == "missed"

    def test_exact_tick_overtaken_by_a_later_one_still_counts(self) -> None:
        capture = StrikeCapture(TWAP_SPEC)
        twap(capture, 101.0, -1)
        twap(capture, 103.0, 1)
        assert twap(capture, 102.5, 0) is not None

    def test_other_averages_and_spot_ticks_are_not_the_strike_of_a_twap_market(self) -> None:
        capture = StrikeCapture(TWAP_SPEC)
        twap(capture, 101.0, -1)
        assert twap(capture, 102.5, 0, window_s=30) is None
        assert spot(capture, 102.5, 0) is None
        assert twap(capture, float("nan"), 0) is None
        assert twap(capture, 0.0, 0) is None
        assert capture.status == "waiting"

    def test_point_market_takes_the_spot_tick(self) -> None:
        capture = StrikeCapture(POINT_SPEC)
        spot(capture, 101.0, -1)
        assert twap(capture, 99.0, 0) is None
        assert spot(capture, 102.5, 0) == Strike(102.5, StrikeSource.STRIKE_RTDS_SPOT, START_NS)

    def test_candle_market_has_no_strike_from_the_oracle(self) -> None:
        capture = StrikeCapture(replace(TWAP_SPEC, rule="candle", twap_window_s=0))
        twap(capture, 101.0, -1)
        assert twap(capture, 102.5, 0) is None
        assert capture.status == "not_from_oracle"

    def test_recorded_day_gives_the_venues_own_strikes(self, shared_dir: Path) -> None:
        """2026-06-08, point rule: every strike captured equals the one the market settled on."""
        folder = shared_dir / "data" / "Ligengxin96+polymarket-data-samples"
        with gzip.open(folder / "BTC-5m-markets-2026-06-08.jsonl.gz", "rt") as lines:
            markets = [json.loads(line) for line in lines]
        captures = {
            market["start_sec"]: StrikeCapture(replace(POINT_SPEC, start_ns=market["start_sec"] * NS))
            for market in markets
        }
        with gzip.open(folder / "BTCUSD-prices-2026-06-08.csv.gz", "rt") as rows:
            for row in csv.DictReader(rows):
                stamp_s = int(row["feed_ts_ms"]) // 1_000
                value = int(row["full_accuracy_value"]) / 1e18
                for start_s in (stamp_s - stamp_s % 300, stamp_s - stamp_s % 300 + 300):
                    if start_s in captures:
                        captures[start_s].on_oracle_tick(
                            EventKind.EV_ORACLE_SPOT, value, stamp_s * NS, int(row["recv_ms"]) * 1_000_000
                        )
        pairs = [
            (captures[market["start_sec"]].strike, int(market["strike_value"]) / 1e18)
            for market in markets
            if market["strike_value"]
        ]
        captured = [(strike.value, venue) for strike, venue in pairs if strike is not None]
        assert len(captured) > 270
        assert all(ours == pytest.approx(venue, rel=1e-12) for ours, venue in captured)


class TestKlineStrike:
    VENUE = replace(canned.VENUE, spot_rest_urls=("http://spot-a", "http://spot-b"))
    A, B = "http://spot-a/api/v3/klines", "http://spot-b/api/v3/klines"

    def capture(self, http: canned.Http, clock: StepClock, wait_s: float = 10.0) -> Strike:
        return run(kline_strike(http, clock, self.VENUE, symbol="BTCUSDT", start_ns=START_NS, wait_s=wait_s))

    @staticmethod
    def kline(start_s: int, price: str = "78803.71") -> list[list[Any]]:
        return [[start_s * 1_000, price, "1", "1", "1", "0", (start_s + 3_600) * 1_000 - 1]]

    def test_open_of_the_candle_that_starts_there(self) -> None:
        http = canned.Http({self.A: self.kline(START_S)})
        strike = self.capture(http, StepClock(START_NS))
        assert strike == Strike(78803.71, StrikeSource.STRIKE_KLINE, START_NS)
        assert http.asked == [f"{self.A}?symbol=BTCUSDT&interval=1h&startTime={START_S * 1_000}&limit=1"]

    def test_candle_that_shows_late_is_waited_for_on_every_host(self) -> None:
        answers = canned.Sequence([], self.kline(START_S - 3_600), self.kline(START_S))
        http = canned.Http({self.A: answers, self.B: 451})
        clock = StepClock(START_NS)
        assert self.capture(http, clock).value == 78803.71
        assert len(http.asked) == 5
        assert clock.now_ns() == START_NS + 4 * NS

    def test_candle_that_never_shows_is_an_error_with_its_reason(self) -> None:
        http = canned.Http({self.A: canned.UNAVAILABLE, self.B: self.kline(START_S, "0")})
        with pytest.raises(VenueError, match="open 0"):
            self.capture(http, StepClock(START_NS), wait_s=3.0)

    @pytest.mark.parametrize("body", [b"{", b"{}", b"[[]]", b"[7]", b'[["x","1"]]', b'[[1,"nan"]]'])
    def test_nonsense_is_an_error(self, body: bytes) -> None:
        with pytest.raises(VenueError):
            self.capture(canned.Http({self.A: body, self.B: body}), StepClock(START_NS), wait_s=1.0)


def tokens(winner: str | None) -> dict[str, Any]:
    return {
        "condition_id": CONDITION,
        "tokens": [
            {"token_id": TOKEN_UP, "outcome": "Up", "winner": winner == TOKEN_UP},
            {"token_id": TOKEN_DOWN, "outcome": "Down", "winner": winner == TOKEN_DOWN},
        ],
    }


def resolved(prices: str, **event: Any) -> dict[str, Any]:
    market = canned.gamma_market(closed=True, umaResolutionStatus="resolved", outcomePrices=prices)
    return canned.gamma_event(market, **event)


def poller(http: canned.Http, clock: StepClock, wait_s: float = 60.0) -> OutcomePoller:
    return OutcomePoller(http, clock, canned.VENUE, EngineConfig(outcome_poll_s=5.0, outcome_wait_s=wait_s))


class TestOutcomePoller:
    @pytest.mark.parametrize(("winner", "outcome"), [(TOKEN_UP, Outcome.UP), (TOKEN_DOWN, Outcome.DOWN)])
    def test_winner_on_the_clob_is_the_outcome(self, winner: str, outcome: int) -> None:
        http = canned.Http({MARKETS: tokens(winner)})
        assert run(poller(http, StepClock(END_NS)).wait(TWAP_SPEC)) == outcome

    @pytest.mark.parametrize(
        ("prices", "outcome"), [('["1", "0"]', Outcome.UP), ('["0", "1"]', Outcome.DOWN)]
    )
    def test_gamma_is_asked_when_the_clob_names_nobody(self, prices: str, outcome: int) -> None:
        http = canned.Http({MARKETS: tokens(None), EVENT: resolved(prices)})
        assert run(poller(http, StepClock(END_NS)).wait(TWAP_SPEC)) == outcome

    def test_gamma_prices_are_read_by_token(self) -> None:
        market = canned.gamma_market(
            closed=True,
            umaResolutionStatus="resolved",
            outcomes='["Down", "Up"]',
            clobTokenIds=json.dumps([TOKEN_DOWN, TOKEN_UP]),
            outcomePrices='["1", "0"]',
        )
        http = canned.Http({EVENT: canned.gamma_event(market)})
        assert run(poller(http, StepClock(END_NS)).wait(TWAP_SPEC)) == Outcome.DOWN

    def test_polls_through_errors_until_the_venue_publishes(self) -> None:
        clock = StepClock(END_NS)
        answers = canned.Sequence(503, canned.UNAVAILABLE, b"<html>", tokens(None), tokens(TOKEN_DOWN))
        closed_only = canned.gamma_event(canned.gamma_market(closed=True))
        http = canned.Http({MARKETS: answers, EVENT: canned.Sequence(b"{", closed_only)})
        asked = poller(http, clock)
        assert run(asked.wait(TWAP_SPEC)) == Outcome.DOWN
        assert (asked.polls, asked.errors) == (5, 4)
        assert clock.now_ns() == END_NS + 20 * NS

    def test_silence_for_too_long_raises(self) -> None:
        clock = StepClock(END_NS)
        with pytest.raises(OutcomeUnknown, match="60 s"):
            run(poller(canned.Http({MARKETS: tokens(None)}), clock).wait(TWAP_SPEC))
        assert clock.now_ns() == END_NS + 60 * NS

    def test_unsettled_prices_are_no_outcome(self) -> None:
        market = canned.gamma_market(closed=True, outcomePrices='["1", "0"]')  # not yet resolved
        http = canned.Http({MARKETS: tokens(None), EVENT: canned.gamma_event(market)})
        with pytest.raises(OutcomeUnknown):
            run(poller(http, StepClock(END_NS), wait_s=30.0).wait(TWAP_SPEC))

    @pytest.mark.parametrize("prices", ['["0.5", "0.5"]', '["1", "1"]', '["0.999", "0.001"]', "[]"])
    def test_resolution_that_is_not_one_winner_raises_at_once(self, prices: str) -> None:
        clock = StepClock(END_NS)
        http = canned.Http({MARKETS: tokens(None), EVENT: resolved(prices)})
        with pytest.raises(OutcomeUnknown):
            run(poller(http, clock).wait(TWAP_SPEC))
        assert clock.now_ns() == END_NS

    def test_winner_that_is_not_our_token_raises(self) -> None:
        http = canned.Http({MARKETS: {"tokens": [{"token_id": "7", "outcome": "Up", "winner": True}]}})
        with pytest.raises(OutcomeUnknown):
            run(poller(http, StepClock(END_NS)).wait(TWAP_SPEC))

    def test_recorded_resolved_event_says_up(self, shared_dir: Path) -> None:
        name = "gamma_event_twap60_resolved_1790123400_trimmed.json"
        event = json.loads((shared_dir / "data" / "BrightKha+Claude-route" / name).read_bytes())
        market = event[0]["markets"][0]
        up, down = json.loads(market["clobTokenIds"])
        spec = replace(
            TWAP_SPEC,
            slug=market["slug"],
            condition_id=market["conditionId"],
            token_up=up,
            token_down=down,
        )
        http = canned.Http({f"{GAMMA}/events/slug/{spec.slug}": event})
        asked = poller(http, StepClock(END_NS))
        assert run(asked.wait(spec)) == Outcome.UP
        check = run(
            asked.verify_late(spec, Strike(86434.33744369619, StrikeSource.STRIKE_RTDS_TWAP, spec.start_ns))
        )
        assert check is not None
        assert check.strike.verified


class TestVerifyLate:
    STRIKE = Strike(78803.71, StrikeSource.STRIKE_RTDS_TWAP, START_NS, variance=1e-10)

    def test_equal_strike_is_verified_when_the_venue_shows_its_own(self) -> None:
        clock = StepClock(END_NS)
        shown = canned.gamma_event(eventMetadata={"priceToBeat": 78803.71000000001})
        http = canned.Http({EVENT: canned.Sequence(None, canned.gamma_event(), shown)})
        check = run(poller(http, clock).verify_late(TWAP_SPEC, self.STRIKE))
        assert check is not None
        assert check.strike == replace(self.STRIKE, verified=True)
        assert clock.now_ns() == END_NS + 10 * NS

    def test_other_strike_is_reported_with_its_difference(self) -> None:
        http = canned.Http({EVENT: canned.gamma_event(eventMetadata={"priceToBeat": 78800})})
        check = run(poller(http, StepClock(END_NS)).verify_late(TWAP_SPEC, self.STRIKE))
        assert check is not None
        assert not check.strike.verified
        assert (check.published, check.difference) == (78800.0, pytest.approx(3.71))

    def test_strike_the_venue_never_shows_stays_unverified(self) -> None:
        http = canned.Http({EVENT: canned.gamma_event()})
        assert run(poller(http, StepClock(END_NS)).verify_late(TWAP_SPEC, self.STRIKE)) is None
