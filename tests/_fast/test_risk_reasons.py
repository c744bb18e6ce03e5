"""Every denial can be produced, each by a scenario that gives exactly that reason; a new one needs a scenario here.

A scenario is a ready engine (one 5m window, still market, 10 shares of Up wanted at the ask of 0.50, all fresh)
with one thing changed.  Reasons of the whole window are read where they are shown, the others from the signal.
"""

import pytest
from scenario import NS, SHARE, USD, Scenario, make_risk, make_spec, rows
from test_engine import Scripted, opinion

from polybot._fast.event import (
    DOWN,
    GTC,
    SELL,
    UP,
    CommandKind,
    EventFlag,
    EventKind,
    OperatorCode,
    OrderStatus,
)
from polybot._fast.risk import Denial
from polybot._fast.strategy import Trigger

SCENARIOS = {}
LIMITS = {"per_trade_frac": 0.02, "total_frac": 0.08, "cooldown_ns": 200_000_000, "max_orders": 50}


def produces(denial):
    def register(function):
        assert denial not in SCENARIOS
        SCENARIOS[denial] = function
        return function

    return register


class Case:
    """One engine with one or two scripted strategies, at second 20 of the window."""

    def __init__(
        self, *, count=1, passive=False, triggers=Trigger.ON_SPOT_TRADE, warm=True, spec=None, **risk
    ):
        self.actors = [Scripted(f"s{k}", passive=passive, triggers=triggers) for k in range(count)]
        self.scenario = Scenario(self.actors, risk=make_risk(**risk), spec=spec)
        self.risk = self.scenario.risk
        if warm:
            self.scenario.warm()

    def limit(self, **changes):
        for index in range(len(self.actors)):
            self.risk.set_limits(index, **(LIMITS | changes))

    def fresh(self, t):
        """Book and oracle as of t."""
        self.scenario.oracle(t, 100_000.0)
        self.scenario.book(t, [(4_900, 1_000)], [(5_000, 1_000)])

    def say(self, t=21.0, actor=0, spot=100_000.0, **say):
        """One signal; its fate."""
        self.actors[actor].say = {**opinion(), **say}
        self.scenario.trade(t, spot)
        signals = rows(self.scenario.go(), CommandKind.CMD_SIGNAL)
        self.actors[actor].say = None
        return [Denial(int(s["reason"])) for s in signals if s["strategy"] == actor][-1]

    def sent(self, t=21.0, **say):
        """One signal that must become an order."""
        assert self.say(t, **say) == Denial.DISPATCHED
        return self

    def blocked(self, t=21.0):
        """What keeps the whole window from being asked."""
        self.scenario.trade(t, 100_000.0)
        self.scenario.go()
        assert self.scenario.market.stats()["blocked"][self.scenario.market.block_reason] > 0
        return Denial(self.scenario.market.block_reason)


# -- gates of the whole window -------------------------------------------------------------------------------


@produces(Denial.OBSERVED)
def _():
    scenario = Scenario([Scripted()])
    market = scenario.engine.open_market(1, make_spec(slug="other"), order_seq_base=9_000, observed=True)
    scenario.warm()
    scenario.trade(21.0, 100_000.0)
    scenario.go()
    return Denial(market.block_reason)


@produces(Denial.MARKET_NOT_OPEN)
def _():
    case = Case(warm=False)
    case.scenario.warm(until=-10.0)
    return case.blocked(-1.0)


@produces(Denial.MARKET_CLOSING)
def _():
    return Case().blocked(295.0)


@produces(Denial.STRIKE_UNKNOWN)
def _():
    case = Case(warm=False)
    case.scenario.warm(strike=None)
    return case.blocked()


@produces(Denial.NO_BOOK)
def _():
    case = Case(warm=False)
    for second in range(-40, 20):
        case.scenario.trade(second, 100_000.0 + second % 2)
        case.scenario.oracle(second, 100_000.0)
    case.scenario.strike(100_000.0)
    return case.blocked()


@produces(Denial.BOOK_CROSSED)
def _():
    case = Case()
    case.scenario.book(20.5, [(5_200, 10)], [(5_000, 10)])
    return case.blocked()


@produces(Denial.NOT_WARM)
def _():
    case = Case(warm=False)
    case.scenario.strike(100_000.0)
    case.scenario.book(20.0, [(4_900, 10)], [(5_000, 10)])
    return case.blocked()


@produces(Denial.NO_PRICE)
def _():
    case = Case()
    case.scenario.events.add(
        EventKind.EV_STRIKE, recv_ns=case.scenario.at(20.5), market=0, x=100_000.0, y=-1.0
    )
    return case.blocked()


