"""Files for systemd and Docker: hardening is there, what they name exists, what they start is accepted.

There is no service manager and no container engine in the tests: units are read (and given to `systemd-analyze
verify` where that is), the Dockerfile is read, and its program is started from exactly the files it copies.
"""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from polybot import cli
from polybot.config import default_config
from polybot.config_telegram import NoiseConfig
from polybot.healthcheck import main as healthcheck
from polybot.telemetry.recent import KINDS

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "RestrictSUIDSGID": "yes",
    "SystemCallFilter": "@system-service",
    "UMask": "0077",
    "LimitCORE": "0",
    "TimeoutStopSec": "15",
    "Restart": "always",
    "StartLimitBurst": "5",
    "StartLimitIntervalSec": "300",
}


def settings_of(path: Path) -> dict[str, list[str]]:
    """Every setting of a unit with its values in their order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def command_of(path: Path) -> list[str]:
    """Words after `python -m polybot`."""
    (line,) = settings_of(path)["ExecStart"]
    words = shlex.split(line)
    assert words[:3] == ["/srv/polybot/.venv/bin/python", "-m", "polybot"]
    return [word for word in words[3:] if not word.startswith("$")]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_are_hardened_bounded_and_run_as_nobody_special(path: Path) -> None:
    found = settings_of(path)
    assert {name: found[name] for name in HARDENING} == {name: [value] for name, value in HARDENING.items()}
    assert "MemoryMax" in found
    assert found["User"] == found["Group"] == ["polybot"]
    for name in ("POLYMARKET_PRIVATE_KEY", "TELEGRAM_BOT_TOKEN"):
        assert not any(name in value for value in found.get("Environment", []))


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_what_a_unit_starts_is_a_command_with_settings_that_are_accepted(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = command_of(path)
    assert words[0] in cli._COMMANDS
    assert cli.main([*words, "--cfg", "job"]) == 0
    told = capsys.readouterr().out
    folders = {name: value for name, _, value in (word.partition("=") for word in words[1:]) if name.endswith("_dir")}
    assert set(folders) == {"telemetry.out_dir", "run.state_dir"}
    for folder in folders.values():
        assert f": {folder}\n" in told
    assert set(folders.values()) == {"/var/log/polybot", "/var/lib/polybot"}
    found = settings_of(path)
    assert (found["StateDirectory"], found["LogsDirectory"]) == (["polybot"], ["polybot"])


def test_the_daemon_is_watched_and_a_silent_feed_can_never_use_up_its_starts() -> None:
    found = settings_of(DEPLOY / "polybot.service")
    assert (found["Type"], found["NotifyAccess"], found["WatchdogSec"]) == (["notify"], ["main"], ["10"])
    assert found["KillMode"] == ["mixed"]
    assert found["RestartPreventExitStatus"] == ["0 2 70"]
    silence_s = default_config().service.restart_age_s
    burst, interval_s = int(found["StartLimitBurst"][0]), int(found["StartLimitIntervalSec"][0])
    assert burst * silence_s > interval_s
    pause_s = default_config().service.refused_s + int(found["RestartSec"][0])
    assert burst * pause_s > interval_s  # nor can a venue that refuses every start of real orders
    assert int(found["TimeoutStartSec"][0]) > pause_s + default_config().doctor.venue_s
    assert int(found["TimeoutStartSec"][0]) > 2 * default_config().service.ready_s
    engine, service = default_config().engine, default_config().service
    assert int(found["TimeoutStopSec"][0]) > engine.stop_wait_s + service.stop_s


def test_secrets_come_as_credentials_under_the_names_that_are_read() -> None:
    given = settings_of(DEPLOY / "polybot.service.d" / "credentials.conf")["LoadCredential"]
    given += settings_of(DEPLOY / "polybot-telegram.service")["LoadCredential"]
    names = {value.partition(":")[0] for value in given}
    polymarket = cli.load_config(["venue=polymarket", "mode=paper"]).venue
    assert names == {polymarket.private_key_env, default_config().telegram.token_env}


def test_the_dashboards_unit_reaches_this_machine_alone() -> None:
    found = settings_of(DEPLOY / "polybot-dashboard.service")
    assert (found["IPAddressDeny"], found["IPAddressAllow"]) == (["any"], ["localhost"])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_itself_has_nothing_to_say_about_a_unit(path: Path, tmp_path: Path) -> None:
    """Where systemd-analyze is; without it the tests above are all there is."""
    program = shutil.which("systemd-analyze")
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", path.read_text(), flags=re.MULTILINE)
    assert text.count("ExecStart=/bin/true ") == 1
    (tmp_path / path.name).write_text(re.sub(r"^(User|Group)=.*", r"\1=root", text, flags=re.MULTILINE))
    if program is not None:
        done = subprocess.run([program, "verify", str(tmp_path / path.name)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_runbook_says_what_to_do_at_every_alert_and_event() -> None:
    text = (ROOT / "docs" / "OPERATIONS.md").read_text()
    runbook = text[text.index("## Runbook: ") : text.index("\n## Beside the daemon")]
    rows = [line.strip("|").split("|") for line in runbook.splitlines() if line.startswith("| ")]
    told = {kind.strip() for row in rows if len(row) == 3 and all(row) for kind in row[0].split(",")}
    kinds = {field.name for field in dataclasses.fields(NoiseConfig)} | set(KINDS)
    assert kinds - told == set()


# -- the container ------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in text.splitlines() if line.strip()]


def copied() -> list[str]:
    """What the build takes from the project."""
    found = []
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            found += rest.split()[:-1]
    return found


def admitted() -> set[str]:
    """What the context holds: .dockerignore refuses all but this."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    words = [line for line in lines if line and not line.startswith("#")]
    assert words[0] == "*"
    return {word[1:] for word in words if word.startswith("!")}


