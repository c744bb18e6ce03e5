"""`analyze` over backtests, sweeps and sessions: figures against the tables they come from, filters, files, time."""

import csv
import io
import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import sweep_functions
from backtest.score_tables import STRATEGIES, random_result
from campaign_process import environment
from pauses import LOOP_S, loop_s

from polybot.analyze import command, sources
from polybot.analyze.frame import Frame
from polybot.analyze.screen import cell_text, show
from polybot.backtest.counted import Counted
from polybot.backtest.result import Result
from polybot.backtest.scores import save_scores, scores
from polybot.backtest.sweep_rows import RowFile
from polybot.cli import main
from polybot.config_analyze import AnalyzeConfig
from polybot.errors import ConfigError

RUNS = 3
MANY = 60
LIMIT_S = 300.0
BUDGET_S = 2.0
MARKETS_CSV = (
    "slug,start,end,strike,strike_source,outcome,our_mark,spot_coverage,book_coverage,signals,dispatched,denied,orders,"
    "fills,cost_micro_usd,fees_micro_usd,payout_micro_usd,pnl_micro_usd,pnl_latency_arb_micro_usd\n"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result]]:
    """Run folders of three backtests, a sweep of three points, a session, and what is none of them."""
    folder = tmp_path_factory.mktemp("analyze") / "runs"
    made = [random_result(folder / f"run{number:02d}", number) for number in range(RUNS)]
    for result in made:
        save_scores(scores(result, draws=100), result.folder)
    lay_sweep(folder / "sweeps" / "edges")
    lay_session(folder.parent / "logs")
    (folder / "notes").mkdir()
    (folder / "notes" / "ideas.txt").write_text("nothing of ours")
    (folder / ".run99.part-1").mkdir()
    shutil.copytree(folder / "run00", folder / "torn")
    (folder / "torn" / "tables" / "markets.npy").write_bytes(b"\x93NUMPY torn")
    (folder / "odd").mkdir()
    (folder / "odd" / "run.json").write_text("{")
    return folder, made


def lay_sweep(folder: Path) -> None:
    with RowFile(folder) as file:
        for at, edge in enumerate((0.02, 0.03, 0.04)):
            settings = {"strategy": {"latency_arb": {"min_edge": edge}}, "risk": {"name": "standard"}}
            body = sweep_functions.answer({"settings": settings})
            markets = body.pop("markets")
            point = {"strategy.latency_arb.min_edge": str(edge)}
            old = {
                **body,
                "pnl_micro": [value * 2 for value in body["pnl_micro"]],
            }  # by another program, then again
            row = {"point": point, "error": "", "worker": "w"}
            file.append({"digest": f"old{at}", "elapsed_s": 9.0, **row, **old}, markets)
            file.append({"digest": f"d{at}", "elapsed_s": 1.5, **row, **body}, markets)
        file.append(
            {
                "digest": "d9",
                "point": {"x": "1"},
                "error": "exit code 1: no",
                "elapsed_s": 0.0,
                "worker": "w",
            },
            [],
        )


def lay_session(folder: Path) -> None:
    """Three windows as telemetry writes them, one told twice and one without an outcome."""
    slugs = [f"eth-updown-15m-{1_790_000_100 + 900 * at}" for at in range(3)]
    row = "{slug},2026-09-2{day}T14:15:00.000Z,x,4500,rtds,{outcome},Up,1.0,1.0,5,2,3,2,{fills},{cost},20,{payout},"
    row += "{pnl},{pnl}\n"
    rows = [
        row.format(slug=slugs[0], day=1, outcome="Up", fills=1, cost=1_000_000, payout=0, pnl=-1_000_000),
        row.format(
            slug=slugs[0], day=1, outcome="Up", fills=2, cost=1_500_000, payout=4_000_000, pnl=2_500_000
        ),
        row.format(slug=slugs[1], day=2, outcome="Down", fills=1, cost=700_000, payout=0, pnl=-700_000),
        row.format(slug=slugs[2], day=2, outcome="", fills=1, cost=300_000, payout="", pnl=""),
    ]
    (folder / "15m").mkdir(parents=True)
    (folder / "15m" / "markets.csv").write_text(MARKETS_CSV + "".join(rows) + "eth-updown-15m-179000")
    for slug, pnl in zip(slugs, (2_500_000, -700_000, None), strict=True):
        (folder / "15m" / slug).mkdir()
        item = {
            "signals": 5,
            "dispatched": 2,
            "denied": 3,
            "orders": 2,
            "fills": 1,
            "cost_micro_usd": 10,
            "fees_micro_usd": 1,
        }
        idle = dict.fromkeys(item, 0) | {"pnl_micro_usd": None}
        found = {"latency_arb": {**item, "pnl_micro_usd": pnl}, "lp_extreme": idle}
        (folder / "15m" / slug / "market.json").write_text(
            json.dumps({"spec": {"asset": "eth"}, "strategies": found})
        )


