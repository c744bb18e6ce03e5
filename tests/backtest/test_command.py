"""The command `backtest`: what it prints, writes and returns."""

import io
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from backtest.made import NS, Script, make_tape

from polybot.backtest import command, flattery
from polybot.backtest.result import load_result
from polybot.backtest.run import Progress, run_backtest
from polybot.cli import load_config, main
from polybot.config import Config, default_config
from polybot.errors import ConfigError, TapeError


@pytest.fixture(scope="module")
def rising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two windows in which somebody earns."""
    folder = tmp_path_factory.mktemp("rising")
    for number in range(2):
        script = Script(
            spot=lambda at_s: 78_800.0 + (90.0 if at_s >= 150 else 0.0),
            up=lambda at_s: 5_000 if at_s < 200 else 9_000,
            warm_s=900 if number == 0 else 1,
        )
        make_tape(folder, script, number=number)
    return folder


def config_of(tapes: Path, runs: Path, **changes: Any) -> Config:
    given = {"backtest.tapes": [str(tapes)], "backtest.out_dir": str(runs), "backtest.name": "run"}
    return default_config(**{**given, "backtest.report": False, "backtest.flattery": False, **changes})


def test_without_the_harsher_variants_no_figure_of_profit_is_shown(rising: Path, tmp_path: Path) -> None:
    out = io.StringIO()
    assert command.run(config_of(rising, tmp_path), out=out) == 0
    text = out.getvalue()
    result = load_result(tmp_path / "run")
    assert result.info["totals"]["pnl"] > 0
    assert "no figure of profit: backtest.flattery=false" in text
    assert "2 windows (2 settled)" in text
    assert "data: made" in text
    assert f"run: {tmp_path / 'run'}" in text
    assert "PnL" not in text
    assert f"{result.info['totals']['pnl'] / 1e6:.2f}" not in text
    assert (tmp_path / "run" / "scores.json").exists()
    assert "\x1b" not in text


def test_with_them_the_summary_has_every_row_and_the_money(
    rising: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flattery, "run_jobs", _here)
    out = io.StringIO()
    assert command.run(config_of(rising, tmp_path, **{"backtest.flattery": True}), out=out) == 0
    text = out.getvalue()
    pnl = load_result(tmp_path / "run").info["totals"]["pnl"] / 1e6
    row = next(line for line in text.splitlines() if line.lstrip().startswith("all "))
    assert f"{pnl:+,.2f}" in row
    for title in ("as it was run", "spot 30 s later", "latency twice as long", "proportional queue"):
        assert title in text


def _here(path: str, items: list[Any], *, cores: int, on_done: Any) -> list[Any]:
    """Every job in this process: what jobs does is tested elsewhere."""
    from polybot.backtest.worker import JobDone

    results = []
    for index, item in enumerate(items):
        results.append(flattery.perform(item))
        on_done(JobDone(index, results[-1], "", 0.0, "here"))
    return results


def test_the_first_interrupt_keeps_what_is_done_and_the_code_says_so(
    rising: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)

    def interrupted(config: Config, **more: Any) -> Any:
        def watch(progress: Any) -> None:
            if progress.settled == 1 and signal.getsignal(signal.SIGINT) is not before:
                os.kill(os.getpid(), signal.SIGINT)

        return run_backtest(config, **{**more, "watch": watch})

    monkeypatch.setattr(command, "run_backtest", interrupted)
    out = io.StringIO()
    assert command.run(config_of(rising, tmp_path), out=out) == 130
    assert f"interrupted: 1 settled windows are kept in {tmp_path / 'run'}; nothing was scored" in out.getvalue()
    assert load_result(tmp_path / "run").info["state"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_that_was_ended_in_its_variants_goes_on_and_a_finished_one_is_refused(
    rising: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: str, items: list[Any], *, cores: int, on_done: Any) -> list[Any]:
        _here(path, items[:2], cores=cores, on_done=on_done)
        raise KeyboardInterrupt

    config = config_of(rising, tmp_path, **{"backtest.flattery": True})
    monkeypatch.setattr(flattery, "run_jobs", interrupted)
    out = io.StringIO()
    assert command.run(config, out=out) == 130
    assert "with backtest.name=run the same command goes on" in out.getvalue()
    before = (tmp_path / "run" / "run.json").read_bytes()

    monkeypatch.setattr(flattery, "run_jobs", _here)
    with pytest.raises(TapeError, match="is there already"):
        command.run(config_of(rising, tmp_path, **{"backtest.extra_ticks": 1}), out=io.StringIO())
    out = io.StringIO()
    assert command.run(config, out=out) == 0
    assert "going on with it" in out.getvalue()
    assert "flattery 3 of 7" in out.getvalue()
    assert "flattery 2 of 7" not in out.getvalue()
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    with pytest.raises(TapeError, match="is there already"):
        command.run(config, out=io.StringIO())


def test_progress_is_plain_lines_where_there_is_no_terminal(rising: Path, tmp_path: Path) -> None:
    out = io.StringIO()
    screen = command._Screen(out, config_of(rising, tmp_path))
    progress = Progress(at_ns=1_795_337_250 * NS, first_ns=1_795_337_100 * NS, last_ns=1_795_337_400 * NS, messages=7,
                        settled=2, fills=3)  # fmt: skip
    with screen.progress():
        screen.watch(progress)  # too soon for a line
        screen._next_ns = 0
        screen.watch(progress)
        screen.watch(progress)
    assert out.getvalue() == "backtest: 50% | 2026-11-22 08:47:30 | 2 settled | 3 fills | 7 messages\n"


def test_a_damaged_tape_is_named_with_file_and_offset_and_the_rest_is_used(rising: Path, tmp_path: Path) -> None:
    tapes = tmp_path / "tapes"
    folder = make_tape(tapes, Script())
    frames = folder / "frames.zst"
    frames.write_bytes(frames.read_bytes()[:-40])
    out = io.StringIO()
    assert command.run(config_of(tapes, tmp_path), out=out) == 0
    assert f"{folder.name}: frames.zst: damaged at offset" in out.getvalue()
    assert "damaged tapes: 1, used as far as they are sound" in out.getvalue()
    (told,) = load_result(tmp_path / "run").info["tapes"]
    assert told["damage"]
    assert told["damage_places"][0]["file"] == "frames.zst"


def test_nothing_to_run_is_exit_code_2_in_one_line(
    rising: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", f"tapes={tmp_path / 'nowhere'}"]) == 2
    assert main(["backtest", f"tapes={rising}", "interval=15m", f"out_dir={tmp_path}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "must be a folder that is there" in lines[0]
    assert "there are 2 of asset=btc interval=5m" in lines[1]


def test_settings_of_the_command_need_no_prefix() -> None:
    words = ["backtest", "tapes=a", "queue=proportional", "spot_delay_s=5", "days=[2026-11-22]", "latency_factor=2"]
    given = load_config(words).backtest
    assert (given.tapes, given.queue, given.spot_delay_s, given.days) == (("a",), "proportional", 5.0, ("2026-11-22",))
    assert load_config(["backtest.tapes=[a,b]"]).backtest.tapes == ("a", "b")


@pytest.mark.parametrize("table", [(5.0,), (5.0, 4.0), ()])
def test_a_table_of_latencies_that_is_none_is_refused(table: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"backtest\.order_latency_ms is not allowed"):
        default_config(**{"backtest.order_latency_ms": list(table)})
