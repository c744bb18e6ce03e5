"""Losses and halts outlive the process: the journal's records, the carrying, whole virtual runs, a real kill -9."""

import dataclasses
import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
from child_process import Process
from journal.history import intent, open_journal
from runs import QUIET, configure, rows, run
from scenario import NS, USD, Scenario, make_risk, make_spec

from polybot._fast.event import EventBuffer, EventFlag, EventKind, OperatorCode
from polybot.errors import JournalError, StateDamaged
from polybot.harness import Restart
from polybot.journal.losses import JournalStore
from polybot.journal.reader import list_segments, read_journal, recover
from polybot.journal.records import HaltKind, Intent, Latch, Loss
from polybot.latches import LossKeeper, LossState

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 240.0  # wall: until a halt comes of trading, on a slow machine too
DAY_NS = 86_400 * NS
MIDNIGHT_NS = 1_790_208_000 * NS  # Thursday 2026-09-24 00:00 UTC
MONDAY_NS = 1_790_553_600 * NS  # 2026-09-28 00:00 UTC
SHARE = 1_000_000


def raw(kind, **fields):
    """One event in a buffer."""
    buffer = EventBuffer(1)
    buffer.add(kind, **fields)
    return buffer


def lose(journal, usd, *, at_ns, index=0):
    """Buy shares at 0.50 for `usd` and see the other side win."""
    seq = 1_000 * (index + 1)
    journal.market_open(index, make_spec(), order_seq_base=seq)
    ushares = 2 * usd
    journal.intent(intent(seq, index, asked_ushares=ushares, signed_ushares=ushares))
    maker = {"flags": int(EventFlag.F_MAKER)}
    journal.events(
        raw(EventKind.EV_FILL, recv_ns=at_ns, market=index, seq=seq, x=4.0, y=float(seq), i=5_000, j=ushares, **maker)
    )
    journal.events(raw(EventKind.EV_OUTCOME, recv_ns=at_ns, market=index, outcome=1))
    journal.market_drop(index)


def records(folder, kind):
    """Every record of one type that a journal folder holds, restated ones left out."""
    (inner,) = [path for path in folder.iterdir() if path.is_dir() and list_segments(path)]
    return [item.record for item in read_journal(inner) if isinstance(item.record, kind) and not item.is_restated]


# -- the journal as the store ---------------------------------------------------------------------------------


def test_an_empty_journal_restores_nothing(tmp_path):
    journal = open_journal(tmp_path)
    assert JournalStore(journal).load() is None
    journal.close()


def test_results_are_what_the_fills_came_to_even_when_nobody_saved_them(tmp_path):
    """Killed between the outcome and the next heartbeat: there is no LOSS record at all."""
    journal = open_journal(tmp_path)
    lose(journal, 10 * USD, at_ns=MIDNIGHT_NS - NS)
    lose(journal, 3 * USD, at_ns=MIDNIGHT_NS + NS, index=1)
    journal.abandon()
    again = open_journal(tmp_path)
    state = JournalStore(again).load()
    assert state is not None
    assert (state.day, state.day_realised_usd, state.week_realised_usd) == (
        MIDNIGHT_NS // DAY_NS,
        -3 * USD,
        -13 * USD,
    )
    assert not (state.halted_manual or state.halted_daily or state.halted_weekly)
    again.close()


def test_every_halt_comes_back_alone_and_leaves_when_it_was_lifted(tmp_path):
    clear = LossState(
        day=1, week=0, day_realised_usd=0, week_realised_usd=0, marked_usd=0,
        halted_manual=False, halted_daily=False, halted_weekly=False,
    )  # fmt: skip
    for name in ("halted_manual", "halted_daily", "halted_weekly"):
        journal = open_journal(tmp_path)
        on = dataclasses.replace(clear, **{name: True})
        JournalStore(journal).save(on, clear, reason="because", by="me")
        journal.abandon()
        again = open_journal(tmp_path)
        assert JournalStore(again).load() == on
        JournalStore(again).save(clear, on, reason="looked at", by="you")
        again.abandon()
        free = open_journal(tmp_path)
        assert JournalStore(free).load() == clear
        free.close()
    manual = [latch for latch in records(tmp_path, Latch) if latch.kind is HaltKind.MANUAL]
    assert [(latch.on, latch.reason, latch.by) for latch in manual] == [
        (True, "because", "me"),
        (False, "looked at", "you"),
    ]


