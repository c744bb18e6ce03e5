"""Engine: pipeline, side coherence, orders, fills and settlement, one behaviour per test."""

import pytest
from scenario import NS, SHARE, USD, Scenario, make_risk, make_spec, rows

from polybot._fast.event import (
    BUY,
    DOWN,
    FAK,
    GTC,
    UP,
    CommandKind,
    EventFlag,
    EventKind,
    OperatorCode,
    OrderStatus,
    TradeStatus,
)
from polybot._fast.risk import Denial
from polybot._fast.strategy import Signal, Strategy, Trigger


class Scripted(Strategy):
    """Signals whatever the test says, once per evaluation."""

    def __init__(self, name="scripted", *, triggers=Trigger.ON_SPOT_TRADE, passive=False):
        super().__init__(name, gate_names=("armed",), triggers=triggers, passive=passive)
        self.say = None
        self.calls = 0

    def evaluate(self, market, spot, signal: Signal) -> int:
        self.calls += 1
        if not self.check_flag(0, self.say is not None):
            return 0
        for name, value in self.say.items():
            setattr(signal, name, value)
        return 1


def opinion(outcome=UP, *, ticks=5_000, shares=10 * SHARE, edge=0.05, confidence=0.5, **more):
    return {
        "outcome": outcome,
        "side": BUY,
        "order_type": GTC if more.get("post_only") else FAK,
        "price_ticks": ticks,
        "price": ticks / 1e4,
        "shares": shares,
        "fair": ticks / 1e4 + edge,
        "edge": edge,
        "confidence": confidence,
        "size_frac": 0.01,
        **more,
    }


@pytest.fixture
def scripted():
    strategy = Scripted()
    scenario = Scenario([strategy])
    scenario.warm()
    return scenario, strategy


def place(scenario, strategy, t=21.0, **say):
    strategy.say = opinion(**say)
    scenario.trade(t, 100_000.0)
    commands = scenario.go()
    strategy.say = None
    return commands


def test_a_signal_becomes_a_recorded_signal_and_one_place_command(scripted):
    scenario, strategy = scripted
    commands = place(scenario, strategy)
    signal, order = rows(commands, CommandKind.CMD_SIGNAL), rows(commands, CommandKind.CMD_PLACE)
    assert list(signal["reason"]) == [Denial.DISPATCHED]
    assert list(order["order_seq"]) == [1_000]
    assert (order["price_ticks"][0], order["shares"][0], order["outcome"][0]) == (5_000, 10 * SHARE, UP)
    assert scenario.risk.reserved_usd > 5 * USD


def test_strategies_are_asked_once_per_venue_message_not_per_level():
    strategy = Scripted(triggers=Trigger.ON_BOOK)
    scenario = Scenario([strategy])
    scenario.warm()
    before = strategy.calls
    scenario.book(
        21.0, [(4_800 - 100 * k, 10) for k in range(20)], [(5_000 + 100 * k, 10) for k in range(20)]
    )
    scenario.go()
    assert strategy.calls == before + 1


@pytest.mark.parametrize(
    ("t", "reason"),
    [(-1.0, Denial.MARKET_NOT_OPEN), (295.0, Denial.MARKET_CLOSING), (299.9, Denial.MARKET_CLOSING)],
)
def test_outside_the_window_no_strategy_is_asked_and_the_reason_is_counted(t, reason):
    strategy = Scripted()
    scenario = Scenario([strategy])
    scenario.warm(until=-10.0)
    asked = strategy.calls
    scenario.trade(t, 100_000.0)
    scenario.go()
    assert strategy.calls == asked
    assert scenario.market.stats()["blocked"][reason] >= 1
    assert scenario.market.block_reason == reason


def test_without_a_strike_nothing_is_priced_and_the_market_says_so():
    strategy = Scripted()
    scenario = Scenario([strategy])
    scenario.warm(strike=None)
    scenario.trade(21.0, 100_000.0)
    scenario.go()
    assert strategy.calls == 0
    assert scenario.market.block_reason == Denial.STRIKE_UNKNOWN


