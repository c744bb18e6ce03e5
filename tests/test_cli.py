"""The command line: its grammar, and that every mistake is one line on stderr and exit code 2.

Most tests call `main` in this process with `--cfg job`, which composes, checks and prints; a few
run `python -m polybot` as the operator does.  Nothing here connects or trades.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from polybot import cli
from polybot.cli import EXIT_CONFIG, main, normalise
from polybot.compose import ENVIRONMENT
from polybot.config import Config
from polybot.errors import ConfigError, InvariantBroken, VenueUnavailable

ROOT = Path(__file__).resolve().parent.parent
SECRET = "0x" + "4c" * 32


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder without polybot's environment variables."""
    monkeypatch.chdir(tmp_path)
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "interval"),
    [([], "5m"), (["+interval=15m"], "15m"), (["interval=1h"], "1h"), (["run", "++interval=4h"], "4h")],
)
def test_interval_is_accepted_with_and_without_plus(
    words: list[str], interval: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["interval"]["name"] == interval


def test_normalise_leaves_the_other_settings_in_order() -> None:
    assert normalise(["b=1", "interval=15m", "a=2"]) == ("+interval=15m", "b=1", "a=2")
    with pytest.raises(ConfigError, match="2 times"):
        normalise(["interval=15m", "+interval=5m"])


def test_overrides_of_a_run_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    words = "run.markets=3 venue.speed=30 venue.makers=slow venue.seed=7 venue.tape=/a/b.gz mode=paper"
    assert main(["run", *words.split(), "risk=conservative", "--cfg=job", "--resolve"]) == 0
    job = yaml.safe_load(capsys.readouterr().out)
    venue = job["venue"]
    assert (venue["speed"], venue["makers"], venue["seed"], venue["tape"]) == (30, "slow", 7, "/a/b.gz")
    assert (job["run"]["markets"], job["mode"]["name"], job["risk"]["name"]) == (3, "paper", "conservative")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("risk=consrvative", "aggressive, conservative, standard; did you mean conservative?"),
        ("venue=polymarkt", "polymarket, sim; did you mean polymarket?"),
        ("model/vol=ewm", "did you mean ewma?"),
        ("strategy=[latency_rb]", "did you mean latency_arb?"),
        ("interval=7m", "interval=7m is not allowed: must be one of 15m, 1h, 4h, 5m"),
        ("interval=", "must be one of 15m, 1h, 4h, 5m"),
        ("rsk=standard", "unknown setting rsk; did you mean risk?"),
        ("risk.max_exposre_frac=.1", "did you mean risk.max_exposure_frac?"),
        ("+risk.max_exposre_frac=.1", "did you mean risk.max_exposure_frac?"),
        ("++feeds.backof_min_s=1", "did you mean feeds.backoff_min_s?"),
        ("qqq.zzz=1", "unknown setting qqq.zzz; --cfg job lists all settings"),
        ("risk.max_exposure_frac=nan", "risk.max_exposure_frac=nan is not allowed: must be a number in [0, 1]"),
        ("risk.bankroll_usd=inf", "risk.bankroll_usd=inf is not allowed: must be a number in [1, 10000000]"),
        ("risk.bankroll_usd=-inf", "risk.bankroll_usd=-inf is not allowed"),
        ("risk.bankroll_usd=lots", "risk.bankroll_usd=lots is not allowed: must be a number"),
        ("run.markets=2.5", "run.markets=2.5 is not allowed: must be a whole number"),
        ("run.markets=true", "run.markets=True is not allowed: must be a whole number"),
        ("run.markets=null", "run.markets=nothing is not allowed"),
        ("run=3", "run=3 is not allowed: must be a group of settings"),
        ("venue.speed=0.1", "venue.speed=0.1 is not allowed: must be a number in [1, 1000]"),
        ("venue.makers=slw", "must be one of instant, lagged, slow; did you mean slow?"),
        ("venue.spot_ws_urls=x", "must be a list"),
        ("telemetry.log_json=maybe", "must be true or false"),
        ("strategy.latency_arb.min_ege=1", "did you mean strategy.latency_arb.min_edge?"),
        ("~risk", "setting risk is missing"),
        ("~venue.speed", "setting venue.speed is missing"),
        ("venue=polymarket mode=paper venue.speed=3", "unknown setting venue.speed with venue=polymarket"),
        ("venue=polymarket mode=paper +venue.speed=3", "venue.speed is only for venue=sim"),
        ("asset=zec interval=1h", "asset=zec has no interval=1h: offered are 5m, 15m, 4h"),
        ("feeds.backoff_min_s=20", "must be <= feeds.backoff_max_s=10"),
        ("venue.seed=${nothing}", "venue.seed cannot be resolved"),
        ("venue.seed=[", "cannot read venue.seed=["),
        ("rnu", "unknown command rnu: commands are run, "),
        ("run sim", "unexpected word sim after run"),
        ("risk", "risk needs a value: risk=... with one of aggressive, conservative, standard"),
        ("--cgf job", "unknown option --cgf; did you mean --cfg?"),
        ("--cfg", "option --cfg needs a value"),
        ("--cfg all", "must be job"),
        ("--config-dir nowhere", "must be a folder"),
    ],
)
def test_mistake_is_one_line_with_what_is_allowed(
    words: str, said: str, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    assert main(words.split()) == EXIT_CONFIG
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("polybot: error: ")
    assert err.count("\n") == 1
    assert said in err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "word",
    [
        f"venue.private_key={SECRET}",
        f"+private_key={SECRET}",
        f"venue.private_key_env={SECRET}",
        f"venue.clob_url={SECRET}",
        f"telemetry.out_dir={SECRET[2:]}",
        "+telegram.bot_token=123456789:AAF-abcdefghijklmnopqrstuvwxyz012345",
        "telemetry.out_dir=123456789:AAF-abcdefghijklmnopqrstuvwxyz012345",
        "+clob.api_key=hunter2-hunter2",
        "telemetry.out_dir=${oc.env:POLYMARKET_PRIVATE_KEY}",
    ],
)
def test_secret_on_the_command_line_is_refused_and_not_repeated(
    word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMARKET_PRIVATE_KEY", SECRET)
    assert main([word, "--cfg", "job", "--resolve"]) == EXIT_CONFIG
    out, err = capsys.readouterr()
    assert out == ""
    assert "secret" in err
    assert word.partition("=")[2] not in err or "oc.env" in word
    assert SECRET[2:] not in err


def test_settings_shown_hold_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POLYMARKET_PRIVATE_KEY", "POLYMARKET_FUNDER_ADDRESS", "TELEGRAM_BOT_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    assert main(["venue=polymarket", "mode=paper", "--cfg", "job", "--resolve"]) == 0
    out = capsys.readouterr().out
    assert "POLYMARKET_PRIVATE_KEY" in out
    assert SECRET[2:] not in out


def test_a_list_without_brackets_is_refused_with_how_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "tapes=a,b"]) == EXIT_CONFIG
    assert capsys.readouterr().err == (
        "polybot: error: backtest.tapes=a,b: a list is written backtest.tapes=[a,b]; several runs need backtest -m\n"
    )


