"""Losses and halts outlive the process: the file, the carrying, a whole virtual run, and a real kill -9."""

import asyncio
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from runs import QUIET, configure, rows, run
from scenario import NS, USD, Scenario, make_risk

from polybot._fast.event import EventKind, OperatorCode
from polybot.errors import StateDamaged
from polybot.latches import LossFile, LossKeeper, LossState, run_inline

ROOT = Path(__file__).resolve().parent.parent
DAY_NS = 86_400 * NS
MIDNIGHT_NS = 1_790_208_000 * NS  # Thursday 2026-09-24 00:00 UTC
MONDAY_NS = 1_790_553_600 * NS  # 2026-09-28 00:00 UTC
STATE = LossState(
    day=20_719,
    week=2_960,
    day_realised_usd=-31_000_001,
    week_realised_usd=-44_500_000,
    marked_usd=-2_250_000,
    halted_manual=False,
    halted_daily=True,
    halted_weekly=False,
)


def loss_file(folder, *, account="0xAbC0000000000000000000000000000000000001", session="s1"):
    return LossFile(folder, account=account, session=session)


# -- the file ------------------------------------------------------------------------------------------------


def test_what_was_saved_is_loaded_and_nothing_else_is_left_in_the_folder(tmp_path):
    store = loss_file(tmp_path / "state")
    assert store.load() is None
    store.save(STATE)
    later = dataclasses.replace(STATE, halted_manual=True, day_realised_usd=5)
    store.save(later)
    assert loss_file(tmp_path / "state").load() == later
    assert [path.name for path in (tmp_path / "state").iterdir()] == [store.path.name]


def test_another_account_and_another_venue_session_have_files_of_their_own(tmp_path):
    store = loss_file(tmp_path)
    store.save(STATE)
    assert loss_file(tmp_path, session="s2").load() is None
    assert loss_file(tmp_path, account="0x" + "12" * 20).load() is None
    assert loss_file(tmp_path, account="0xabc0000000000000000000000000000000000001").load() == STATE


def test_a_file_of_another_session_under_this_name_is_refused(tmp_path):
    store, other = loss_file(tmp_path), loss_file(tmp_path, session="s2")
    other.save(STATE)
    other.path.rename(store.path)
    with pytest.raises(StateDamaged, match="another account or venue session"):
        store.load()


def test_a_session_name_cannot_leave_the_folder(tmp_path):
    store = loss_file(tmp_path / "state", session="../../x/y")
    store.save(STATE)
    assert store.path.parent == tmp_path / "state"
    assert store.load() == STATE


def test_every_flipped_byte_and_every_torn_tail_is_noticed_or_changes_nothing(tmp_path):
    store = loss_file(tmp_path)
    store.save(STATE)
    whole = store.path.read_bytes()
    refused, told = 0, set()
    for place in range(len(whole)):
        for bytes_ in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            store.path.write_bytes(bytes_)
            try:
                assert store.load() == STATE
            except StateDamaged as error:
                told.add(str(error).partition(":")[0])
                refused += 1
    assert refused > 1.8 * len(whole)
    assert told == {str(store.path)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "not a file of this version"),
        ({"day_realised_usd": 0}, "checksum"),
        ({"halted_daily": False}, "checksum"),
        ({"extra": 1}, "checksum"),
    ],
)
def test_a_file_somebody_edited_is_refused(tmp_path, change, why):
    store = loss_file(tmp_path)
    store.save(STATE)
    store.path.write_text(json.dumps(json.loads(store.path.read_text()) | change))
    with pytest.raises(StateDamaged, match=why):
        store.load()


def test_a_save_that_is_cut_off_leaves_the_old_file(tmp_path, monkeypatch):
    store = loss_file(tmp_path)
    store.save(STATE)

    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        store.save(dataclasses.replace(STATE, halted_daily=False))
    assert store.load() == STATE


def test_a_save_is_synced_before_it_takes_the_old_ones_place_and_the_folder_after(tmp_path, monkeypatch):
    calls = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (calls.append("sync"), sync(number)))
    monkeypatch.setattr(Path, "replace", lambda path, to: (calls.append("rename"), replace(path, to)))
    loss_file(tmp_path).save(STATE)
    assert calls == ["sync", "rename", "sync"]


