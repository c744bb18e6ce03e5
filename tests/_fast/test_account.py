"""Account: random news about random orders against a slow bookkeeper that keeps every trade."""

import random
from fractions import Fraction

import pytest
from reference import strategy_reference as ref
from reference.order_reference import CONTRADICTION, ENDS, NONE, ON, REVIVED, order_step, trade_step
from scenario import SHARE, USD, Scenario, make_risk, rows
from scripted_strategy import Scripted, opinion, place

from polybot._fast.event import DOWN, UP, CommandKind, EventFlag, OrderStatus, TradeStatus

S = OrderStatus
NEWS = (
    S.OS_DELAYED,
    S.OS_LIVE,
    S.OS_MATCHED,
    S.OS_UNKNOWN,
    S.OS_CANCELED,
    S.OS_EXPIRED,
    S.OS_REJECTED,
    S.OS_FILLED,
)


def fee_micro_usd(shares, ticks):
    """0.07 a (1 - a) per share, to 10 micro-USD (half up), as the venue charges takers."""
    exact = (
        Fraction(7, 100)
        * Fraction(ticks, 10_000)
        * (1 - Fraction(ticks, 10_000))
        * Fraction(shares, SHARE)
        * USD
    )
    return int(exact / 10 + Fraction(1, 2)) * 10


