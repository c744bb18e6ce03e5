"""Whole runs in virtual time: the real trader against the venue in memory, and the venue's own ledger as judge."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runs import NS, QUIET, START_NS, configure, markets, rows, run

from polybot.compose import Composition
from polybot.market.window import slug, window_at


def test_slow_makers_give_wins_losses_and_partial_fills_and_the_ledger_agrees_to_the_micro_usd(tmp_path):
    result = run(tmp_path, configure(venue__makers="slow", venue__seed=7, run__markets=3))
    fills = [row for row in rows(result, "fills.csv") if row["status"] == "MATCHED"]
    pnl = [int(row["pnl_micro_usd"]) for row in markets(result).values()]
    ended = [row for row in rows(result, "orders.csv") if row["state"] == "CANCELED"]
    partial = [row for row in ended if 0 < int(row["matched_micro"]) < int(row["shares_micro"])]
    assert result.check.is_ok, result.check.text()
    assert result.check.markets == 3
    assert len(fills) >= 10
    assert max(pnl) > 0
    assert min(pnl) < 0
    assert partial
    assert sum(pnl) == result.check.venue.pnl == sum(result.summary.pnl_usd.values())


def test_windows_follow_one_another_each_with_strike_fresh_data_and_the_venues_outcome(tmp_path):
    result = run(tmp_path, configure(run__markets=3, **QUIET))
    found = list(markets(result).values())
    assert len(found) == 3
    starts = [row["start"] for row in found]
    assert starts == sorted(set(starts))
    for row, before in zip(found, [None, *found], strict=False):
        assert float(row["strike"]) > 0
        assert row["strike_source"] == "RTDS_TWAP"
        assert row["outcome"] in ("Up", "Down")
        assert row["our_mark"] == row["outcome"]
        assert float(row["spot_coverage"]) >= 0.95
        assert float(row["book_coverage"]) >= 0.95
        assert before is None or row["start"] == before["end"]
    assert result.check.is_ok, result.check.text()
    assert "verified" in result.console


INTERVALS = [
    ("5m", "btc", START_NS, "btc-updown-5m-1795337100"),
    ("15m", "btc", START_NS, "btc-updown-15m-1795337100"),
    ("1h", "btc", START_NS, "bitcoin-up-or-down-november-22-2026-4am-et"),
    ("4h", "btc", START_NS, "btc-updown-4h-1795338000"),
    ("5m", "eth", START_NS, "eth-updown-5m-1795337100"),
]


@pytest.mark.parametrize(("interval", "asset", "start_ns", "expected"), INTERVALS)
def test_one_window_of_every_interval_is_traded_and_settled(tmp_path, interval, asset, start_ns, expected):
    overrides = [
        f"+interval={interval}",
        f"asset={asset}",
        "run.markets=1",
        "engine.diagnostics_s=600",
        "engine.timer_ms=500",
    ]
    config = Composition([*overrides, *(f"{key}={value}" for key, value in QUIET.items())]).config()
    result = run(tmp_path, config, start_ns=start_ns)
    (found,) = markets(result).values()
    window = window_at(interval, window_at(interval, start_ns).end_ns)
    assert found["slug"] == expected == slug(config.asset, interval, window.start_ns)
    assert found["outcome"] in ("Up", "Down")
    assert found["our_mark"] == found["outcome"]
    assert found["strike_source"] == ("KLINE" if interval == "1h" else "RTDS_TWAP")
    assert result.check.is_ok, result.check.text()
    assert result.check.markets == 1


def test_the_same_seed_gives_the_same_commands_and_another_seed_others(tmp_path):
    first = run(tmp_path / "a", configure(venue__makers="slow", venue__seed=4))
    again = run(tmp_path / "b", configure(venue__makers="slow", venue__seed=4))
    other = run(tmp_path / "c", configure(venue__makers="slow", venue__seed=5))
    assert first.commands > 100
    assert (first.commands, first.commands_sha256) == (again.commands, again.commands_sha256)
    assert first.commands_sha256 != other.commands_sha256
    assert _files(first.out_dir) == _files(again.out_dir)


def test_the_same_seed_gives_the_same_bytes_under_another_hash_seed(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path\nfrom runs import configure, run\n"
        "result = run(Path(sys.argv[1]), configure(venue__makers='slow', venue__seed=4))\n"
        "print(result.commands, result.commands_sha256)\n"
    )
    outputs = set()
    for hash_seed in ("1", "777"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / hash_seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_a_stop_in_the_middle_of_a_window_leaves_no_open_order(tmp_path):
    result = run(
        tmp_path,
        configure(venue__makers="slow", venue__seed=4),
        during=[(120.0, lambda trader, _: trader.stop())],
    )
    assert not result.summary.orders_may_be_open
    assert result.trader.gateway.open_order_seqs() == ()
    assert result.check.is_ok, result.check.text()
    assert 120.0 <= result.trader.clock.mono_ns() / NS < 130.0


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))}


# Makers that never move and nobody who trades: the book says nothing for minutes.
STILL: dict[str, Any] = {
    **QUIET,
    "venue.world.takers.noise_per_s": 0.0,
    "venue.world.makers.refresh_ms": 600_000,
    "venue.world.makers.requote_ms": 60_000,
    "venue.world.makers.keep_frac": 5.0,
    "venue.world.makers.deep_levels": 0,
}


def test_a_quiet_book_stays_fresh_only_while_the_venues_rest_book_equals_ours(tmp_path):
    coverage = []
    for name, witness_s in (("witnessed", 3.0), ("alone", 600.0)):
        config = configure(venue__seed=2, feeds__market_witness_s=witness_s, feeds__market_silence_s=600.0, **STILL)
        result = run(tmp_path / name, config)
        (found,) = markets(result).values()
        coverage.append(float(found["book_coverage"]))
        assert result.check.is_ok
    assert coverage[0] >= 0.95
    assert coverage[1] < 0.8


def test_a_book_that_differs_from_the_venues_is_fetched_anew(tmp_path):
    def corrupt(trader, _):
        market = next(iter(trader.engine.markets.values()))
        market.book.set_level(0, 0, 100, 123_000_000)

    seen = {}

    def look(trader, _):
        market = next(iter(trader.engine.markets.values()))
        (cycle,) = trader._cycles.values()
        seen["size"] = market.book.size_at(0, 0, 100)
        seen["resyncs"] = cycle.feed.counters()["resync_requests"]

    run(tmp_path, configure(venue__seed=2, **STILL), during=[(100.0, corrupt), (130.0, look)])
    assert seen["resyncs"] >= 1
    assert seen["size"] != 123_000_000