@produces(Denial.STALE_ORACLE)
def _():
    case = Case()
    case.scenario.book(26.0, [(4_900, 10)], [(5_000, 10)])
    return case.say(26.0)


# -- the account ---------------------------------------------------------------------------------------------


@produces(Denial.HALTED_MANUAL)
def _():
    case = Case()
    case.scenario.events.add(EventKind.EV_OPERATOR, recv_ns=case.scenario.at(20.5), i=OperatorCode.OP_HALT)
    return case.say()


def _lose(**halts):
    """Buy at 0.50, see the bid fall to 0.05."""
    case = Case(**halts).sent()
    case.scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    case.scenario.book(22.0, [(500, 10)], [(600, 10)])
    case.scenario.timer(22.0)
    case.fresh(22.5)
    return case.say(22.5)


@produces(Denial.HALTED_DAILY)
def _():
    return _lose(daily_loss_halt_frac=0.004)


@produces(Denial.HALTED_WEEKLY)
def _():
    return _lose(daily_loss_halt_frac=0.9, weekly_loss_halt_frac=0.004)


@produces(Denial.VENUE_DOWN)
def _():
    case = Case()
    case.risk.set_venue_down(True)
    return case.say()


@produces(Denial.CLOCK_SKEW)
def _():
    return stamped(1.1)


@produces(Denial.STALE_SPOT)
def _():
    case = Case(triggers=Trigger.ON_BOOK)
    case.actors[0].say = opinion()
    case.scenario.book(21.5, [(4_900, 10)], [(5_000, 10)])
    return Denial(int(rows(case.scenario.go(), CommandKind.CMD_SIGNAL)[0]["reason"]))


@produces(Denial.STALE_BOOK)
def _():
    case = Case()
    case.scenario.oracle(25.5, 100_000.0)
    return case.say(25.5)


@produces(Denial.PORTFOLIO_EXPOSURE)
def _():
    return Case(count=2, max_exposure_frac=0.006).sent().say(21.5, actor=1)


@produces(Denial.HARD_CEILING)
def _():
    return Case(count=2, hard_open_usd=6 * USD).sent().say(21.5, actor=1)


@produces(Denial.INSUFFICIENT_BALANCE)
def _():
    case = Case()
    case.scenario.events.add(EventKind.EV_BALANCE, recv_ns=case.scenario.at(20.5), j=2 * USD)
    return case.say()


@produces(Denial.RATE_LIMIT)
def _():
    return Case(count=2, orders_per_s=1.0).sent().say(21.9, actor=1)


@produces(Denial.DELTA_LIMIT)
def _():
    return Case(count=2, max_delta=15.0).sent().say(21.5, actor=1)


@produces(Denial.GAMMA_LIMIT)
def _():
    case = Case(count=2, max_short_gamma=15.0)
    case.scenario.trade(20.5, 100_060.0)
    case.scenario.go()
    return case.sent(spot=100_060.0).say(21.5, actor=1, spot=100_060.0)


# -- side coherence ------------------------------------------------------------------------------------------


@produces(Denial.HOUSE_SIDE)
def _():
    return Case(count=2).sent().say(21.5, actor=1, outcome=DOWN, price_ticks=5_100)


@produces(Denial.DECONFLICTED)
def _():
    case = Case(count=2)
    case.actors[1].say = opinion(DOWN, ticks=5_100, edge=0.01)
    case.scenario.trade(21.0, 100_000.0)
    case.actors[0].say = opinion()
    signals = rows(case.scenario.go(), CommandKind.CMD_SIGNAL)
    return {int(s["strategy"]): Denial(int(s["reason"])) for s in signals}[1]


@produces(Denial.PAIR_COST)
def _():
    case = Case(count=2, passive=True).sent()
    case.scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    return case.say(21.5, actor=1, outcome=DOWN, price_ticks=5_100)


# -- our own orders ------------------------------------------------------------------------------------------


@produces(Denial.UNKNOWN_ORDER)
def _():
    case = Case(count=2).sent()
    case.scenario.update(21.1, 1_000, OrderStatus.OS_UNKNOWN)
    return case.say(21.5, actor=1)


@produces(Denial.PENDING_ORDER)
def _():
    return Case().sent().say(21.5)


@produces(Denial.DUPLICATE)
def _():
    return Case().sent().say(21.0)


@produces(Denial.SELF_CROSS)
def _():
    case = Case(count=2, passive=True)
    case.sent(order_type=GTC, post_only=True, price_ticks=4_950)
    return case.say(21.5, actor=1, outcome=DOWN, price_ticks=5_100)


