"""Risk: one test per denial that can be made in one step, sizing to the cent, and the exposure wall."""

import random

import pytest
from scenario import NS, SHARE, USD, Scenario, make_risk, make_spec, rows
from test_engine import Scripted, opinion

from polybot._fast.event import DOWN, UP, CommandKind, EventKind, OrderStatus, TradeStatus
from polybot._fast.risk import Denial


def first_signal(scenario, strategy, t=21.0, **say):
    strategy.say = {**opinion(), **say}
    scenario.trade(t, 100_000.0)
    commands = scenario.go()
    strategy.say = None
    return rows(commands, CommandKind.CMD_SIGNAL)[0]


def ready(risk=None, spec=None, **limits):
    strategy = Scripted()
    scenario = Scenario([strategy], risk=risk, spec=spec)
    if limits:
        row = {
            "per_trade_frac": 0.02,
            "total_frac": 0.08,
            "cooldown_ns": 200_000_000,
            "max_orders": 50,
        } | limits
        scenario.risk.set_limits(0, **row)
    scenario.warm()
    return scenario, strategy


def test_a_stale_spot_denies_takers_after_a_second():
    strategy_on_book = Scripted("on_book", triggers=2)
    scenario = Scenario([strategy_on_book])
    scenario.warm()
    strategy_on_book.say = opinion()
    scenario.book(21.5, [(4_900, 10)], [(5_000, 10)])
    assert rows(scenario.go(), CommandKind.CMD_SIGNAL)[0]["reason"] == Denial.STALE_SPOT


def test_a_stale_book_denies_after_five_seconds():
    scenario, strategy = ready()
    scenario.oracle(25.5, 100_000.0)
    assert first_signal(scenario, strategy, t=25.5)["reason"] == Denial.STALE_BOOK


def test_a_stale_oracle_denies_twap_markets_but_not_candle_markets():
    scenario, strategy = ready()
    scenario.book(26.0, [(4_900, 10)], [(5_000, 10)])
    assert first_signal(scenario, strategy, t=26.0)["reason"] == Denial.STALE_ORACLE
    scenario, strategy = ready(spec=make_spec(rule="candle", twap_window_s=0))
    scenario.book(26.0, [(4_900, 10)], [(5_000, 10)])
    assert first_signal(scenario, strategy, t=26.0)["reason"] == Denial.DISPATCHED


def test_an_unreachable_venue_denies_everything():
    scenario, strategy = ready()
    scenario.risk.set_venue_down(True)
    assert first_signal(scenario, strategy)["reason"] == Denial.VENUE_DOWN


def test_cooldown_runs_from_the_last_dispatch():
    scenario, strategy = ready(cooldown_ns=2 * NS)
    assert first_signal(scenario, strategy)["reason"] == Denial.DISPATCHED
    scenario.update(21.1, 1_000, OrderStatus.OS_CANCELED, 0)
    assert first_signal(scenario, strategy, t=22.9)["reason"] == Denial.COOLDOWN
    assert first_signal(scenario, strategy, t=23.0)["reason"] == Denial.DISPATCHED


def test_max_orders_counts_orders_that_filled():
    scenario, strategy = ready(max_orders=1)
    assert first_signal(scenario, strategy)["reason"] == Denial.DISPATCHED
    scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    assert first_signal(scenario, strategy, t=23.0)["reason"] == Denial.MAX_ORDERS


def test_the_collar_stops_a_limit_far_above_mid_but_not_one_below():
    scenario, strategy = ready()
    assert first_signal(scenario, strategy, price_ticks=5_951)["reason"] == Denial.PRICE_COLLAR
    assert first_signal(scenario, strategy, price_ticks=5_950)["reason"] == Denial.DISPATCHED
    scenario, strategy = ready()
    assert first_signal(scenario, strategy, price_ticks=2_000)["reason"] == Denial.DISPATCHED


def test_unknown_cash_and_too_little_cash_deny():
    for cash in (-1, 2 * USD):
        scenario, strategy = ready()
        scenario.risk.set_cash(cash)
        assert first_signal(scenario, strategy)["reason"] == Denial.INSUFFICIENT_BALANCE


def test_an_order_is_cut_to_the_per_trade_cap_in_whole_lots_fee_included():
    scenario, strategy = ready(per_trade_frac=0.01)
    signal = first_signal(scenario, strategy, shares=1_000 * SHARE)
    shares = int(signal["shares"])
    unit = 500_000 + 17_500
    assert signal["reason"] == Denial.DISPATCHED
    assert shares % 10_000 == 0
    assert shares * unit / SHARE <= 10 * USD < (shares + 20_000) * unit / SHARE


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"per_trade_frac": 0.002}, Denial.SIZE_BELOW_MIN),
        ({"total_frac": 0.002}, Denial.STRATEGY_EXPOSURE),
        ({"total_frac": 0.0}, Denial.STRATEGY_EXPOSURE),
    ],
)
def test_a_size_below_the_venues_minimum_names_what_cut_it(limits, reason):
    scenario, strategy = ready(**limits)
    assert first_signal(scenario, strategy)["reason"] == reason


def test_the_portfolio_limit_is_shared_by_all_strategies():
    first, second = Scripted("first"), Scripted("second")
    scenario = Scenario([first, second], risk=make_risk(max_exposure_frac=0.006))
    scenario.warm()
    assert first_signal(scenario, first)["reason"] == Denial.DISPATCHED
    assert 5 * USD < scenario.risk.exposure() <= 6 * USD
    assert first_signal(scenario, second, t=22.0)["reason"] == Denial.PORTFOLIO_EXPOSURE


