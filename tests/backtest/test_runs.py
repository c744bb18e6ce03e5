"""Whole runs over tapes: the same bytes each time, exact money, flat memory, an orderly end."""

import gc
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backtest.made import NS, START_S, Script, make_tape
from backtest.recorded import backtest_config

from polybot._fast.event import CommandKind, Special
from polybot._fast.risk import Denial
from polybot.backtest.result import Result, load_result
from polybot.backtest.run import Progress, run_backtest
from polybot.config import default_config

DENIALS = {int(code): code.name for code in Denial}
# One run in a process of its own; prints the digest of its tables.
OTHER_PROCESS = """
import sys
from pathlib import Path
from backtest.recorded import backtest_config
from polybot.backtest.run import run_backtest
config = backtest_config(Path(sys.argv[1]), Path(sys.argv[2]), backtest__name=sys.argv[3])
print(run_backtest(config).info["tables_sha256"])
"""


@pytest.fixture(scope="module")
def ran(taped: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run_backtest(backtest_config(taped, tmp_path_factory.mktemp("runs")))


def test_a_run_settles_every_window_and_keeps_what_was_said(ran: Result) -> None:
    totals = ran.info["totals"]
    assert (totals["markets"], totals["counted"]) == (3, 3)
    assert totals["fills"] > 5
    assert totals["signals"] > 100
    markets, fills, signals = (ran.table(name) for name in ("markets", "fills", "signals"))
    assert totals["signals"] == len(signals)
    assert (signals["kind"] == CommandKind.CMD_SIGNAL).all()
    assert totals["fills"] == len(fills) == markets["fills"].sum()
    assert markets["events"].min() > 1_000
    assert np.isfinite(markets["strike"]).all()
    assert ran.info["counters"]["strays"] == 0
    assert len(ran.table("latency")) == ran.info["counters"]["placed"]
    assert set(ran.table("quotes")["market"].tolist()) == {0, 1, 2}


def test_money_is_exact_fills_markets_and_cash_agree(ran: Result) -> None:
    markets, fills = ran.table("markets"), ran.table("fills")
    for market in markets:
        own = fills[fills["market"] == market["index"]]
        won = own["outcome"] == market["outcome"]
        sign = np.where(own["side"] == 0, 1, -1)
        assert market["cost"] == own["cost"].sum()
        assert market["payout"] == (sign * own["shares"])[won].sum()
        assert market["pnl"] == market["payout"] - market["cost"]
        assert market["fees"] == own["fee"].sum()
    assert ran.info["totals"]["cash"] == 1_000_000_000 + markets["pnl"].sum()
    assert ran.info["totals"]["pnl"] == markets["pnl"].sum()


def test_a_fill_knows_what_its_signal_promised(ran: Result) -> None:
    signals = {int(row["order_seq"]): row for row in ran.table("signals") if row["order_seq"]}
    for fill in ran.table("fills"):
        signal = signals[int(fill["order_seq"])]
        assert fill["decided_ns"] == signal["decided_ns"] < fill["recv_ns"]
        assert fill["fair"] == signal["fair"]
        assert fill["strategy"] == signal["strategy"]
        expected = signal["price_ticks"] if fill["maker"] else round(signal["usd"] / 100)
        assert fill["expected_ticks"] == expected


def test_denials_are_counted_as_the_signals_tell_them(ran: Result) -> None:
    counted: dict[str, dict[str, int]] = {}
    for row in ran.table("signals"):
        name, reason = ran.strategies[row["strategy"]], DENIALS[int(row["reason"])]
        counted.setdefault(name, {}).setdefault(reason, 0)
        counted[name][reason] += 1
    assert ran.info["denials"] == counted


def test_samples_are_a_second_apart_and_the_models_own(ran: Result) -> None:
    samples = ran.table("samples")
    first = samples[samples["market"] == 0]
    inside = first[(first["tau_s"] > 10) & (first["tau_s"] < 280)]
    assert (np.diff(inside["recv_ns"]) == NS).all()
    assert np.isfinite(inside["fair"]).all()
    assert ((inside["fair"] >= 0) & (inside["fair"] <= 1)).all()
    assert np.isfinite(inside["mid"]).mean() > 0.5


def test_the_same_run_again_has_the_same_bytes_whatever_the_hash_seed(
    ran: Result, taped: Path, tmp_path: Path
) -> None:
    again = run_backtest(backtest_config(taped, tmp_path))
    assert again.info["tables_sha256"] == ran.info["tables_sha256"]
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])])
    environ = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, str(taped), str(tmp_path), "other"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ran.info["tables_sha256"]


def test_another_seed_draws_other_latencies(ran: Result, taped: Path, tmp_path: Path) -> None:
    other = run_backtest(backtest_config(taped, tmp_path, backtest__seed=2))
    ours, theirs = ran.table("latency"), other.table("latency")
    assert ours["decided_ns"][0] == theirs["decided_ns"][0]
    assert ours["arrived_ns"][0] != theirs["arrived_ns"][0]


def test_what_strategies_say_is_sampled_as_often_as_asked_and_nothing_else_changes(
    ran: Result, taped: Path, tmp_path: Path
) -> None:
    seldom = run_backtest(backtest_config(taped, tmp_path, backtest__sample_s=10.0, backtest__keep_signals=False))
    assert 8 * len(seldom.table("samples")) < len(ran.table("samples"))
    assert len(seldom.table("signals")) == 0
    for name in ("orders", "fills", "latency", "quotes"):
        assert seldom.table(name).tobytes() == ran.table(name).tobytes()
    assert seldom.info["denials"] == ran.info["denials"]


