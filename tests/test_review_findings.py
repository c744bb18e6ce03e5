"""Cases an adversarial reading of the core found: each names the scenario and what must hold.

Money first: reservations that outlive their order, exposure that is not counted, prices that are too old to
trade on; then strategies that misbehave, and events that must not be lost or applied twice.
"""

from types import SimpleNamespace

import pytest
from scenario import NS, SHARE, USD, Scenario, make_risk, make_spec, rows
from test_engine import Scripted, opinion, place

from polybot._fast.certainty_capture import CertaintyCapture
from polybot._fast.event import (
    DOWN,
    FAK,
    SELL,
    UP,
    CommandBuffer,
    CommandKind,
    EventBuffer,
    EventFlag,
    EventKind,
    OperatorCode,
    OrderStatus,
    TradeStatus,
)
from polybot._fast.risk import Denial
from polybot._fast.strategy import Strategy, Trigger
from polybot.assembly import build_engine
from polybot.config import default_config
from polybot.runner import Runner
from polybot.telemetry.inbox import TelemetryInbox
from polybot.telemetry.totals import StrategyTotals


def armed(strategy=None, **more):
    strategy = strategy if strategy is not None else Scripted()
    scenario = Scenario([strategy], **more)
    scenario.warm()
    return scenario, strategy


def fate(commands):
    """Denials of all signals, in order."""
    return [int(row["reason"]) for row in rows(commands, CommandKind.CMD_SIGNAL)]


# -- reservations and exposure -------------------------------------------------------------------------------


def test_a_market_dropped_with_an_order_open_gives_its_reservation_back_and_says_so():
    scenario, strategy = armed()
    place(scenario, strategy)
    scenario.update(21.5, 1_000, OrderStatus.OS_UNKNOWN)
    scenario.outcome(330.0, UP)
    scenario.go()
    assert scenario.risk.reserved_usd > 5 * USD
    scenario.engine.drop_market(0)
    assert scenario.risk.exposure() == 0
    assert scenario.risk.exposure(0) == 0
    assert any("1000" in text for text in scenario.engine.alerts)


def test_a_market_whose_position_is_not_settled_cannot_be_dropped():
    scenario, strategy = armed()
    place(scenario, strategy)
    scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    scenario.go()
    with pytest.raises(ValueError, match="not settled"):
        scenario.engine.drop_market(0)
    assert scenario.risk.position_usd > 5 * USD


def test_a_fill_of_an_order_nobody_knows_any_more_is_said_aloud():
    scenario, strategy = armed()
    place(scenario, strategy)
    scenario.update(21.5, 1_000, OrderStatus.OS_UNKNOWN)
    scenario.outcome(330.0, UP)
    scenario.go()
    scenario.engine.drop_market(0)
    scenario.engine.alerts.clear()
    scenario.fill(400.0, 1_000, 5_000, 10 * SHARE)
    scenario.go()
    assert any("1000" in text for text in scenario.engine.alerts)


def test_an_order_told_filled_without_an_amount_holds_its_room_until_its_fills_are_booked():
    scenario, strategy = armed()
    place(scenario, strategy)
    held = scenario.risk.reserved_usd
    scenario.update(21.2, 1_000, OrderStatus.OS_FILLED)
    scenario.go()
    assert scenario.risk.reserved_usd == held
    scenario.fill(21.3, 1_000, 5_000, 10 * SHARE)
    scenario.go()
    assert scenario.risk.reserved_usd == 0


def test_a_trade_first_heard_of_as_failed_frees_the_room_its_match_held():
    scenario, strategy = armed()
    place(scenario, strategy)
    scenario.update(21.2, 1_000, OrderStatus.OS_CANCELED, 10 * SHARE)
    scenario.fill(21.3, 1_000, 5_000, 10 * SHARE, key=9, status=TradeStatus.TS_FAILED)
    scenario.go()
    assert scenario.risk.exposure() == 0
    assert scenario.market.position() == (0, 0)
    assert scenario.market.open_order_count == 0


def test_a_post_only_opinion_that_takes_is_no_opinion():
    scenario, strategy = armed()
    commands = place(scenario, strategy, post_only=True, order_type=FAK)
    assert len(rows(commands, CommandKind.CMD_PLACE)) == 0
    assert "ValueError" in scenario.engine.alerts[0]