def test_a_damaged_journal_refuses_the_start_says_where_and_what_to_do_and_stays_as_it_is(tmp_path):
    journal = open_journal(tmp_path)
    lose(journal, 10 * USD, at_ns=MIDNIGHT_NS)
    lose(journal, 10 * USD, at_ns=MIDNIGHT_NS, index=1)
    assert journal.sync(10.0)
    lose(journal, 10 * USD, at_ns=MIDNIGHT_NS, index=2)  # proves that what is before it was on disk
    journal.close()
    folder = journal.folder
    (_, path), *_ = list_segments(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:1_000] + bytes([whole[1_000] ^ 1]) + whole[1_001:])
    before = path.read_bytes()
    with pytest.raises(StateDamaged, match="by hand, then start once with run.accept_damage=true") as refused:
        open_journal(tmp_path)
    assert str(path) in str(refused.value)
    assert path.read_bytes() == before
    accepted = open_journal(tmp_path, accept_damage=True)
    assert accepted.finding is not None
    accepted.close()


def test_another_account_and_another_venue_session_have_journals_of_their_own(tmp_path):
    journal = open_journal(tmp_path)
    lose(journal, 10 * USD, at_ns=MIDNIGHT_NS)
    journal.close()
    for more in ({"venue_session": "s2"}, {"account": "0x" + "12" * 20}):
        other = open_journal(tmp_path, **more)
        assert JournalStore(other).load() is None
        other.close()


def test_a_session_name_cannot_leave_the_folder(tmp_path):
    journal = open_journal(tmp_path / "state", venue_session="../../x/y")
    assert journal.folder.parent == tmp_path / "state"
    journal.close()


# -- the carrying --------------------------------------------------------------------------------------------


class Memory:
    """A store in memory that counts, and refuses when it is told to."""

    def __init__(self, state=None):
        self.state, self.saves, self.full = state, 0, False

    def load(self):
        return self.state

    def save(self, state, before, *, reason, by):
        if self.full:
            raise JournalError("no space")
        self.saves += 1
        self.state = state


class Carried:
    """A keeper between a Risk of its own and a store, with what it said."""

    def __init__(self, store):
        self.said = []
        self.scenario = Scenario([], risk=make_risk())
        self.risk = self.scenario.risk
        self.store = store
        self.keeper = LossKeeper(self.risk, store, notice=lambda *words: self.said.append(words))

    def at(self, now_ns):
        """A heartbeat at now_ns."""
        self.scenario.events.add(EventKind.EV_TIMER, recv_ns=now_ns)
        self.scenario.go()


def state_at(now_ns, **changes):
    day = now_ns // DAY_NS
    start = {
        "day_realised_usd": -31_000_001, "week_realised_usd": -44_500_000, "marked_usd": 0,
        "halted_manual": False, "halted_daily": True, "halted_weekly": False,
    }  # fmt: skip
    return LossState(day=day, week=(day + 3) // 7, **{**start, **changes})


def test_results_and_halts_are_taken_up_and_said(tmp_path):
    carried = Carried(Memory(state_at(MIDNIGHT_NS)))
    carried.keeper.restore(resume=False)
    carried.at(MIDNIGHT_NS + NS)
    risk = carried.risk
    assert (risk.day_realised_usd, risk.week_realised_usd) == (-31_000_001, -44_500_000)
    assert (risk.halted_manual, risk.halted_daily, risk.halted_weekly) == (False, True, False)
    assert [level for level, _ in carried.said] == ["INFO"]


def test_a_mark_is_neither_money_won_nor_lost_after_a_restart():
    """The position is restored with its cost and marked again by its own book."""
    for marked in (-9 * USD, 9 * USD):
        carried = Carried(Memory(state_at(MIDNIGHT_NS, marked_usd=marked)))
        carried.keeper.restore(resume=False)
        assert carried.risk.day_realised_usd == -31_000_001


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
    saved_ns, now_ns, halted, realised
):
    saved = state_at(saved_ns, day_realised_usd=-10 * USD, week_realised_usd=-20 * USD, halted_weekly=True)
    carried = Carried(Memory(saved))
    carried.keeper.restore(resume=False)
    carried.at(now_ns)
    assert (carried.risk.halted_daily, carried.risk.halted_weekly) == halted
    assert (carried.risk.day_realised_usd, carried.risk.week_realised_usd) == realised


