"""What a review of the strategies, the resting orders and the halts found, each as the test that failed first."""

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from journal.history import open_journal
from scenario import SHARE, USD, Scenario, make_risk, rows
from scripted_strategy import Scripted, opinion, place

from polybot._fast.event import DOWN, UP, CommandKind, EventFlag, OrderStatus
from polybot._fast.latency_arb import LatencyArb
from polybot._fast.risk import Denial
from polybot._fast.strategy import Signal
from polybot.journal.losses import JournalStore
from polybot.journal.reader import read_journal
from polybot.journal.records import Loss
from polybot.latches import LossKeeper


def two() -> tuple[Scenario, Scripted, Scripted]:
    """An active and a passive strategy."""
    active, passive = Scripted("a"), Scripted("b", passive=True)
    scenario = Scenario([active, passive], risk=make_risk(daily_loss_halt_frac=0.015))
    return scenario, active, passive


def test_a_settled_loss_counts_once_and_not_beside_its_own_mark():
    scenario = Scenario([Scripted()], risk=make_risk(daily_loss_halt_frac=0.03))
    scenario.warm()
    place(scenario, ticks=5_000, shares=40 * SHARE)
    scenario.fill(21.3, 1_000, 5_000, 40 * SHARE, status=4)
    scenario.book(299.0, [(100, 1_000)], [(200, 1_000)])
    scenario.timer(299.0)
    scenario.go()
    assert -21 * USD < scenario.risk.marked_usd < -20 * USD
    scenario.outcome(330.0, DOWN)
    scenario.go()
    assert -21 * USD < scenario.risk.day_realised_usd < -20 * USD
    assert not scenario.risk.halted_daily


def test_two_strategies_that_hedge_each_other_are_halted_by_their_sum_only():
    scenario, active, passive = two()
    scenario.warm()
    active.say = opinion(UP, ticks=5_000, shares=40 * SHARE)
    scenario.trade(21.0, scenario.price)
    scenario.go()
    active.say = None
    up = scenario.engine.orders[1_000].shares
    scenario.fill(21.2, 1_000, 5_000, up, key=1, status=4)
    passive.say = opinion(DOWN, ticks=4_800, shares=40 * SHARE, post_only=True)
    scenario.trade(21.5, scenario.price)
    scenario.go()
    passive.say = None
    scenario.fill(21.6, 1_001, 4_800, scenario.engine.orders[1_001].shares, key=2, status=4, maker=True)
    scenario.timer(22.0)
    scenario.outcome(330.0, DOWN)
    scenario.go()
    assert scenario.market.strat_cost_usd[0] > 15 * USD
    assert scenario.risk.day_realised_usd > -15 * USD
    assert not scenario.risk.halted_daily


def test_what_a_disabled_strategy_left_resting_is_cancelled():
    strategy = Scripted()
    scenario = Scenario([strategy])
    scenario.warm()
    place(scenario, post_only=True)
    scenario.update(21.05, 1_000, OrderStatus.OS_LIVE)
    strategy.say = {"outcome": 7}
    scenario.trade(21.5, scenario.price)
    scenario.go()
    assert not strategy.enabled
    scenario.timer(21.6)
    assert [int(seq) for seq in rows(scenario.go(), CommandKind.CMD_CANCEL)["order_seq"]] == [1_000]


def test_an_order_that_never_left_does_not_set_the_house():
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, ticks=5_000)
    scenario.update(21.0, 1_000, OrderStatus.OS_REJECTED, 0, flags=EventFlag.F_LOCAL)
    scenario.go()
    assert scenario.market.house == -1
    placed = rows(place(scenario, 22.0, outcome=DOWN, ticks=5_100), CommandKind.CMD_PLACE)
    assert list(placed["outcome"]) == [DOWN]


def test_an_order_the_venue_killed_keeps_the_house_it_set():
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, ticks=5_000)
    scenario.update(21.1, 1_000, OrderStatus.OS_CANCELED, 0)
    place(scenario, 22.0, ticks=5_000)
    scenario.update(22.0, 1_001, OrderStatus.OS_REJECTED, 0, flags=EventFlag.F_LOCAL)
    scenario.go()
    assert scenario.market.house == UP


