"""The bot's token is nowhere: neither in files nor on screens, in the process table, nor in what a watcher is told.

A real daemon with the companion as its child, and the companion alone; log level TRACE; Telegram's server answers,
refuses the token (the library's error then holds it), fails and is gone.  tests/canary.py finds a token in any form.
"""

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from child_process import Process

from polybot.cli import load_config, main
from polybot.config_control import ControlConfig
from polybot.control.watcher import Watcher
from polybot.telemetry.telegram.access import TelegramSecrets
from polybot.telemetry.telegram.check import check
from tests.canary import Canary, find_in_bytes, find_in_files
from tests.telegram.bot_api import CHAT, BotApi

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 240.0  # nothing takes so long, also on a busy machine
SEED = 20_261_122
LOUD = ("telemetry.log_level=TRACE", "telemetry.log_json=true", "telemetry.console=plain")
QUICK = ("telegram.retry_min_s=0.05", "telegram.retry_max_s=0.2", "telegram.timeout_s=2", "telegram.long_poll_s=1")


def new_token():
    rnd = random.Random(SEED)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_0123456789"
    return f"{rnd.randrange(10**8, 10**9)}:AA{''.join(rnd.choices(letters, k=33))}"


def started(folder, token, *words):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("POLY", "TELEGRAM"))}
    env |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    env |= {"TELEGRAM_BOT_TOKEN": token, "TELEGRAM_CHAT_ID": str(CHAT)}
    return Process(folder, ["-m", "polybot", *words], env, keeps_errors_apart=True)


def end(process):
    """(exit code, stdout, stderr) of a process that ends by itself or was asked to."""
    try:
        code, _ = process.end(LIMIT_S)
    finally:
        process.close()
    return code, process.text(), process.errors()


def children_of(pid):
    """Process ids of a process's children, whatever thread of it began them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if f"\nPPid:\t{pid}\n" in text:
            found.append(int(path.parent.name))
    return found


def seen_of(pid):
    """What other processes may see of one."""
    parts = []
    for name in ("cmdline", "environ", "status", "comm"):
        try:
            parts.append(Path(f"/proc/{pid}/{name}").read_bytes())
        except OSError:
            parts.append(b"(closed)")
    return b"\n".join(parts)


def trouble(api, token):
    """Everything that may go wrong with Telegram, one after the other."""
    for state in ("another token", "error", "flood", "down"):
        before = sum(api.calls.values())
        if state == "another token":
            api.token = "1" + token[1:]
        elif state == "down":
            api.down()
            time.sleep(1.0)
            api.up()
        else:
            api.mode = state
        if state != "down":
            api.wait_for(lambda before=before: sum(api.calls.values()) > before + 2)
        api.token, api.mode = token, "ok"
    before = api.calls["getUpdates"]
    api.wait_for(lambda: api.calls["getUpdates"] > before + 1)


def watch_answer():
    """All that a watcher is told, from the first event on."""
    watcher = Watcher(Path("state"), "", ControlConfig(), from_start=True)

    async def ask():
        answers = [await watcher.watch() for _ in range(3)]
        watcher.close()
        return answers

    return json.dumps(asyncio.run(ask())).encode()


def test_the_token_of_a_daemon_with_its_companion_is_nowhere(folder):
    token = new_token()
    canaries = [Canary("bot token", token), Canary("secret half", token.split(":")[1])]
    with BotApi(token) as api:
        daemon = started(
            folder, token, "venue.speed=12", "venue.makers=slow", "venue.seed=4", "telegram.enabled=true",
            f"telegram.api_url={api.url}", *LOUD, *QUICK,
        )  # fmt: skip
        try:
            api.wait_for_text("▶️", LIMIT_S)
            trouble(api, token)
            api.say("/status")
            api.wait_for_text("trading", LIMIT_S)
            pids = [daemon.pid, *children_of(daemon.pid)]
            seen = [seen_of(pid) for pid in pids]
            companion = next((pid for pid, text in zip(pids, seen, strict=True) if b"companion_child" in text), None)
            assert companion is not None
            told = watch_answer()
            daemon.signal(signal.SIGTERM)
            code, out, err = end(daemon)
        finally:
            daemon.close()
        assert code in (0, 4), err
        api.wait_for_text("⏹", LIMIT_S)
        texts = json.dumps(api.sent, ensure_ascii=False).encode()
    hits = find_in_files(folder, canaries)
    for data in (*seen, told, out.encode(), err.encode(), texts):
        hits += find_in_bytes(data, canaries)
    assert hits == []
    log = (folder / "logs" / "log" / "telegram.log").read_text()
    assert "InvalidToken" in log or "rejected" in log  # the library's own words, which hold the token, came this way
    assert b'"events"' in told


def test_the_token_of_a_companion_alone_is_nowhere_and_a_wrong_one_is_named_without_itself(folder, capsys, monkeypatch):
    token = new_token()
    canaries = [Canary("bot token", token), Canary("secret half", token.split(":")[1])]
    with BotApi(token) as api:
        words = [f"telegram.api_url={api.url}", *LOUD, *QUICK]
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", token)
        assert main(["--cfg", "job", "--resolve", *words]) == 0
        shown = capsys.readouterr()
        alone = started(folder, token, "telegram", *words)
        try:
            api.wait_for(lambda: api.calls["getUpdates"] > 0, LIMIT_S)
            seen = seen_of(alone.pid)
            trouble(api, token)
            alone.signal(signal.SIGINT)
            code, out, err = end(alone)
        finally:
            alone.close()
        assert code == 0, err
        settings = load_config(words).telegram
        assert asyncio.run(check(settings, TelegramSecrets(token, CHAT, frozenset({CHAT})))) == 0
        said = capsys.readouterr().out
        assert "the token is right: the bot is @polybot_test_bot" in said
        assert any("this chat gets the alerts" in text for text in api.texts)
        api.token = "1" + token[1:]
        code, *refused = end(started(folder, token, "telegram", "telegram.check=true", *words))
        assert code == 1
        assert "does not know this token" in refused[0]
    hits = find_in_files(folder, canaries)
    for text in (*shown, out, err, said, *refused):
        hits += find_in_bytes(text.encode(), canaries)
    assert hits + find_in_bytes(seen, canaries) == []
    assert "token_env: TELEGRAM_BOT_TOKEN" in shown[0]