def test_a_local_refusal_of_an_old_order_leaves_the_cooldown_of_a_newer_one_alone():
    strategy = Scripted(passive=True)
    scenario = Scenario([strategy])
    scenario.warm()
    scenario.risk.set_limits(0, per_trade_frac=0.02, total_frac=0.08, cooldown_ns=NS, max_orders=50)
    assert fate(place(scenario, strategy, t=21.0, **opinion(UP, ticks=3_000))) == [Denial.DISPATCHED]
    assert fate(place(scenario, strategy, t=22.5, **opinion(DOWN, ticks=3_000))) == [Denial.DISPATCHED]
    scenario.update(22.6, 1_000, OrderStatus.OS_REJECTED, flags=EventFlag.F_LOCAL)
    scenario.go()
    assert fate(place(scenario, strategy, t=22.7, **opinion(UP, ticks=3_000))) == [Denial.COOLDOWN]


# -- selling -------------------------------------------------------------------------------------------------


def holding(shares=10, **risk):
    """A scenario that holds `shares` Up bought at 0.50."""
    scenario, strategy = armed(risk=make_risk(**risk) if risk else None)
    place(scenario, strategy, shares=shares * SHARE)
    scenario.fill(21.1, 1_000, 5_000, shares * SHARE)
    scenario.go()
    return scenario, strategy


def test_nothing_is_sold_that_is_not_held():
    scenario, strategy = armed()
    assert fate(place(scenario, strategy, side=SELL, price_ticks=4_900)) == [Denial.SIZE_BELOW_MIN]


def test_a_sale_is_cut_to_what_is_held_and_not_already_offered():
    scenario, strategy = holding(10)
    placed = rows(
        place(scenario, strategy, t=22.0, side=SELL, price_ticks=4_900, shares=50 * SHARE),
        CommandKind.CMD_PLACE,
    )
    assert [int(row["shares"]) for row in placed] == [10 * SHARE]


def test_a_sale_that_closes_needs_no_exposure_room():
    scenario, strategy = holding(10, max_exposure_frac=0.0055)
    assert scenario.risk.max_exposure_usd - scenario.risk.exposure() < USD
    assert fate(place(scenario, strategy, t=22.0, side=SELL, price_ticks=4_900)) == [Denial.DISPATCHED]


def test_a_profitable_sale_frees_its_cost_but_never_makes_room_beyond_the_limit():
    scenario, strategy = holding(10)
    place(scenario, strategy, t=22.0, side=SELL, price_ticks=8_000)
    scenario.fill(22.1, 1_001, 8_000, 10 * SHARE, key=2)
    scenario.go()
    assert scenario.market.position() == (0, 0)
    assert sum(scenario.market.cost_usd) < 0
    assert scenario.risk.exposure() == scenario.risk.exposure(0) > 0  # it may still fail and come back
    scenario.fill(22.2, 1_001, 8_000, 10 * SHARE, key=2, status=TradeStatus.TS_CONFIRMED)
    scenario.go()
    assert scenario.risk.exposure() == 0
    assert scenario.risk.exposure(0) == 0
    scenario.outcome(330.0, DOWN)
    scenario.go()
    assert scenario.risk.exposure() == 0
    assert scenario.risk.day_realised_usd == -sum(scenario.market.cost_usd)


def test_selling_one_outcome_is_no_pair_with_the_other():
    first, second = Scripted("first", passive=True), Scripted("second", passive=True)
    scenario = Scenario([first, second])
    scenario.warm()
    first.say = opinion(UP, ticks=5_500)
    scenario.trade(21.0, 100_000.0)
    scenario.go()
    scenario.fill(21.1, 1_000, 5_500, 10 * SHARE)
    first.say, second.say = None, opinion(DOWN, ticks=3_900)
    scenario.trade(22.0, 100_000.0)
    scenario.go()
    scenario.fill(22.1, 1_001, 3_900, 10 * SHARE, key=2)
    second.say = opinion(DOWN, ticks=5_000, side=SELL)
    scenario.trade(23.0, 100_000.0)
    assert fate(scenario.go()) == [Denial.DISPATCHED]


# -- limits on Greeks ----------------------------------------------------------------------------------------