def table(*paths: Path, **settings: Any) -> list[dict[str, Any]]:
    given = {
        key: (value,) if isinstance(value, str) and key in LISTS else value for key, value in settings.items()
    }
    frame, _ = command.analyze(AnalyzeConfig(paths=tuple(map(str, paths)), **given))
    return frame.mappings()


LISTS = ("by", "kind", "strategy", "asset", "interval", "outcome")


# -- figures ----------------------------------------------------------------------------------------


def test_a_run_has_the_figures_of_its_tables_and_scores(runs):
    folder, made = runs
    rows = {row["run"]: row for row in table(folder)}
    for name, result in (("run01", made[1]), ("run02", made[2])):
        row, markets = rows[name], result.table("markets")
        traded = markets[~markets["observed"]]
        counted = traded[traded["counted"] & (traded["outcome"] >= 0)]
        found = scores(result, draws=100)
        assert row["markets"] == len(traded)
        assert row["settled"] == len(counted)
        assert row["pnl_usd"] == pytest.approx(found.totals.pnl_micro / 1e6, abs=1e-9)
        assert (row["won"], row["lost"]) == (int((counted["pnl"] > 0).sum()), int((counted["pnl"] < 0).sum()))
        assert row["per_market_usd"] == pytest.approx(row["pnl_usd"] / row["settled"])
        assert row["fills"] == int(traded["fills"].sum())
        assert row["pnl_low_usd"] == found.totals.pnl_interval.low
        assert row["drawdown_usd"] == found.equity.drawdown_booked.depth_micro / 1e6


def test_strategies_sum_to_the_run_and_agree_with_the_scores(runs):
    folder, made = runs
    rows = table(folder, by=("run", "strategy"), run="run01")
    found = {item.name: item for item in scores(made[1], draws=100).strategies}
    assert len(rows) > 1
    assert {row["strategy"] for row in rows} <= {*STRATEGIES, "none"}  # none: what a flatten sold
    for row in rows:
        item = found[row["strategy"]]
        assert (row["pnl_usd"] or 0.0) == pytest.approx(item.pnl_micro / 1e6, abs=1e-9)
        assert row["signals"] == item.signals
    (whole,) = table(folder, run="run01")
    assert sum(row["pnl_usd"] or 0.0 for row in rows) == pytest.approx(whole["pnl_usd"])


def test_days_and_markets_are_those_of_the_windows(runs):
    folder, made = runs
    markets = made[0].table("markets")
    counted = Counted.of(markets, made[0].table("fills"))
    by_day = table(folder, by="day", run="run00")
    days = np.unique(markets["day"][~markets["observed"]])
    assert [row["day"] for row in by_day] == [str(np.datetime64(int(day), "D")) for day in days]
    assert sum(row["pnl_usd"] or 0.0 for row in by_day) == pytest.approx(counted.pnl.sum() / 1e6)
    by_market = table(folder, by="market", run="run00")
    assert [row["market"] for row in by_market] == sorted(
        str(slug) for slug in markets["slug"][~markets["observed"]]
    )


