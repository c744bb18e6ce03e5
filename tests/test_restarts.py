"""The daemon's start is recovery: traders killed at random instants of virtual time, each followed by another.

The oracle is the venue's own ledger: after any number of kills journal, SQLite and venue agree to the micro-unit,
no order was accepted twice, no number and no salt was given twice.  POLYBOT_HARD=n plays n times as many seeds.
"""

import os
from collections import Counter
from random import Random

import pytest
from runs import NS, QUIET, configure, run
from signal_counts import broken_counts

from polybot._fast.event import OrderStatus
from polybot.harness import Restart
from polybot.journal.reader import read_journal
from polybot.journal.records import CleanStop, Intent, MarketDrop, MarketOpen, Session
from polybot.journal.recovery import fold

SEEDS = range(1, 1 + 8 * int(os.environ.get("POLYBOT_HARD", "1")))
LEAD_S = 40.0  # before the window of the run
TERMINAL = (OrderStatus.OS_FILLED, OrderStatus.OS_CANCELED, OrderStatus.OS_EXPIRED, OrderStatus.OS_REJECTED)


def records(result, kind=None):
    """Every record of the run's journal, restated ones left out."""
    (folder,) = [path for path in (result.out_dir / "venue.state").iterdir() if path.is_dir()]
    found = [item.record for item in read_journal(folder) if not item.is_restated]
    return found if kind is None else [record for record in found if isinstance(record, kind)]


def killed(folder, seed, instants, **changes):
    """One window with late quotes and a kill at each instant (venue seconds after the start)."""
    config = configure(venue__makers="slow", venue__seed=seed, **{**QUIET, **changes})
    return run(folder, config, restarts=[Restart(at_s, down_s=Random(at_s).uniform(0.2, 8.0)) for at_s in instants])


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_instants_all_books_agree_and_nothing_is_sent_twice(tmp_path, seed):
    rng = Random(seed)
    first_s = LEAD_S + 9.0
    instants = sorted([first_s + rng.random() * 12.0, *(rng.uniform(20.0, 420.0) for _ in range(3))])
    result = killed(tmp_path, seed, instants)
    report = result.money
    assert report.is_ok, f"seed {seed}, killed at {instants}: {report.text()}"
    assert report.markets >= 1  # one killed after the window's end begins another
    assert report.orders >= 1
    intents = records(result, Intent)
    for name in ("order_seq", "order_id", "salt"):
        assert len({getattr(intent, name) for intent in intents}) == len(intents), name
    assert len(intents) >= report.orders
    opened, dropped = records(result, MarketOpen), records(result, MarketDrop)
    assert Counter(market.index for market in opened) == Counter(market.index for market in dropped)
    assert [session.number for session in records(result, Session)] == list(range(1, len(instants) + 2))
    assert len(records(result, CleanStop)) == 1
    state = fold(read_journal(next(path for path in (result.out_dir / "venue.state").iterdir() if path.is_dir())))
    assert (state.strays, state.markets) == (0, {})
    assert broken_counts(result.out_dir) == []


def test_a_killed_run_is_the_same_byte_for_byte_when_it_is_played_again(tmp_path):
    first, again = (killed(tmp_path / name, 3, [52.0, 200.0]) for name in "ab")
    assert first.commands_sha256 == again.commands_sha256
    assert [repr(record) for record in records(first)] == [repr(record) for record in records(again)]


def test_the_journal_changes_no_command(tmp_path):
    config = configure(venue__makers="slow", venue__seed=4, **QUIET)
    plain = run(tmp_path / "a", config, with_journal=False)
    kept = run(tmp_path / "b", config)
    assert plain.money is None
    assert kept.money.is_ok, kept.money.text()
    assert (kept.commands, kept.commands_sha256) == (plain.commands, plain.commands_sha256)
    assert kept.check.is_ok


def test_a_restored_engine_is_the_one_that_was_killed(tmp_path):
    """Positions, orders, money and strike just after the start are those just before the kill."""
    before, after = {}, {}

    def look(into):
        def take(trader, _):
            for index, market in trader.engine.markets.items():
                if not market.observed:
                    into[index] = picture(trader, market)

        return take

    config = configure(venue__makers="slow", venue__seed=4, **QUIET)
    result = run(
        tmp_path,
        config,
        restarts=[Restart(70.0, down_s=1.0)],
        during=[(69.999, look(before)), (71.001, look(after))],
    )
    assert before
    assert after == before
    assert sum(market["held"][0] + market["held"][1] for market in before.values()) > 0
    assert result.money.is_ok
    assert "settled cost differs" not in result.console  # earlier fills are in the first life's figures


def picture(trader, market):
    """What must survive of one market; the engine's own cancels in flight are asked again."""
    orders = {}
    for seq, order in trader.engine.orders.items():
        if order.market == market.index:
            sizes = (order.matched, order.filled, order.shares, order.reserved_usd)
            orders[seq] = (order.status, order.price_ticks, *sizes)
    return {
        "held": market.position(),
        "cost": sum(market.cost_usd),
        "fees": market.fees_usd,
        "strike": (market.strike, market.strike_source, market.strike_stamp_ns),
        "counted": list(market.order_count),
        "house": market.house,
        "exposure": trader.engine.risk.exposure(),
        "orders": orders,
    }


def test_new_orders_get_numbers_behind_all_that_may_have_been_given(tmp_path):
    result = killed(tmp_path, 4, [50.2])
    by_session, number = {0: []}, 0
    for record in records(result):
        if isinstance(record, Session):
            number = record.number
            by_session[number] = []
        elif isinstance(record, Intent):
            by_session[number].append(record.order_seq)
    assert by_session[1]
    assert by_session[2]
    assert min(by_session[2]) > max(by_session[1]) + 50


def test_a_window_that_ended_while_nobody_lived_is_settled_at_the_next_start(tmp_path):
    config = configure(venue__makers="slow", venue__seed=4, **QUIET)
    end_s = LEAD_S + config.interval.duration_s
    result = run(tmp_path, config, restarts=[Restart(end_s - 20.0, down_s=200.0)])
    assert result.money.is_ok, result.money.text()
    assert result.money.venue_pnl_usd == result.money.journal_pnl_usd != 0
    assert sum(result.summary.pnl_usd.values()) == result.money.venue_pnl_usd


def test_a_window_of_another_interval_is_settled_and_not_traded_on(tmp_path):
    five = configure(venue__makers="slow", venue__seed=4, **QUIET)
    other = configure(venue__makers="slow", venue__seed=4, **QUIET, interval__name="15m", interval__duration_s=900)
    stop = (500.0, lambda trader, _: trader.stop())
    result = run(tmp_path, five, restarts=[Restart(60.0, config=other)], during=[stop])
    killed_ns = result.venue.setup.epoch_ns + 60 * NS
    sent = records(result, Intent)
    assert sent
    assert all(intent.dispatched_ns < killed_ns for intent in sent)
    assert result.money.is_ok, result.money.text()
    assert result.money.markets == 1