# -- the carrying --------------------------------------------------------------------------------------------


class Carried:
    """A keeper between a Risk of its own and a file, with what it said."""

    def __init__(self, folder, *, store=None, off_loop=run_inline):
        self.said = []
        self.scenario = Scenario([], risk=make_risk())
        self.risk = self.scenario.risk
        self.store = store if store is not None else loss_file(folder)
        self.keeper = LossKeeper(
            self.risk, self.store, notice=lambda *words: self.said.append(words), off_loop=off_loop
        )

    def at(self, now_ns):
        """A heartbeat at now_ns."""
        self.scenario.events.add(EventKind.EV_TIMER, recv_ns=now_ns)
        self.scenario.go()

    def flush(self):
        return asyncio.run(self.keeper.flush())


def day_of(now_ns):
    return now_ns // DAY_NS, (now_ns // DAY_NS + 3) // 7


def saved(folder, now_ns, **changes):
    day, week = day_of(now_ns)
    state = dataclasses.replace(STATE, day=day, week=week, **changes)
    loss_file(folder).save(state)
    return state


def test_results_and_halts_are_taken_up_with_the_mark_of_what_was_open_counted_as_lost(tmp_path):
    saved(tmp_path, MIDNIGHT_NS)
    carried = Carried(tmp_path)
    carried.keeper.restore(resume=False)
    carried.at(MIDNIGHT_NS + NS)
    assert carried.risk.day_realised_usd == STATE.day_realised_usd + STATE.marked_usd
    assert carried.risk.week_realised_usd == STATE.week_realised_usd + STATE.marked_usd
    assert (carried.risk.halted_manual, carried.risk.halted_daily, carried.risk.halted_weekly) == (
        False,
        True,
        False,
    )
    assert [level for level, _ in carried.said] == ["INFO"]


def test_a_gain_on_paper_is_not_carried_as_money(tmp_path):
    saved(tmp_path, MIDNIGHT_NS, marked_usd=9 * USD)
    carried = Carried(tmp_path)
    carried.keeper.restore(resume=False)
    assert carried.risk.day_realised_usd == STATE.day_realised_usd


@pytest.mark.parametrize(
    ("saved_ns", "now_ns", "halted", "realised"),
    [
        (MIDNIGHT_NS, MIDNIGHT_NS + DAY_NS - NS, (True, True), (-10 * USD, -20 * USD)),
        (MIDNIGHT_NS, MIDNIGHT_NS + DAY_NS, (False, True), (0, -20 * USD)),
        (MONDAY_NS - NS, MONDAY_NS, (False, False), (0, 0)),
        (MONDAY_NS, MONDAY_NS - NS, (True, True), (-10 * USD, -20 * USD)),
    ],
    ids=["same day", "next day", "next week", "clock set back"],
)
def test_day_and_week_roll_over_at_midnight_and_monday_utc_also_across_a_restart(
    tmp_path, saved_ns, now_ns, halted, realised
):
    saved(
        tmp_path,
        saved_ns,
        day_realised_usd=-10 * USD,
        week_realised_usd=-20 * USD,
        marked_usd=0,
        halted_weekly=True,
    )
    carried = Carried(tmp_path)
    carried.keeper.restore(resume=False)
    carried.at(now_ns)
    assert (carried.risk.halted_daily, carried.risk.halted_weekly) == halted
    assert (carried.risk.day_realised_usd, carried.risk.week_realised_usd) == realised


def test_only_the_manual_halt_is_lifted_by_run_resume(tmp_path):
    saved(tmp_path, MIDNIGHT_NS, halted_manual=True)
    kept, lifted = Carried(tmp_path), Carried(tmp_path)
    kept.keeper.restore(resume=False)
    lifted.keeper.restore(resume=True)
    assert (kept.risk.halted_manual, lifted.risk.halted_manual) == (True, False)
    assert kept.risk.halted_daily
    assert lifted.risk.halted_daily