def test_a_report_of_no_folder_is_a_wrong_setting(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "source=runs/nothing"]) == EXIT_CONFIG
    assert "runs/nothing is not a folder" in capsys.readouterr().err


def test_help_names_every_command_and_choice(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["run", "-h"], ["sim", "--help"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        for word in ("run", "sim", "risk=", "conservative", "exit codes"):
            assert word in out


@pytest.mark.parametrize(
    "command",
    ["analyze", "backtest", "import", "record", "replay", "report", "wallet", "status", "halt", "flatten", "kill"],
)
def test_help_of_a_command_lists_its_settings_with_default_and_meaning(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    group = cli._GROUPS.get(command, command)
    file = yaml.safe_load((ROOT / "conf" / group / "default.yaml").read_text())
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    short = cli._SHORT[command]
    for name, value in file.items():
        names = [f"{group}.{name}.{inner}" for inner in value] if isinstance(value, dict) else [name]
        for one in names:
            shown = one if one in short or one.startswith(group) else f"{group}.{one}"
            assert f"\n  {shown}=" in out
    assert cli._COMMANDS[command].summary in out
    assert max(map(len, out.splitlines())) <= 140


@pytest.mark.parametrize(
    ("raised", "code"),
    [(ConfigError("x"), 2), (VenueUnavailable("x"), 1), (InvariantBroken("x"), 70), (KeyboardInterrupt(), 130)],
)
def test_what_a_command_raises_becomes_an_exit_code(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(config: Config) -> int:
        raise raised

    monkeypatch.setitem(cli._COMMANDS, "run", cli._Command("", run))
    assert main([]) == code
    assert capsys.readouterr().err == ("" if code == 130 else "polybot: error: x\n")


def test_module_exits_with_two_and_one_line_and_writes_nothing(elsewhere: Path) -> None:
    done = _polybot("risk=consrvative", cwd=elsewhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert list(elsewhere.iterdir()) == []


def test_module_prints_its_settings_and_writes_nothing(elsewhere: Path) -> None:
    done = _polybot("+interval=5m", "risk=conservative", "--cfg", "job", cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert yaml.safe_load(done.stdout)["risk"]["name"] == "conservative"
    assert list(elsewhere.iterdir()) == []


def test_wrong_python_gets_one_line() -> None:
    code = "import sys, runpy; sys.version_info = (3, 10, 0, 'final', 0); runpy.run_module('polybot')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert done.stderr.startswith("polybot: error: needs CPython 3.11 to 3.13, this is ")
    assert done.stderr.count("\n") == 1


def _polybot(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "polybot", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
