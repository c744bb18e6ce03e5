"""SIGTERM and SIGINT at random instants under order flow: out in order, nothing open, the journal sealed.

One venue serves a whole campaign; one daemon after another joins it on the same account.  The seed is printed with
every failure; POLYBOT_HARD=n makes n times as many instants.
"""

import random
import signal
import sys
import time

import pytest
from campaign_process import HARD, desk, open_orders, start_words
from child_process import PATIENCE_S
from pauses import PauseWitness

pytestmark = pytest.mark.alone

INSTANTS = 40 * HARD
EARLY = 5  # of which every so many-th falls into the start
TRADING = 3  # and before every so many-th of the others an order of ours is seen at the venue
STOP_S = 5.0
UNREACHABLE_STOP_S = 10.0
SEED = 20_261_122


def trades(it, daemon):
    """Wait until an order of ours is open at the venue."""
    deadline = time.monotonic() + PATIENCE_S
    while not open_orders(it.venue.rows(), it.account):
        assert time.monotonic() < deadline
        assert daemon.lives_for(0.02), daemon.text()[-3000:]


def settled_rows(venue, limit_s=20.0):
    """The venue's rows once it writes no more of ours: what was on its way when the daemon ended has arrived."""
    deadline = time.monotonic() + limit_s
    rows = venue.rows()
    while time.monotonic() < deadline:
        venue.lives_for(0.1)
        before, rows = rows, venue.rows()
        if len([row for row in rows if row["k"] in ("order", "end", "leg")]) == len(
            [row for row in before if row["k"] in ("order", "end", "leg")]
        ):
            return rows
    return rows


def test_a_signal_at_any_instant_ends_it_within_five_seconds_with_nothing_open_and_the_journal_sealed(tmp_path, capsys):
    rng = random.Random(SEED)
    starts, stops, resting = [], [], 0
    with desk(tmp_path / "desk", speed=4, seed=4) as it:
        first = it.start()
        first.is_ready()
        first.wait_for(r" ORDER ")  # the window is joined: all others go on with it
        for number in range(INSTANTS):
            where = f"seed {SEED}, instant {number}"
            daemon = first if number == 0 else it.start()
            if number % EARLY == EARLY - 1:
                daemon.listens()
                assert daemon.lives_for(rng.uniform(0.0, 1.5)), f"{where}: {daemon.text()}"
            else:
                starts += [daemon.is_ready()] if number else []
                if number % TRADING == 0:
                    trades(it, daemon)
                assert daemon.lives_for(rng.uniform(0.0, 1.0)), f"{where}: {daemon.text()}"
            resting += bool(open_orders(it.venue.rows(), it.account))
            code, took, withheld_s = stopped(daemon, rng.choice((signal.SIGTERM, signal.SIGINT)))
            stops.append(took)
            assert code == 0, f"{where}: exit code {code}\n{daemon.text()[-3000:]}"
            assert took - withheld_s <= STOP_S, f"{where}: {took:.2f} s\n{daemon.text()[-3000:]}"
            assert "ORDERS MAY BE OPEN" not in daemon.text(), where
            assert open_orders(settled_rows(it.venue), it.account) == [], where
            assert it.is_sealed(), where
            assert it.compare() == "", where
        rows = it.venue.rows()
    orders = sum(row["k"] == "order" for row in rows)
    with capsys.disabled():
        figures = f"stop max {max(stops):.2f} s; {orders} orders; resting at {resting} instants"
        sys.stdout.write(f"\nstop campaign: {start_words(starts)}; {figures}\n")
    assert orders > 3 * INSTANTS
    assert resting >= INSTANTS // 8


def stopped(daemon, number):
    """(exit code, seconds from the signal to the end, what of them the machine withheld)."""
    with PauseWitness() as witness:
        witness.follow(daemon.pid)
        daemon.signal(number)
        code, took = daemon.end()
    return code, took, witness.withheld_s


@pytest.fixture
def trading(tmp_path):
    """A desk and a daemon with at least one order resting, and the venue's process stopped at that moment."""
    with desk(tmp_path / "desk", speed=4, seed=4) as it:
        daemon = it.start()
        daemon.is_ready()
        daemon.wait_for(r" ORDER ")
        while True:
            trades(it, daemon)
            it.venue.signal(signal.SIGSTOP)
            if open_orders(it.venue.rows(), it.account):
                break
            it.venue.signal(signal.SIGCONT)
        yield it, daemon


@pytest.mark.parametrize("way", [signal.SIGSTOP, signal.SIGKILL])
def test_with_the_venue_out_of_reach_it_ends_within_ten_seconds_and_says_that_orders_may_be_open(trading, way):
    it, daemon = trading
    it.venue.signal(way)
    code, took, withheld_s = stopped(daemon, signal.SIGTERM)
    assert code == 4, daemon.text()[-3000:]
    assert took - withheld_s <= UNREACHABLE_STOP_S
    assert "ORDERS MAY BE OPEN" in daemon.text()


def test_a_second_signal_ends_it_at_once_with_the_alarm(trading):
    _, daemon = trading
    daemon.signal(signal.SIGTERM)
    daemon.wait_for("stopping: no new orders")
    code, took, withheld_s = stopped(daemon, signal.SIGTERM)
    assert code == 130, daemon.text()[-3000:]
    assert took - withheld_s < 1.0
    assert "out at once: ORDERS MAY BE OPEN" in daemon.text()
