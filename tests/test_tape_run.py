"""A window of real exchange frames: every one decoded, and what the engine makes of them equal to a slow reference.

The tape is 2024-08-08 23:54:15 to 24:00 UTC of the spot exchange, served by the embedded venue at its own pace.
Estimators are compared with plain lists and explicit weights over the very events the engine received.
"""

import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from between import stand_between
from reference import math_reference as slow
from runs import configure, markets, run

from polybot._fast.event import EventBuffer, EventFlag, EventKind
from polybot._fast.sink import EventSink
from polybot.config import VolConfig
from polybot.harness import VirtualRun
from polybot.sim.venue import Venue
from polybot.trader import Trader

NS = 1_000_000_000
TAPE = "data/nkaz001+hftbacktest/spot_btcusdt_20240808.gz"
TRADES, QUOTES = 9_757, 28_040
FIRST_TRADE, LAST_TRADE = 3_735_683_259, 3_735_693_015
FIRST_QUOTE = 50_093_239_212
SLUG = "btc-updown-5m-1723161300"  # 2024-08-08 23:55 UTC
CHECK_EVERY = 100  # live trades
YEAR_S = 365.25 * 86_400
REL = 1e-9
EWMA = VolConfig(name="ewma", sample_ms=1_000, warmup_samples=10, floor_annual=0.30)
# At 30 venue seconds a wall second a busy machine is easily "silent" for 5 of them: nothing may be cut for that.
PATIENT = ("feeds.spot_silence_s=600", "feeds.oracle_silence_s=600", "feeds.pong_timeout_s=300")


@dataclass
class Tap:
    """Spot events as the engine got them, and what its estimators said right after some of the trades."""

    trades: list[tuple[float, float, int]] = field(
        default_factory=list
    )  # price, quantity, the engine's stamp
    live: int = 0
    quotes: int = 0
    first_ids: dict[int, int] = field(default_factory=dict)
    last_ids: dict[int, int] = field(default_factory=dict)
    checks: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # trades so far, values

    def attach(self, trader: Any, _: Venue) -> None:
        """Stand between the spot feed (its warm start too) and the engine."""

        def sink(events: EventBuffer, pass_on: EventSink) -> None:
            pass_on(events)
            self._note(events, trader)

        stand_between(trader, sink)

    def _note(self, events: EventBuffer, trader: Trader) -> None:
        live_before = self.live
        for row in events.to_numpy():
            kind, backfill = int(row["kind"]), int(row["flags"]) & EventFlag.F_SNAPSHOT
            if kind not in (EventKind.EV_SPOT_TRADE, EventKind.EV_SPOT_QUOTE):
                continue
            if kind == EventKind.EV_SPOT_TRADE:
                stamp_ns = int(row["venue_ns" if backfill else "recv_ns"])
                self.trades.append((float(row["x"]), float(row["y"]), stamp_ns))
                self.live += not backfill
            self.quotes += kind == EventKind.EV_SPOT_QUOTE
            if not backfill:
                self.first_ids.setdefault(kind, int(row["seq"]))
                self.last_ids[kind] = int(row["seq"])
        if self.live // CHECK_EVERY > live_before // CHECK_EVERY or (self.live == 1 and live_before == 0):
            spot = trader.engine.spot
            values = {
                "volatility": spot.vol.value(),
                "sigma": spot.sigma,
                "sigma_ns": spot.sigma_ns,
                "vwap": spot.vwap.mean,
                "regime": int(spot.regime.regime),
                "fraction": spot.regime.fraction,
                "last": spot.last,
            }
            self.checks.append((len(self.trades), values))


Taped = tuple[VirtualRun, Tap]