def test_a_damaged_file_halts_entries_says_where_and_what_to_do_and_is_not_written_over(tmp_path):
    saved(tmp_path, MIDNIGHT_NS)
    path = loss_file(tmp_path).path
    path.write_bytes(path.read_bytes()[:-20])
    before = path.read_bytes()
    carried = Carried(tmp_path)
    carried.keeper.restore(resume=True)
    assert carried.risk.halted_manual
    ((level, text),) = carried.said
    assert level == "ERROR"
    assert str(path) in text
    assert "move it away" in text
    assert "\n" not in text
    carried.keeper.note()
    assert carried.flush()
    assert path.read_bytes() == before


def test_nothing_is_written_until_something_was_lost_won_or_halted_and_then_only_changes(tmp_path):
    class Counting(LossFile):
        saves = 0

        def save(self, state):
            self.saves += 1
            super().save(state)

    store = Counting(tmp_path, account="a", session="s")
    carried = Carried(tmp_path, store=store)
    carried.keeper.restore(resume=False)
    for second in range(5):
        carried.at(MIDNIGHT_NS + second * NS)
        carried.keeper.note()
        assert carried.flush()
    assert (store.saves, store.path.exists()) == (0, False)
    carried.risk.halt()
    assert carried.flush()
    assert carried.flush()
    assert store.saves == 1
    carried.risk.resume()
    assert carried.flush()
    assert store.load() is not None
    assert not store.load().halted_manual
    assert store.saves == 2


def test_a_stop_is_no_operators_halt_but_one_from_before_stays(tmp_path):
    for halted in (False, True):
        folder = tmp_path / str(halted)
        carried = Carried(folder)
        carried.at(MIDNIGHT_NS)
        carried.risk.restore(
            day=carried.risk.day,
            week=carried.risk.week,
            day_realised_usd=-1,
            week_realised_usd=-1,
            halted_manual=halted,
            halted_daily=False,
            halted_weekly=False,
        )
        carried.keeper.freeze_manual()
        carried.risk.halt()
        assert carried.flush()
        assert loss_file(folder).load().halted_manual == halted


def test_a_save_that_fails_closes_entries_until_one_succeeds(tmp_path):
    class Full(LossFile):
        full = True

        def save(self, state):
            if self.full:
                raise OSError(28, "No space left on device")
            super().save(state)

    store = Full(tmp_path, account="a", session="s")
    carried = Carried(tmp_path, store=store)
    carried.risk.halt()
    assert not carried.flush()
    assert "No space left" in carried.keeper.problem
    store.full = False
    assert carried.flush()
    assert carried.keeper.problem == ""
    assert store.load().halted_manual


def test_the_writer_saves_beside_the_loop_every_change_it_is_told_of(tmp_path):
    beside = []

    async def off_loop(work):
        beside.append(1)
        await asyncio.sleep(0)
        work()

    async def live():
        carried = Carried(tmp_path, off_loop=off_loop)
        task = asyncio.get_running_loop().create_task(carried.keeper.run(asyncio.sleep))
        states = []
        for halt in (True, False, True):
            carried.risk.halt() if halt else carried.risk.resume()
            carried.keeper.note()
            for _ in range(10):
                await asyncio.sleep(0)
            states.append(carried.store.load().halted_manual)
        task.cancel()
        return states

    assert asyncio.run(live()) == [True, False, True]
    assert len(beside) == 3


# -- whole runs ----------------------------------------------------------------------------------------------

HALT_FRAC = 0.001  # of 1,000 USD: the first order that crosses the spread trips it


def short_run(folder, *, state=None, seed=4, during=(), **changes):
    """The first minute and a half of a window in a quiet world whose quotes are late, then an orderly stop."""
    config = configure(venue__makers="slow", venue__seed=seed, **QUIET, **changes)
    stop = (120.0, lambda trader, _: trader.stop())
    return run(folder, config, state_dir=state, during=[*during, stop])


def orders_of(result):
    return {row["order_seq"] for row in rows(result, "orders.csv")}


def denials_of(result):
    return Counter(row["status"] for row in rows(result, "signals.csv"))