def test_a_crossed_book_blocks_and_recovers_when_it_uncrosses(scripted):
    scenario, strategy = scripted
    scenario.book(21.0, [(5_200, 10)], [(5_000, 10)])
    asked = strategy.calls
    scenario.trade(21.1, 100_000.0)
    scenario.go()
    assert scenario.market.block_reason == Denial.BOOK_CROSSED
    assert strategy.calls == asked
    scenario.book(21.2, [(4_900, 10)], [(5_000, 10)])
    scenario.trade(21.3, 100_000.0)
    scenario.go()
    assert scenario.market.block_reason == Denial.DISPATCHED
    assert strategy.calls == asked + 1


def test_an_unwarm_volatility_blocks_with_not_warm():
    scenario = Scenario([Scripted()])
    scenario.strike(100_000.0)
    scenario.trade(20.0, 100_000.0)
    scenario.book(20.0, [(4_900, 10)], [(5_000, 10)])
    scenario.go()
    scenario.trade(20.5, 100_000.0)
    scenario.go()
    assert scenario.market.block_reason == Denial.NOT_WARM


def test_oracle_seconds_missing_inside_the_averaging_window_block_when_too_many():
    scenario = Scenario([Scripted()], max_missing_s=10)
    scenario.warm(until=230.0)
    scenario.trade(262.0, 100_000.0)
    scenario.book(262.0, [(4_900, 10)], [(5_000, 10)])
    scenario.go()
    scenario.trade(262.1, 100_000.0)
    scenario.go()
    assert scenario.market.missing_s > 10
    assert scenario.market.block_reason == Denial.STALE_ORACLE


# -- side coherence ------------------------------------------------------------------------------------------


def two_strategies(first_passive=False):
    a, b = Scripted("a", passive=first_passive), Scripted("b")
    scenario = Scenario([a, b])
    scenario.warm()
    return scenario, a, b


@pytest.mark.parametrize(
    ("up", "down", "winner"),
    [
        ((0.10, 0.5), (0.05, 0.5), UP),
        ((0.05, 0.5), (0.10, 0.5), DOWN),
        ((0.05, 0.5), (0.05, 0.5), UP),
        ((0.05, 0.3), (0.04, 0.9), DOWN),
    ],
)
def test_conflicting_signals_without_a_house_go_to_the_larger_edge_times_confidence_tie_up(up, down, winner):
    scenario, a, b = two_strategies()
    a.say = opinion(UP, edge=up[0], confidence=up[1])
    b.say = opinion(DOWN, ticks=5_100, edge=down[0], confidence=down[1])
    scenario.trade(21.0, 100_000.0)
    commands = scenario.go()
    signals = rows(commands, CommandKind.CMD_SIGNAL)
    fate = {int(row["outcome"]): int(row["reason"]) for row in signals}
    assert fate == {winner: Denial.DISPATCHED, 1 - winner: Denial.DECONFLICTED}
    assert scenario.market.house == winner


def test_the_first_dispatched_outcome_is_the_house_and_later_signals_must_agree():
    scenario, a, b = two_strategies()
    a.say = opinion(UP)
    scenario.trade(21.0, 100_000.0)
    scenario.go()
    a.say, b.say = None, opinion(DOWN, ticks=5_100, edge=0.5, confidence=1.0)
    scenario.trade(22.0, 100_000.0)
    signal = rows(scenario.go(), CommandKind.CMD_SIGNAL)
    assert list(signal["reason"]) == [Denial.HOUSE_SIDE]


def test_a_denied_signal_does_not_set_the_house():
    scenario, a, _ = two_strategies()
    scenario.risk.halt()
    a.say = opinion(UP)
    scenario.trade(21.0, 100_000.0)
    signal = rows(scenario.go(), CommandKind.CMD_SIGNAL)
    assert list(signal["reason"]) == [Denial.HALTED_MANUAL]
    assert scenario.market.house == -1