def test_what_the_dockerfile_copies_exists_and_nothing_else_is_in_its_context() -> None:
    assert set(copied()) == admitted()
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_the_image_runs_as_nobody_special_with_a_reaper_and_a_health_check_and_holds_no_secret() -> None:
    names = [name for name, _ in instructions()]
    last = dict(instructions())
    assert names.count("FROM") == 2
    assert last["USER"] == "10001:10001"
    assert names.index("USER") > names.index("ENV")
    assert json.loads(last["ENTRYPOINT"])[:2] == ["tini", "--"]
    assert "gcc" not in DOCKERFILE[DOCKERFILE.rindex("\nFROM") :]
    assert "ARG" not in names
    assert not re.search(r"(?i)(secret|token|password|private_key)\w*=", DOCKERFILE)
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert "--require-hashes" in DOCKERFILE
    check = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    assert check[:3] == ["python", "-m", "polybot.healthcheck"]
    assert f"run.state_dir={check[3]}" in json.loads(last["CMD"])


def test_the_program_of_the_image_starts_from_what_it_copies_alone(tmp_path: Path) -> None:
    """As the second stage has it: the copied files, the extensions made of them, and the libraries of the lock."""
    app = tmp_path / "app"
    app.mkdir()
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, app / name, ignore=shutil.ignore_patterns("__pycache__", "*.c"))
        else:
            shutil.copy(source, app / name)
    last = dict(instructions())
    words = json.loads(last["ENTRYPOINT"])[3:] + json.loads(last["CMD"])
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *words, "--cfg", "job"], cwd=app, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "state_dir: /data/state" in done.stdout
    place = subprocess.run(
        [sys.executable, "-c", "import polybot, polybot.daemon, polybot.sim.child; print(polybot.__file__)"],
        cwd=app, env=environ, capture_output=True, text=True,
    )  # fmt: skip
    assert place.stdout.strip() == str(app / "polybot" / "__init__.py"), place.stderr


def test_the_health_check_says_3_where_no_daemon_is_and_2_to_wrong_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert healthcheck([str(tmp_path)]) == 3
    assert capsys.readouterr().out == f"no daemon runs in {tmp_path}\n"
    assert healthcheck([]) == 2
