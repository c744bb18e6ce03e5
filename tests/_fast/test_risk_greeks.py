"""Portfolio Greeks: limits in shares over all live windows, recomputed with each spot update, shown when held."""

import pytest
from scenario import SHARE, USD, Scenario, make_risk, make_spec, rows
from test_engine import Scripted, opinion

from polybot._fast.event import DOWN, GTC, SELL, UP, CommandKind, EventKind, OrderStatus
from polybot._fast.risk import Denial
from polybot._fast.strategy import Strategy, Trigger

FREE = {"per_trade_frac": 0.05, "total_frac": 0.15, "cooldown_ns": 0, "max_orders": 50}


class ByMarket(Strategy):
    """Says what the test wants of each market, on every spot trade."""

    def __new__(cls, *_args, **_more):
        return super().__new__(cls)

    def __init__(self, name="by_market"):
        super().__init__(name, gate_names=("armed",), triggers=Trigger.ON_SPOT_TRADE, passive=True)
        self.say = {}

    def evaluate(self, market, spot, signal):
        if not self.check_flag(0, market.index in self.say):
            return 0
        for name, value in self.say[market.index].items():
            setattr(signal, name, value)
        return 1


class TwoWindows:
    """Two live windows, 0 and 1, each with book and strike, and one strategy that speaks by market."""

    def __init__(self, *, strike=100_000.0, **risk):
        self.strategy = ByMarket()
        self.scenario = Scenario([self.strategy], risk=make_risk(**risk))
        self.risk = self.scenario.risk
        self.risk.set_limits(0, **FREE)
        s = self.scenario
        self.other = s.engine.open_market(1, make_spec(slug="other"), order_seq_base=5_000)
        s.warm()
        s.events.add(EventKind.EV_STRIKE, recv_ns=s.at(20), venue_ns=s.spec.start_ns, market=1, x=strike, i=2)
        s.book(20.0, [(4_900, 1_000)], [(5_000, 1_000)], market=1)
        s.go()

    def say(self, t, market, spot=100_000.0, **say):
        """One signal to one window; its fate."""
        self.strategy.say = {market: {**opinion(), **say}}
        self.scenario.trade(t, spot)
        (signal,) = rows(self.scenario.go(), CommandKind.CMD_SIGNAL)
        self.strategy.say = {}
        return Denial(int(signal["reason"]))

    def buy(self, t, market, key, *, outcome=UP, spot=100_000.0):
        """Ten shares, filled."""
        assert self.say(t, market, spot, outcome=outcome, price_ticks=5_000 if outcome == UP else 4_900) == 0
        seq = max(self.scenario.engine.orders)
        self.scenario.events.add(
            EventKind.EV_FILL,
            recv_ns=self.scenario.at(t),
            market=market,
            seq=seq,
            i=4_900,
            j=10 * SHARE,
            x=1.0,
            y=key,
        )
        self.scenario.go()


def test_the_delta_limit_adds_up_all_live_windows():
    two = TwoWindows(max_delta=25.0)
    two.buy(21.0, 0, 1)
    two.buy(21.2, 1, 2)
    assert two.say(21.4, 0) == Denial.DELTA_LIMIT
    assert two.say(21.6, 1) == Denial.DELTA_LIMIT
    assert two.say(21.8, 1, shares=5 * SHARE) == Denial.DISPATCHED


def test_what_reduces_the_net_position_passes_a_delta_limit_that_is_full():
    two = TwoWindows(max_delta=20.0)
    two.buy(21.0, 0, 1)
    two.buy(21.2, 1, 2)
    assert two.say(21.4, 0) == Denial.DELTA_LIMIT
    assert two.say(21.6, 0, side=SELL, price_ticks=4_900) == Denial.DISPATCHED
    assert two.say(21.8, 1, outcome=DOWN, price_ticks=4_500) == Denial.DISPATCHED