def test_passive_signals_are_exempt_from_the_house_but_not_from_the_pair_cost():
    scenario, a, b = two_strategies(first_passive=True)
    b.say = opinion(UP, ticks=5_900)
    scenario.trade(21.0, 100_000.0)
    scenario.go()
    b.say = None
    a.say = opinion(DOWN, ticks=3_000, post_only=True)
    scenario.trade(22.0, 100_000.0)
    assert list(rows(scenario.go(), CommandKind.CMD_SIGNAL)["reason"]) == [Denial.DISPATCHED]
    a.say = opinion(DOWN, ticks=4_500, post_only=True)
    scenario.update(22.5, 1_001, OrderStatus.OS_CANCELED, 0)
    scenario.fill(22.6, 1_000, 5_900, 10 * SHARE, status=4)  # the taker is done: nothing of ours could meet the bid
    scenario.trade(23.0, 100_000.0)
    assert list(rows(scenario.go(), CommandKind.CMD_SIGNAL)["reason"]) == [Denial.PAIR_COST]


def test_signals_are_dispatched_in_order_of_edge_times_confidence():
    scenario, a, b = two_strategies()
    a.say = opinion(UP, edge=0.03, confidence=0.5)
    b.say = opinion(UP, edge=0.09, confidence=0.5)
    scenario.trade(21.0, 100_000.0)
    placed = rows(scenario.go(), CommandKind.CMD_PLACE)
    assert [int(s) for s in placed["strategy"]] == [1, 0]


def test_a_strategy_that_raises_is_disabled_named_and_the_others_go_on():
    scenario, a, b = two_strategies()
    a.say = {"no_such_field": 1}
    b.say = opinion(UP)
    scenario.trade(21.0, 100_000.0)
    assert len(rows(scenario.go(), CommandKind.CMD_PLACE)) == 1
    assert not a.enabled
    assert "strategy a raised AttributeError" in scenario.engine.alerts[0]


@pytest.mark.parametrize(
    "nonsense",
    [
        {"outcome": 2},
        {"side": -1},
        {"price_ticks": 0},
        {"price_ticks": 10_000},
        {"shares": -1},
        {"edge": float("nan")},
        {"edge": float("inf")},
        {"confidence": -0.1},
    ],
)
def test_an_impossible_opinion_disables_its_strategy_and_makes_no_order(scripted, nonsense):
    scenario, strategy = scripted
    commands = place(scenario, strategy, **nonsense)
    assert len(rows(commands, CommandKind.CMD_PLACE)) == 0
    assert not strategy.enabled
    assert "ValueError" in scenario.engine.alerts[0]


# -- orders and fills ----------------------------------------------------------------------------------------


def test_a_strategy_waits_for_its_own_order_on_that_outcome(scripted):
    scenario, strategy = scripted
    place(scenario, strategy)
    again = place(scenario, strategy, t=22.0)
    assert list(rows(again, CommandKind.CMD_SIGNAL)["reason"]) == [Denial.PENDING_ORDER]


def test_an_unknown_order_blocks_its_token_and_keeps_counting_in_full(scripted):
    scenario, strategy = scripted
    place(scenario, strategy)
    held = scenario.risk.reserved_usd
    scenario.update(21.5, 1_000, OrderStatus.OS_UNKNOWN)
    scenario.go()
    assert scenario.risk.reserved_usd == held
    scenario.oracle(40.0, 100_000.0)
    scenario.book(40.0, [(4_900, 10)], [(5_000, 10)])
    again = place(scenario, strategy, t=40.0)
    assert list(rows(again, CommandKind.CMD_SIGNAL)["reason"]) == [Denial.UNKNOWN_ORDER]
    scenario.update(41.0, 1_000, OrderStatus.OS_CANCELED, 0)
    scenario.go()
    assert scenario.risk.reserved_usd == 0


def test_a_rejection_gives_back_room_and_order_count_but_not_the_cooldown(scripted):
    scenario, strategy = scripted
    place(scenario, strategy)
    assert scenario.market.order_count[0] == 1
    scenario.update(21.05, 1_000, OrderStatus.OS_REJECTED)
    scenario.go()
    assert scenario.market.order_count[0] == 0
    assert scenario.risk.exposure() == 0
    assert list(rows(place(scenario, strategy, t=21.1), CommandKind.CMD_SIGNAL)["reason"]) == [
        Denial.COOLDOWN
    ]