@pytest.fixture(scope="module")
def taped(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Taped:
    """The taped window, traded in virtual time."""
    tap = Tap()
    config = configure(venue__tape=str(shared_dir / TAPE), model__vol=EWMA)
    return run(tmp_path_factory.mktemp("tape"), config, prepare=tap.attach), tap


def test_every_recorded_trade_and_quote_reaches_the_engine_once_and_in_order(taped: Taped) -> None:
    result, tap = taped
    counters = result.trader.spot_feed.counters()
    assert (counters["trades"], counters["quotes"]) == (TRADES, QUOTES)
    assert (
        counters["frames"] == TRADES + QUOTES
    )  # neither depth lines nor the recorder's REST line are served
    faults = ("malformed", "unsupported", "slow_used", "gaps", "missing_trades", "duplicates", "stale_quotes")
    assert {name: counters[name] for name in faults} == dict.fromkeys(faults, 0)
    assert (tap.live, tap.quotes) == (TRADES, QUOTES)
    assert tap.first_ids == {EventKind.EV_SPOT_TRADE: FIRST_TRADE, EventKind.EV_SPOT_QUOTE: FIRST_QUOTE}
    assert tap.last_ids[EventKind.EV_SPOT_TRADE] == LAST_TRADE == FIRST_TRADE + TRADES - 1
    tape = result.venue.spot.tape
    assert tape is not None
    assert tape.skipped == {"depth@100ms": 3_451, "rest": 1}


def test_volatility_equals_the_slow_reference(taped: Taped) -> None:
    _, tap = taped
    floor = 0.30 / math.sqrt(YEAR_S)
    values = []
    for count, got in tap.checks:
        prices = [(price, ns) for price, _, ns in tap.trades[:count]]
        expected = _ewma(prices, floor)
        values.append(expected)
        assert got["volatility"] == pytest.approx(expected, rel=REL, nan_ok=True)
        cached = _ewma([(price, ns) for price, ns in prices if ns <= got["sigma_ns"]], floor)
        assert got["sigma"] == pytest.approx(cached, rel=REL, nan_ok=True)
        assert got["last"] == prices[-1][0]
    assert len(values) == TRADES // CHECK_EVERY + 1
    known = [value for value in values if not math.isnan(value)]
    assert math.isnan(values[0])  # the past before the tape is silence: nothing to warm up on
    assert len(known) > 90
    assert max(known) > 3 * floor
    assert len(set(known)) > 50


def test_vwap_equals_the_slow_reference(taped: Taped) -> None:
    _, tap = taped
    for count, got in tap.checks:
        past = tap.trades[:count]
        assert math.isclose(got["vwap"], slow.vwap(past, past[-1][2], 60 * NS), rel_tol=REL)
    assert len({got["vwap"] for _, got in tap.checks}) > 90


def test_regime_equals_the_slow_reference(taped: Taped) -> None:
    _, tap = taped
    seen = set()
    for count, got in tap.checks:
        prices = [(price, ns) for price, _, ns in tap.trades[:count]]
        up, down = slow.direction_counts(prices, prices[-1][1], 30 * NS)
        seen.add(slow.regime(up, down))
        assert got["regime"] == slow.regime(up, down)
        fraction = max(up, down) / (up + down) if up + down else math.nan
        assert got["fraction"] == fraction or (math.isnan(got["fraction"]) and math.isnan(fraction))
    assert seen >= {0, 1}


def test_a_book_that_follows_its_messages_is_never_asked_for_again(taped: Taped) -> None:
    result, _ = taped
    counts = result.trader.tally.totals()["market"]
    assert counts["books"] > 1_000
    assert counts["price_changes"] > 1_000
    # One market, one tick change (told of both tokens): nothing else asks for a snapshot, one-sided books included.
    asked = ("resync_requests", "tick_refetch_requests", "no_first_book", "silences", "tick_changes")
    assert [counts[name] for name in asked] == [0, 0, 0, 0, 2]
    assert counts["subscriptions"] == 2


def test_the_taped_window_is_struck_traded_and_settled_by_the_venue(taped: Taped) -> None:
    result, _ = taped
    (found,) = markets(result).values()
    record = result.venue.lifecycle.records[SLUG]
    assert found["slug"] == SLUG
    assert (found["start"], found["end"]) == ("2024-08-08T23:55:00Z", "2024-08-09T00:00:00Z")
    assert found["strike_source"] in ("RTDS_TWAP", "POLYBOLT_TWAP")
    assert record.strike_e18 is not None
    assert record.winner is not None
    assert float(found["strike"]) == pytest.approx(record.strike_e18 / 10**18, rel=1e-12)
    assert found["outcome"] == ("Up", "Down")[record.winner]
    assert "the venue's outcome is" in result.console
    assert "verified" in result.console
    assert (float(found["spot_coverage"]), float(found["book_coverage"])) == (1.0, 1.0)
    assert int(found["orders"]) > 0
    assert int(found["pnl_micro_usd"]) == result.check.venue.pnl == result.summary.pnl_usd[SLUG]
    assert (result.summary.windows, result.summary.settled, result.summary.refused) == (1, 1, 0)
    assert (result.check.markets, result.check.is_ok) == (1, True), result.check.text()


@pytest.mark.alone
def test_the_daemon_over_sockets_decodes_the_whole_tape_and_settles(
    taped: Taped, shared_dir: Path, project_dir: Path, tmp_path: Path
) -> None:
    # The same window was traded before in this folder: its files are appended to, its rows are not ours.
    shutil.copytree(taped[0].out_dir / "5m", tmp_path / "logs/5m")
    words = ["+interval=5m", f"venue.tape={shared_dir / TAPE}", "venue.speed=30", "run.markets=1", *PATIENT]
    done = subprocess.run(
        # Ten wall seconds until the world starts to move: connected by then, even on a busy machine.
        [sys.executable, "-m", "polybot", *words, "venue.world.lifecycle.start_delay_s=10"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(project_dir), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr
    assert "\n0 differences\n" in done.stdout
    with (tmp_path / "logs/5m/markets.csv").open(newline="") as file:
        earlier, row = csv.DictReader(file)
    assert (earlier["slug"], earlier["pnl_micro_usd"]) == (SLUG, str(taped[0].summary.pnl_usd[SLUG]))
    assert row["slug"] == SLUG
    assert float(row["strike"]) > 0
    assert row["outcome"] in ("Up", "Down")
    document = json.loads((tmp_path / "logs/5m" / SLUG / "market.json").read_text())
    assert document["outcome"] == row["outcome"]
    assert document["outcome_source"] == "venue"
    assert document["strike"]["verified"] is True
    assert len(document["earlier_sessions"]) == 1
    assert document["totals"]["pnl_micro_usd"] == int(row["pnl_micro_usd"])
    counts = _feed_totals(done.stdout, "spot")
    assert (counts["trades"], counts["quotes"]) == (TRADES, QUOTES)
    assert not counts.keys() & {"malformed", "gaps", "missing_trades", "slow_refused"}


def _ewma(prices: list[tuple[float, int]], floor: float) -> float:
    """Sigma per sqrt(second) of the EWMA, from explicit weights; NaN before its tenth sample."""
    variance, samples = slow.sampled_ewma(prices, 0.94, NS)
    if samples < EWMA.warmup_samples:
        return math.nan
    return max(math.sqrt(variance / (1 - 0.94**samples)), floor)


def _feed_totals(console: str, feed: str) -> Mapping[str, int]:
    """Counts of the line that sums a feed up at the end of a run."""
    (line,) = re.findall(rf"feed {feed} in all: (.*)", console)
    return {name: int(count) for name, count in (item.split("=") for item in line.split())}