def test_opposite_windows_net_out_and_open_orders_of_both_count():
    two = TwoWindows(max_delta=15.0)
    two.buy(21.0, 0, 1)
    two.buy(21.2, 1, 2, outcome=DOWN)
    assert two.say(21.4, 0) == Denial.DISPATCHED
    assert two.say(21.6, 1, price_ticks=4_500) == Denial.DELTA_LIMIT


def test_a_window_that_has_ended_no_longer_counts():
    two = TwoWindows(max_delta=15.0)
    two.buy(21.0, 0, 1)
    assert two.say(21.2, 1) == Denial.DELTA_LIMIT
    two.scenario.events.add(EventKind.EV_MARKET_CLOSE, recv_ns=two.scenario.at(21.3), market=0)
    assert two.say(21.4, 1) == Denial.DISPATCHED


def test_the_size_after_the_cut_counts_not_the_one_wished_for():
    two = TwoWindows(max_delta=15.0)
    two.risk.set_limits(0, **FREE | {"per_trade_frac": 0.006})
    assert two.say(21.0, 0, shares=500 * SHARE) == Denial.DISPATCHED
    assert two.scenario.engine.orders[1_000].shares < 12 * SHARE


def test_the_short_gamma_limit_adds_up_the_windows_whose_position_loses_by_movement():
    """Spot is above the strike of window 0: Up is likely there, its gamma negative; in window 1 Up gains."""
    two = TwoWindows(max_short_gamma=15.0, strike=100_200.0)
    two.buy(21.0, 0, 1, spot=100_060.0)
    two.scenario.trade(21.1, 100_060.0)
    two.scenario.go()
    assert (two.scenario.market.greeks[1] < 0, two.other.greeks[1] > 0) == (True, True)
    assert two.risk.short_gamma_shares == 10.0
    assert two.say(21.3, 0, spot=100_060.0) == Denial.GAMMA_LIMIT
    assert two.say(21.5, 1, spot=100_060.0, price_ticks=1_000, shares=15 * SHARE) == Denial.DISPATCHED
    two.scenario.update(21.6, 5_000, OrderStatus.OS_CANCELED, 0)
    two.scenario.go()
    assert two.say(21.7, 1, spot=100_060.0, outcome=DOWN, price_ticks=5_100) == Denial.GAMMA_LIMIT


def test_what_reduces_short_gamma_passes_a_limit_that_is_full():
    two = TwoWindows(max_short_gamma=15.0)
    two.buy(21.0, 0, 1, spot=100_060.0)
    two.scenario.trade(21.1, 100_060.0)
    two.scenario.go()
    assert two.say(21.3, 0, spot=100_060.0) == Denial.GAMMA_LIMIT
    assert two.say(21.5, 0, spot=100_060.0, side=SELL, price_ticks=8_000) == Denial.DISPATCHED


def test_greeks_follow_each_spot_trade_while_a_position_is_open_and_are_nothing_without():
    two = TwoWindows()
    two.scenario.trade(20.5, 100_010.0)
    two.scenario.go()
    assert (two.risk.has_position, two.risk.delta, two.risk.gamma) == (False, 0.0, 0.0)
    two.buy(21.0, 0, 1)
    two.buy(21.1, 1, 2, outcome=DOWN)
    two.buy(21.2, 1, 3, outcome=DOWN)
    seen = []
    for t, spot in ((22.0, 100_000.0), (22.1, 100_030.0), (22.2, 99_950.0)):
        two.scenario.trade(t, spot)
        two.scenario.go()
        up, down = two.scenario.market.greeks, two.other.greeks
        assert two.risk.net_shares == -10.0
        assert two.risk.delta == pytest.approx(10 * up[0] - 20 * down[0])
        assert two.risk.gamma == pytest.approx(10 * up[1] - 20 * down[1])
        seen.append(two.risk.delta)
    assert len(set(seen)) == 3