@produces(Denial.POST_ONLY_WOULD_CROSS)
def _():
    return Case().say(order_type=GTC, post_only=True)


# -- the strategy's row --------------------------------------------------------------------------------------


@produces(Denial.DISABLED)
def _():
    case = Case()
    case.actors[0].disable()
    case.scenario.trade(21.0, 100_000.0)
    case.scenario.go()
    return Denial.DISABLED if case.scenario.market.stats()["unasked"][0] == 1 else None  # it gave no signal to deny


@produces(Denial.COOLDOWN)
def _():
    case = Case().sent()
    case.scenario.update(21.05, 1_000, OrderStatus.OS_CANCELED, 0)
    return case.say(21.1)


@produces(Denial.MAX_ORDERS)
def _():
    case = Case()
    case.limit(max_orders=1)
    case.sent()
    case.scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    return case.say(21.5)


@produces(Denial.PRICE_COLLAR)
def _():
    return Case().say(price_ticks=5_951)


@produces(Denial.STRATEGY_EXPOSURE)
def _():
    case = Case()
    case.limit(total_frac=0.002)
    return case.say()


@produces(Denial.SIZE_BELOW_MIN)
def _():
    return Case().say(shares=4_990_000)


@produces(Denial.EDGE_AFTER_COSTS)
def _():
    return Case(spec=make_spec(fee_rate_ppm=None)).say()


@produces(Denial.DISPATCHED)
def _():
    return Case().say()


# -- the table -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("denial", list(Denial), ids=lambda denial: denial.name)
def test_every_denial_is_produced_by_a_scenario_of_its_own(denial):
    assert SCENARIOS[denial]() == denial


# -- the new ones, closer ------------------------------------------------------------------------------------


def stamped(lag_s):
    """Fate of a signal right after a live trade whose stamp is lag_s older than its receipt."""
    case = Case(triggers=Trigger.ON_BOOK)
    at = case.scenario.at(20.9)
    stamp = at - round(lag_s * NS)
    case.scenario.events.add(EventKind.EV_SPOT_TRADE, recv_ns=at, venue_ns=stamp, x=100_000.0, y=0.01)
    case.actors[0].say = opinion()
    case.scenario.book(21.0, [(4_900, 1_000)], [(5_000, 1_000)])
    return Denial(int(rows(case.scenario.go(), CommandKind.CMD_SIGNAL)[0]["reason"]))


@pytest.mark.parametrize(
    ("lag_s", "fate"),
    [
        (1.0, Denial.DISPATCHED),
        (1.001, Denial.CLOCK_SKEW),
        (-1.0, Denial.DISPATCHED),
        (-1.001, Denial.CLOCK_SKEW),
        (3_600.0, Denial.CLOCK_SKEW),
        (-3_600.0, Denial.CLOCK_SKEW),
    ],
)
def test_a_live_trade_stamped_more_than_the_limit_before_or_after_its_receipt_is_clock_skew(lag_s, fate):
    assert stamped(lag_s) == fate


def test_clock_skew_ends_with_the_next_trade_that_is_stamped_right_and_ignores_the_past_and_the_unstamped():
    case = Case()
    at = case.scenario.at(20.5)
    add = case.scenario.events.add
    add(EventKind.EV_SPOT_TRADE, recv_ns=at, venue_ns=at - 5 * NS, x=100_000.0, y=0.01)
    case.scenario.go()
    assert case.risk.spot_lag_ns == 5 * NS
    add(EventKind.EV_SPOT_TRADE, recv_ns=at, venue_ns=0, x=100_000.0, y=0.01)
    case.scenario.go()
    assert case.risk.spot_lag_ns == 5 * NS
    assert case.say() == Denial.DISPATCHED
    add(
        EventKind.EV_SPOT_TRADE,
        recv_ns=at,
        venue_ns=at - 60 * NS,
        flags=EventFlag.F_SNAPSHOT,
        x=100_000.0,
        y=0.01,
    )
    case.scenario.go()
    assert case.risk.spot_lag_ns == 0


@pytest.mark.parametrize(
    ("change", "fate"),
    [
        ({}, Denial.DUPLICATE),
        ({"price_ticks": 4_990}, Denial.PENDING_ORDER),
        ({"outcome": DOWN, "price_ticks": 4_000}, Denial.DISPATCHED),
        ({"t": 21.001}, Denial.PENDING_ORDER),
        ({"actor": 1}, Denial.DISPATCHED),
    ],
)
def test_the_same_order_of_the_same_strategy_at_the_same_instant_goes_out_once(change, fate):
    case = Case(count=2, passive=True)
    case.limit(cooldown_ns=0)
    assert case.sent().say(**change) == fate