class SlowOrder:
    """One order and every trade of it."""

    def __init__(self, outcome, ticks, shares, *, taker):
        self.outcome, self.ticks, self.shares, self.taker = outcome, ticks, shares, taker
        self.status, self.matched, self.trades = S.OS_SENT, 0, {}
        self.told_twice = self.contradictions = 0

    @property
    def ended(self):
        return self.status in ENDS

    @property
    def filled(self):
        return sum(n for status, _, n, _ in self.trades.values() if status != TradeStatus.TS_FAILED)

    @property
    def open_shares(self):
        if self.status == S.OS_REJECTED:
            return 0
        return max(0, (max(self.matched, self.filled) if self.ended else self.shares) - self.filled)

    @property
    def counts(self):
        return not self.ended or self.filled > 0 or self.matched > 0

    def update(self, status, matched):
        news = matched > self.matched
        step = order_step(self.status, status, matched=max(self.filled, self.matched, matched) > 0)
        self.told_twice += step == NONE and not news
        self.contradictions += (step in (CONTRADICTION, REVIVED)) + (news and matched > self.shares)
        self.matched = max(self.matched, matched)
        later = step in (ON, REVIVED)
        if later:
            self.status = status
            if status == S.OS_FILLED and matched < 0:
                self.matched = self.shares
        if news or later:
            self.settle()

    def fill(self, key, status, ticks, shares, maker):
        step = trade_step(self.trades[key][0] if key in self.trades else 0, status)
        self.told_twice += step == NONE
        self.contradictions += step == CONTRADICTION
        if step != ON:
            return
        if key not in self.trades:
            if status != TradeStatus.TS_FAILED and self.status == S.OS_REJECTED:
                self.contradictions += 1
                self.status = S.OS_PARTIAL
            self.trades[key] = (status, ticks, shares, maker)
            if status == TradeStatus.TS_FAILED:
                self.matched = max(self.filled, self.matched - shares)
            self.matched = max(self.matched, self.filled)
        else:
            _, ticks, shares, maker = self.trades[key]
            self.trades[key] = (status, ticks, shares, maker)
            if status == TradeStatus.TS_FAILED:
                self.matched = self.filled if self.filled > self.matched else self.matched - shares
        self.settle()

    def settle(self):
        if self.filled >= self.shares and not self.ended:
            self.status = S.OS_FILLED
        elif self.filled > 0 and self.status in (S.OS_SENT, S.OS_DELAYED, S.OS_LIVE, S.OS_MATCHED):
            self.status = S.OS_PARTIAL

    def booked(self):
        """(shares, cost, fees) of what stands, micro-units."""
        live = [t for t in self.trades.values() if t[0] != TradeStatus.TS_FAILED]
        fees = sum(fee_micro_usd(n, ticks) for _, ticks, n, maker in live if not maker)
        return sum(t[2] for t in live), sum(ticks * n // 10_000 for _, ticks, n, _ in live) + fees, fees


def agree(scenario, orders):
    """Everything the account says against the sums over all trades."""
    market, risk = scenario.market, scenario.risk
    booked = [(o, *o.booked()) for o in orders.values()]
    for outcome in (UP, DOWN):
        held = [b for b in booked if b[0].outcome == outcome]
        assert market.position()[outcome] == sum(b[1] for b in held)
        assert abs(market.cost_usd[outcome] - sum(b[2] for b in held)) <= 2 * len(orders)
    assert abs(market.fees_usd - sum(b[3] for b in booked)) <= 10 * sum(
        len(o.trades) for o in orders.values()
    )
    assert market.order_count[0] == sum(o.counts for o in orders.values())
    exact, slack = 0.0, 0.0
    for order in orders.values():
        n = order.open_shares / SHARE
        exact += n * (order.ticks / 1e4 + (ref.fee(order.ticks / 1e4) if order.taker else 0.0)) * USD
        slack += 15.0 * n + 4.0
    assert exact - 1.0 <= risk.reserved_usd <= exact + slack
    for seq, order in orders.items():
        ours = scenario.engine.orders[seq]
        assert (ours.status, ours.filled, ours.matched) == (order.status, order.filled, order.matched)
        assert ours.is_open == (not order.ended or order.open_shares > 0)
    account = scenario.engine.account
    assert account.contradictions == sum(o.contradictions for o in orders.values())
    assert account.duplicates == sum(o.told_twice for o in orders.values())
    assert account.broken == 0


@pytest.mark.parametrize("seed", range(12))
def test_random_news_about_random_orders_agree_with_the_sum_over_all_trades(seed):
    rng = random.Random(seed)
    scenario = Scenario([Scripted(passive=True)], risk=make_risk(max_exposure_frac=1.0, orders_per_s=60.0))
    scenario.risk.set_limits(0, per_trade_frac=1.0, total_frac=1.0, cooldown_ns=0, max_orders=1_000)
    scenario.warm()
    orders, keys, t = {}, 0, 21.0
    for _ in range(160):
        t = round(t + 0.3, 6)
        scenario.oracle(t, 100_000.0)
        scenario.book(t, [(4_900, 1_000)], [(5_000, 1_000)])
        scenario.go()
        if rng.random() < 0.3:
            taker, outcome = rng.random() < 0.5, rng.choice((UP, DOWN))
            ticks, shares = (5_100 if taker else 4_700), rng.randrange(500, 1_500) * 10_000
            placed = rows(
                place(scenario, t, outcome=outcome, ticks=ticks, shares=shares, post_only=not taker),
                CommandKind.CMD_PLACE,
            )
            for row in placed:
                orders[int(row["order_seq"])] = SlowOrder(outcome, ticks, shares, taker=taker)
        if not orders:
            continue
        seq = rng.choice(list(orders)[-4:])
        order = orders[seq]
        if rng.random() < 0.5:
            status = rng.choice(NEWS)
            matched = rng.choice((-1, 0, order.filled, min(order.shares, order.filled + SHARE)))
            scenario.update(t, seq, status, matched)
            order.update(status, matched)
        else:
            known = list(order.trades)
            room = order.shares - order.filled
            if known and (rng.random() < 0.5 or room <= 0):
                key = rng.choice(known)
                _, ticks, shares, maker = order.trades[key]
            elif room > 0:
                keys += 1
                key, ticks, maker = keys, order.ticks - rng.choice((0, 100)), not order.taker
                shares = min(room, rng.randrange(1, 700) * 10_000)
            else:
                continue
            status = rng.choice((1, 1, 2, 3, TradeStatus.TS_CONFIRMED, TradeStatus.TS_FAILED))
            scenario.fill(t, seq, ticks, shares, key=key, status=status, maker=maker)
            order.fill(key, status, ticks, shares, maker)
        scenario.go()
        agree(scenario, orders)
    assert len(orders) >= 5
    assert sum(len(o.trades) for o in orders.values()) >= 10
    winner = rng.choice((UP, DOWN))
    scenario.outcome(330.0, winner)
    scenario.go()
    shares, cost = scenario.market.position()[winner], sum(scenario.market.cost_usd)
    assert scenario.risk.day_realised_usd == shares - cost
    assert scenario.risk.position_usd == 0


def test_a_resting_order_reserves_no_fee_and_a_taking_one_does():
    for post_only, fee in ((True, 0.0), (False, ref.fee(0.48))):
        scenario = Scenario([Scripted()])
        scenario.warm()
        place(scenario, post_only=post_only)
        assert scenario.risk.reserved_usd == pytest.approx(10 * (0.48 + fee) * USD, abs=120)


def test_a_fill_that_comes_after_the_end_counts_its_order_again():
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, post_only=True)
    scenario.update(21.2, 1_000, S.OS_CANCELED, 0)
    scenario.go()
    assert scenario.market.order_count[0] == 0
    scenario.fill(21.4, 1_000, 4_800, 4 * SHARE, key=1, maker=True)
    scenario.go()
    assert scenario.market.order_count[0] == 1
    scenario.fill(21.6, 1_000, 4_800, 4 * SHARE, key=1, status=TradeStatus.TS_FAILED, maker=True)
    scenario.go()
    assert scenario.market.order_count[0] == 0