def test_an_order_refused_before_the_wire_gives_the_cooldown_back_too(scripted):
    scenario, strategy = scripted
    place(scenario, strategy)
    scenario.update(21.05, 1_000, OrderStatus.OS_REJECTED, flags=EventFlag.F_LOCAL)
    scenario.go()
    assert len(rows(place(scenario, strategy, t=21.1), CommandKind.CMD_PLACE)) == 1


def test_a_fill_moves_position_cost_and_reservation_and_a_repeat_changes_nothing(scripted):
    scenario, strategy = scripted
    place(scenario, strategy)
    scenario.fill(21.3, 1_000, 4_900, 4 * SHARE, key=77)
    scenario.go()
    fee = 4 * 0.07 * 0.49 * 0.51 * USD
    cost = 4 * 490_000 + round(fee / 10) * 10
    assert scenario.market.position() == (4 * SHARE, 0)
    assert scenario.market.cost_usd[UP] == cost
    assert scenario.risk.position_usd == cost
    assert scenario.engine.orders[1_000].status == OrderStatus.OS_PARTIAL
    state = (scenario.market.position(), scenario.risk.exposure())
    scenario.fill(21.4, 1_000, 4_900, 4 * SHARE, key=77)
    scenario.go()
    assert (scenario.market.position(), scenario.risk.exposure()) == state
    assert scenario.engine.duplicates == 1


def test_a_failed_trade_is_reversed_exactly_once(scripted):
    scenario, strategy = scripted
    place(scenario, strategy)
    scenario.fill(21.3, 1_000, 5_000, 10 * SHARE, key=5)
    scenario.fill(24.0, 1_000, 5_000, 10 * SHARE, key=5, status=TradeStatus.TS_FAILED)
    scenario.fill(25.0, 1_000, 5_000, 10 * SHARE, key=5, status=TradeStatus.TS_FAILED)
    scenario.fill(26.0, 1_000, 5_000, 10 * SHARE, key=5, status=TradeStatus.TS_CONFIRMED)
    scenario.go()
    assert scenario.market.position() == (0, 0)
    assert scenario.market.cost_usd[UP] == 0
    assert scenario.risk.position_usd == 0


def test_a_maker_fill_pays_no_fee():
    strategy = Scripted(passive=True)
    scenario = Scenario([strategy])
    scenario.warm()
    place(scenario, strategy, price_ticks=4_800, post_only=True)
    scenario.fill(22.0, 1_000, 4_800, 10 * SHARE, key=5, maker=True)
    scenario.go()
    assert scenario.market.cost_usd[UP] == 10 * 480_000
    assert scenario.market.fees_usd == 0


def test_a_canceled_order_whose_match_is_known_still_holds_room_until_its_fill_arrives(scripted):
    scenario, strategy = scripted
    place(scenario, strategy)
    scenario.update(21.2, 1_000, OrderStatus.OS_CANCELED, 4 * SHARE)
    scenario.go()
    assert 2 * USD < scenario.risk.reserved_usd < 3 * USD
    scenario.fill(21.3, 1_000, 5_000, 4 * SHARE)
    scenario.go()
    assert scenario.risk.reserved_usd == 0
    assert scenario.market.open_order_count == 0


# -- end of the window ---------------------------------------------------------------------------------------


def settle(scenario, winner):
    scenario.events.add(EventKind.EV_MARKET_CLOSE, recv_ns=scenario.at(300), market=0)
    scenario.outcome(330.0, winner)
    return scenario.go()


@pytest.mark.parametrize(("winner", "pnl"), [(UP, 10 * USD - 5 * USD - 175_000), (DOWN, -5 * USD - 175_000)])
def test_settlement_books_shares_not_dollars_in_micro_usd(scripted, winner, pnl):
    scenario, strategy = scripted
    place(scenario, strategy)
    scenario.fill(21.3, 1_000, 5_000, 10 * SHARE)
    commands = settle(scenario, winner)
    settlement = rows(commands, CommandKind.CMD_SETTLEMENT)
    assert [int(v) for v in settlement["usd"]] == [pnl]
    assert scenario.risk.day_realised_usd == pnl
    assert scenario.risk.exposure() == 0