def test_the_hard_ceiling_holds_whatever_the_limits_say():
    scenario, strategy = ready(
        risk=make_risk(bankroll_usd=1_000_000 * USD, hard_order_usd=500 * USD),
        per_trade_frac=1.0,
        total_frac=1.0,
    )
    scenario.risk.set_cash(1_000_000 * USD)
    signal = first_signal(scenario, strategy, shares=1_000_000 * SHARE)
    assert signal["reason"] == Denial.DISPATCHED
    assert 499 * USD < scenario.risk.exposure() <= 500 * USD + 10


def test_a_marketable_buy_below_a_dollar_is_refused_even_with_five_shares():
    scenario, strategy = ready()
    assert (
        first_signal(scenario, strategy, shares=6 * SHARE, price_ticks=1_000)["reason"]
        == Denial.SIZE_BELOW_MIN
    )


def test_orders_per_second_are_limited():
    scenario, strategy = ready(risk=make_risk(orders_per_s=2.0), cooldown_ns=0)
    reasons = []
    for k in range(4):
        signal = first_signal(scenario, strategy, t=21.0 + k * 0.01)
        reasons.append(int(signal["reason"]))
        scenario.update(21.0 + k * 0.01, 1_000 + k, OrderStatus.OS_CANCELED, 0)
    assert reasons == [Denial.DISPATCHED, Denial.DISPATCHED, Denial.RATE_LIMIT, Denial.RATE_LIMIT]


def test_taking_without_a_fee_schedule_is_refused_while_fees_are_enabled():
    scenario, strategy = ready(spec=make_spec(fee_rate_ppm=None))
    assert first_signal(scenario, strategy)["reason"] == Denial.EDGE_AFTER_COSTS


def test_delta_limit_counts_the_position_after_a_full_fill():
    scenario, strategy = ready(risk=make_risk(max_delta=15.0))
    assert first_signal(scenario, strategy)["reason"] == Denial.DISPATCHED
    scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    assert first_signal(scenario, strategy, t=23.0)["reason"] == Denial.DELTA_LIMIT


@pytest.mark.parametrize("seed", range(20))
def test_exposure_never_exceeds_any_limit_for_any_order_of_events(seed):
    rng = random.Random(seed)
    risk = make_risk(max_exposure_frac=0.05, daily_loss_halt_frac=1.0, weekly_loss_halt_frac=1.0)
    strategies = [Scripted("a"), Scripted("b", passive=True)]
    scenario = Scenario(strategies, risk=risk)
    for index in range(2):
        risk.set_limits(index, per_trade_frac=0.02, total_frac=0.03, cooldown_ns=0, max_orders=10_000)
    scenario.warm()
    t, keys = 21.0, 0
    for _ in range(300):
        t += rng.random() * 0.5
        for strategy in strategies:
            strategy.say = None
            if rng.random() < 0.6:
                ticks = rng.choice((900, 2_000, 4_900, 5_000, 5_500))
                strategy.say = opinion(
                    rng.choice((UP, DOWN)), ticks=ticks, shares=rng.randrange(1, 200) * SHARE
                )
        scenario.oracle(t, 100_000.0)
        scenario.book(t, [(4_900, 500)], [(5_000, 500)])
        scenario.trade(t, 100_000.0)
        scenario.go()
        for order in list(scenario.engine.orders.values()):
            if not order.is_open or rng.random() < 0.5:
                continue
            keys += 1
            left = order.shares - order.filled
            choice = rng.random()
            if choice < 0.4 and left > 0:
                part = left if rng.random() < 0.5 else max(10_000, left // 2 // 10_000 * 10_000)
                scenario.fill(
                    t, order.seq, rng.randrange(1, order.price_ticks + 1), min(part, left), key=keys
                )
            elif choice < 0.6:
                status = rng.choice(
                    (
                        OrderStatus.OS_REJECTED,
                        OrderStatus.OS_CANCELED,
                        OrderStatus.OS_UNKNOWN,
                        OrderStatus.OS_LIVE,
                    )
                )
                scenario.update(t, order.seq, status, -1)
        scenario.go()
        assert risk.exposure() <= risk.max_exposure_usd
        assert all(risk.exposure(index) <= risk.row(index)["total_usd"] for index in range(2))
        assert risk.reserved_usd == sum(o.reserved_usd for o in scenario.engine.orders.values())
        assert risk.position_usd == sum(scenario.market.cost_usd)
    assert keys > 5


def test_a_failed_trade_after_settlement_takes_its_pnl_back():
    scenario, strategy = ready()
    first_signal(scenario, strategy)
    scenario.fill(21.1, 1_000, 5_000, 10 * SHARE, key=9)
    scenario.outcome(330.0, UP)
    scenario.fill(331.0, 1_000, 5_000, 10 * SHARE, key=9, status=TradeStatus.TS_FAILED)
    scenario.go()
    assert scenario.risk.day_realised_usd == 0
    assert scenario.risk.exposure() == 0


def test_balance_events_set_the_cash():
    scenario, _ = ready()
    scenario.events.add(EventKind.EV_BALANCE, recv_ns=scenario.at(22), j=123 * USD)
    scenario.go()
    assert scenario.risk.cash_usd == 123 * USD
