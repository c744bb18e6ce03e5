"""Real orders begin only when every check that concerns them passes; no setting lets a run pass by.

The venue is called polymarket here and is a process on this machine: the addresses are all that differs.
"""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import polybot.daemon as daemon_module
from polybot.account import open_account
from polybot.clock import SystemClock, wall_clock
from polybot.config import Config, DoctorConfig, ModeConfig, default_config
from polybot.doctor import gate
from polybot.doctor.checks import checks_of_orders
from polybot.doctor.verdict import Check, Verdict, inapplicable
from polybot.errors import ConfigError, NotReady
from polybot.gateway.http import LaneClient
from polybot.gateway.wallets import derive_wallets
from polybot.journal.journal import folder_of
from polybot.journal.lock import AccountLock
from polybot.place import Place
from polybot.telemetry.redact import Redactor
from tests.doctor.surgery import ADDRESS, KEY, Surgery, look

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 120.0
CONFIRMED = "venue.confirm_live=real-money"


def knock(config: Config, *, clock_off_s: float = 0.0, **given: str) -> tuple[str, ...]:
    """Stand before the gate as the daemon does."""

    async def stand() -> tuple[str, ...]:
        now = wall_clock()
        clock = SystemClock(now.epoch_ns + round(clock_off_s * 1e9), now.mono_anchor_ns)
        account = open_account(config.venue, lambda text: None, environ={"POLYMARKET_PRIVATE_KEY": KEY, **given})
        place = Place(config, clock, account, session=config.venue.name)
        http = LaneClient(config.gateway)
        try:
            return await gate.require_ready(place, http, Redactor())
        finally:
            await http.close()

    return asyncio.run(stand())


def refused(config: Config, **more: Any) -> dict[str, str]:
    """The lines of the refusal by check."""
    with pytest.raises(NotReady) as caught:
        knock(config, **more)
    head, *lines = str(caught.value).splitlines()
    assert head == f"real orders are refused: {len(lines)} of {len(checks_of_orders())} checks failed"
    assert all(" | fix: " in line for line in lines)
    return {line.removeprefix("  FAIL ").partition(":")[0]: line for line in lines}


@pytest.fixture
def real(planted: Surgery, tmp_path: Path) -> Config:
    """Settings for real orders, at a venue where the key has an account."""
    planted.open_account(ADDRESS)
    return planted.as_real(tmp_path, CONFIRMED)


def test_real_orders_may_begin_where_all_is_well(real: Config) -> None:
    first, *warnings = knock(real)
    assert first == f"pre-flight: {len(checks_of_orders())} checks, none failed"
    assert all(line.startswith("warn ") for line in warnings)


@pytest.mark.parametrize(
    ("faults", "check"),
    [
        ({"blocked": True}, "location"),
        ({"closed_only": True}, "account mode"),
        ({"version": 3}, "version"),
        ({"no_allowance": True}, "allowances"),
        ({"balance_usd": 0.5}, "balance"),
        ({"rule": "https://example.org/a-coin-is-tossed"}, "market"),
    ],
)
def test_real_orders_are_refused_with_the_check_that_failed(
    faults: dict[str, Any], check: str, real: Config, planted: Surgery
) -> None:
    planted.plant(**faults)
    assert list(refused(real)) == [check]


def test_everything_that_failed_is_in_the_list(real: Config, planted: Surgery) -> None:
    planted.plant(blocked=True, closed_only=True, wallet_type=1)
    assert list(refused(real)) == ["location", "account mode", "wallet"]


