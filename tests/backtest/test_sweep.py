"""Sweeps: grids composed before anything runs, resumed after a kill, judged as the best of many; the search."""

import csv
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import sweep_functions
import yaml

from polybot import multirun
from polybot.backtest.program import program_digest
from polybot.backtest.result import load_result
from polybot.backtest.sweep_point import perform
from polybot.backtest.sweep_rows import ROWS_NAME, RowFile, read_rows
from polybot.backtest.sweep_table import note_lines
from polybot.cli import load_config, main, normalise
from polybot.compose import Composition, swept_values
from polybot.config import config_to_mapping
from polybot.config_sweep import SweepConfig
from polybot.errors import AlreadyRunning, ConfigError, TapeError

ROOT = Path(__file__).resolve().parent.parent.parent
FAKE = "sweep_functions:fake_point"
EDGES = "0.01,0.02,0.03,0.04"
POINTS = 8
GRID = ("risk=conservative,standard", f"strategy.latency_arb.min_edge={EDGES}")
LIMIT_S = 300.0


def lay_tape(folder: Path) -> None:
    """A folder that looks like a tape from outside; the made-up points never open it."""
    (folder / "tape").mkdir(exist_ok=True)
    (folder / "tape" / "frames.zst").write_bytes(b"made up")


def sweep(folder: Path, *words: str, perform: str = FAKE) -> tuple[int, str]:
    lay_tape(folder)
    out = io.StringIO()
    tapes = () if any(word.startswith("backtest.tapes=") for word in words) else (f"backtest.tapes={folder}",)
    overrides = normalise([*tapes, f"backtest.out_dir={folder}/runs", *words])
    return multirun.run(overrides, out=out, perform=perform), out.getvalue()


def table(folder: Path) -> list[dict[str, str]]:
    (path,) = folder.glob("runs/sweeps/*/table.csv")
    return list(csv.DictReader(io.StringIO(path.read_text())))