def test_twenty_dollars_at_a_quarter_that_win_pay_sixty_net_of_fee():
    strategy = Scripted()
    scenario = Scenario([strategy], spec=make_spec(fees_enabled=False))
    scenario.warm(bid=2_400, ask=2_500)
    place(scenario, strategy, price_ticks=2_500, shares=80 * SHARE)
    scenario.fill(21.3, 1_000, 2_500, 80 * SHARE)
    settlement = rows(settle(scenario, UP), CommandKind.CMD_SETTLEMENT)
    assert [int(v) for v in settlement["usd"]] == [60 * USD]


def test_a_second_outcome_and_a_late_fill_are_booked_once_each(scripted):
    scenario, strategy = scripted
    place(scenario, strategy)
    scenario.fill(21.3, 1_000, 5_000, 4 * SHARE, key=1)
    settle(scenario, UP)
    scenario.outcome(340.0, DOWN)
    scenario.fill(341.0, 1_000, 5_000, 6 * SHARE, key=2)
    late = rows(scenario.go(), CommandKind.CMD_SETTLEMENT)
    assert [int(v) for v in late["usd"]] == [10 * USD - 5 * USD - 175_000]
    assert [int(v) for v in late["shares"]] == [10 * USD]
    assert scenario.risk.day_realised_usd == 10 * USD - 5 * USD - 175_000
    assert scenario.risk.exposure() == 0


def test_market_close_cancels_what_rests_and_no_strategy_is_asked_again(scripted):
    scenario, strategy = scripted
    place(scenario, strategy)
    scenario.update(21.2, 1_000, OrderStatus.OS_LIVE)
    scenario.events.add(EventKind.EV_MARKET_CLOSE, recv_ns=scenario.at(300), market=0)
    commands = scenario.go()
    assert list(rows(commands, CommandKind.CMD_CANCEL_ALL)["market"]) == [0]
    asked = strategy.calls
    scenario.trade(300.5, 100_000.0)
    scenario.go()
    assert strategy.calls == asked


def test_flatten_halts_and_cancels_everything_and_resume_lifts_the_halt(scripted):
    scenario, strategy = scripted
    scenario.events.add(EventKind.EV_OPERATOR, recv_ns=scenario.at(21), i=OperatorCode.OP_FLATTEN)
    assert len(rows(scenario.go(), CommandKind.CMD_CANCEL_ALL)) == 1
    assert list(rows(place(scenario, strategy, t=21.5), CommandKind.CMD_SIGNAL)["reason"]) == [
        Denial.HALTED_MANUAL
    ]
    scenario.events.add(EventKind.EV_OPERATOR, recv_ns=scenario.at(22), i=OperatorCode.OP_RESUME)
    scenario.go()
    assert len(rows(place(scenario, strategy, t=23.0), CommandKind.CMD_PLACE)) == 1


def test_diagnostics_come_every_ten_seconds_with_one_row_per_gate(scripted):
    scenario, _ = scripted
    counts = []
    for t in (21.0, 25.0, 30.0, 35.0, 40.0):
        scenario.trade(t, 100_000.0)
        scenario.timer(t)
        commands = scenario.go()
        counts.append(
            (len(rows(commands, CommandKind.CMD_DIAGNOSTIC)), len(rows(commands, CommandKind.CMD_GATE)))
        )
    assert counts == [(1, 1), (0, 0), (1, 1), (0, 0), (1, 1)]


def test_two_messages_whose_told_best_disagrees_ask_for_a_resync(scripted):
    scenario, _ = scripted
    seen = []
    for t in (21.0, 21.1, 21.2):
        scenario.events.add(
            EventKind.EV_PUBLIC_QUOTE,
            recv_ns=scenario.at(t),
            market=0,
            x=4_700,
            y=5_000,
            flags=EventFlag.F_END,
        )
        seen.append(len(rows(scenario.go(), CommandKind.CMD_RESYNC_BOOK)))
    assert seen == [0, 1, 0]
    assert scenario.market.resyncs == 1