def test_the_delta_limit_counts_orders_that_may_still_fill():
    first, second = Scripted("first"), Scripted("second")
    scenario = Scenario([first, second], risk=make_risk(max_delta=15.0))
    scenario.warm()
    first.say, second.say = opinion(edge=0.09), opinion()
    scenario.trade(21.0, 100_000.0)
    assert sorted(fate(scenario.go())) == [Denial.DISPATCHED, Denial.DELTA_LIMIT]


def test_the_short_gamma_limit_stops_a_position_that_is_already_likely_to_win():
    scenario, strategy = armed(risk=make_risk(max_short_gamma=15.0))
    scenario.trade(20.5, 100_060.0)
    scenario.go()
    place(scenario, strategy)
    assert scenario.market.greeks[1] < 0
    scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    strategy.say = opinion()
    scenario.trade(22.0, 100_060.0)
    assert fate(scenario.go()) == [Denial.GAMMA_LIMIT]


# -- old prices ----------------------------------------------------------------------------------------------


def spot_quote(scenario, t, bid, ask):
    scenario.events.add(EventKind.EV_SPOT_QUOTE, recv_ns=scenario.at(t), flags=EventFlag.F_END, x=bid, y=ask)


def test_a_last_trade_the_quotes_have_left_behind_is_a_stale_spot_for_takers():
    strategy = Scripted(triggers=Trigger.ON_BOOK)
    scenario = Scenario([strategy])
    scenario.warm()
    strategy.say = opinion()
    spot_quote(scenario, 23.0, 100_300.0, 100_300.1)
    scenario.book(23.1, [(4_900, 10)], [(5_000, 10)])
    assert fate(scenario.go()) == [Denial.STALE_SPOT]


def test_a_last_trade_within_the_fresh_quote_is_no_stale_spot():
    strategy = Scripted(triggers=Trigger.ON_BOOK)
    scenario = Scenario([strategy])
    scenario.warm()
    strategy.say = opinion()
    spot_quote(scenario, 23.0, scenario.spot.last, scenario.spot.last + 0.1)
    scenario.book(23.1, [(4_900, 10)], [(5_000, 10)])
    assert fate(scenario.go()) == [Denial.DISPATCHED]


def test_twap_ticks_alone_do_not_keep_the_oracle_fresh_that_the_model_reads():
    scenario, strategy = armed()
    for second in range(21, 31):
        scenario.events.add(
            EventKind.EV_ORACLE_TWAP,
            recv_ns=scenario.at(second),
            venue_ns=scenario.at(second),
            x=100_000.0,
            i=60,
        )
    scenario.book(30.0, [(4_900, 10)], [(5_000, 10)])
    assert fate(place(scenario, strategy, t=30.5)) == [Denial.STALE_ORACLE]


def oracle_spot(scenario, t, value, venue_ns):
    scenario.events.add(EventKind.EV_ORACLE_SPOT, recv_ns=scenario.at(t), venue_ns=venue_ns, x=value)


def test_an_oracle_stamp_from_the_future_does_not_shut_out_the_true_ones():
    scenario, _ = armed()
    oracle_spot(scenario, 21.0, 1.0, scenario.at(86_400))
    oracle_spot(scenario, 22.0, 100_007.0, scenario.at(22))
    scenario.go()
    assert scenario.spot.oracle_last == 100_007.0


def test_an_oracle_stamp_before_the_epoch_is_ignored():
    scenario, _ = armed()
    before = str(scenario.spot.describe())
    for stamp in (-1, -NS, -511 * NS, -(2**62)):
        oracle_spot(scenario, 20.5, 5.0, stamp)
    scenario.go()
    assert str(scenario.spot.describe()) == before


# -- strategies that misbehave -------------------------------------------------------------------------------