def test_points_of_a_sweep_are_runs(runs):
    folder, _ = runs
    rows = table(folder, kind="sweep", sort="-pnl_usd")
    assert rows[0]["run"] == "sweeps/edges/strategy.latency_arb.min_edge=0.03"
    settings = {"strategy": {"latency_arb": {"min_edge": 0.03}}, "risk": {"name": "standard"}}
    pnl = sweep_functions.answer({"settings": settings})["pnl_micro"]
    assert rows[0]["pnl_usd"] == pytest.approx(sum(pnl) / 1e6)
    assert (rows[0]["markets"], rows[0]["fills"], rows[0]["elapsed_s"]) == (24, 24, 1.5)
    by_day = table(folder, kind="sweep", by=("run", "day"), run="*0.03")
    assert [row["pnl_usd"] for row in by_day] == [
        pytest.approx(sum(pnl[at : at + 6]) / 1e6) for at in range(0, 24, 6)
    ]
    (strategy,) = table(folder, kind="sweep", by=("run", "strategy"), run="*0.03")
    assert strategy["pnl_usd"] == pytest.approx(sum(pnl) / 1e6)


def test_a_session_counts_each_market_once_and_an_unknown_result_nowhere(runs):
    logs = runs[0].parent / "logs"
    (row,) = table(logs)
    assert (row["run"], row["markets"], row["settled"], row["won"], row["lost"]) == ("logs", 3, 2, 1, 1)
    assert row["pnl_usd"] == pytest.approx(1.8)
    assert (row["fills"], row["signals"], row["cost_usd"]) == (4, 15, pytest.approx(2.5))
    (strategy,) = table(logs, by="strategy")
    assert (strategy["strategy"], strategy["pnl_usd"], strategy["settled"]) == (
        "latency_arb",
        pytest.approx(1.8),
        2,
    )
    (unknown,) = table(logs, outcome="unknown")
    assert (unknown["markets"], unknown["pnl_usd"]) == (1, None)


# -- filters, order, output -------------------------------------------------------------------------


def test_filters_keep_what_they_say(runs):
    folder, _ = runs
    both = folder, folder.parent / "logs"
    assert {row["kind"] for row in table(*both, by="kind")} == {"backtest", "sweep", "session"}
    assert [row["asset"] for row in table(*both, by="asset", asset="eth")] == ["eth"]
    assert [row["interval"] for row in table(*both, by="interval", interval="15m")] == ["15m"]
    days = [row["day"] for row in table(*both, by="day", from_day="2026-11-02", to_day="2026-11-03")]
    assert days == ["2026-11-02", "2026-11-03"]
    assert [row["run"] for row in table(folder, run="run0?", limit_count=2)] == ["run00", "run01"]
    assert {row["outcome"] for row in table(folder, by="outcome", outcome=("up", "down"))} == {"up", "down"}
    lost = table(folder, by="market", run="run00", max_pnl_usd=-0.01)
    assert lost
    assert all(row["pnl_usd"] < 0 for row in lost)
    busy = table(folder, by="market", run="run00", min_fills=8)
    assert busy
    assert all(row["fills"] >= 8 for row in busy)
    assert "drawdown_usd" not in table(folder, strategy="latency_arb")[0]  # of whole runs only


def test_an_unknown_column_is_refused_with_the_nearest(runs):
    with pytest.raises(ConfigError, match="no column pnl: there are run, .*did you mean"):
        table(runs[0], sort="-pnl")


def test_no_folder_at_all_is_an_error_and_a_missing_one_is_named(runs, tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        table(tmp_path / "nothing")
    _, found = command.analyze(AnalyzeConfig(paths=(str(runs[0]), str(tmp_path / "nothing"))))
    assert (str(tmp_path / "nothing"), "is not there") in found.skipped


def test_foreign_and_unreadable_folders_are_named_and_counted(runs, capsys):
    folder, _ = runs
    assert main(["analyze", f"paths={folder}", "output=csv", "limit_count=1"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2
    assert main(["analyze", f"paths={folder}"]) == 0
    shown = capsys.readouterr()
    assert f"skipped: {folder}/notes: no run in it" in shown.err
    assert re.search(rf"skipped: {folder}/torn: .*markets.npy: not a table", shown.err)
    assert re.search(rf"skipped: {folder}/odd: .*not the folder of a run", shown.err)
    assert "skipped: sweeps/edges/x=1: exit code 1: no" in shown.err
    assert f"{RUNS + 3} rows from {RUNS + 3} runs, 4 folders skipped" in shown.err
    assert "part-1" not in shown.err
    assert "run02" in shown.out


def test_a_folder_that_may_not_be_entered_is_named_and_the_others_are_read(tmp_path, monkeypatch):
    for name in ("closed", "session"):
        (tmp_path / name).mkdir()
    lay_session(tmp_path / "session")

    def kind_of(folder: Path) -> str:
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied", str(folder / "run.json"))
        return known(folder)

    known = sources._kind_of
    monkeypatch.setattr(sources, "_kind_of", kind_of)
    found = sources.collect([str(tmp_path)], by_strategy=False)
    assert found.runs == 1
    assert found.skipped == [(str(tmp_path / "closed"), "cannot be read: Permission denied")]


def test_files_hold_the_same_rows(runs, tmp_path):
    folder, _ = runs
    words = [f"paths={folder}", "by=[day,strategy]"]
    expected = table(folder, by=("day", "strategy"))
    for output in ("csv", "json", "parquet"):
        assert main(["analyze", *words, f"output={output}", f"out_file={tmp_path}/x.{output}"]) == 0
    assert json.loads((tmp_path / "x.json").read_text()) == expected
    assert pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pylist() == expected
    found = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text())))
    assert [row["pnl_usd"] for row in found] == [
        "" if row["pnl_usd"] is None else repr(row["pnl_usd"]) for row in expected
    ]
    assert list(found[0]) == list(expected[0])