def test_only_the_manual_halt_is_lifted_by_run_resume():
    state = state_at(MIDNIGHT_NS, halted_manual=True)
    kept, lifted = Carried(Memory(state)), Carried(Memory(state))
    kept.keeper.restore(resume=False)
    lifted.keeper.restore(resume=True)
    assert (kept.risk.halted_manual, lifted.risk.halted_manual) == (True, False)
    assert kept.risk.halted_daily
    assert lifted.risk.halted_daily
    lifted.keeper.note()
    assert not lifted.store.state.halted_manual  # and it stays lifted


def test_nothing_is_written_until_something_was_lost_won_or_halted_and_then_only_changes():
    carried = Carried(Memory())
    carried.keeper.restore(resume=False)
    for second in range(5):
        carried.at(MIDNIGHT_NS + second * NS)
        carried.keeper.note()
        assert carried.keeper.flush()
    assert carried.store.saves == 0
    carried.risk.halt()
    carried.keeper.note()
    carried.keeper.note()
    assert (carried.store.saves, carried.store.state.halted_manual) == (1, True)
    carried.risk.resume()
    carried.keeper.note()
    assert (carried.store.saves, carried.store.state.halted_manual) == (2, False)


@pytest.mark.parametrize("halted", [False, True])
def test_a_stop_is_no_operators_halt_but_one_from_before_stays(halted):
    carried = Carried(Memory(state_at(MIDNIGHT_NS, halted_manual=halted)))
    carried.keeper.restore(resume=False)
    carried.keeper.freeze_manual()
    carried.risk.halt()
    carried.at(MIDNIGHT_NS + DAY_NS)  # something to save
    assert carried.keeper.flush()
    assert carried.store.saves == 1
    assert carried.store.state.halted_manual == halted


def test_a_save_that_fails_closes_entries_until_one_succeeds():
    carried = Carried(Memory())
    carried.store.full = True
    carried.risk.halt()
    assert not carried.keeper.flush()
    assert "no space" in carried.keeper.problem
    carried.store.full = False
    carried.keeper.note()
    assert carried.keeper.problem == ""
    assert carried.store.state.halted_manual


def test_who_halted_and_why_is_in_the_journal(tmp_path):
    journal = open_journal(tmp_path)
    carried = Carried(JournalStore(journal))
    carried.keeper.explain("looks odd", "telegram 7")
    carried.risk.halt()
    carried.keeper.note()
    carried.risk.resume()
    carried.keeper.note()
    journal.close()
    first, second = records(tmp_path, Latch)
    assert (first.on, first.reason, first.by) == (True, "looks odd", "telegram 7")
    assert (second.on, second.by) == (False, "operator or fault")
    assert len(records(tmp_path, Loss)) == 2


# -- whole runs ----------------------------------------------------------------------------------------------

HALT_FRAC = 0.001  # of 1,000 USD: the first order that crosses the spread trips it


def two_lives(folder, *, is_kill, during=(), later=None, **changes):
    """A minute and a half of a window in a quiet world whose quotes are late; then another life until 200 s."""
    config = configure(venue__makers="slow", venue__seed=4, **QUIET, **changes)
    restart = Restart(120.0, is_kill=is_kill, config=later(config) if later is not None else None)
    stop = (200.0, lambda trader, _: trader.stop())
    return run(folder, config, restarts=[restart], during=[*during, stop])


def placed(trader):
    """Orders that this life sent."""
    return trader.gateway.counters()["placed"]


def denials_of(result):
    return Counter(row["status"] for row in rows(result, "signals.csv"))


@pytest.mark.parametrize("is_kill", [True, False], ids=["killed", "stopped"])
def test_in_virtual_time_a_tripped_day_halt_meets_the_next_life(tmp_path, is_kill):
    result = two_lives(tmp_path, is_kill=is_kill, **{"risk__daily_loss_halt_frac": HALT_FRAC})
    first, second = result.lives
    assert placed(first) > 0
    assert first.engine.risk.halted_daily
    assert "daily loss halt set" in result.console
    assert placed(second) == 0
    assert second.engine.risk.halted_daily
    assert denials_of(result)["HALTED_DAILY"] > 0
    assert "restored" in result.console
    assert result.money.is_ok, result.money.text()