def test_in_virtual_time_a_tripped_day_halt_meets_the_next_run_of_the_same_session_and_no_other(tmp_path):
    state, loses = tmp_path / "state", {"risk__daily_loss_halt_frac": HALT_FRAC}
    first = short_run(tmp_path / "a", state=state, **loses)
    again = short_run(tmp_path / "b", state=state, **loses)
    other = short_run(tmp_path / "c", state=state, seed=7, **loses)
    assert orders_of(first)
    assert first.trader.engine.risk.halted_daily
    assert "daily loss halt set" in first.console
    assert orders_of(again) == set()
    assert denials_of(again)["HALTED_DAILY"] > 0
    assert "restored" in again.console
    assert orders_of(other)
    assert "restored" not in other.console
    assert first.check.is_ok
    assert again.check.is_ok


def test_in_virtual_time_an_operators_halt_stays_until_resumed_and_an_orderly_stop_leaves_none(tmp_path):
    def halt(trader, _):
        trader.tell(EventKind.EV_OPERATOR, i=OperatorCode.OP_HALT)

    state = tmp_path / "state"
    first = short_run(tmp_path / "a", state=state, during=[(45.0, halt)])
    still = short_run(tmp_path / "b", state=state)
    resumed = short_run(tmp_path / "c", state=state, run__resume=True)
    free = short_run(tmp_path / "d", state=state)
    assert [len(orders_of(result)) > 0 for result in (first, still, resumed, free)] == [
        False,
        False,
        True,
        True,
    ]
    assert denials_of(still)["HALTED_MANUAL"] > 0


def test_in_virtual_time_a_folder_that_cannot_be_written_closes_entries(tmp_path):
    (tmp_path / "state").write_text("not a folder")
    result = short_run(tmp_path / "a", state=tmp_path / "state", **{"risk__daily_loss_halt_frac": HALT_FRAC})
    assert result.trader.engine.risk.halted_manual
    assert "ENTRIES HALTED" in result.console
    assert orders_of(result) == set()


def test_in_virtual_time_no_folder_means_no_file(tmp_path):
    result = short_run(tmp_path / "a", **{"risk__daily_loss_halt_frac": HALT_FRAC})
    assert result.trader.engine.risk.halted_daily
    assert not list(tmp_path.rglob("halts-*"))


# -- a real process ------------------------------------------------------------------------------------------


def start(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "polybot", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process, pattern):
    """Lines up to the first that matches."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return lines
    raise AssertionError(f"no {pattern!r} in:\n{''.join(lines)[-3000:]}")


@pytest.mark.alone
def test_a_killed_daemon_that_had_tripped_the_day_halt_is_still_halted_when_it_joins_the_same_venue_again(
    tmp_path,
):
    quiet = [f"{key}={value}" for key, value in QUIET.items()]
    venue = start(tmp_path, "sim", "venue.speed=40", "venue.makers=slow", "venue.seed=4", *quiet)
    daemons = []
    try:
        url = re.search(r"venue\.attach=(\S+)", read_until(venue, "join it")[-1])[1]
        words = (f"venue.attach={url}", "risk.daily_loss_halt_frac=0.001", "telemetry.console=plain")
        daemons.append(start(tmp_path, *words))
        read_until(daemons[0], "daily loss halt set")
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline and not list((tmp_path / "state").glob("halts-*.json")):
            os.sched_yield()
        daemons[0].kill()
        daemons[0].communicate(timeout=30.0)
        (kept,) = (tmp_path / "state").glob("halts-*.json")
        assert json.loads(kept.read_text())["halted_daily"]
        orders = {path: path.read_bytes() for path in (tmp_path / "logs").rglob("orders.csv")}
        assert orders

        daemons.append(start(tmp_path, *words))
        lines = read_until(daemons[1], "HALTED_DAILY")
        rival = start(tmp_path, *words)  # a second daemon would write over the first one's halts
        refused, _ = rival.communicate(timeout=60.0)
        assert rival.returncode == 1
        assert f"is already traded by process {daemons[1].pid}" in refused
        daemons[1].send_signal(signal.SIGTERM)
        rest, _ = daemons[1].communicate(timeout=60.0)
        assert daemons[1].returncode == 0
        assert "restored" in "".join(lines)
        assert "ORDER" not in "".join(lines).replace("ORDERS MAY", "") + rest.replace("ORDERS MAY", "")
        assert {path: path.read_bytes() for path in orders} == orders
    finally:
        for process in (*daemons, venue):
            process.kill()
            process.communicate(timeout=30.0)
