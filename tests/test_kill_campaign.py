"""kill -9 at random instants and at every named place, under order flow: the books agree and trading goes on.

After every kill the files the dead process left are held against the venue's own ledger; the next process must be
ready within two seconds and trade the same window on.  Nobody does anything by hand in between.  The seed is printed
with every failure; POLYBOT_HARD=n makes n times as many kills.
"""

import random
import signal
import sys
from collections import defaultdict

import pytest
from campaign_process import HARD, check_dead_books, desk, open_orders, start_words
from child_process import PATIENCE_S

from polybot.crashpoints import CRASH_ENV, CRASH_POINTS

pytestmark = pytest.mark.alone

KILLS = 40 * HARD
READY_S = 2.0
SEED = 20_261_122
# The n-th time such a place is reached is drawn; the others are reached once in a life.
OFTEN = ("before_intent", "after_intent", "before_post", "after_post", "after_answer", "before_fill_journal")
OFTEN += ("after_fill_journal", "before_ledger_commit", "after_ledger_commit")
STOP_TRIES = 20  # at dying in the middle of a stop: an order may end in the moment before
MIDNIGHT_S = 300  # venue seconds from the venue's first window to the end of the day: the window's own end
FIRST = ("mid_rotate", "mid_settle")  # at that midnight, and soon after it


def judge(starts, capsys):
    """Ready in time on a core of the usual speed; the wall's figures, a busy machine's too, are shown."""
    with capsys.disabled():
        sys.stdout.write(f"\nkill campaign: {start_words(starts)}\n")
    assert all(start.judged_s <= READY_S for start in starts), start_words(starts)


def test_forty_kills_at_random_instants_leave_books_that_agree_and_the_same_window_is_traded_on(tmp_path, capsys):
    rng = random.Random(SEED)
    starts, traded = [], defaultdict(set)
    with desk(tmp_path / "desk", speed=4, seed=4) as it:
        daemon = it.start()
        daemon.is_ready()
        daemon.wait_for(r" ORDER ")
        known, rows_before_start = it.venue.rows(), []
        for number in range(KILLS):
            where = f"seed {SEED}, kill {number}"
            if number % 8 == 7:
                daemon.listens()
            elif number:
                starts.append(daemon.is_ready())
                rows_before_start = known
            assert daemon.lives_for(rng.uniform(0.0, 1.5)), f"{where}: it ended by itself\n{daemon.text()[-3000:]}"
            daemon.signal(signal.SIGKILL)
            assert daemon.end()[0] == -signal.SIGKILL
            before, known = len(known), it.venue.rows()
            for row in known[before:]:
                if row["k"] == "order" and row["account"] == it.account:
                    traded[row["market"]].add(number)
            assert "contradict" not in daemon.text(), where
            assert check_dead_books(it, rows_before_start) == [], where
            daemon = it.start()
        starts.append(daemon.is_ready())
        if not any("SETTLED" in one.text() for one in it.started):
            daemon.wait_for("SETTLED", 4 * PATIENCE_S)
        daemon.signal(signal.SIGTERM)
        check_end(it, daemon)
    lives = sorted(len(numbers) for numbers in traded.values())
    assert lives[-1] >= 5, lives  # one window was traded on by so many processes after another
    assert sum(lives) >= KILLS // 3
    judge(starts, capsys)


def check_end(it, daemon):
    """After the last stop: three books that agree, every log replayed, nothing open at the venue, no word too good.

    An intent whose process died before it was sent stays unknown until its window is over: nobody can say more of it.
    """
    code, _ = daemon.end()
    compared, different = it.replay_logs()
    assert different == []
    assert compared > 1_000
    assert it.compare() == "", daemon.text()[-3000:]
    assert open_orders(it.venue.rows(), it.account) == []
    assert code == (4 if it.left_unknown() else 0), daemon.text()[-3000:]


def die_at(it, place, starts):
    """One process that dies at a named place; (its exit code, the venue's rows it had to know, its words)."""
    rows = None
    for _ in range(STOP_TRIES):
        before = it.venue.rows()
        daemon = it.start(**{CRASH_ENV: place})
        if start := daemon.is_ready_or_gone():
            starts.append(start)
            rows = before
        if place == "mid_stop":
            daemon.wait_for(r" ORDER ")
            while not open_orders(it.venue.rows(), it.account):  # a stop with nothing open is over at once
                assert daemon.lives_for(0.01), daemon.text()[-3000:]
            daemon.signal(signal.SIGTERM)
        code, _ = daemon.end(2 * PATIENCE_S)
        if code != 0 or place != "mid_stop":
            break
    return code, rows, daemon.text()[-3000:]


def test_a_death_at_every_named_place_leaves_books_that_agree(tmp_path, capsys):
    rng = random.Random(SEED)
    names = [*FIRST, *[name for name in CRASH_POINTS if name not in FIRST]]
    starts, rows = [], []
    with desk(tmp_path / "desk", speed=8, seed=4, before_midnight_s=MIDNIGHT_S) as it:
        for name in names:
            place = f"{name}:{rng.randint(1, 4)}" if name in OFTEN else name
            where = f"seed {SEED}, {place}"
            code, rows_before_start, said = die_at(it, place, starts)
            rows = rows_before_start or rows
            assert code == -signal.SIGKILL, f"{where}: exit code {code}\n{said}"
            assert check_dead_books(it, rows) == [], where
        last = it.start()
        starts.append(last.is_ready())
        last.wait_for(r" DISPATCHED")
        last.signal(signal.SIGTERM)
        check_end(it, last)
    judge(starts[1:], capsys)  # the first one compiles every module, as after an installation
