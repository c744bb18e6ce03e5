"""`doctor` against a venue in which one thing is wrong: it names that thing, says what to do, and fails nothing else.

One venue process serves all cells; what is wrong is planted in it, in the settings, or on this machine.
"""

import asyncio
import base64
import dataclasses
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polybot.cli import main
from polybot.config import Config, DoctorConfig
from polybot.control.address import make_folder, socket_path
from polybot.doctor import program
from polybot.doctor.checks import CHECKS
from polybot.gateway.wallets import derive_wallets
from polybot.journal.journal import folder_of
from polybot.journal.lock import AccountLock
from polybot.sim.planted import CHANNELS, Planted
from tests.canary import Canary, find_in_bytes
from tests.doctor.surgery import ADDRESS, KEY, LIMITS, Look, Surgery, examine, look

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 120
EVERYTHING = {"program", *(check.name for check in CHECKS)}


def only_fails(found: Look, name: str) -> dict[str, Any]:
    """The row of the one check that failed."""
    assert found.of_level("FAIL") == {name}, [row for row in found.rows.values() if row["level"] == "FAIL"]
    assert (found.code, found.ready) == (1, False)
    assert found.rows[name]["fix"]
    return found.rows[name]


# -- healthy


def test_a_healthy_place_is_ready_and_every_check_was_made(surgery: Surgery, tmp_path: Path) -> None:
    waits = DoctorConfig()
    found = look(surgery.config(tmp_path, doctor__stay_s=waits.stay_s, doctor__listen_s=waits.listen_s))
    assert (found.code, found.ready, found.of_level("FAIL")) == (0, True, set())
    assert found.took_s < 10.0
    assert set(found.rows) == EVERYTHING
    assert found.of_level("n/a") == {"confirmation", "cores", "telegram", "dashboard"}
    assert found.rows["market"]["seen"].startswith("btc-updown-15m-")
    assert "rule twap of 60 s, tick 0.01, minimum 5 shares, taker fee rate 0.07" in found.rows["market"]["seen"]
    assert "$1,000.00 of collateral" in found.rows["balance"]["seen"]
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_paper_needs_no_account_and_is_ready(surgery: Surgery, tmp_path: Path) -> None:
    found = look(surgery.config(tmp_path, mode__name="paper"))
    assert (found.code, found.of_level("FAIL")) == (0, set())
    for name in ("account", "api key", "account mode", "wallet", "balance", "allowances", "user feed", "location"):
        assert found.rows[name]["level"] == "n/a"
        assert "mode=paper" in found.rows[name]["seen"]
    assert {"market", "spot feed", "oracle feed", "market feed", "version"} <= found.of_level("ok")


# -- planted in the venue: what, settings, the check that must fail, words of what was seen, words of the fix

STOP = {"gateway.skew_stop_ms": 1_000}
RULE = "https://data.chain.link/streams/btc-usd-median-60s"
ILL = {
    "clock two seconds off": ({"clock_off_s": 2.0}, STOP, "clock", "apart (at most 1 s)", "timedatectl set-ntp true"),
    "old version": ({"version": 1}, {}, "version", "CLOB version 1, configured is 2", "do not trade"),
    "geoblocked": ({"blocked": True}, {}, "location", "US NY) is blocked", "there is no override"),
    "closed-only": ({"closed_only": True}, {}, "account mode", "closed-only", "only the venue can open"),
    "wrong wallet type": ({"wallet_type": 2}, {}, "wallet", "2 POLY_GNOSIS_SAFE holds $1", "venue.sig_type_env to 2"),
    "low balance": ({"balance_usd": 2.5}, {}, "balance", "$2.50 of collateral, at least $5.00", "move $147.50 or more"),
    "no allowance": ({"no_allowance": True}, {}, "allowances", "may not move", "wallet venue=sim action=approve"),
    "unknown rule": ({"rule": RULE}, {}, "market", "unknown_resolution_rule", "do not trade btc 15m"),
    "another rule": ({}, {"interval.rule_expected": "point"}, "market", "unexpected_rule", "do not trade btc 15m"),
    "silent oracle": ({"mute": ["oracle"]}, {"doctor.feed_s": 6.0}, "oracle feed", "connected and silent", "firewall"),
}


@pytest.mark.parametrize("name", ILL)
def test_a_fault_of_the_venue_is_named_with_its_fix_and_nothing_else_fails(
    name: str, planted: Surgery, tmp_path: Path
) -> None:
    faults, settings, check, seen, fix = ILL[name]
    planted.plant(**faults)
    row = only_fails(look(planted.config(tmp_path, **settings)), check)
    assert seen in row["seen"]
    assert fix in row["fix"]