def test_an_order_refused_here_and_wanted_again_at_the_same_instant_is_still_a_duplicate():
    case = Case().sent()
    case.scenario.update(21.0, 1_000, OrderStatus.OS_REJECTED, flags=EventFlag.F_LOCAL)
    assert case.say() == Denial.DUPLICATE
    assert case.say(21.001) == Denial.DISPATCHED


def test_a_thousand_signals_of_one_instant_make_one_order():
    case = Case()
    case.limit(cooldown_ns=0)
    case.actors[0].say = opinion()
    for _ in range(1_000):
        case.scenario.trade(21.0, 100_000.0)
    assert len(rows(case.scenario.go(), CommandKind.CMD_PLACE)) == 1
    assert case.scenario.market.stats()["denials"][0] == {int(Denial.DUPLICATE): 999}


RESTS = {"order_type": GTC, "post_only": True}


@pytest.mark.parametrize(
    ("mine", "new", "fate"),
    [
        ({"outcome": UP, "price_ticks": 4_950}, {"outcome": DOWN, "price_ticks": 5_050}, Denial.SELF_CROSS),
        ({"outcome": UP, "price_ticks": 4_950}, {"outcome": DOWN, "price_ticks": 4_800}, Denial.DISPATCHED),
        ({"outcome": DOWN, "price_ticks": 5_020}, {"outcome": UP, "price_ticks": 4_980}, Denial.SELF_CROSS),
        ({"outcome": UP, "price_ticks": 4_950}, {"outcome": UP, "price_ticks": 5_000}, Denial.DISPATCHED),
        (
            {"outcome": UP, "price_ticks": 4_950},
            {"outcome": DOWN, "price_ticks": 5_040, **RESTS},
            Denial.DISPATCHED,
        ),
        (
            {"outcome": UP, "price_ticks": 4_950},
            {"outcome": DOWN, "price_ticks": 5_050, **RESTS},
            Denial.SELF_CROSS,
        ),
    ],
)
def test_no_order_meets_one_of_ours_that_rests_on_either_token(mine, new, fate):
    case = Case(count=2, passive=True)
    case.sent(**RESTS, **mine)
    assert case.say(21.5, actor=1, **new) == fate


@pytest.mark.parametrize("status", [OrderStatus.OS_LIVE, OrderStatus.OS_CANCEL_SENT, OrderStatus.OS_UNKNOWN])
def test_an_order_of_ours_counts_as_resting_until_its_end_is_known(status):
    case = Case(count=2, passive=True).sent(**RESTS, price_ticks=4_950)
    case.scenario.update(21.1, 1_000, status)
    assert case.say(21.5, actor=1, outcome=DOWN, price_ticks=5_100) == Denial.SELF_CROSS
    case.scenario.update(21.6, 1_000, OrderStatus.OS_CANCELED, 0)
    assert case.say(21.9, actor=1, outcome=DOWN, price_ticks=5_100) == Denial.DISPATCHED


def test_a_sale_into_our_own_resting_buy_of_the_same_token_is_a_self_cross():
    case = Case(count=2, passive=True).sent()
    case.scenario.fill(21.1, 1_000, 5_000, 10 * SHARE)
    assert case.say(21.2, actor=1, **RESTS, price_ticks=4_950) == Denial.DISPATCHED
    assert case.say(21.5, side=SELL, price_ticks=4_900) == Denial.SELF_CROSS


@pytest.mark.parametrize(
    ("book", "ticks", "fate"),
    [
        ((5_900, 6_100), 5_950, Denial.DISPATCHED),
        ((5_900, 6_100), 6_050, Denial.PRICE_COLLAR),
        ((3_900, 4_100), 5_000, Denial.DISPATCHED),
        ((3_900, 4_100), 5_010, Denial.PRICE_COLLAR),
    ],
)
def test_the_collar_holds_against_the_models_price_of_a_half_and_against_the_mid(book, ticks, fate):
    """Spot at the strike: the model says 0.50 to within a tick or so, whatever the strategy or the book says."""
    case = Case()
    case.scenario.trade(20.4, 100_000.5)
    case.scenario.book(20.5, [(book[0], 1_000)], [(book[1], 1_000)])
    case.scenario.go()
    assert case.say(price_ticks=ticks, fair=0.99, edge=0.4, spot=100_000.0) == fate