def test_in_virtual_time_an_operators_halt_stays_until_resumed(tmp_path):
    def halt(trader, _):
        trader.tell(EventKind.EV_OPERATOR, i=OperatorCode.OP_HALT)

    def resumed(config):
        return dataclasses.replace(config, run=dataclasses.replace(config.run, resume=True))

    still = two_lives(tmp_path / "a", is_kill=True, during=[(45.0, halt)])
    free = two_lives(tmp_path / "b", is_kill=True, during=[(45.0, halt)], later=resumed)
    assert [placed(trader) for trader in still.lives] == [0, 0]
    assert denials_of(still)["HALTED_MANUAL"] > 0
    assert placed(free.lives[0]) == 0
    assert placed(free.lives[1]) > 0


def test_in_virtual_time_an_orderly_stop_leaves_no_halt(tmp_path):
    seen = []
    result = two_lives(
        tmp_path, is_kill=False, during=[(150.0, lambda trader, _: seen.append(trader.engine.risk.halted_manual))]
    )
    first, second = result.lives
    assert first.engine.risk.halted_manual
    assert seen == [False]
    assert placed(first) > 0
    assert second is not first
    assert result.money.is_ok, result.money.text()


def test_a_folder_that_cannot_be_written_refuses_the_start(tmp_path):
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(JournalError, match="no journal can be written"):
        run(tmp_path, configure(**QUIET), state_dir=tmp_path / "state")


# -- a real process ------------------------------------------------------------------------------------------


# A venue whose window begins at noon: fast as it is, no day ends while the test runs.
NOON_VENUE = """
import sys
import polybot.sim.child as child
from polybot.sim.opening import WorldOpening
from polybot.cli import load_config
DAY_NS = 86_400_000_000_000
def opening(venue, interval, now_ns):
    start_ns = now_ns // DAY_NS * DAY_NS + DAY_NS // 2
    return WorldOpening(start_ns - int(venue.lead_s * 1e9), start_ns)
child.opening = opening
sys.exit(child.serve_main(load_config(sys.argv[1:])))
"""


def start(folder, *words, program=("-m", "polybot")):
    """A process of polybot, or of another program that takes its settings."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    return Process(folder, [*program, *words], env)


@pytest.mark.alone
def test_a_killed_daemon_that_had_tripped_the_day_halt_is_still_halted_when_it_joins_the_same_venue_again(
    tmp_path,
):
    quiet = [f"{key}={value}" for key, value in QUIET.items()]
    words = ("venue.speed=40", "venue.makers=slow", "venue.seed=4", *quiet)
    venue = start(tmp_path, *words, program=("-c", NOON_VENUE))
    daemons = []
    try:
        url = re.search(r"venue\.attach=(\S+)", venue.wait_for("join it")[1])[1]
        words = (f"venue.attach={url}", "risk.daily_loss_halt_frac=0.001", "telemetry.console=plain")
        daemons.append(start(tmp_path, *words))
        daemons[0].wait_for("daily loss halt set", LIMIT_S)
        daemons[0].close()
        (kept,) = [path for path in (tmp_path / "state").iterdir() if path.is_dir() and list_segments(path)]
        found = recover(kept)
        assert found is not None
        assert HaltKind.DAILY in found.state.latches
        sent = [order.order_id for order in records(tmp_path / "state", Intent)]
        assert sent

        daemons.append(start(tmp_path, *words))
        daemons[1].wait_for("HALTED_DAILY", LIMIT_S)
        rival = start(tmp_path, *words)  # a second daemon would write over the first one's halts
        daemons.append(rival)
        assert rival.end()[0] == 1
        assert f"is already traded by process {daemons[1].pid}" in rival.text()
        daemons[1].signal(signal.SIGTERM)
        assert daemons[1].end()[0] == 0
        assert "restored" in daemons[1].text()
        assert [order.order_id for order in records(tmp_path / "state", Intent)] == sent
    finally:
        for process in (*daemons, venue):
            process.close()