def test_a_clock_that_is_a_little_off_is_a_warning_and_no_failure(planted: Surgery, tmp_path: Path) -> None:
    planted.plant(clock_off_s=0.8)
    found = look(planted.config(tmp_path, gateway__skew_stop_ms=60_000))
    assert (found.code, found.of_level("FAIL"), found.of_level("warn")) == (0, set(), {"clock"})
    assert "doctor.clock_warn_ms" in found.rows["clock"]["seen"]


def test_less_than_the_risk_table_may_spend_is_a_warning(planted: Surgery, tmp_path: Path) -> None:
    planted.plant(balance_usd=60.0)
    found = look(planted.config(tmp_path))
    assert (found.code, found.rows["balance"]["level"]) == (0, "warn")
    assert "risk.bankroll_usd=60" in found.rows["balance"]["fix"]


def test_every_feed_that_connects_and_brings_nothing_is_named_after_a_short_wait(
    planted: Surgery, tmp_path: Path
) -> None:
    planted.plant(mute=list(CHANNELS))
    found = look(planted.config(tmp_path, doctor__feed_s=2.0))
    silent = {"spot feed", "oracle feed", "market feed", "user feed"}
    assert (found.code, found.of_level("FAIL")) == (1, silent)
    for name in silent:
        assert "connected and silent" in found.rows[name]["seen"]
        assert "within 2 s (doctor.feed_s)" in found.rows[name]["seen"]
        assert found.rows[name]["fix"]
    assert found.rows["polybolt feed"]["level"] == "warn"  # strikes can do without it


def test_a_wrong_api_key_is_named_by_its_variables(
    surgery: Surgery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"private_key": KEY, "api_key": "x", "api_secret": "c2VjcmV0", "api_passphrase": "y"}
    for name, value in names.items():
        monkeypatch.setenv(f"DOCTOR_{name.upper()}", value)
    settings = {f"venue.{name}_env": f"DOCTOR_{name.upper()}" for name in names}
    row = only_fails(look(surgery.config(tmp_path, **settings)), "api key")
    assert "HTTP 401: the venue refuses" in row["seen"]
    assert "DOCTOR_API_KEY, DOCTOR_API_SECRET, DOCTOR_API_PASSPHRASE" in row["seen"]
    assert f"belong to {ADDRESS}, or unset them" in row["fix"]
    assert KEY[2:] not in json.dumps(row)


def test_a_wallet_that_is_not_the_keys_is_refused_with_what_would_fit(
    surgery: Surgery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCTOR_PRIVATE_KEY", KEY)
    monkeypatch.setenv("DOCTOR_SIG_TYPE", "2")
    settings = {"venue.private_key_env": "DOCTOR_PRIVATE_KEY", "venue.sig_type_env": "DOCTOR_SIG_TYPE"}
    row = only_fails(look(surgery.config(tmp_path, **settings)), "account")
    safe = next(wallet for wallet, kind in derive_wallets(ADDRESS).items() if kind == 2)
    assert f"this key's safe is {safe}" in row["seen"]


def test_a_venue_that_is_not_there_fails_alone_and_says_how_one_is_started(surgery: Surgery, tmp_path: Path) -> None:
    row = only_fails(look(surgery.config(tmp_path, venue__attach="http://127.0.0.1:9")), "venue")
    assert "no embedded venue answers" in row["seen"]
    assert "venue.attach=ADDRESS" in row["fix"]


# -- wrong on this machine; all looked at side by side, a state folder each


def _killed(folder: Path, surgery: Surgery) -> None:
    (folder / "state").mkdir()
    (folder / "state" / "KILL").write_text("enough\n")


def _damaged(folder: Path, surgery: Surgery) -> None:
    journal = folder_of(folder / "state", surgery.address, surgery.session)
    journal.mkdir(parents=True)
    (journal / "000001-20261122.journal").write_bytes(b"this was a journal once" * 100)


def _without_folder(folder: Path, surgery: Surgery) -> None:
    (folder / "logs").write_text("a file where a folder should be\n")


def _without_state(folder: Path, surgery: Surgery) -> None:
    (folder / "state").write_text("a file where a folder should be\n")


def _locked(folder: Path, surgery: Surgery) -> Any:
    (folder / "state").mkdir()
    name = folder_of(folder / "state", surgery.address, surgery.session).name
    return AccountLock(folder / "state", name)


def _listening(folder: Path, surgery: Surgery) -> Any:
    make_folder(folder / "state")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(socket_path(folder / "state", surgery.address, surgery.session)))
    listener.listen()
    return listener