def test_a_forgotten_market_gives_back_the_room_of_orders_without_a_last_word_and_says_so():
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, post_only=True)
    assert scenario.risk.reserved_usd > 0
    scenario.engine.drop_market(0)
    assert scenario.risk.reserved_usd == 0
    assert scenario.engine.orders == {}
    assert "order 1000: its market is forgotten before its last word" in scenario.engine.alerts[0]


def test_an_overfill_is_booked_and_told():
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario)
    scenario.fill(21.1, 1_000, 4_800, 8 * SHARE, key=1)
    scenario.fill(21.2, 1_000, 4_800, 8 * SHARE, key=2)
    scenario.go()
    assert scenario.market.position()[UP] == 16 * SHARE
    assert scenario.engine.overfills == 1
    assert "filled 16000000 of 10000000" in scenario.engine.alerts[0]
    assert scenario.risk.reserved_usd == 0


def test_the_cooldown_of_the_dispatch_before_comes_back_when_the_wire_was_never_reached():
    scenario = Scenario([Scripted()])
    scenario.risk.set_limits(0, per_trade_frac=0.1, total_frac=0.5, cooldown_ns=3 * 10**9, max_orders=50)
    scenario.warm()
    place(scenario, 21.0)
    scenario.update(21.1, 1_000, S.OS_CANCELED, 0)
    scenario.oracle(25.0, 100_000.0)
    scenario.book(25.0, [(4_900, 10)], [(5_000, 10)])
    place(scenario, 25.0)
    scenario.update(25.1, 1_001, S.OS_REJECTED, flags=EventFlag.F_LOCAL)
    scenario.go()
    assert len(rows(place(scenario, 25.2), CommandKind.CMD_PLACE)) == 1  # 4.2 s after the first


def test_half_a_micro_usd_of_a_down_fill_goes_to_the_up_side_of_the_pair():
    scenario = Scenario([Scripted()])
    scenario.warm()
    place(scenario, outcome=DOWN, price_ticks=5_100)
    scenario.fill(21.1, 1_000, 5_001, 5_000, maker=True)  # 5,000 x 0.5001 = 2,500.5 micro-USD
    assert int(rows(scenario.go(), CommandKind.CMD_FILL)[0]["usd"]) == 2_500


def test_every_order_is_known_whenever_somebody_asks_in_the_order_they_were_made():
    strategies = [Scripted(f"s{k}") for k in range(3)]
    scenario = Scenario(strategies)
    scenario.warm()
    for strategy in strategies:
        strategy.say = opinion()
    scenario.trade(21.0, scenario.price)
    assert len(rows(scenario.go(), CommandKind.CMD_PLACE)) == 3
    assert list(scenario.engine.orders) == [1_000, 1_001, 1_002]
    assert scenario.engine.account.orders is scenario.engine.orders
    assert [order.seq for order in scenario.engine.orders.values()] == [1_000, 1_001, 1_002]


def test_news_of_an_order_in_the_batch_that_made_it_find_it():
    scenario = Scenario([Scripted()])
    scenario.warm()
    scenario.engine.strategies[0].say = opinion()
    scenario.trade(21.0, scenario.price)
    scenario.update(21.0, 1_000, OrderStatus.OS_REJECTED, 0)
    scenario.go()
    assert scenario.engine.strays == 0
    assert scenario.engine.orders[1_000].status == OrderStatus.OS_REJECTED
