"""Risk is a wall: whatever happens in whatever order, no limit is ever broken (reliability goal R13).

Every sequence is made from one seed: signals of all kinds, a venue that does what it likes with each order, and
its messages delivered late, out of order, twice, or not at all; halts, midnights, outcomes and forgotten windows
in between.  What is true is kept by tests/reference/risk_reference.py.  POLYBOT_HARD=n runs n times as many.
"""

import math
import os
import random

import pytest
from reference.risk_reference import Limits, Row, SlowAccount, TrueFill, Truth
from scenario import NS, SHARE, USD, Scenario, make_risk, make_spec, rows
from test_engine import Scripted, opinion

from polybot._fast.event import (
    DOWN,
    FAK,
    SELL,
    UP,
    CommandKind,
    EventFlag,
    EventKind,
    OperatorCode,
    OrderStatus,
    TradeStatus,
)

SEQUENCES = 2_000 * int(os.environ.get("POLYBOT_HARD", "1"))
SHARDS = 8
STEPS = 24
MIDNIGHT_NS = 1_790_208_000 * NS  # 2026-09-24 00:00 UTC, a Thursday
MONDAY_NS = 1_789_948_800 * NS  # 2026-09-21 00:00 UTC
HOSTILE = (
    {"edge": math.nan},
    {"edge": math.inf},
    {"confidence": -0.0},
    {"price": 1e308},
    {"price_ticks": 10_000},
    {"shares": -1},
    {"shares": 2**62},
)


