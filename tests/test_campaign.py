"""A campaign: the same bytes again, nothing computed twice, a crash named with its seed, an orderly interruption."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaign_faults import one_differs, refuse, some_crash
from runs import QUIET

from polybot import campaign
from polybot.campaign_run import RunPlan, _own_differences, plan_runs, read_result
from polybot.cli import main
from polybot.config import Config, default_config
from polybot.errors import ConfigError
from polybot.harness import run_virtual

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 300.0


TWO = ("certainty_capture", "latency_arb")


def tiny(folder: Path, **changes: Any) -> Config:
    """Two quiet runs of one window each with two strategies."""
    keys = {
        f"campaign.{key}": value for key, value in {"windows": 2, "windows_per_run": 1, **changes}.items()
    }
    config = default_config(**{"campaign.out_dir": str(folder), "campaign.workers": 2, **QUIET, **keys})
    return replace(config, strategy={name: config.strategy[name] for name in TWO})


def play(config: Config, **more: Any) -> tuple[int, str]:
    out = io.StringIO()
    return campaign.run(config, out=out, **more), out.getvalue()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, int, str, list[RunPlan]]:
    """The campaign that most tests here look at: config, exit code, output, its runs."""
    config = tiny(tmp_path_factory.mktemp("campaign"))
    plans = plan_runs(config)
    return config, *play(config), plans


def test_a_tiny_campaign_trades_settles_and_agrees_with_the_venue(played):
    _, code, out, plans = played
    results = [read_result(plan.result_path) for plan in plans]
    assert code == 0, out
    assert [result.seed for result in results] == [1, 2]
    assert all(result.differences == [] for result in results)
    windows = [window for result in results for window in result.windows]
    assert [window.settled for window in windows] == [True, True]
    for result, (window,) in zip(results, [result.windows for result in results], strict=True):
        total = sum(item.pnl_micro for item in window.strategies.values())
        assert re.search(rf"^venue .* pnl {total}$", result.check, re.MULTILINE)
        assert sum(item.fills for item in window.strategies.values()) > 0
        for item in window.strategies.values():
            assert item.signals >= sum(item.denials.values())
            assert (item.fair_micro != 0) == (item.fills > 0)
            assert (item.predicted_micro > 0) == (item.shares_micro > 0) == (item.fills > 0)
    assert not (plans[0].folder / "work").exists()


def test_fewer_diagnostics_change_no_figure(played, tmp_path):
    _, _, _, plans = played
    plan = plans[0]
    assert plan.config.engine.diagnostics_s > 10.0
    often = replace(plan.config, engine=replace(plan.config.engine, diagnostics_s=10.0))
    run = run_virtual(often, tmp_path, start_ns=plan.start_ns)
    (window,) = read_result(plan.result_path).windows
    assert run.commands > read_result(plan.result_path).commands
    assert run.totals.fills == sum(item.fills for item in window.strategies.values())
    assert run.totals.signals == sum(item.signals for item in window.strategies.values())
    for name, item in window.strategies.items():
        assert run.totals.strategy_pnl_micro[name] == item.pnl_micro


def test_a_torn_result_is_no_result(tmp_path):
    (tmp_path / "x.json").write_text('{"version": 1, "name": "x", "se')
    assert read_result(tmp_path / "x.json") is None
    (tmp_path / "x.json").write_text('{"version": 0}')
    assert read_result(tmp_path / "x.json") is None


def test_the_output_has_settings_seeds_progress_table_and_ledger(played):
    _, _, out, plans = played
    for text in (
        "SIMULATED: btc 5m, makers=lagged",
        "2 windows in runs of 1, seeds 1 to 2",
        "strategies: certainty_capture, latency_arb; together",
        "loss halts: OFF",
        "2 of 2 windows, 0 runs failed",
        "latency_arb              2",
        "untested (< 200 fills)",
        "denied: ",
        "ledger: 2 of 2 runs agree with the venue to the micro-USD",
        "runs failed: 0",
    ):
        assert text in out
    folder = plans[0].folder
    report = json.loads((folder / "report_seeds1_windows2.json").read_text())
    assert [item["strategy"] for item in report["strategies"]] == ["certainty_capture", "latency_arb"]
    assert [run["seed"] for run in report["runs"]] == [1, 2]
    assert len((folder / "report_seeds1_windows2.csv").read_text().splitlines()) == 1 + 2 * 2


def test_a_seed_gives_the_same_result_file_in_another_campaign_in_another_place(played, tmp_path):
    _, _, _, plans = played
    other = tiny(tmp_path, windows=1, first_seed=2, workers=1)
    assert play(other)[0] == 0
    (plan,) = plan_runs(other)
    assert plan.result_path.read_bytes() == plans[1].result_path.read_bytes()


def test_finished_runs_are_not_computed_again_and_missing_ones_are(played):
    config, _, before, plans = played
    code, out = play(config, work=refuse)
    assert code == 0, out
    assert "2 of 2 runs are there" in out
    assert out[out.index("strategy ") :] == before[before.index("strategy ") :]
    gone = plans[0].result_path
    kept = gone.read_bytes()
    gone.unlink()
    code, out = play(config, work=refuse)
    gone.write_bytes(kept)
    assert code == 1
    assert "seed000001_windows1 was computed again" in out
    assert "seed000002_windows1 was computed again" not in out


def test_fresh_computes_everything_again_and_other_settings_do_not_share_results(played, tmp_path):
    config = played[0]
    folder = plan_runs(config)[0].folder
    assert plan_runs(tiny(folder.parent, keep_halts=True))[0].folder != folder
    assert plan_runs(tiny(folder.parent, first_day="2026-09-08"))[0].folder != folder
    assert plan_runs(tiny(folder.parent, windows=50, workers=1, min_fills=5))[0].folder == folder
    assert play(tiny(tmp_path, windows=1), work=some_crash)[0] == 0
    assert play(tiny(tmp_path, windows=1), work=refuse)[0] == 0
    out = play(tiny(tmp_path, windows=1, fresh=True), work=refuse)[1]
    assert "seed000001_windows1 was computed again" in out


def test_a_crash_is_named_with_its_seed_and_the_other_runs_go_on(tmp_path):
    code, out = play(tiny(tmp_path, windows=4), work=some_crash)
    assert code == 1
    assert "seed000002_windows1 (seed 2) FAILED: exit code 1: RuntimeError: seed two has a bug" in out
    assert f"seed000003_windows1 (seed 3) FAILED: exit code {-signal.SIGSEGV}" in out
    assert "seed000004_windows1 (seed 4) FAILED: exit code 0: no word" in out
    assert "1 of 4 windows, 3 runs failed" in out
    assert "runs failed: 3" in out
    assert "latency_arb              1" in out


def test_a_difference_in_the_ledger_fails_the_campaign_and_an_unsettled_window_is_said(tmp_path):
    code, out = play(tiny(tmp_path), work=one_differs)
    assert code == 1
    assert "ledger: 1 of 2 runs agree" in out
    assert "(seed 2): order 0x1: unknown here" in out
    assert "(seed 1): 1 windows not settled" in out
    assert "latency_arb              1" in out


def test_figures_that_do_not_add_up_are_a_difference(played):
    _, _, _, plans = played
    window = read_result(plans[0].result_path).windows[0]
    items = window.strategies.values()
    row = {
        "signals": str(sum(item.signals for item in items)),
        "fills": str(sum(item.fills for item in items)),
        "pnl_micro_usd": str(sum(item.pnl_micro for item in items)),
    }
    assert _own_differences(window, row) == []
    for name, value in row.items():
        (said,) = _own_differences(window, {**row, name: str(int(value) + 1)})
        assert f"{name} {value} by strategy" in said


def test_runs_are_cut_seeded_and_spread_over_hours_and_days(tmp_path):
    plans = plan_runs(tiny(tmp_path, windows=45, windows_per_run=20, first_seed=7))
    assert [(plan.config.venue.seed, plan.config.run.markets) for plan in plans] == [(7, 20), (8, 20), (9, 5)]
    assert [plan.start_ns for plan in plans] == [
        plan.start_ns for plan in plan_runs(tiny(tmp_path, first_seed=7, windows=3))
    ]
    starts_s = [plan.start_ns // 10**9 for plan in plan_runs(tiny(tmp_path, windows=400))]
    first_s = 1_788_739_200  # 2026-09-07 00:00 UTC
    assert all(first_s <= start_s < first_s + 1_344 * 3_600 for start_s in starts_s)
    assert len({start_s // 3_600 % 24 for start_s in starts_s}) == 24
    assert len({start_s // 86_400 for start_s in starts_s}) == 56


def test_loss_halts_are_out_of_the_way_unless_kept(tmp_path):
    free, kept = (plan_runs(tiny(tmp_path, keep_halts=keep))[0].config.risk for keep in (False, True))
    assert (free.daily_loss_halt_frac, free.weekly_loss_halt_frac) == (1.0, 1.0)
    assert (kept.daily_loss_halt_frac, kept.weekly_loss_halt_frac) == (0.03, 0.08)


def test_solo_plays_every_strategy_alone_on_the_same_seeds(tmp_path):
    plans = plan_runs(tiny(tmp_path, solo=True))
    assert [(plan.solo, list(plan.config.strategy), plan.config.venue.seed) for plan in plans] == [
        ("certainty_capture", ["certainty_capture"], 1),
        ("latency_arb", ["latency_arb"], 1),
        ("certainty_capture", ["certainty_capture"], 2),
        ("latency_arb", ["latency_arb"], 2),
    ]
    assert len({plan.result_path for plan in plans}) == 4
    code, out = play(tiny(tmp_path, solo=True, windows=1), work=some_crash)
    assert code == 0
    assert "each alone" in out
    assert "2 of 2 windows" in out
    assert "latency_arb              1" in out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"venue.tape": "frames.gz"}, "venue.tape is not allowed"),
        ({"venue.attach": "http://127.0.0.1:1"}, "venue.attach is not allowed"),
        ({"campaign.first_day": "2026-02-30"}, "no day of the calendar"),
    ],
)
def test_what_no_campaign_can_measure_is_refused_before_anything_is_written(changes, said, tmp_path):
    config = default_config(**{"campaign.out_dir": str(tmp_path / "out"), **changes})
    with pytest.raises(ConfigError, match=said):
        campaign.run(config)
    assert list(tmp_path.iterdir()) == []


def test_a_campaign_without_an_enabled_strategy_is_refused(tmp_path):
    config = tiny(tmp_path / "out")
    idle = {name: replace(item, enabled=False) for name, item in config.strategy.items()}
    with pytest.raises(ConfigError, match="enabled strategy"):
        campaign.run(replace(config, strategy=idle))
    assert list(tmp_path.iterdir()) == []


def test_paper_is_refused_because_the_venue_would_see_no_orders(capsys):
    assert main(["campaign", "mode=paper"]) == 2
    assert "judged by the orders the venue itself saw" in capsys.readouterr().err


def test_the_real_venue_is_refused_on_the_command_line(capsys):
    assert main(["campaign", "venue=polymarket", "mode=paper"]) == 2
    assert "a campaign plays on venue=sim" in capsys.readouterr().err


def test_an_interrupted_campaign_ends_its_workers_and_goes_on_where_it_was(tmp_path):
    quiet = [f"{key}={value}" for key, value in QUIET.items()]
    command = [
        sys.executable,
        "-m",
        "polybot",
        "campaign",
        "campaign.windows_per_run=1",
        "campaign.workers=2",
        *quiet,
    ]
    process = _start([*command, "campaign.windows=500"], tmp_path)
    assert process.stdout is not None
    first = "logs/campaign/*/seed000001_windows1.json"  # with two workers another run may be the first to end
    for line in process.stdout:
        if " of 500 windows" in line and list(tmp_path.glob(first)):
            break
    workers = _children(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, err) == (130, "")
    kept = int(re.search(r"interrupted: (\d+) of 500 runs are kept", out)[1])
    assert 1 <= kept < 20
    assert len(workers) >= 2
    deadline = time.monotonic() + LIMIT_S  # Python's own resource tracker ends a moment after its parent
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        os.sched_yield()
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    (folder,) = (tmp_path / "logs" / "campaign").iterdir()
    assert {path.suffix for path in folder.iterdir()} == {".json"}
    assert len(list(folder.iterdir())) == kept
    again = _start([*command, "campaign.windows=1"], tmp_path)
    out, err = again.communicate(timeout=LIMIT_S)
    assert (again.returncode, err) == (0, "")
    assert "(1 of 1 runs are there" in out
    assert "ledger: 1 of 1 runs agree" in out


def _start(command: list[str], folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