def without_place(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what may differ: how long it took, and who did it."""
    return {key: value for key, value in row.items() if key not in ("elapsed_s", "worker")}


@pytest.fixture(autouse=True, scope="module")
def program() -> Iterator[None]:
    """The program stands still while these tests run, also where somebody works on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polybot.backtest.sweep.program_digest", lambda targets: "program")
        yield


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep of eight points over 24 markets that most tests look at: its folder, what it printed."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "marks").mkdir()
    (folder / "meet").touch()
    code, out = sweep(folder, "backtest.cores=2", *GRID)
    assert code == 0, out
    return folder, out


def test_a_grid_has_one_row_per_point_with_settings_and_figures(swept):
    folder, out = swept
    rows = table(folder)
    assert len(rows) == POINTS
    assert len({(row["risk"], row["strategy.latency_arb.min_edge"]) for row in rows}) == POINTS
    best = rows[0]
    assert (best["risk"], best["strategy.latency_arb.min_edge"]) == ("standard", "0.03")
    pnl = [float(row["pnl_usd"]) for row in rows]
    assert pnl == sorted(pnl, reverse=True)
    settings = {"strategy": {"latency_arb": {"min_edge": 0.03}}, "risk": {"name": "standard"}}
    expected = sweep_functions.answer({"settings": settings})
    assert float(best["pnl_usd"]) == pytest.approx(sum(expected["pnl_micro"]) / 1e6, abs=1e-9)
    assert float(best["pnl_low_usd"]) < float(best["pnl_usd"]) < float(best["pnl_high_usd"])
    assert (best["fills"], best["markets"], best["brier_mid"]) == ("24", "24", "0.21")
    assert re.search(rf"^{POINTS} of {POINTS} points, 0 failed", out, re.MULTILINE)
    assert f"sweep of {POINTS} points (grid), 2 processes" in out


def test_the_parquet_table_has_the_same_rows_as_the_csv(swept):
    (path,) = swept[0].glob("runs/sweeps/*/table.parquet")
    found = pyarrow.parquet.read_table(path).to_pylist()
    assert [row["digest"] for row in found] == [row["digest"] for row in table(swept[0])]
    assert [row["pnl_usd"] for row in found] == [float(row["pnl_usd"]) for row in table(swept[0])]


def test_two_workers_saw_work(swept):
    rows = read_rows(next(swept[0].glob("runs/sweeps/*")))
    assert len({row["worker"] for row in rows}) == 2
    assert all(row["worker"].startswith("pid ") for row in rows)


def test_the_same_command_again_computes_nothing_and_prints_the_same_table(swept):
    folder, out = swept
    before = {path.name: path.read_text() for path in (folder / "marks").iterdir()}
    code, again = sweep(folder, "backtest.cores=2", *GRID)
    assert code == 0
    assert {path.name: path.read_text() for path in (folder / "marks").iterdir()} == before
    assert f"({POINTS} points are there from before)" in again
    assert f"({POINTS} rows, {POINTS} of them from before)" in again
    table_of = re.compile(r"\n risk.*?(?=\nwritten)|\nrisk.*?(?=\nwritten)", re.DOTALL)
    assert table_of.search(again)[0] == table_of.search(out)[0]


def test_more_points_on_the_same_command_compute_only_the_new_ones(tmp_path):
    (tmp_path / "marks").mkdir()
    sweep(tmp_path, "strategy.latency_arb.min_edge=0.01,0.02")
    sweep(tmp_path, "strategy.latency_arb.min_edge=0.020,0.03")
    assert sorted(path.name for path in (tmp_path / "marks").iterdir()) == [
        f"standard {edge}" for edge in (0.01, 0.02, 0.03)
    ]
    assert [
        len((tmp_path / "marks" / f"standard {edge}").read_text().split()) for edge in (0.01, 0.02, 0.03)
    ] == [1, 1, 1]
    assert {row["strategy.latency_arb.min_edge"] for row in table(tmp_path)} == {"0.02", "0.03"}


def test_other_tapes_are_other_points_and_fresh_computes_again(tmp_path):
    (tmp_path / "marks").mkdir()
    words = ("strategy.latency_arb.min_edge=0.01,0.02",)
    sweep(tmp_path, *words)
    sweep(tmp_path, *words, "sweep.fresh=true")
    assert len((tmp_path / "marks" / "standard 0.01").read_text().split()) == 2


def test_a_sweep_that_was_killed_goes_on_without_redoing_finished_points(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    (tmp_path / "hold").write_text("3")  # from the fourth point on nobody ends
    process = _start(tmp_path)
    rows_path = "runs/sweeps/*/" + ROWS_NAME
    assert _until(lambda: len(_rows(tmp_path, rows_path)) >= 2, process), process.communicate()
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate(timeout=LIMIT_S)
    assert workers
    # One may still mark the point it had begun.
    assert _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    finished = {row["digest"] for row in _rows(tmp_path, rows_path)}
    (path,) = tmp_path.glob(rows_path)
    with path.open("a") as file:
        file.write('{"version": 1, "digest": "torn')
    (tmp_path / "hold").unlink()
    begun_before = {item.name: len(item.read_text().split()) for item in marks.iterdir()}
    code, out = sweep(tmp_path, "backtest.cores=2", *GRID)
    assert code == 0, out
    assert f"({len(finished)} points are there from before)" in out
    rows = {row["digest"]: row for row in read_rows(path.parent)}
    assert len(rows) == len(table(tmp_path)) == POINTS
    for digest, row in rows.items():
        point = row["point"]
        name = f"{point['risk']} {float(point['strategy.latency_arb.min_edge'])}"
        calls = len((marks / name).read_text().split())
        assert calls == begun_before.get(name, 0) + (digest not in finished), name
    assert 2 <= len(finished) < POINTS


def test_ctrl_c_keeps_what_is_done_and_says_so(tmp_path):
    (tmp_path / "marks").mkdir()
    (tmp_path / "hold").write_text("3")
    process = _start(tmp_path)
    assert _until(lambda: len(_rows(tmp_path, "runs/sweeps/*/" + ROWS_NAME)) >= 2, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, err) == (130, "")
    kept = int(re.search(r"interrupted: (\d+) of 8 points are kept; the same command goes on", out)[1])
    assert kept == len(_rows(tmp_path, "runs/sweeps/*/" + ROWS_NAME))


def test_a_point_that_fails_is_named_the_others_go_on_and_it_is_tried_again(tmp_path):
    words = ("strategy.latency_arb.min_edge=0.02,0.03,0.04",)
    code, out = sweep(tmp_path, *words, perform="sweep_functions:broken_point")
    assert code == 1
    assert "points failed: 1" in out
    assert "strategy.latency_arb.min_edge=0.03: exit code 1: FileNotFoundError" in out
    assert [row["error"] != "" for row in table(tmp_path)] == [False, False, True]
    code, out = sweep(tmp_path, *words)
    assert code == 0
    assert "(3 rows, 2 of them from before)" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["risk=conservative,standards"], "point .*risk=standards: risk=standards is not allowed"),
        (["strategy.latency_arb.min_edg=0.1,0.2"], "unknown setting strategy.latency_arb.min_edg"),
        (["strategy.latency_arb.min_edge=0.1,lots"], "point .*min_edge=lots: .*must be a number"),
        (["strategy.latency_arb.min_edge=0.01:0.05"], "a range needs sweep.search=optuna"),
        (["sweep.seed=1,2"], "sweep.seed cannot be swept"),
        (["risk=conservative,standard", "sweep.limit_count=1"], "2 points: must be at most"),
        (["strategy.latency_arb.min_edge=interval(0.1,0.2)"], "give a list a,b,c"),
        (["strategy.latency_arb.min_edge=0.05:0.01", "sweep.search=optuna"], "must be below the second"),
        (["strategy.latency_arb.min_edge=0.01:50", "sweep.search=optuna"], "point .*min_edge=50"),
        (["risk=standard", "sweep.search=optuna"], "needs something to search"),
        (["sweep.hold_out_days=1", "sweep.metric=brier_model"], "with sweep.hold_out_days it must be a PnL"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_computed_or_written(words, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        sweep(tmp_path, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["tape"]


def test_tapes_that_are_not_there_are_named_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="nowhere is not allowed: no tape in it"):
        sweep(tmp_path, f"backtest.tapes={tmp_path}/tape,{tmp_path}/nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["tape"]


def test_lists_are_read_as_hydras_sweeper_reads_them():
    words = ["a.b=1,2", "c=[1,2],[3]", "d='x,y',z", "e=[1,2]", "f=range(1,4)", "+g=u,v", "h=1"]
    assert swept_values(words) == {
        "a.b": ("1", "2"),
        "c": ("[1,2]", "[3]"),
        "d": ("'x,y'", "z"),
        "f": ("1", "2", "3"),
        "+g": ("u", "v"),
    }


def test_a_varied_composition_is_the_one_composed_anew():
    plain = normalise(["risk=conservative", "run.markets=3"])
    values = ["strategy.latency_arb.min_edge=0.07", "backtest.tapes=[a,b]", "run.markets=5"]
    varied = Composition(plain).varied(values)
    assert varied.config() == Composition((*plain, *values)).config()
    assert varied.config().strategy["latency_arb"].params["min_edge"] == 0.07
    for wrong, said in (
        ("strategy.latency_arb.min_edg=1", "unknown setting"),
        ("risk.nothing=1", "unknown setting"),
    ):
        with pytest.raises(ConfigError, match=said):
            Composition(plain).varied([wrong]).config()


def test_multirun_is_for_backtest_alone(capsys):
    assert main(["run", "-m", "risk=conservative,standard"]) == 2
    assert "--multirun is for backtest, not for run" in capsys.readouterr().err
    assert main(["backtest", "--multirun", "tapes=a", "seed=3,4", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["backtest"]["seed"] == 3
    assert main(["backtest", "-m", "tapes=a", "seed=3,x", "--cfg", "job"]) == 2
    assert "point backtest.seed=x: backtest.seed=x is not allowed" in capsys.readouterr().err


def test_a_second_process_on_the_same_sweep_is_refused(tmp_path):
    with RowFile(tmp_path):
        code = f"from polybot.backtest.sweep_rows import RowFile, Path; RowFile(Path({str(tmp_path)!r}))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S
        )
    assert AlreadyRunning.__name__ in done.stderr
    assert "another process works on this sweep" in done.stderr


# -- what the best is worth -------------------------------------------------------------------------


def test_held_out_days_do_not_choose_and_are_shown_beside(tmp_path):
    words = ("strategy.latency_arb.min_edge=0.03,0.05", "risk=standard")
    code, out = sweep(tmp_path, *words, "sweep.hold_out_days=1")
    assert code == 0
    rows = table(tmp_path)
    settings = {"strategy": {"latency_arb": {"min_edge": 0.03}}, "risk": {"name": "standard"}}
    pnl = sweep_functions.answer({"settings": settings})["pnl_micro"]
    row = next(row for row in rows if row["strategy.latency_arb.min_edge"] == "0.03")
    assert float(row["pnl_usd"]) == pytest.approx(sum(pnl[:18]) / 1e6, abs=1e-9)
    assert float(row["held_out_usd"]) == pytest.approx(sum(pnl[18:]) / 1e6, abs=1e-9)
    assert row["held_out_markets"] == "6"
    assert "on the 1 days held out the same point made" in out
    with pytest.raises(ConfigError, match="settled markets are of 4 days, one must be left"):
        sweep(tmp_path, *words, "sweep.hold_out_days=4")


def test_without_held_out_days_the_note_says_that_nothing_was_held_out(swept):
    assert "no days were held out" in swept[1]
    assert f"most PnL of {POINTS} points: " in swept[1]


def made_up_rows(pnl: "np.ndarray[Any, Any]") -> tuple[list[dict[str, Any]], dict[str, list[dict[str, str]]]]:
    """Rows of points (columns) over markets (rows), USD."""
    markets = [{"day": f"2026-11-{1 + at % 5:02d}", "market": f"m{at}"} for at in range(len(pnl))]
    rows = [
        {"error": "", "point": {"x": str(at)}, "markets": "m", "pnl_micro": [round(v * 1e6) for v in column],
         "figures": dict.fromkeys(("markets", "traded", "fills", "fees_usd", "drawdown_usd", "brier_model", "brier_mid",
                                   "log_loss_model"), 0)}
        for at, column in enumerate(pnl.T)
    ]  # fmt: skip
    return rows, {"m": markets}


def chance(lines: list[str]) -> float:
    return float(re.search(r"makes as much: ([\d.]+)", "\n".join(lines))[1])


def test_the_best_of_many_worthless_points_is_called_luck_and_an_edge_is_not():
    draws = np.random.default_rng(5)
    settings = SweepConfig(draws_count=1_000)
    worthless = draws.normal(0.0, 1.0, (80, 30))
    seen = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0.0, 1.0, (80, 30))
        seen.append(chance(note_lines(*made_up_rows(noise), settings)))
    assert np.mean(np.array(seen) < 0.05) <= 0.2  # a valid test is below 0.05 in one of twenty
    assert np.median(seen) > 0.2
    single = [float(noise.sum()) for noise in worthless.T]
    assert max(single) / math.sqrt(80) > 1.6  # alone, the best would have looked like an edge
    worthless[:, 7] += 1.0
    lines = note_lines(*made_up_rows(worthless), settings)
    assert chance(lines) < 0.01
    assert "x=7" in lines[0]


def test_a_market_that_a_point_has_not_counts_as_nothing_there_and_is_said():
    rows, markets = made_up_rows(np.ones((10, 2)))
    rows[1]["markets"] = "n"
    rows[1]["pnl_micro"] = rows[1]["pnl_micro"][:-1]
    lines = note_lines(rows, {**markets, "n": markets["m"][:-1]}, SweepConfig())
    assert any("1 of 10 markets are not settled under every point" in line for line in lines)
    assert any("makes as much" in line for line in lines)


# -- one point --------------------------------------------------------------------------------------


def test_a_row_is_what_the_run_says_and_a_kept_run_without_its_row_is_made_anew(made, tmp_path):
    config = load_config([f"backtest.tapes={made}"])
    program = program_digest(sorted(item.target for item in config.strategy.values()))
    settings = config_to_mapping(config)
    item = {"settings": settings, "tapes": [str(made)], "program": program, "keep": str(tmp_path / "kept")}
    row = perform(item)
    assert perform(item) == row
    result = load_result(tmp_path / "kept")
    assert row["figures"]["tables_sha256"] == result.info["tables_sha256"]
    assert row["figures"]["fills"] == sum(row["fills"]) == len(result.table("fills")) > 0
    assert (
        round(row["figures"]["pnl_usd"] * 1e6)
        == sum(row["pnl_micro"])
        == int(result.table("markets")["pnl"].sum())
    )
    assert sum(one["pnl_micro"] for one in row["strategies"].values()) == sum(row["pnl_micro"])
    assert [market["market"] for market in row["markets"]] == [
        str(slug) for slug in result.table("markets")["slug"]
    ]
    with pytest.raises(TapeError, match="nowhere does not exist here"):
        perform({**item, "tapes": [str(tmp_path / "nowhere")]})
    with pytest.raises(ConfigError, match="not the one that began the sweep"):
        perform({**item, "program": "another"})


# -- search -----------------------------------------------------------------------------------------

SEARCH = (
    "strategy.latency_arb.min_edge=0.005:0.1", "risk=conservative,standard", "sweep.search=optuna", "sweep.trials=12",
    "sweep.startup_count=6", "sweep.batch_count=6",
)  # fmt: skip


def test_a_search_finds_the_hill_and_the_same_points_again(tmp_path):
    (tmp_path / "marks").mkdir()
    code, out = sweep(tmp_path, *SEARCH, "backtest.cores=2")
    assert code == 0, out
    rows = table(tmp_path)
    assert len(rows) == 12
    best = rows[0]
    (folder,) = (tmp_path / "runs" / "sweeps").iterdir()
    pnl = [row["figures"]["pnl_usd"] for row in read_rows(folder)]
    assert max(pnl[6:]) > max(pnl[:6])  # what was learned beats what was drawn
    assert float(best["pnl_usd"]) == max(pnl)
    assert (folder / "study.log").stat().st_size > 0
    kept = (folder / ROWS_NAME).read_text().splitlines()
    (folder / ROWS_NAME).write_text("\n".join(kept[:5]) + "\n")  # as a kill would have left it
    code, out = sweep(tmp_path, *SEARCH, "backtest.cores=1")
    assert code == 0
    assert "(12 rows, 5 of them from before)" in out
    again = [without_place(json.loads(line)) for line in (folder / ROWS_NAME).read_text().splitlines()]
    first = [without_place(json.loads(line)) for line in kept]
    assert sorted(again, key=lambda row: row["digest"]) == sorted(first, key=lambda row: row["digest"])


def test_a_search_for_the_least_and_of_whole_numbers(tmp_path):
    words = (
        "strategy.latency_arb.min_edge=0.005:0.1:log",
        "engine.fresh_samples_per_market=1:3",
        "sweep.search=optuna",
    )
    code, out = sweep(tmp_path, *words, "sweep.trials=8", "sweep.metric=brier_model", "sweep.batch_count=8")
    assert code == 0, out
    rows = table(tmp_path)
    brier = [float(row["brier_model"]) for row in rows]
    assert brier == sorted(brier)
    assert {row["engine.fresh_samples_per_market"] for row in rows} <= {"1", "2", "3"}


# -- processes --------------------------------------------------------------------------------------


def _start(folder: Path) -> "subprocess.Popen[str]":
    lay_tape(folder)
    words = ["backtest.cores=2", f"backtest.tapes={folder}", f"backtest.out_dir={folder}/runs", *GRID]
    code = (
        "import sys; from polybot import multirun; from polybot.backtest import sweep\n"
        "from polybot.cli import normalise\nsweep.program_digest = lambda targets: 'program'\n"
        f"try:\n    sys.exit(multirun.run(normalise(sys.argv[1:]), perform={FAKE!r}))\n"
        "except KeyboardInterrupt:\n    sys.exit(130)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _rows(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [row for path in folder.glob(pattern) for row in read_rows(path.parent)]


def _until(is_so: Callable[[], bool], process: "subprocess.Popen[str] | None" = None) -> bool:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            return False
        os.sched_yield()
    return True