def test_a_new_bid_that_our_own_held_taker_order_would_meet_is_refused():
    active, passive = Scripted("a"), Scripted("b", passive=True)
    scenario = Scenario([active, passive])
    scenario.warm(bid=3_000, ask=5_000)
    passive.say = opinion(UP, ticks=3_000, shares=40 * SHARE, post_only=True)
    scenario.trade(21.0, scenario.price)
    scenario.go()
    passive.say = None
    scenario.fill(21.1, 1_000, 3_000, 40 * SHARE, status=4, maker=True)
    scenario.update(21.1, 1_000, OrderStatus.OS_FILLED, 40 * SHARE)
    scenario.book(21.2, [(4_900, 1_000)], [(5_000, 8)])
    active.say = opinion(UP, ticks=5_200, shares=20 * SHARE)
    scenario.trade(22.0, scenario.price)
    assert len(rows(scenario.go(), CommandKind.CMD_PLACE)) == 1
    active.say = None
    passive.say = opinion(DOWN, ticks=4_900, shares=10 * SHARE, post_only=True)
    scenario.trade(22.05, scenario.price)
    assert list(rows(scenario.go(), CommandKind.CMD_SIGNAL)["reason"]) == [Denial.SELF_CROSS]


def test_a_market_nothing_is_known_of_has_no_price():
    scenario = Scenario([Scripted()])
    assert not scenario.market.priced
    assert scenario.market.fair_up != scenario.market.fair_up  # NaN


def test_asking_a_strategy_outside_the_engine_writes_nowhere():
    scenario = Scenario([Scripted()])
    scenario.warm()
    alone, signal = LatencyArb(), Signal()
    near = 60_000  # bytes behind None, where the gates would have gone
    before = ctypes.string_at(id(None) + 64, near)
    assert alone.evaluate(scenario.market, scenario.spot, signal) == 0
    assert ctypes.string_at(id(None) + 64, near) == before


def test_a_strategy_cannot_take_windows_from_the_engine():
    scenario = Scenario([Scripted()])
    scenario.warm()
    scenario.market.siblings.clear()
    assert scenario.market.siblings == [scenario.market]


# -- results and halts over a restart ----------------------------------------------------------------------------


def book(**values: Any) -> Any:
    """Risk as far as the keeper looks at it: 1,000 USD of bankroll, nothing happened yet."""
    start = {
        "day": 20_719, "week": 2_960, "day_realised_usd": 0, "week_realised_usd": 0, "marked_usd": 0,
        "halted_manual": False, "halted_daily": False, "halted_weekly": False, "bankroll_usd": 1_000 * USD,
    }  # fmt: skip
    risk = SimpleNamespace(**{**start, **values})
    risk.restore = lambda **told: risk.__dict__.update(told)
    return risk


def marks(folder: Path) -> list[int]:
    """Marks of open positions that the journal in this folder keeps, oldest first."""
    (inner,) = [path for path in folder.iterdir() if path.is_dir()]
    return [item.record.marked_usd for item in read_journal(inner) if isinstance(item.record, Loss)]


def test_a_position_under_water_at_an_orderly_stop_is_in_the_books(tmp_path):
    risk, journal = book(), open_journal(tmp_path)
    keeper = LossKeeper(risk, JournalStore(journal), notice=lambda *_: None)
    keeper.restore(resume=False)
    risk.marked_usd = -29 * USD
    keeper.freeze_manual()
    assert keeper.flush()
    journal.close()
    assert marks(tmp_path) == [-29 * USD]


def test_a_mark_that_sank_by_a_quarter_of_a_percent_is_saved_without_a_stop(tmp_path):
    journal = open_journal(tmp_path)
    risk = book(day_realised_usd=-1 * USD, week_realised_usd=-1 * USD)
    keeper = LossKeeper(risk, JournalStore(journal), notice=lambda *_: None)
    assert keeper.flush()
    for mark in (-2 * USD, -3 * USD):
        risk.marked_usd = mark
        keeper.note()
    journal.abandon()
    assert marks(tmp_path) == [0, -3 * USD]