@pytest.mark.parametrize(
    ("told", "resyncs"),
    [((0, 5_000), 0), ((-1, 5_000), 0), ((4_900, -1), 1), ((4_900, 5_000), 1), ((0, 10_000), 1)],
)
def test_best_prices_told_beside_a_delta_know_an_empty_side_from_one_not_told(scripted, told, resyncs):
    scenario, _ = scripted
    scenario.book(20.9, [], [(5_000, 10)])
    scenario.go()
    seen = 0
    for t in (21.0, 21.1):
        scenario.events.add(
            EventKind.EV_BOOK_DELTA,
            recv_ns=scenario.at(t),
            market=0,
            side=1,
            i=5_100,
            j=SHARE,
            x=told[0],
            y=told[1],
            flags=EventFlag.F_END,
        )
        seen += len(rows(scenario.go(), CommandKind.CMD_RESYNC_BOOK))
    assert seen == resyncs


def test_an_off_tick_level_is_kept_and_asks_once_for_the_tick_size(scripted):
    scenario, _ = scripted
    scenario.book(21.0, [(4_901, 10)], [(5_000, 10)])
    assert len(rows(scenario.go(), CommandKind.CMD_REFETCH_TICK)) == 1
    assert scenario.market.best_bid(UP) == 4_901
    scenario.book(21.1, [(4_902, 10)], [(5_000, 10)])
    assert len(rows(scenario.go(), CommandKind.CMD_REFETCH_TICK)) == 0
    scenario.events.add(
        EventKind.EV_TICK_SIZE, recv_ns=scenario.at(21.2), market=0, i=1, flags=EventFlag.F_END
    )
    scenario.book(21.3, [(4_903, 10)], [(5_000, 10)])
    assert len(rows(scenario.go(), CommandKind.CMD_REFETCH_TICK)) == 0
    assert scenario.market.book.off_tick == 2


def test_events_for_unknown_markets_and_orders_are_counted_and_ignored(scripted):
    scenario, _ = scripted
    scenario.book(21.0, [(4_900, 1)], [(5_000, 1)], market=9)
    scenario.fill(21.0, 4_242, 5_000, SHARE)
    scenario.update(21.0, 4_242, OrderStatus.OS_LIVE)
    before = scenario.engine.strays
    scenario.go()
    assert scenario.engine.strays == before + 5
    assert scenario.market.best_bid(UP) == 4_900


def test_the_same_events_give_the_same_command_bytes(scripted):
    def run():
        strategy = Scripted()
        scenario = Scenario([strategy])
        scenario.warm()
        strategy.say = opinion()
        out = b""
        for k in range(50):
            scenario.trade(21.0 + k, 100_000.0 + k)
            scenario.timer(21.0 + k)
            out += scenario.go().tobytes()
        return out

    assert run() == run()


def test_loss_halts_trip_on_realised_plus_marked_and_roll_over_at_midnight_utc():
    strategy = Scripted()
    scenario = Scenario([strategy], risk=make_risk(daily_loss_halt_frac=0.004))
    scenario.warm()
    place(scenario, strategy)
    scenario.fill(21.3, 1_000, 5_000, 10 * SHARE)
    scenario.book(22.0, [(500, 10)], [(600, 10)])
    scenario.timer(22.0)
    scenario.go()
    assert scenario.risk.halted_daily
    assert not scenario.risk.halted_weekly
    next_midnight = (scenario.spec.start_ns // (86_400 * NS) + 1) * 86_400 * NS
    scenario.book((next_midnight - scenario.spec.start_ns) / NS, [(4_900, 10)], [(5_000, 10)])
    scenario.events.add(EventKind.EV_TIMER, recv_ns=next_midnight)
    scenario.go()
    assert not scenario.risk.halted_daily