def _taken(folder: Path, surgery: Surgery) -> Any:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


TELEGRAM = {"telegram.enabled": True, "telegram.token_env": "DOCTOR_HAS_NO_TOKEN"}
DASHBOARD = {"dashboard.enabled": True, "dashboard.ports_count": 1}
OFF = {
    f"strategy.{name}.enabled": False
    for name in ("latency_arb", "certainty_capture", "convexity_fade", "strike_misalign", "lp_extreme")
}
# what makes it so, settings, the check that must fail, words of what was seen, words of the fix
BROKEN = {
    "kill file": (_killed, {}, "kill file", "stops every start", "rm "),
    "damaged journal": (_damaged, {}, "journal", "000001-20261122.journal", "run.accept_damage=true"),
    "logs that cannot be written": (_without_folder, {}, "disk", "is no folder", "telemetry.out_dir=FOLDER"),
    "state that cannot be written": (_without_state, {}, "state folder", "is no folder", "run.state_dir=FOLDER"),
    "second instance": (_locked, {}, "instance", f"already traded by process {os.getpid()}", "python -m polybot kill"),
    "second instance's socket": (_listening, {}, "instance", "a daemon of this account answers", "polybot kill"),
    "dashboard's port": (_taken, DASHBOARD, "dashboard", "is free", "dashboard.port=0"),
    "a core that is not there": (None, {"loop.cores": [1_023]}, "cores", "loop.cores=[1023]", "loop.cores=["),
    "telegram without a token": (None, TELEGRAM, "telegram", "no Telegram token", "docs/TELEGRAM.md"),
    "no strategy": (None, OFF, "settings", "no strategy is on", "enabled=true"),
}  # fmt: skip


@pytest.fixture(scope="module")
def broken(surgery: Surgery, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Look]:
    """All of them looked at."""
    held = []
    configs: dict[str, Config] = {}
    for name, (make, settings, *_) in BROKEN.items():
        folder = tmp_path_factory.mktemp("b")
        thing = make(folder, surgery) if make is not None else None
        more = {"dashboard.port": thing.getsockname()[1]} if make is _taken else {}
        held.append(thing)
        configs[name] = surgery.config(folder, **settings, **more)

    async def all_of_them() -> list[Look]:
        return await asyncio.gather(*(examine(config) for config in configs.values()))

    try:
        return dict(zip(configs, asyncio.run(all_of_them()), strict=True))
    finally:
        for thing in held:
            if isinstance(thing, AccountLock):
                thing.release()
            elif thing is not None:
                thing.close()


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_of_this_machine_is_named_with_its_fix_and_nothing_else_fails(
    name: str, broken: dict[str, Look]
) -> None:
    _, _, check, seen, fix = BROKEN[name]
    row = only_fails(broken[name], check)
    assert seen in row["seen"]
    assert fix in row["fix"]


def test_a_full_disk_is_told_with_what_is_missing(
    surgery: Surgery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=200 << 20))
    row = only_fails(look(surgery.config(tmp_path)), "disk")
    assert "200 MB free" in row["seen"]
    assert "at least 257 MB are needed" in row["seen"]  # two segments of 64, a reserve of 1, two log files of 64
    assert "free 57 MB there" in row["fix"]


def test_a_disk_that_will_be_full_one_day_is_a_warning(
    surgery: Surgery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=2_000 << 20))
    found = look(surgery.config(tmp_path))
    assert (found.code, found.rows["disk"]["level"]) == (0, "warn")
    assert "replay.keep_mb" in found.rows["disk"]["fix"]


def test_a_state_folder_too_long_for_a_control_socket_is_told_unless_there_is_none(
    surgery: Surgery, tmp_path: Path
) -> None:
    long = str(tmp_path / ("deep" * 20))
    row = only_fails(look(surgery.config(tmp_path, run__state_dir=long)), "instance")
    assert "choose a shorter folder, or control.enabled=false" in row["seen"]
    assert look(surgery.config(tmp_path, run__state_dir=long, control__enabled=False)).code == 0


def test_a_compiled_unit_that_is_missing_is_named_and_nothing_else_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "engine.pyi").write_text("")
    verdict = program.check_program(tmp_path)
    assert (verdict.level, verdict.seen, verdict.fix) == ("FAIL", "compiled unit engine is missing", "make build")