def test_a_check_that_was_not_made_refuses_as_one_that_failed(real: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    async def shrugs(site: Any) -> Verdict:
        return inapplicable("not today")

    checks = [check for check in checks_of_orders() if check.name == "disk"]
    checks.append(Check(name="weather", run=shrugs, fix=""))
    monkeypatch.setattr(gate, "checks_of_orders", lambda: checks)
    with pytest.raises(NotReady, match="1 of 2 checks were not made\n  weather: not today"):
        knock(real)


def test_what_the_fix_of_a_wrong_wallet_says_is_what_mends_it(real: Config, planted: Surgery) -> None:
    planted.plant(wallet_type=2)
    line = refused(real)["wallet"]
    safe = next(wallet for wallet, kind in derive_wallets(ADDRESS).items() if kind == 2)
    assert f"fix: set POLYMARKET_SIG_TYPE to 2 and POLYMARKET_FUNDER_ADDRESS to {safe} " in line
    assert knock(real, POLYMARKET_SIG_TYPE="2", POLYMARKET_FUNDER_ADDRESS=safe)


def test_a_wrong_clock_refuses_real_orders(real: Config) -> None:
    strict = dataclasses.replace(real, gateway=dataclasses.replace(real.gateway, skew_stop_ms=1_000))
    assert list(refused(strict, clock_off_s=3.0)) == ["clock"]


def test_another_process_on_the_account_refuses_real_orders(real: Config) -> None:
    state_dir = Path(real.run.state_dir)
    state_dir.mkdir()
    lock = AccountLock(state_dir, folder_of(state_dir, ADDRESS, "polymarket").name)
    try:
        assert list(refused(real)) == ["instance"]
    finally:
        lock.release()


@pytest.mark.parametrize("extreme", ["lo", "hi"])
def test_no_setting_of_the_doctor_lifts_a_refusal(extreme: str, real: Config, planted: Surgery) -> None:
    planted.plant(blocked=True, closed_only=True)
    limits = {"check_s", "feed_s", "venue_s", "listen_s", "stay_s"}  # with the shortest, more fails
    ends = {
        field.name: field.metadata[extreme]
        for field in dataclasses.fields(DoctorConfig)
        if extreme in field.metadata and field.name not in limits
    }
    assert len(ends) == 2
    settings = dataclasses.replace(real.doctor, **ends, json=True)
    assert {"location", "account mode"} <= set(refused(dataclasses.replace(real, doctor=settings)))


def test_the_gate_stands_before_real_orders_alone(planted: Surgery, tmp_path: Path) -> None:
    planted.plant(blocked=True)
    planted.open_account(ADDRESS)
    assert knock(planted.as_real(tmp_path, "mode=paper")) == ()


def test_the_doctor_says_beforehand_what_is_missing_for_real_orders(surgery: Surgery, tmp_path: Path) -> None:
    found = look(surgery.as_real(tmp_path, "doctor.json=true"))
    assert found.code == 1
    assert found.of_level("FAIL") == {"account", "confirmation"}
    assert found.rows["account"]["fix"].startswith("set POLYMARKET_PRIVATE_KEY_FILE")
    assert found.rows["confirmation"]["fix"].startswith(CONFIRMED)
    assert {"clock", "version", "location", "market", "spot feed"} <= found.of_level("ok") | found.of_level("warn")


# -- the whole daemon


@contextmanager
def daemon(surgery: Surgery, folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`run` with real orders, at the venue on this machine."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.doctor.real_daemon"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "POLYMARKET_PRIVATE_KEY": KEY},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    watchdog = threading.Timer(WAIT_S, process.kill)
    watchdog.start()
    try:
        told = {"folder": str(folder), "urls": surgery.urls, "words": ["telemetry.console=plain", *words]}
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate(timeout=WAIT_S)


def test_a_daemon_in_a_blocked_place_ends_with_1_and_the_list_before_it_opens_any_book(
    planted: Surgery, tmp_path: Path
) -> None:
    planted.open_account(ADDRESS)
    planted.plant(blocked=True, closed_only=True)
    with daemon(planted, tmp_path, CONFIRMED) as process:
        out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1, out + err
    assert "polybot: error: real orders are refused: 2 of " in err
    assert "\n  FAIL location: live refused: trading from here (US NY) is blocked" in err
    assert "\n  FAIL account mode: " in err
    assert KEY[2:] not in out + err
    assert not (tmp_path / "state").exists()


def test_a_daemon_whose_checks_pass_trades_and_says_that_it_was_checked(planted: Surgery, tmp_path: Path) -> None:
    planted.open_account(ADDRESS)
    said = []
    with daemon(planted, tmp_path, CONFIRMED) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "entries open" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=WAIT_S)
    text = "".join(said) + rest
    assert (process.returncode, err) == (0, ""), text + err
    assert f"pre-flight: {len(checks_of_orders())} checks, none failed" in text
    assert (tmp_path / "state" / folder_of(Path(), ADDRESS, "polymarket").name).is_dir()


def test_under_a_service_manager_a_refused_start_says_why_at_once_and_ends_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = NotReady("real orders are refused: the venue is down")

    async def refuse(*words: Any) -> tuple[str, ...]:
        raise refusal

    async def find(*words: Any, **more: Any) -> Any:
        return SimpleNamespace(facts=(), sim=None)

    monkeypatch.setattr(daemon_module, "find_place", find)
    monkeypatch.setattr(daemon_module, "require_ready", refuse)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    places = {"telemetry.out_dir": str(tmp_path), "run.state_dir": str(tmp_path / "state"), "service.refused_s": 0.2}
    config = default_config(**places, mode=ModeConfig(name="paper"))
    begun_ns = wall_clock().mono_ns()
    with pytest.raises(NotReady):
        asyncio.run(daemon_module.run(config))
    assert wall_clock().mono_ns() - begun_ns >= 200_000_000
    assert capsys.readouterr().err == f"polybot: {refusal}\npolybot: this start ends in 0.2 s\n"


def test_the_command_line_takes_no_unencrypted_address_of_the_real_venue(surgery: Surgery) -> None:
    from polybot.cli import load_config

    with pytest.raises(ConfigError, match="must be an https:// or wss:// address"):
        load_config(["venue=polymarket", f"venue.clob_url={surgery.urls['clob_url']}"])