def test_greeks_are_of_now_also_where_the_end_guard_or_a_crossed_book_asks_no_strategy():
    two = TwoWindows()
    two.buy(21.0, 0, 1)
    two.scenario.book(21.5, [(5_200, 10)], [(5_000, 10)])
    two.scenario.trade(22.0, 100_040.0)
    two.scenario.go()
    assert two.scenario.market.block_reason == Denial.BOOK_CROSSED
    assert two.risk.delta == pytest.approx(10 * two.scenario.market.greeks[0])
    before = two.risk.delta
    two.scenario.trade(22.1, 99_900.0)
    two.scenario.go()
    assert two.risk.delta != before


def test_a_diagnostic_shows_the_portfolio_only_while_something_is_held():
    two = TwoWindows(max_delta=25.0, max_short_gamma=40.0)
    two.scenario.timer(20.5)
    assert [g for g in rows(two.scenario.go(), CommandKind.CMD_GATE) if g["strategy"] == 255] == []
    two.buy(21.0, 0, 1)
    two.scenario.trade(29.9, 100_000.0)
    two.scenario.timer(30.0)
    shown = [g for g in rows(two.scenario.go(), CommandKind.CMD_GATE) if g["strategy"] == 255]
    assert [int(g["market"]) for g in shown] == [0, 1]
    assert (shown[0]["edge"], shown[0]["fair"], shown[0]["spot"]) == (10.0, 25.0, 40.0)
    assert shown[0]["distance"] == two.risk.short_gamma_shares
    assert (shown[0]["delta"], shown[0]["gamma"]) == (two.risk.delta, two.risk.gamma)


def test_a_disabled_strategy_is_marked_in_its_gates_and_counted_where_it_would_have_been_asked():
    asked, off = Scripted("asked"), Scripted("off", triggers=Trigger.ON_BOOK)
    scenario = Scenario([asked, off])
    off.disable()
    scenario.warm()
    before = scenario.market.stats()["unasked"][1]
    scenario.trade(21.0, 100_000.0)
    scenario.book(21.1, [(4_900, 10)], [(5_000, 10)])
    scenario.timer(30.0)
    gates = rows(scenario.go(), CommandKind.CMD_GATE)
    assert {int(g["strategy"]): int(g["order_type"]) for g in gates} == {0: 0, 1: 1}
    assert scenario.market.stats()["unasked"][:2] == [0, before + 1]
    assert scenario.market.stats()["denials"][1] == {}  # what was not asked gave no signal to deny


# -- what a refusal gives back -------------------------------------------------------------------------------

ENDS = {
    "rejected": (OrderStatus.OS_REJECTED, -1, 0),
    "refused here": (OrderStatus.OS_REJECTED, -1, 32),
    "canceled": (OrderStatus.OS_CANCELED, 0, 0),
    "expired": (OrderStatus.OS_EXPIRED, 0, 0),
}


def one(**limits):
    strategy = Scripted()
    scenario = Scenario([strategy])
    scenario.warm()
    row = {"per_trade_frac": 0.02, "total_frac": 0.006, "cooldown_ns": 0, "max_orders": 1}
    scenario.risk.set_limits(0, **row | limits)
    return scenario, strategy


def fate(scenario, strategy, t, **say):
    strategy.say = opinion(**say)
    scenario.trade(t, 100_000.0)
    (signal,) = rows(scenario.go(), CommandKind.CMD_SIGNAL)
    strategy.say = None
    return Denial(int(signal["reason"]))


@pytest.mark.parametrize("end", ENDS)
def test_a_reject_cancel_or_expiry_gives_room_and_order_count_back(end):
    scenario, strategy = one()
    status, matched, flags = ENDS[end]
    assert fate(scenario, strategy, 21.0) == Denial.DISPATCHED
    assert (scenario.risk.reserved_usd > 5 * USD, scenario.market.order_count[0]) == (True, 1)
    scenario.update(21.1, 1_000, status, matched, flags=flags)
    scenario.go()
    assert (scenario.risk.reserved_usd, scenario.market.order_count[0]) == (0, 0)
    assert fate(scenario, strategy, 21.2) == Denial.DISPATCHED


