"""Files of a report: what the command makes, of what it refuses, and that nothing is ever half written."""

import io
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from report.made_run import make_run
from report.page_reader import read_page
from runs import QUIET, configure, run

from polybot.backtest.result import Result
from polybot.backtest.score_tree import Equity, Scores, load_scores
from polybot.backtest.session import backtest_session
from polybot.cli import load_config
from polybot.config import default_config
from polybot.config_report import ReportConfig
from polybot.errors import ConfigError, TapeError
from polybot.replay.inputs import find_inputs, open_inputs
from polybot.report import command
from polybot.report.command import Written, write_report
from polybot.report.drawings import draw_equity
from polybot.report.page import write_file


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without matplotlib, and quick."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def run_command(**settings: object) -> str:
    """Run `report`, return what it said."""
    out = io.StringIO()
    keys = {
        key.replace("__", ".") if "__" in key else f"report.{key}": value for key, value in settings.items()
    }
    assert command.run(default_config(**keys), out=out) == 0
    return out.getvalue()


@pytest.mark.usefixtures("no_pictures")
def test_command_makes_page_and_keeps_scores(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", markets=4, fills_per_market=1)
    said = run_command(source=str(run.folder), png=False)
    assert "report.html" in said
    assert load_scores(run.folder) is not None
    assert not (run.folder / "report.png").exists()
    assert "scoring" not in run_command(source=str(run.folder), png=False)


@pytest.mark.usefixtures("no_pictures")
def test_command_compares_with_the_session_that_was_traded(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", markets=4, fills_per_market=1)
    live = make_run(tmp_path / "live", markets=4, fills_per_market=1)
    run_command(source=str(run.folder), live=str(live.folder), png=False, out_dir=str(tmp_path / "out"))
    names = read_page((tmp_path / "out" / "report.html").read_text()).by_name()
    assert names["scores.agreement.agreed"].value == "4"
    assert names["scores.agreement.extra"].value == "0"


@pytest.mark.usefixtures("no_pictures")
def test_command_takes_a_session_by_its_inputs_log(tmp_path: Path) -> None:
    traded = run(
        tmp_path, configure(venue__makers="slow", venue__seed=4, run__markets=1, **QUIET), with_inputs=True
    )
    assert traded is not None
    (log,) = find_inputs(tmp_path)
    given = {"png": False, "out_dir": str(tmp_path / "page")}
    runs = str(tmp_path / "runs")
    assert "playing the session" in run_command(source=str(log), backtest__out_dir=runs, **given)
    session = read_page((tmp_path / "page" / "report.html").read_text())
    assert "The venue, its prices and its other traders are simulated" in session.words()
    assert int(session.by_name()["scores.totals.fills"].value) > 0
    tested = backtest_session(open_inputs(log), tmp_path / "runs" / "tested")
    said = run_command(source=str(tested.folder), live=str(log), backtest__out_dir=runs, **given)
    assert "playing" not in said  # once is enough
    page = read_page((tmp_path / "page" / "report.html").read_text())
    assert "Signals before risk: identical" in page.words()
    fills = np.load(next(tmp_path.glob("runs/session-*")) / "tables" / "fills.npy")
    of_orders = len(np.unique(fills["order_seq"]))  # all that one order got is one fill here
    assert page.by_name()["scores.agreement.fills_live"].value == str(of_orders)


@pytest.mark.usefixtures("no_pictures")
def test_command_refuses_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"report\.source=runs/NAME"):
        run_command(source="")
    with pytest.raises(TapeError, match="not the folder of a run"):
        run_command(source=str(tmp_path))


def test_settings_have_short_names_on_the_command_line() -> None:
    assert load_config(["report", "source=runs/a"]).report.source == "runs/a"


@pytest.mark.usefixtures("no_pictures")
def test_without_matplotlib_the_page_is_made_and_says_what_to_install(
    made: Result, made_scores: Scores, tmp_path: Path
) -> None:
    done = write_report(made, made_scores, ReportConfig(out_dir=str(tmp_path)))
    seen = read_page(done.page.read_text())
    assert done.picture is None
    assert "make extras" in done.problem
    assert "make extras" in seen.words()
    assert "svg" not in seen.tags
    assert len(seen.numbers) > 800


def test_picture_is_small_enough_for_a_messenger(written: Written) -> None:
    assert written.picture is not None
    data = written.picture.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert 600 <= width <= 1_280
    assert height <= 2 * width
    assert len(data) < 500_000


def test_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_file(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_every_fill_is_a_dot_also_on_a_thinned_curve(made_scores: Scores) -> None:
    rng = np.random.default_rng(5)
    n = 30_000
    at = np.cumsum(rng.integers(1, 10**9, n))
    value = np.cumsum(rng.integers(-(10**6), 10**6, n))
    kept = np.unique(np.r_[0, rng.integers(0, n, 9_000), n - 1])
    flat = made_scores.equity.drawdown_booked
    times, values = tuple(at[kept].tolist()), tuple(value[kept].tolist())
    curve = Equity(
        at_ns=times,
        booked_micro=values,
        marked_micro=values,
        kind=(0,) * len(kept),
        market=(0,) * len(kept),
        thinned=True,
        drawdown_booked=flat,
        drawdown_marked=flat,
    )
    fills = at[rng.choice(n, 2_500, replace=False)]
    svg = draw_equity("e", curve, np.sort(fills), size=(400, 300))
    paths = [path for path in svg.split("<path")[1:] if "stroke-linecap: round" in path.partition("/>")[0]]
    (drawn,) = [path.partition('"/>')[0].partition("clip-path")[0] for path in paths]
    dots = re.findall(r"M [\d.]+ [\d.]+\s+L [\d.]+ [\d.]+", drawn)  # a stroke each, not a bare move
    assert (len(dots), drawn.count("M")) == (2_500, 2_500)
