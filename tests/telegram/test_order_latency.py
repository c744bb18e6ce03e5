"""Telegram's troubles are no trouble of orders: a real daemon, its server up, hanging and gone, in turns in one run.

The daemon (embedded venue, four times real speed) trades with a strategy that orders as often as it may, with every
alert on and the companion as its child.  What is compared are medians of its own stages, decided to written.
"""

import csv
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.telegram.bot_api import CHAT, TOKEN, BotApi

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 90.0
SPEED = 4.0
PHASE_S, EDGE_S = 1.2, 0.2  # wall; orders decided so near to a change count for neither side
LEAST = 25  # orders of each state before they are compared
MOST_PHASES = 45
RATIO = 1.30
STATES = ("up", "hang", "down")
STRATEGY = """# @package _global_
strategy: {eager: {_target_: tests.telegram.eager.Eager, enabled: true}}
risk: {strategies: {eager: {per_trade_frac: 0.01, total_frac: 0.15, cooldown_ms: 100, max_orders_per_market: 100000}}}
"""


def words_of(api, conf):
    noise = [f"telegram.noise.{kind}=silent" for kind in ("signal", "order", "fill", "strike", "market_open", "notice")]
    return [
        f"--config-dir={conf}", "strategy=[eager]", "telemetry.console=plain", f"venue.speed={SPEED:g}",
        "venue.makers=slow", "venue.seed=4", "venue.balance_usd=40000", "risk.bankroll_usd=30000",
        "telegram.enabled=true", f"telegram.api_url={api.url}", "telegram.timeout_s=5", "telegram.long_poll_s=5",
        "telegram.gather_s=0.2", "telegram.gap_s=0.1", "telegram.retry_max_s=0.5", *noise,
    ]  # fmt: skip


def until_orders(process, folder):
    """Wait until it trades."""
    deadline = time.monotonic() + LIMIT_S
    while not any(path.stat().st_size > 2_000 for path in folder.glob("logs/5m/*/latency.csv")):
        assert process.poll() is None, (folder / "out").read_text()[-3_000:]
        assert time.monotonic() < deadline, (folder / "out").read_text()[-3_000:]
        time.sleep(0.1)


def venue_clock(folder):
    """(venue ns, monotonic ns) of one moment."""
    words = [sys.executable, "-m", "polybot", "status", "control.json=true"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as asking:
        line = asking.stdout.readline()
        mono_ns = time.monotonic_ns()
        asking.communicate(timeout=LIMIT_S)
    return json.loads(line)["now_ns"], mono_ns


def order_rows(folder):
    for path in folder.glob("logs/5m/*/latency.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if row["name"] == "order" and row["sign_us"] and row["write_us"]:
                    written_us = float(row["sign_us"]) + float(row["write_us"])
                    yield int(row["ts_ms"]), written_us, float(row["value_us"] or "nan")


def by_state(folder, phases, clock):
    """Decided to written and the whole way, us, by the state Telegram was in."""
    found = {state: ([], []) for state in STATES}
    venue_ns, mono_ns = clock
    for ts_ms, written_us, whole_us in order_rows(folder):
        at_ns = mono_ns + (ts_ms * 1_000_000 - venue_ns) / SPEED
        for state, begin_ns, end_ns in phases:
            if begin_ns + EDGE_S * 1e9 <= at_ns <= end_ns:
                found[state][0].append(written_us)
                found[state][1].append(whole_us)
    return found


def enter(api, state):
    """Bring Telegram into a state; returns when it is in it."""
    if api.is_down and state != "down":
        api.up()
    api.mode = {"up": "ok", "hang": "hang"}.get(state, "error")
    if state == "down" and not api.is_down:
        api.down()


def test_orders_are_as_quick_with_telegram_down_or_hanging_as_with_it_up(folder):
    conf = folder / "conf"
    (conf / "strategy").mkdir(parents=True)
    (conf / "strategy" / "eager.yaml").write_text(STRATEGY)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": str(CHAT)}
    with BotApi() as api, (folder / "out").open("w") as out:
        command = [sys.executable, "-m", "polybot", *words_of(api, conf)]
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=out)
        try:
            api.wait_for_text("▶️", LIMIT_S)
            until_orders(process, folder)
            clock = venue_clock(folder)
            phases, found, medians, ratios = [], {}, {}, {}
            for number in range(MOST_PHASES):
                state = STATES[(number + number // 3) % 3]  # every state follows every other
                enter(api, state)
                begin_ns = time.monotonic_ns()
                time.sleep(PHASE_S)
                phases.append((state, begin_ns, time.monotonic_ns()))
                if number % 3 != 2:
                    continue
                found = by_state(folder, phases, clock)
                if min(len(both[0]) for both in found.values()) >= LEAST:
                    medians = {state: statistics.median(both[0]) for state, both in found.items()}
                    ratios = {state: medians[state] / medians["up"] for state in ("hang", "down")}
                    if max(ratios.values()) <= RATIO:
                        break
            enter(api, "up")
            whole = {state: statistics.median(both[1]) for state, both in found.items()}
            counts = {state: len(both[0]) for state, both in found.items()}
            figures = f"orders {counts}, decided to written us {medians}, whole way us {whole}, ratios {ratios}"
            sys.stdout.write(f"{figures}, messages {len(api.sent)}\n")
            assert ratios, figures
            assert max(ratios.values()) <= RATIO
            assert api.failed["hang"] > 0
            assert len(api.sent) > 3
            sent = len(api.sent)
            api.wait_for(lambda: len(api.sent) > sent + 2)  # and it tells again
        finally:
            process.terminate()
            assert process.wait(LIMIT_S) in (0, 4)