class Sequence:
    """One seeded life of an account: the engine under test, the truth, and the messages on their way."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        rng = self.rng
        self.strategies = [Scripted("a"), Scripted("b", passive=True), Scripted("c")]
        rate = rng.choice((0.5, 2.0, 10.0, 40.0))
        fractions = {
            "max_exposure_frac": rng.choice((0.02, 0.05, 0.15)),
            "daily_loss_halt_frac": rng.choice((0.005, 0.03, 1.0)),
        }
        hard = {"hard_order_usd": rng.choice((7, 500)) * USD, "hard_open_usd": rng.choice((20, 5_000)) * USD}
        self.risk = make_risk(**fractions, **hard, orders_per_s=rate, weekly_loss_halt_frac=1.0)
        start_ns = rng.choice((make_spec().start_ns, MIDNIGHT_NS - 40 * NS, MONDAY_NS - 40 * NS))
        spec = make_spec(start_ns=start_ns, end_ns=start_ns + 300 * NS)
        self.scenario = Scenario(self.strategies, risk=self.risk, spec=spec)
        limits = Limits(
            portfolio=self.risk.max_exposure_usd,
            hard_order=hard["hard_order_usd"],
            hard_open=hard["hard_open_usd"],
            rate_count=max(1, int(rate)),
            rate_span_ns=round(max(1, int(rate)) / rate * NS),
            rows=[],
        )
        for index in range(3):
            row = (
                rng.choice((0.005, 0.02)),
                rng.choice((0.02, 0.08)),
                rng.choice((0, NS // 5)),
                rng.choice((2, 9)),
            )
            self.risk.set_limits(
                index, per_trade_frac=row[0], total_frac=row[1], cooldown_ns=row[2], max_orders=row[3]
            )
            limits.rows.append(Row(round(row[0] * 1_000 * USD), round(row[1] * 1_000 * USD), *row[2:]))
        self.model = SlowAccount(limits)
        self.waiting = []  # messages of the venue: (order_seq, what, details)
        self.said = []  # delivered once; may come again
        self.t, self.keys, self.dispatched, self.sales, self.lost_sales = 20.0, 0, 0, 0, 0
        self.halted, self.day, self.day_sum = False, start_ns // (86_400 * NS), 0
        self.booked = 0
        self.scenario.engine.open_market(
            1, make_spec(slug="other", start_ns=start_ns), order_seq_base=500_000
        )
        self.scenario.warm()
        self._open_other()

    def _open_other(self):
        """The second window gets strike and book like the first."""
        s = self.scenario
        s.events.add(
            EventKind.EV_STRIKE, recv_ns=s.at(20), venue_ns=s.spec.start_ns, market=1, x=100_000.0, i=2
        )
        s.book(20.0, [(4_900, 1_000)], [(5_000, 1_000)], market=1)
        s.go()

    # -- steps ------------------------------------------------------------------------------------------------

    def run(self):
        for _ in range(STEPS):
            self.t = round(self.t + self.rng.choice((0.0, 0.02, 0.3, 1.5)), 3)
            self.rng.choices((self.signal, self.deliver, self.repeat, self.disturb), (6, 8, 1, 1))[0]()
            self.look()
        self.settle()
        return self.dispatched, self.sales, self.lost_sales

    def signal(self):
        """All strategies speak, on fresh data, to one or both windows: they buy, or sell what they hold."""
        s, rng = self.scenario, self.rng
        for strategy in self.strategies:
            strategy.say = None
            if rng.random() < 0.6:
                kind = {"post_only": True} if rng.random() < 0.3 else {}
                price = (
                    rng.choice((600, 2_000, 4_800)) if kind else rng.choice((900, 4_900, 5_000, 5_500, 5_900))
                )
                strategy.say = opinion(
                    rng.choice((UP, DOWN)), ticks=price, shares=rng.randrange(1, 90) * SHARE, **kind
                )
                held = [
                    outcome
                    for outcome in (UP, DOWN)
                    if any(self.model.held(strategy.index, market, outcome) >= 5 * SHARE for market in (0, 1))
                ]
                if held and rng.random() < 0.7:
                    sale = {
                        "side": SELL,
                        "price_ticks": rng.choice((4_600, 4_900)),
                        "outcome": rng.choice(held),
                    }
                    strategy.say = {**strategy.say, "order_type": FAK, "post_only": False, **sale}
                if rng.random() < 0.02:
                    strategy.say |= rng.choice(HOSTILE)
        s.oracle(self.t, 100_000.0)
        for market in (0, 1):
            s.book(self.t, [(4_900, 500)], [(5_000, 500)], market=market)
        s.trade(self.t, 100_000.0)
        self.go()
        for strategy in self.strategies:
            strategy.say = None

    def deliver(self):
        """The venue says something, not in order; now and then it is lost."""
        if self.waiting:
            message = self.waiting.pop(self.rng.randrange(len(self.waiting)))
            if self.rng.random() < 0.1:
                return
            self.said.append(message)
            self.tell(message)

    def repeat(self):
        """The venue says something again."""
        if self.said:
            self.tell(self.rng.choice(self.said))

    def disturb(self):
        """Operator, heartbeat, cash, a window that is over."""
        s, what = self.scenario, self.rng.randrange(5)
        if what == 0:
            self.halted = not self.halted
            code = OperatorCode.OP_HALT if self.halted else OperatorCode.OP_RESUME
            s.events.add(EventKind.EV_OPERATOR, recv_ns=s.at(self.t), i=code)
        elif what == 1:
            self.t += self.rng.choice((5.0, 30.0))
            s.timer(self.t)
        elif what == 2:
            s.events.add(EventKind.EV_BALANCE, recv_ns=s.at(self.t), j=self.rng.choice((0, 30, 1_000)) * USD)
        elif what == 3:
            self.outcome(self.rng.randrange(2))
        elif 1 in s.engine.markets and 1 in self.model.winners:
            s.engine.drop_market(1)
            for order in self.model.orders.values():
                order.forgotten |= order.market == 1
        self.go()
        if what == 1:
            assert self.risk.day == s.engine.now_ns // (86_400 * NS), "a heartbeat did not begin the new day"

    def outcome(self, market):
        s = self.scenario
        if market in s.engine.markets:
            winner = self.rng.choice((UP, DOWN))
            s.events.add(EventKind.EV_OUTCOME, recv_ns=s.at(self.t), market=market, outcome=winner)
            self.model.winners.setdefault(market, winner)

    def settle(self):
        """Everything still on its way arrives, both windows end."""
        for message in self.waiting:
            self.tell(message)
        for market in (0, 1):
            self.outcome(market)
        self.go()
        self.look()

    # -- the venue --------------------------------------------------------------------------------------------

    def accept(self, row):
        """Decide what truly becomes of an order, and put every message of it on its way."""
        rng, seq = self.rng, int(row["order_seq"])
        order = Truth(
            market=int(row["market"]),
            strategy=int(row["strategy"]),
            outcome=int(row["outcome"]),
            shares=int(row["shares"]),
            limit=int(row["price_ticks"]),
            taker=int(row["order_type"]) == 3,
            sale=int(row["side"]) == SELL,
            sent_ns=int(row["decided_ns"]),
        )
        self.model.orders[seq] = order
        self.sales += order.sale
        fate = rng.random()
        if fate < 0.1:
            self.waiting.append((seq, "local" if rng.random() < 0.5 else "refused", None))
            return
        if fate < 0.3:
            self.waiting.append((seq, "unknown", None))
        left = int(row["shares"])
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            part = min(left, rng.choice((left, max(10_000, left // 2 // 10_000 * 10_000))))
            if part <= 0:
                break
            left -= part
            better = 300 if order.sale else -300
            price = rng.choice((int(row["price_ticks"]), max(1, int(row["price_ticks"]) + better)))
            self.keys += 1
            item = TrueFill(part, price, rng.random() < 0.2, order.taker, sale=order.sale)
            self.lost_sales += item.fails and order.sale
            order.fills.append(item)
            last = TradeStatus.TS_FAILED if item.fails else TradeStatus.TS_CONFIRMED
            for status in (TradeStatus.TS_MATCHED, TradeStatus.TS_MINED, last):
                self.waiting.append((seq, "fill", (item, self.keys, price, part, int(status))))
        self.waiting.append((seq, "live", None))
        if rng.random() < 0.8:
            self.waiting.append((seq, rng.choice(("canceled", "expired")), int(row["shares"]) - left))

    def tell(self, message):
        """One message reaches the program; what it can know from it becomes part of the truth."""
        seq, what, detail = message
        s, order = self.scenario, self.model.orders[message[0]]
        if order.forgotten:
            return
        if what == "fill":
            item, key, price, part, status = detail
            item.told |= not item.told_failed and status != TradeStatus.TS_FAILED
            item.told_confirmed |= status == TradeStatus.TS_CONFIRMED
            item.told_failed |= status == TradeStatus.TS_FAILED
            s.fill(self.t, seq, price, part, key=key, status=status, maker=not item.taker)
        else:
            status = {
                "local": OrderStatus.OS_REJECTED,
                "refused": OrderStatus.OS_REJECTED,
                "unknown": OrderStatus.OS_UNKNOWN,
                "live": OrderStatus.OS_LIVE,
                "canceled": OrderStatus.OS_CANCELED,
                "expired": OrderStatus.OS_EXPIRED,
            }[what]
            flags = EventFlag.F_LOCAL if what == "local" else 0
            s.update(self.t, seq, status, -1 if detail is None else detail, flags=flags)
            order.may_still_match &= what in ("unknown", "live")
            order.reached &= what != "local"
        self.go()

    # -- what must hold ---------------------------------------------------------------------------------------

    def go(self):
        commands = self.scenario.go()
        now_day = self.scenario.engine.now_ns // (86_400 * NS)
        if now_day != self.day and self.risk.day == now_day:
            self.day, self.day_sum = now_day, 0
        # What sales have brought in windows that go on is in the mark, and counts against a loss.
        halted = self.halted or self.day_sum + max(0, self.risk.marked_usd) <= -self.risk.daily_halt_usd
        placed = rows(commands, CommandKind.CMD_PLACE)
        assert not (halted and len(placed)), "an order while halted"
        for row in placed:
            self.dispatched += 1
            self.accept(row)
            assert self.model.problems_of(int(row["order_seq"])) == []
        booked = self.model.realised()
        self.day_sum, self.booked = self.day_sum + booked - self.booked, booked

    def look(self):
        """The truth is within every limit, and what risk counts is never less than the truth."""
        exposures, slack = self.model.exposures(), self.model.slack()
        assert self.model.problems_now(exposures) == []
        assert self.risk.exposure() >= sum(exposures) - slack
        for index, exposure in enumerate(exposures):
            assert self.risk.exposure(index) >= exposure - slack
        assert self.risk.reserved_usd == sum(o.reserved_usd for o in self.scenario.engine.orders.values())
        assert min(self.risk.reserved_usd, self.risk.position_usd) >= 0
        if self.risk.day == self.day:
            assert self.risk.day_realised_usd == self.day_sum


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_limit_is_broken_by_any_order_of_events(shard):
    counts = [0, 0, 0]
    for seed in range(shard, SEQUENCES, SHARDS):
        try:
            counts = [total + more for total, more in zip(counts, Sequence(seed).run(), strict=True)]
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    assert counts[0] > SEQUENCES // SHARDS
    assert min(counts[1:]) > SEQUENCES // SHARDS // 20