@pytest.mark.parametrize("status", [OrderStatus.OS_CANCELED, OrderStatus.OS_EXPIRED])
def test_an_end_after_a_part_was_matched_keeps_the_count_and_only_the_parts_room(status):
    scenario, strategy = one()
    fate(scenario, strategy, 21.0)
    scenario.update(21.1, 1_000, status, 4 * SHARE)
    scenario.go()
    assert (2 * USD < scenario.risk.reserved_usd < 3 * USD, scenario.market.order_count[0]) == (True, 1)
    assert fate(scenario, strategy, 21.2, outcome=UP) == Denial.PENDING_ORDER


def test_a_fill_that_fails_gives_the_count_of_an_ended_order_back():
    scenario, strategy = one()
    fate(scenario, strategy, 21.0)
    scenario.fill(21.1, 1_000, 5_000, 4 * SHARE, key=1)
    scenario.update(21.2, 1_000, OrderStatus.OS_CANCELED, 4 * SHARE)
    scenario.go()
    assert scenario.market.order_count[0] == 1
    scenario.fill(21.3, 1_000, 5_000, 4 * SHARE, key=1, status=5)
    scenario.go()
    assert (scenario.market.order_count[0], scenario.risk.exposure()) == (0, 0)


@pytest.mark.parametrize(
    ("end", "fate_after"),
    [
        ("rejected", Denial.COOLDOWN),
        ("refused here", Denial.DISPATCHED),
        ("canceled", Denial.COOLDOWN),
        ("expired", Denial.COOLDOWN),
    ],
)
def test_a_cooldown_runs_from_the_last_dispatch_that_reached_the_venue(end, fate_after):
    scenario, strategy = one(cooldown_ns=1_000_000_000, max_orders=9)
    status, matched, flags = ENDS[end]
    fate(scenario, strategy, 21.0)
    scenario.update(21.1, 1_000, status, matched, flags=flags)
    assert fate(scenario, strategy, 21.5) == fate_after
    scenario.update(21.6, 1_001, status, matched, flags=flags)
    assert fate(scenario, strategy, 22.0) == Denial.DISPATCHED


@pytest.mark.parametrize(
    "status", [OrderStatus.OS_UNKNOWN, OrderStatus.OS_CANCEL_SENT, OrderStatus.OS_DELAYED]
)
def test_an_order_without_an_end_keeps_all_its_room_and_its_count(status):
    scenario, strategy = one()
    fate(scenario, strategy, 21.0, order_type=GTC, post_only=True, price_ticks=4_900)
    held = scenario.risk.reserved_usd
    scenario.update(21.1, 1_000, status)
    scenario.go()
    assert (scenario.risk.reserved_usd, scenario.market.order_count[0]) == (held, 1)


# -- orders per second ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "count", "span_s"), [(2.0, 2, 1.0), (10.0, 10, 1.0), (0.5, 1, 2.0), (2.5, 2, 0.8)]
)
def test_no_span_of_the_rate_ever_sees_more_orders_than_it_allows(rate, count, span_s):
    strategy = Scripted()
    scenario = Scenario([strategy], risk=make_risk(orders_per_s=rate, max_exposure_frac=1.0))
    scenario.warm()
    scenario.risk.set_limits(0, per_trade_frac=0.01, total_frac=1.0, cooldown_ns=0, max_orders=10_000)
    sent = []
    for k in range(390):
        t = 21.0 + k * 0.01
        if fate(scenario, strategy, t) == Denial.DISPATCHED:
            sent.append(k)
            scenario.update(t, 1_000 + len(sent) - 1, OrderStatus.OS_CANCELED, 0)
    span = round(span_s * 100)
    assert all(sent[k + count] - sent[k] >= span for k in range(len(sent) - count))
    assert len(sent) >= int(3.9 * rate)


@pytest.mark.parametrize("rate", [0.0, -1.0, 64.5, float("nan"), float("inf")])
def test_a_rate_that_cannot_be_kept_is_refused(rate):
    with pytest.raises(ValueError, match="orders_per_s|limits"):
        make_risk(orders_per_s=rate)
