"""Why a window was not traded, in whole virtual runs: counts over a stop and a kill, and records lost on their way.

Every window of the fault sweep is held to the same sums (fault_sweep); here are the runs that need their own.
"""

import asyncio
import json

import pytest
from between import stand_between
from runs import NS, QUIET, configure, markets, rows, run
from signal_counts import broken_counts, sessions_of

from polybot._fast.event import CommandKind, EventBuffer
from polybot._fast.ring import CommandRing
from polybot.config import default_config
from polybot.control import client
from polybot.control.past_windows import find_window
from polybot.control.why_text import past_lines
from polybot.harness import Restart

BUSY = {**QUIET, "venue__makers": "slow", "venue__seed": 4}


@pytest.fixture(scope="module")
def three_lives(tmp_path_factory):
    """One window: a process that is stopped in order, one that is killed, and one that ends it."""
    stops = [Restart(140.0, down_s=2.0, is_kill=False), Restart(215.0, down_s=3.0)]
    return run(tmp_path_factory.mktemp("lives"), configure(**BUSY), restarts=stops)


def test_every_process_counts_from_zero_and_a_killed_one_is_ten_seconds_behind_at_most(three_lives):
    sessions = sessions_of(three_lives.out_dir)
    assert broken_counts(three_lives.out_dir) == []
    assert [one["why"]["final"] for one in sessions] == [True, False, True]
    counted = [sum(each["signals"] for each in one["why"]["strategies"].values()) for one in sessions]
    assert min(counted) > 0
    assert counted[0] + counted[2] < len(rows(three_lives, "signals.csv"))
    restored = [sum(each["restored"] for each in one["why"]["strategies"].values()) for one in sessions]
    orders = [sum(each["orders"] for each in one["why"]["strategies"].values()) for one in sessions]
    assert restored[0] == 0
    assert restored[1] <= orders[0]
    assert restored[2] <= orders[0] + len({row["order_seq"] for row in rows(three_lives, "orders.csv")})


def test_the_text_shows_each_process_and_says_whose_counts_may_be_behind(three_lives):
    window = find_window(three_lives.out_dir, "btc-updown-5m")
    lines = past_lines(window)
    assert sum("counting from 0" in line for line in lines) == 3
    assert sum("later ones were not told" in line for line in lines) == 1
    for name in ("latency_arb", "certainty_capture", "lp_extreme"):
        assert sum(line.split()[0] == name for line in lines) == 3


def test_seconds_by_reason_cover_the_time_a_process_watched(three_lives):
    first, _, last = sessions_of(three_lives.out_dir)
    assert sum(first["why"]["seconds"].values()) == pytest.approx(140.0 - 40.0, abs=2.0)
    assert sum(last["why"]["seconds"].values()) == pytest.approx(340.0 - 218.0, abs=20.0)  # from when it had recovered


def test_records_lost_on_their_way_are_counted_to_the_last_one(tmp_path):
    rings = []

    def narrow(trader, venue):
        trader.inbox.ring = CommandRing(loose_capacity=4)
        rings.append(trader.inbox.ring)

    result = run(tmp_path, configure(**BUSY), prepare=narrow)
    assert broken_counts(result.out_dir) == []
    (told,) = sessions_of(result.out_dir)
    (row,) = markets(result).values()
    lost = rings[0].dropped_kinds()[int(CommandKind.CMD_SIGNAL)]
    assert lost > 20
    assert (told["totals"]["untold"], int(row["untold"])) == (lost, lost)
    assert len(rows(result, "signals.csv")) == int(row["signals"]) - int(row["dropped"]) - lost
    assert f"    {lost} of these signals have no row" in "\n".join(past_lines(find_window(result.out_dir, "btc")))


def test_the_command_tells_of_a_finished_window_without_a_daemon(three_lives, tmp_path, capsys):
    def ask(market, **more):
        places = {"telemetry.out_dir": str(three_lives.out_dir), "run.state_dir": str(tmp_path)}
        return client.run(default_config(**places, **{"control.market": market}, **more), "status")

    assert ask("btc-updown-5m-") == 0
    out = capsys.readouterr().out
    (slug,) = markets(three_lives)
    assert out.startswith(f"why not   {slug}  outcome {markets(three_lives)[slug]['outcome']}\n")
    assert "nearest miss " in out
    assert ask(slug, **{"control.json": True}) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["why"]["final"] for one in told["sessions"]] == [True, False, True]
    assert ask("eth") == 1
    assert "no window that is live begins so" in capsys.readouterr().err


def test_the_counts_tell_no_more_than_a_window_lasts(three_lives):
    for one in sessions_of(three_lives.out_dir):
        assert sum(one["why"]["seconds"].values()) <= 300.0 + 1 / NS


def test_signals_of_a_feed_that_is_only_just_ending_are_in_the_final_counts(tmp_path):
    late = []

    def linger(trader, venue):
        """Stop at a signal, and have its event come once more when everything was told to end."""
        close = trader.gateway.close

        def seen(events, feed):
            before = sum(sum(market.stats()["signals"]) for market in trader.engine.markets.values())
            feed(events)
            if sum(sum(market.stats()["signals"]) for market in trader.engine.markets.values()) > before and not late:
                late.append(EventBuffer(64))
                late[0].extend_from(events)
                trader.stop()

        async def closing():
            asyncio.get_running_loop().call_soon(feed, late[0])
            await close()

        feed = stand_between(trader, seen)
        trader.gateway.close = closing

    result = run(tmp_path, configure(**BUSY), prepare=linger)
    (told,) = sessions_of(result.out_dir)
    assert told["totals"]["signals"] >= 2
    assert broken_counts(result.out_dir) == []
