"""Observed windows: joined, priced and told beside the traded ones, never traded, and never in their way."""

import math
import re
from typing import Any

import pytest
import yaml
from runs import QUIET, configure, markets, rows, run

from polybot._fast.cross_timeframe import look_at
from polybot._fast.risk import Denial
from polybot.config import config_from_mapping, config_to_mapping, default_config, observed_intervals
from polybot.config_cross import CrossTimeframeParams, choose_observed
from polybot.config_files import conf_dir
from polybot.config_schema import to_mapping
from polybot.errors import ConfigError, InvariantBroken
from polybot.harness import VirtualRun
from polybot.market.resolution import StrikeCapture
from polybot.observer import ObservedWindow
from polybot.transport import HttpResponse

DURATIONS_S = {"5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400}
QUARTER = "btc-updown-15m-1795337100"  # starts with the first traded window of runs.START_NS
HOUR = "bitcoin-up-or-down-november-22-2026-3am-et"  # runs since 08:00 UTC


def settings(**changes: Any) -> dict[str, Any]:
    """A quiet 5m run with S6 on, observing 15m and 1h, its strategies' limits wide open for what it finds."""
    s6 = {
        "_target_": "polybot.strategies.CrossTimeframe",
        "enabled": True,
        **to_mapping(CrossTimeframeParams()),
    }
    return {
        "strategy__cross_timeframe": s6,
        "engine__observe_intervals": ["15m", "1h"],
        "engine__timer_ms": 500,
        **QUIET,
        **changes,
    }


def stop(trader, _):
    trader.stop()


def notices(result: VirtualRun) -> list[str]:
    lines = result.console.splitlines()
    return [line.split(maxsplit=2)[2] for line in lines if re.search(r"\d\s+(INFO|WARNING|ERROR)\s", line)]


def test_observed_windows_are_joined_priced_and_told_never_traded_and_the_ledger_agrees(tmp_path):
    seen: dict[str, Any] = {}

    def look(trader, venue):
        for market in trader.engine.markets.values():
            if market.observed:
                mid, fair, sigma = look_at(market, trader.engine.spot, trader.clock.now_ns())
                venues = venue.lifecycle.records[market.spec.slug]
                candle = venue.spot.history.candle("1h", market.start_ns // 10**9)
                strike = candle.open_e8 / 1e8 if venues.strike_e18 is None else venues.strike_e18 / 1e18
                blocked = set(market.stats()["blocked"])
                seen[market.spec.slug] = (mid, fair, sigma, market.strike, strike, blocked)
        seen["gateway"] = {trader.engine.markets[k].spec.interval for k in trader.gateway._markets}
        s6 = next(s for s in trader.engine.strategies if s.name == "cross_timeframe")
        place = s6.gate_names.index("windows")
        s6.pairs.notes.append("ARBITRAGE not traded: said by the test")
        traded = [m for m in trader.engine.markets.values() if m.spec.interval == "5m" and m.priced]
        seen["gates"] = [m.gate_rows(s6.index)[place] for m in traded]

    result = run(tmp_path, configure(**settings(venue__makers="slow", venue__seed=4)), during=[(160.0, look)])
    assert result.check.is_ok, result.check.text()
    assert result.check.markets == 1
    assert result.check.fills > 0
    assert list(markets(result)) == ["btc-updown-5m-1795337100"]
    assert {path.name for path in result.out_dir.iterdir() if path.is_dir()} == {"5m", "venue.state"}
    assert (result.summary.windows, result.summary.settled, result.summary.refused) == (1, 1, 0)

    assert seen["gateway"] == {"5m"}
    mid, fair, sigma, strike, true_strike, blocked = seen[QUARTER]
    assert strike == pytest.approx(true_strike, rel=1e-12)
    assert 0.0 < mid < 1.0
    assert 0.0 < fair < 1.0
    assert math.sqrt(365.25 * 86_400) * sigma == pytest.approx(0.4, abs=0.25)
    assert blocked == {int(Denial.OBSERVED)}
    assert seen[HOUR][3] == pytest.approx(seen[HOUR][4], rel=1e-9)
    assert rows(result, "orders.csv")  # all of them below 5m/, as the folders say
    (windows,) = seen["gates"]
    assert windows[0] >= 1.0  # at least one of the two prices variance at that moment

    told = notices(result)
    assert any(f"{QUARTER}: observed, never traded; strike" in line for line in told)
    report = (
        rf"{QUARTER}: observed, \d+ s left, mid 0\.\d+, fair 0\.\d+, volatility implied \d+% forecast \d+%"
    )
    assert any(re.search(report, line) for line in told)
    assert sum("already running and its strike not to be had any more" in line for line in told) == 1
    assert sum("ARBITRAGE not traded: said by the test" in line for line in told) == 1
    assert not [line for line in result.console.splitlines() if re.search(r"\d\s+ERROR\s", line)]


def test_windows_of_a_shorter_interval_come_and_go_while_a_longer_one_is_traded(tmp_path):
    counts: list[int] = []

    def look(trader, _):
        counts.append(sum(market.observed for market in trader.engine.markets.values()))

    config = default_config(
        **{
            **{
                key.replace("__", "."): value
                for key, value in settings(engine__observe_intervals=["5m"]).items()
            },
            "interval.name": "15m",
            "interval.duration_s": 900,
            "run.markets": 1,
            "engine.timer_ms": 1_000,
            "engine.diagnostics_s": 600.0,
            "venue.world.takers.noise_per_s": 0.0,
            "venue.world.makers.requote_ms": 5_000,
            "venue.world.makers.deep_levels": 0,
        }
    )
    result = run(tmp_path, config, during=[(t, look) for t in range(50, 900, 25)])
    assert result.check.is_ok, result.check.text()
    assert list(markets(result)) == [QUARTER]
    assert set(counts) == {1, 2}  # one runs, now and then the next is joined already
    strikes = [line for line in notices(result) if "observed, never traded; strike" in line]
    assert len(strikes) >= 3
    assert len(set(strikes)) == len(strikes)
    assert not any("is not the venue's" in line for line in result.console.splitlines())
    assert "feed observed in all" in result.console


def test_an_interval_the_venue_does_not_list_is_told_and_leaves_the_traded_window_unharmed(tmp_path):
    def unlist(trader, _):
        http = trader.wires.http
        request = http.request

        async def without_quarters(method, url, **more):
            if "15m" in url:
                return HttpResponse(404, {}, b"{}")
            return await request(method, url, **more)

        http.request = without_quarters

    result = run(tmp_path, configure(**settings(engine__observe_intervals=["15m"])), prepare=unlist)
    (traded,) = markets(result).values()
    assert result.check.is_ok, result.check.text()
    assert traded["outcome"] in ("Up", "Down")
    assert float(traded["spot_coverage"]) >= 0.95
    assert float(traded["book_coverage"]) >= 0.95
    assert any(f"{QUARTER}: not to be traded yet, not_listed" in line for line in notices(result))
    assert not any(market.observed for market in result.trader.engine.markets.values())
    assert (result.summary.settled, result.summary.refused) == (1, 0)


def test_a_window_with_another_rule_than_expected_is_not_observed(tmp_path):
    rules = {"5m": "twap", "15m": "point", "1h": "candle", "4h": "twap"}
    result = run(tmp_path, configure(**settings(engine__observe_rules=rules)), during=[(70.0, stop)])
    refused = [line for line in notices(result) if "cannot be observed, unexpected_rule" in line]
    assert any(QUARTER in line for line in refused)
    assert any(f"{HOUR}: observed, never traded" in line for line in notices(result))
    assert result.summary.refused == 0


def test_an_observed_window_that_breaks_is_left_and_the_traded_one_goes_on(tmp_path, monkeypatch):
    follow = ObservedWindow._follow

    async def breaks(self, spec, index, strike):
        await follow_until_start(self, spec)
        if spec.interval == "15m":
            raise RuntimeError("broken on purpose")
        return await follow(self, spec, index, strike)

    async def follow_until_start(self, spec):
        await self._trader.sleep_until(spec.start_ns + 30 * 10**9)

    monkeypatch.setattr(ObservedWindow, "_follow", breaks)
    left: list[str] = []
    traded: list[bool] = []

    def look(trader, _):
        for market in trader.engine.markets.values():
            if market.observed:
                left.append(market.spec.interval)
            elif market.start_ns <= trader.clock.now_ns() < market.end_ns:
                traded.append(market.priced)

    result = run(tmp_path, configure(**settings()), during=[(100.0, look), (101.0, stop)])
    text = f"{QUARTER}: observing it failed, it is left: RuntimeError: broken on purpose"
    assert sum(text in line for line in notices(result)) == 1
    assert left == ["1h"]
    assert traded == [True]
    assert result.summary.refused == 0
    assert not result.summary.orders_may_be_open


def test_an_observed_window_whose_strike_never_comes_is_left_and_said(tmp_path, monkeypatch):
    class Deaf(StrikeCapture):
        def on_oracle_tick(self, *args, **more):
            return None

    monkeypatch.setattr("polybot.observer.StrikeCapture", Deaf)
    left: list[str] = []

    def look(trader, _):
        left.extend(market.spec.interval for market in trader.engine.markets.values() if market.observed)

    result = run(tmp_path, configure(**settings()), during=[(80.0, look), (81.0, stop)])
    assert sum(f"{QUARTER}: observed in vain, its strike is unknown" in line for line in notices(result)) == 1
    assert left == ["1h"]  # a candle's open does not come from the oracle
    assert result.summary.refused == 0


def test_a_contradiction_in_our_own_state_ends_the_run_wherever_it_shows(tmp_path, monkeypatch):
    async def breaks(self, spec, index, strike):
        raise InvariantBroken("on purpose")

    monkeypatch.setattr(ObservedWindow, "_follow", breaks)
    with pytest.raises(ExceptionGroup) as caught:
        run(tmp_path, configure(**settings()))
    assert caught.value.subgroup(InvariantBroken) is not None


# -- which intervals --------------------------------------------------------------------------------


def choose(
    named: tuple[str, ...] = (), *, own: str = "5m", wanted: bool = True, offered: Any = tuple(DURATIONS_S)
) -> tuple[str, ...]:
    return choose_observed(named, own=own, offered=offered, durations_s=DURATIONS_S, wanted=wanted)


def test_without_a_list_the_other_intervals_are_observed_while_the_strategy_wants_them():
    assert choose() == ("15m", "1h", "4h")
    assert choose(own="1h") == ("5m", "15m", "4h")
    assert choose(offered=("5m", "15m", "4h")) == ("15m", "4h")
    assert choose(wanted=False) == ()


def test_a_list_is_taken_as_it_is_whether_the_strategy_is_on_or_not():
    assert choose(("1h", "15m")) == ("15m", "1h")
    assert choose(("1h",), wanted=False) == ("1h",)


@pytest.mark.parametrize(
    ("named", "offered", "words"),
    [
        (("5m",), tuple(DURATIONS_S), "5m is traded"),
        (("1h",), ("5m", "15m", "4h"), "offers: 5m, 15m, 4h"),
        (("1h", "1h"), tuple(DURATIONS_S), "must differ"),
    ],
)
def test_an_interval_that_cannot_be_observed_is_refused_in_words(named, offered, words):
    with pytest.raises(ConfigError, match=words):
        choose(named, offered=offered)


def test_the_embedded_venue_lists_what_is_observed_and_the_mapping_round_trips():
    config = configure(
        **settings(engine__observe_intervals=["4h"], venue__world__lifecycle__intervals=["1h"])
    )
    assert observed_intervals(config) == ("4h",)
    assert config.venue.world.lifecycle.intervals == ("1h", "4h")
    assert config_from_mapping(config_to_mapping(config)) == config


def test_nothing_is_observed_by_default():
    assert observed_intervals(default_config()) == ()
    assert default_config().venue.world.lifecycle.intervals == ()


def test_the_rules_expected_of_observed_windows_are_those_of_the_intervals_own_files():
    files = [yaml.safe_load(path.read_text()) for path in sorted((conf_dir() / "interval").glob("*.yaml"))]
    assert len(files) == 4
    assert dict(default_config().engine.observe_rules) == {
        file["name"]: file["rule_expected"] for file in files
    }


def test_an_interval_without_an_expected_rule_is_refused():
    with pytest.raises(ConfigError, match=r"engine\.observe_rules\.4h is missing"):
        default_config(**{"engine.observe_rules": {"5m": "twap", "15m": "twap", "1h": "candle"}})