class Odd(Strategy):
    """Does what the test handed it."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, act):
        super().__init__("odd", gate_names=("only",), triggers=Trigger.ON_SPOT_TRADE)
        self.act = act

    def evaluate(self, market, spot, signal) -> int:
        return self.act(self, market, spot, signal)


def run_odd(act):
    scenario = Scenario([Odd(act)])
    scenario.warm()
    scenario.trade(21.0, 100_000.0)
    return scenario, scenario.go()


def test_a_strategy_that_returns_minus_one_is_disabled_like_one_that_raises():
    scenario, commands = run_odd(lambda *_: -1)
    assert len(rows(commands, CommandKind.CMD_PLACE)) == 0
    assert not scenario.engine.strategies[0].enabled


def test_a_strategy_that_says_yes_and_fills_nothing_in_makes_no_order_of_an_old_opinion():
    mind = {"now": opinion()}

    def act(self, market, spot, signal):
        for name, value in mind["now"].items():
            setattr(signal, name, value)
        return 1

    scenario, commands = run_odd(act)
    assert len(rows(commands, CommandKind.CMD_PLACE)) == 1
    scenario.update(21.1, 1_000, OrderStatus.OS_CANCELED, 0)
    mind["now"] = {}
    scenario.trade(23.0, 100_000.0)
    assert len(rows(scenario.go(), CommandKind.CMD_PLACE)) == 0
    assert not scenario.engine.strategies[0].enabled


@pytest.mark.parametrize(
    "act",
    [
        lambda self, market, spot, signal: self.check_flag(10, True),
        lambda self, market, spot, signal: self.check_least(-1, 1.0, 0.0),
        lambda self, market, spot, signal: self.check_most(1_000, 1.0, 2.0),
        lambda self, market, spot, signal: self.size_buy(market, signal, 7, 0.02, 0.0),
        lambda self, market, spot, signal: self.edge_at_ask(market, -1),
        lambda self, market, spot, signal: self.size_buy(None, signal, UP, 0.02, 0.0),
        lambda self, market, spot, signal: self.size_buy(market, None, UP, 0.02, 0.0),
        lambda self, market, spot, signal: self.edge_at_ask(None, UP),
        lambda self, market, spot, signal: market.fair(2),
        lambda self, market, spot, signal: market.gate_rows(16) and 0,
    ],
)
def test_a_strategy_that_reaches_outside_is_disabled_and_nothing_is_overwritten(act):
    scenario, commands = run_odd(act)
    assert len(rows(commands, CommandKind.CMD_PLACE)) == 0
    assert not scenario.engine.strategies[0].enabled
    assert len(scenario.engine.alerts) == 1


def test_a_gate_tested_outside_an_evaluation_raises():
    strategy = Scripted()
    with pytest.raises(RuntimeError, match="evaluate"):
        strategy.check_flag(0, True)


def test_dust_on_offer_does_not_disable_a_built_in_strategy():
    strategy = CertaintyCapture()
    scenario = Scenario([strategy], spec=make_spec(fees_enabled=False))
    scenario.warm(until=200.0)
    scenario.trade(200.5, 100_500.0)
    scenario.events.add(EventKind.EV_BOOK_SNAPSHOT, recv_ns=scenario.at(201), market=0)
    scenario.events.add(
        EventKind.EV_BOOK_LEVEL,
        recv_ns=scenario.at(201),
        market=0,
        side=SELL,
        i=9_000,
        j=19_999,
        flags=EventFlag.F_END,
    )
    signals = rows(scenario.go(), CommandKind.CMD_SIGNAL)
    assert strategy.enabled
    assert scenario.engine.alerts == []
    assert [int(row["usd"]) for row in signals] == [900_000]


def test_volatility_samples_are_counted_not_trades_while_it_warms_up():
    strategy = Scripted()
    scenario = Scenario([strategy], fresh_samples=20)
    for k in range(100):
        scenario.trade(1.0 + k * 0.01, 100_000.0 + k % 2)
    scenario.go()
    assert scenario.market.fresh_left == 20


# -- settlement ----------------------------------------------------------------------------------------------


def test_an_outcome_that_is_neither_up_nor_down_settles_nothing():
    scenario, strategy = armed()
    place(scenario, strategy)
    scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    scenario.outcome(330.0, 7)
    scenario.go()
    assert not scenario.market.settled
    assert scenario.risk.position_usd > 5 * USD


def test_a_result_of_the_first_instant_after_midnight_is_the_new_days():
    scenario, strategy = armed()
    scenario.timer(21.0)
    place(scenario, strategy)
    scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    midnight = (scenario.spec.start_ns // (86_400 * NS) + 1) * 86_400 * NS
    t = (midnight - scenario.spec.start_ns) / NS
    scenario.outcome(t + 0.05, DOWN)
    scenario.timer(t + 0.1)
    scenario.go()
    assert scenario.risk.day_realised_usd == -5 * USD - 175_000


def test_a_trade_that_fails_after_settlement_corrects_the_figures_on_disk_too():
    scenario, strategy = armed()
    place(scenario, strategy)
    scenario.fill(21.1, 1_000, 5_000, 4 * SHARE, key=1)
    scenario.fill(21.1, 1_000, 5_000, 6 * SHARE, key=2)
    scenario.outcome(330.0, UP)
    scenario.fill(331.0, 1_000, 5_000, 6 * SHARE, key=2, status=TradeStatus.TS_FAILED)
    totals = StrategyTotals()
    for row in rows(scenario.go(), CommandKind.CMD_SETTLEMENT):
        totals.on_settlement(SimpleNamespace(**{name: row[name] for name in ("shares", "usd", "edge")}))
    assert totals.payout_micro == 4 * USD
    assert totals.pnl_micro == 4 * USD - 2 * USD - 70_000 == scenario.risk.day_realised_usd


# -- the pump ------------------------------------------------------------------------------------------------


class StandingClock:
    """A clock that stands still."""

    def now_ns(self):
        return 0

    def mono_ns(self):
        return 0

    def real_s(self, seconds):
        return seconds


class Recorder:
    """An engine that notes what it is fed, by `seq`, and does what the test says at some of them."""

    def __init__(self):
        self.fed = []
        self.kinds = []
        self.at = {}
        self.nothing = CommandBuffer()

    def process(self, events):
        for row in events.to_numpy():
            self.fed.append(int(row["seq"]))
            self.kinds.append((int(row["kind"]), int(row["i"])))
            self.at.pop(int(row["seq"]), lambda: None)()
        return self.nothing


def numbered(seq):
    events = EventBuffer()
    events.add(EventKind.EV_TIMER, seq=seq)
    return events


def fail():
    raise RuntimeError("the wire broke")


def make_runner(engine):
    return Runner(
        engine, clock=StandingClock(), inbox=TelemetryInbox(), gateway=print, on_feed_command=lambda *_: None
    )


def test_events_of_a_step_that_failed_are_not_applied_again():
    engine = Recorder()
    runner = make_runner(engine)
    engine.at = {1: lambda: runner.feed(numbered(2)), 2: fail, 3: lambda: runner.feed(numbered(4))}
    with pytest.raises(RuntimeError):
        runner.feed(numbered(1))
    runner.feed(numbered(3))
    assert [seq for seq in engine.fed if seq] == [1, 2, 3, 4]


def test_a_step_that_failed_halts_the_engine_because_what_it_decided_may_not_have_left():
    engine = Recorder()
    runner = make_runner(engine)
    engine.at = {1: fail}
    with pytest.raises(RuntimeError):
        runner.feed(numbered(1))
    assert engine.kinds[-1] == (EventKind.EV_OPERATOR, OperatorCode.OP_HALT)


# -- settings ------------------------------------------------------------------------------------------------


def test_a_kelly_fraction_of_the_configuration_scales_what_is_asked_for():
    def wanted(**model):
        engine = build_engine(default_config(**model))
        scenario = Scenario([], spec=make_spec(fees_enabled=False))
        scenario.engine = engine
        scenario.risk = engine.risk
        scenario.spot = engine.spot
        engine.risk.set_cash(1_000 * USD)
        scenario.market = engine.open_market(0, scenario.spec, order_seq_base=1)
        scenario.warm()
        scenario.trade(20.5, 100_060.0)
        signals = rows(scenario.go(), CommandKind.CMD_SIGNAL)
        return [float(row["size_frac"]) for row in signals]

    half, quarter = wanted(), wanted(**{"model.kelly_frac": 0.1, "model.kelly_cap_frac": 0.01})
    assert half
    assert quarter
    assert max(quarter) <= 0.01 < max(half)


def test_fair_is_shrunk_to_the_markets_mid_where_the_configuration_says_so():
    scenario, _ = armed()
    model = scenario.market.fair(UP)
    shrunk, _ = armed(market_shrink=0.25)
    mid = 0.495
    assert abs(model - mid) > 1e-3
    assert shrunk.market.fair(UP) == pytest.approx(0.75 * model + 0.25 * mid, abs=1e-12)
    assert shrunk.market.fair(UP) + shrunk.market.fair(DOWN) == pytest.approx(1.0, abs=1e-12)