def test_a_compiled_unit_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError("size changed, may indicate binary incompatibility")

    monkeypatch.setattr(program.importlib, "import_module", refuse)
    verdict = program.check_program()
    assert verdict.level == "FAIL"
    assert "does not fit: size changed" in verdict.seen
    assert "make build" in verdict.fix


def test_the_command_still_speaks_when_a_unit_cannot_be_loaded(tmp_path: Path) -> None:
    """Nothing of it but the first check may need one."""
    hide = "import sys; sys.modules['polybot._fast.event'] = None"
    code = f"{hide}; from polybot.cli import main; sys.exit(main(['doctor']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    first, last = done.stdout.splitlines()
    assert first.startswith("FAIL program: compiled unit ")
    assert "make build" in first
    assert last.startswith("NOT READY: 1 of 1 checks failed")


# -- what is documented


def table_of(page: str, title: str) -> list[str]:
    """First cells of the first table of a section."""
    text = (ROOT / "docs" / page).read_text().partition(f"# {title}\n")[2]
    rows = re.search(r"((?:\|.*\n)+)", text)
    assert rows is not None
    return [line.split("|")[1].strip().strip("`") for line in rows[1].splitlines()[2:]]


def test_every_check_is_documented_in_the_order_of_the_table() -> None:
    assert table_of("DOCTOR.md", "Checks") == ["program", *(check.name for check in CHECKS)]


def test_every_fault_that_can_be_planted_is_documented() -> None:
    assert table_of("VENUE.md", "Planted faults") == [field.name for field in dataclasses.fields(Planted)]


def test_a_check_comes_after_those_it_needs_and_its_limits_are_settings() -> None:
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))
    settings = {field.name for field in dataclasses.fields(DoctorConfig)}
    for place, check in enumerate(CHECKS):
        assert set(check.needs) <= set(names[:place])
        assert {check.limit, *check.more} <= settings


# -- as an operator types it


def type_doctor(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "polybot", "doctor", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **variables},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def test_the_command_alone_starts_a_venue_prints_a_line_per_check_and_ends_with_0(tmp_path: Path) -> None:
    done = type_doctor(tmp_path, *(f"{key}={value}" for key, value in LIMITS.items()))
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    assert {line.split(":")[0].partition(" ")[2] for line in lines} == EVERYTHING
    assert last.startswith(f"ready: {len(EVERYTHING)} checks")
    assert "the embedded venue, started for these checks: simulated prices, test money" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_command_fails_with_fault_and_fix_on_one_line_and_shows_no_secret(surgery: Surgery, tmp_path: Path) -> None:
    rnd = random.Random(29)
    key = rnd.randbytes(32)
    canaries = [
        Canary("key", "0x" + key.hex(), key),
        Canary("secret", base64.urlsafe_b64encode(secret := rnd.randbytes(32)).decode(), secret),
        Canary("passphrase", rnd.randbytes(32).hex()),
        Canary("api key", rnd.randbytes(16).hex()),
        Canary("token", "1234567890:AA" + base64.urlsafe_b64encode(rnd.randbytes(24)).decode()),
    ]
    names = ("private_key", "api_secret", "api_passphrase", "api_key")
    given = {f"DOCTOR_{name.upper()}": canary.text for name, canary in zip(names, canaries, strict=False)}
    done = type_doctor(
        tmp_path,
        f"venue.attach={surgery.urls['sim_url']}",
        "interval=15m",
        "telegram.enabled=true",
        "gateway.skew_stop_ms=10000",
        *(f"venue.{name}_env=DOCTOR_{name.upper()}" for name in names),
        TELEGRAM_BOT_TOKEN=canaries[-1].text,
        TELEGRAM_CHAT_ID="77",
        **given,
    )
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert line.startswith("FAIL api key: HTTP 401: the venue refuses the API key given by DOCTOR_API_KEY")
    assert " | fix: give the three that belong to 0x" in line
    assert done.stdout.splitlines()[-1].startswith("NOT READY: 1 of ")
    assert "ok telegram: token and chat are given" in done.stdout
    assert find_in_bytes(done.stdout.encode(), canaries, where="what it printed") == []


def test_settings_that_do_not_compose_are_refused_in_one_line_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "doctor.clock_warn_ms=-5"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "doctor.clock_warn_ms=-5 is not allowed" in said.err