def test_parquet_needs_a_file_and_a_file_needs_a_format(runs, capsys):
    assert main(["analyze", f"paths={runs[0]}", "output=parquet"]) == 2
    assert main(["analyze", f"paths={runs[0]}", "out_file=x"]) == 2
    assert "needs analyze.out_file=FILE" in capsys.readouterr().err


def test_unknown_values_sort_last_and_show_as_dashes():
    frame = Frame(("a", "b"), [("x", None), ("y", 2.0), ("z", 3.0)])
    assert [row[0] for row in frame.sorted_by("b").rows] == ["y", "z", "x"]
    assert [row[0] for row in frame.sorted_by("b", descending=True).rows] == ["z", "y", "x"]
    shown = [
        cell_text(*cell)
        for cell in (("b", None), ("pnl_usd", 1234.5), ("n", 12345), ("ok", True), ("t_s", 0.25))
    ]
    assert shown == ["-", "+1,234.50", "12,345", "yes", "0.25"]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [60, 80, 100, 400])
def test_a_narrow_terminal_folds_names_and_leaves_numbers_out_but_never_breaks_one(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    names = ("run", "markets", "signals", "fills", "pnl_usd", *(f"figure{number}_usd" for number in range(9)))
    frame = Frame(names, [("a-run-with-a-name-of-some-length", 12, 3_468, 8, -119.74, *[-1_234.56] * 9)])
    out = _Terminal()
    show(frame, out)
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    missing = re.findall(r"figure\d_usd", text.partition("not shown, the terminal is too narrow: ")[2])
    assert {"-119.74", "3,468"} <= set(text.split())
    assert text.split().count("-1,234.56") == 9 - len(missing)
    assert (columns < 400) == bool(missing)
    assert all(len(line) <= columns for line in text.partition("not shown")[0].splitlines())


# -- time -------------------------------------------------------------------------------------------


@pytest.mark.alone
def test_sixty_runs_take_less_than_two_seconds(runs, tmp_path):
    """The whole process as a user starts it, its modules compiled before: interpreter, settings, folders, table."""
    for number in range(MANY):
        shutil.copytree(runs[0] / f"run{number % RUNS:02d}", tmp_path / "runs" / f"run{number:02d}")
    command_line = [sys.executable, "-m", "polybot", "analyze", "run=run*", "sort=-pnl_usd", "asset=btc"]
    took_s = []
    for _ in range(3):  # the first one compiles
        before_s, cpu_s = loop_s(), children_s()
        done = subprocess.run(
            command_line,
            cwd=tmp_path,
            env=environment(tmp_path / "pyc"),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        assert f"{MANY} rows from {MANY} runs, 1 folders skipped" in done.stderr  # logs are not there
        took_s.append((children_s() - cpu_s) / max(1.0, before_s / LOOP_S, loop_s() / LOOP_S))
    assert min(took_s[1:]) < BUDGET_S, took_s


def children_s() -> float:
    """CPU seconds of all processes that were waited for: what a core has to give, whoever else wants it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