def test_two_intervals_are_traded_by_one_account(mixed: Path, tmp_path: Path) -> None:
    result = run_backtest(backtest_config(mixed, tmp_path, backtest__intervals=["5m", "15m"]))
    markets = result.table("markets")
    assert sorted(markets["interval"].tolist()) == ["15m", "5m"]
    assert markets["counted"].all()
    assert (markets["signals"] > 0).all()
    assert result.info["totals"]["cash"] == 1_000_000_000 + markets["pnl"].sum()


def test_a_followed_window_is_looked_at_and_never_traded(mixed: Path, tmp_path: Path) -> None:
    changes = {"strategy__cross_timeframe__enabled": True, "engine__observe_intervals": ["15m"]}
    result = run_backtest(backtest_config(mixed, tmp_path, **changes))
    (fifteen,) = result.table("markets")[result.table("markets")["interval"] == "15m"]
    assert (bool(fifteen["observed"]), bool(fifteen["counted"]), fifteen["fills"]) == (True, False, 0)
    assert not (result.table("signals")["market"] == fifteen["index"]).any()


def test_between_two_recordings_time_passes_without_the_window_to_come(tmp_path: Path) -> None:
    for number in (0, 12):
        make_tape(tmp_path / "tapes", Script(), number=number)
    config = default_config(
        **{"backtest.tapes": [str(tmp_path / "tapes")], "backtest.out_dir": str(tmp_path), "backtest.name": "run"}
    )
    samples = run_backtest(config).table("samples")
    second = samples[samples["market"] == 1]
    assert 350 <= len(second) <= 361
    assert second["tau_s"].max() <= 361.0


def losing(number: int) -> Script:
    """The price rises, the book follows late, and Down wins: whoever bought Up loses."""
    return Script(
        spot=lambda at_s: 78_800.0 + (0.0 if at_s < 100 else 250.0 if at_s < 280 else -400.0),
        up=lambda at_s: 5_000 if at_s < 180 else 9_600,
        outcome=1,
        warm_s=900 if number == 0 else 1,
    )


def test_the_daily_loss_halt_trips_on_tape_time_and_ends_with_the_day(tmp_path: Path) -> None:
    per_day = 288
    first_of_next_day = per_day - (START_S % 86_400) // 300
    for number in (0, 1, 2, first_of_next_day):
        make_tape(tmp_path / "tapes", losing(number), number=number)
    config = default_config(
        **{"backtest.tapes": [str(tmp_path / "tapes")], "backtest.out_dir": str(tmp_path), "backtest.name": "run"}
    )
    result = run_backtest(config)
    fills, halted = result.table("fills"), _reasons(result, "HALTED_DAILY")
    assert result.table("markets")["pnl"][0] < -30_000_000  # 3 % of the bankroll
    assert set(fills["market"].tolist()) == {0, 3}
    assert {1, 2} <= set(halted["market"].tolist())
    assert 3 not in halted["market"]


def _reasons(result: Result, name: str) -> Any:
    signals = result.table("signals")
    return signals[signals["reason"] == int(Denial[name])]


def test_memory_stays_flat_over_many_tapes(tmp_path: Path) -> None:
    tapes = tmp_path / "tapes"
    for number in range(10):
        make_tape(tapes, Script(warm_s=60 if number == 0 else 1, spot_step_s=2.0), number=number)
    config = default_config(
        **{"backtest.tapes": [str(tapes)], "backtest.out_dir": str(tmp_path), "backtest.name": "run"}
    )
    held: dict[int, int] = {}

    def watch(progress: Progress) -> None:
        if progress.settled in (3, 9) and progress.settled not in held:
            gc.collect()
            held[progress.settled] = tracemalloc.get_traced_memory()[0]

    run_backtest(default_config(**{**_given(config), "backtest.name": "warm"}))  # caches of events, modules
    tracemalloc.start()
    try:
        result = run_backtest(config, watch=watch)
    finally:
        tracemalloc.stop()
    assert result.info["totals"]["counted"] == 10
    assert held[9] - held[3] < 40_000  # bytes; 6 tapes hold 250,000 of events and 130,000 of samples


def _given(config: Any) -> dict[str, Any]:
    return {"backtest.tapes": list(config.backtest.tapes), "backtest.out_dir": config.backtest.out_dir}


def test_a_run_that_is_stopped_keeps_what_is_done_and_says_so(taped: Path, tmp_path: Path) -> None:
    settled = []

    def watch(progress: Progress) -> None:
        settled.append(progress.settled)

    result = run_backtest(
        backtest_config(taped, tmp_path), watch=watch, is_stopping=lambda: bool(settled and settled[-1] >= 1)
    )
    assert result.info["state"] == "interrupted"
    markets = load_result(result.folder).table("markets")
    assert markets["counted"].tolist().count(True) == 1
    assert len(markets) == 2  # the one that was open is there, not counted
    assert not markets["counted"][1]
    assert markets["pnl"][1] == 0


def test_a_run_that_breaks_leaves_no_folder(taped: Path, tmp_path: Path) -> None:
    def watch(progress: Progress) -> None:
        raise OSError("the screen is gone")

    with pytest.raises(OSError, match="the screen is gone"):
        run_backtest(backtest_config(taped, tmp_path), watch=watch)
    assert list(tmp_path.iterdir()) == []


def test_no_row_names_a_market_or_strategy_that_is_not_there(ran: Result) -> None:
    indices = set(ran.table("markets")["index"].tolist())
    for name in ("fills", "signals", "orders", "quotes", "samples"):
        assert set(ran.table(name)["market"].tolist()) <= indices
    for name in ("fills", "signals"):
        assert ran.table(name)["strategy"].max() < len(ran.strategies) < Special.NO_STRATEGY
