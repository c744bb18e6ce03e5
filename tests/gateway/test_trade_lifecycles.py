"""Lives of orders and trades through the real tracker and the real account: every sum equals a plain ledger's.

Each life is drawn from a seed (tests/lifecycles.py): partial fills, maker legs in several pieces and on the other
token, RETRYING, FAILED also when it is the first ever heard, repeats, two channels that disagree, dust, cancels
that cross fills, outcomes before and after the last confirmation.  POLYBOT_HARD=n runs n times as many.
"""

import os
from random import Random

import pytest
from lifecycles import FAK, FOK, Life, Venue
from reference.lifecycle_ledger import Ledger
from scenario import NS, Scenario, make_risk, make_spec
from scripted_strategy import Scripted

from polybot._fast.event import CommandKind, EventBuffer, EventKind, OrderStatus
from polybot.gateway.orders import OrderPlan
from polybot.gateway.reasons import RejectReason
from polybot.gateway.tracker import OrderTracker, TrackedOrder

LIVES = 100_000 * int(os.environ.get("POLYBOT_HARD", "1"))
PER_MARKET = 50
SHARDS = 10
STRATEGIES = 3
SPEC = make_spec()
TERMINAL = (OrderStatus.OS_FILLED, OrderStatus.OS_CANCELED, OrderStatus.OS_EXPIRED, OrderStatus.OS_REJECTED)
LAST_S = 1_000.0


class Market:
    """One market of one shard: the venue's truth on one side, tracker and engine on the other."""

    def __init__(self, scenario: Scenario, index: int, seed: int) -> None:
        self.rng = Random(seed)
        self.engine = scenario.engine
        self.index = index
        self.base_ns = SPEC.start_ns
        self.tracker = OrderTracker()
        self.out = EventBuffer(64)
        self.settled: dict[int, int] = {}
        self.winner = self.rng.randrange(2)
        self.venue = Venue(
            self.rng,
            tokens=(SPEC.token_up, SPEC.token_down),
            condition_id=SPEC.condition_id,
            strategies=STRATEGIES,
        )
        self.state = self.engine.open_market(index, SPEC, order_seq_base=index * 1_000)
        for number in range(PER_MARKET):
            self._open(self.venue.live(index * 1_000 + number))

    def _open(self, life: Life) -> None:
        """What the engine would have dispatched, and the gateway sent."""
        self.engine.restore_order(
            self.index,
            order_seq=life.seq,
            strategy=life.strategy,
            outcome=life.outcome,
            side=life.side,
            order_type=life.order_type,
            price_ticks=life.ticks,
            shares=life.asked,
            post_only=False,
            dispatched_ns=self.base_ns,
        )
        plan = OrderPlan(
            order_seq=life.seq,
            outcome=life.outcome,
            side=life.side,
            order_type=life.order_type,
            price_ticks=life.ticks,
            asked_ushares=life.asked,
            ushares=life.shares,
            maker_amount=0,
            taker_amount=0,
            expiration_s=0,
        )
        self.tracker.add(
            TrackedOrder(
                order_seq=life.seq,
                order_id=life.order_id,
                market=self.index,
                condition_id=SPEC.condition_id,
                token_id=self.venue.tokens[life.outcome],
                end_ns=0,
                plan=plan,
                placed_ns=self.base_ns,
                body=b"",
            )
        )

    # -- what is told -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Deliver everything, then compare once more with the venue, as the gateway does; then all must agree."""
        messages = self.venue.messages()
        outcome_at = self.rng.choice((30.0, 60.0, 90.0, LAST_S, LAST_S))
        cancel_at = self.rng.uniform(5.0, 120.0)
        for at, _, what, details in messages:
            if at > cancel_at:
                cancel_at = LAST_S
                self.out.add(EventKind.EV_TIMER, recv_ns=self._ns(at))
                self._process()
            if at > outcome_at:
                outcome_at = LAST_S + 1.0
                self._settle(at)
            self._tell(what, details, self._ns(at))
        if outcome_at == LAST_S:
            self._settle(200.0)
        self._compare_with_the_venue()
        if not self.state.settled:
            self._settle(LAST_S)

    def _ns(self, at: float) -> int:
        return self.base_ns + int(at * NS)

    def _tell(self, what: str, details, now_ns: int) -> None:
        if what == "trade":
            self.tracker.on_trade(self.out, details, now_ns=now_ns)
        elif what == "order":
            self.tracker.on_order_event(self.out, details, now_ns=now_ns)
        else:
            self._answer(details, now_ns)
        if self.out.n:
            self._process()

    def _answer(self, life: Life, now_ns: int) -> None:
        """The answer to the POST, or that there was none, as gateway.clob takes it."""
        order = self.tracker.by_id(life.order_id)
        assert order is not None
        order.answered = True
        say = {"order": order, "now_ns": now_ns}
        first = life.matches[0] if life.matches else None
        if not life.answered:
            self.tracker.on_status(
                self.out, status=OrderStatus.OS_UNKNOWN, reason=RejectReason.NO_ANSWER, **say
            )
        elif life.fate == "rejected":
            self.tracker.on_status(self.out, status=OrderStatus.OS_REJECTED, matched_ushares=0, **say)
        elif life.fate == "killed":
            self.tracker.on_status(self.out, status=OrderStatus.OS_CANCELED, matched_ushares=0, **say)
        elif life.is_taker:
            matched = life.matched(LAST_S)
            order.match_is_final = True
            self.tracker.on_status(self.out, status=OrderStatus.OS_MATCHED, matched_ushares=matched, **say)
            self.tracker.check_complete(self.out, order, now_ns=now_ns)
        elif first is not None and first.parts[0][1].taker:
            self.tracker.on_status(self.out, status=OrderStatus.OS_MATCHED, **say)
        else:
            self.tracker.on_status(self.out, status=OrderStatus.OS_LIVE, **say)

    def _settle(self, at: float) -> None:
        self.out.add(EventKind.EV_MARKET_CLOSE, recv_ns=self._ns(at), market=self.index)
        self.out.add(EventKind.EV_OUTCOME, recv_ns=self._ns(at), market=self.index, outcome=self.winner)
        self._process()

    def _process(self) -> None:
        commands = self.engine.process(self.out)
        self.out.reset()
        if self.state.settled:
            for k in range(commands.n):
                if commands.kind_at(k) == CommandKind.CMD_SETTLEMENT:
                    row = commands.to_numpy()[k]
                    self.settled[int(row["strategy"])] = int(row["usd"])

    def _compare_with_the_venue(self) -> None:
        """Orders that the venue still knows, then all trades; an end that neither tells follows from the lists."""
        now_ns = self._ns(500.0)
        lives = list(self.venue.lives)
        self.rng.shuffle(lives)
        for life in lives:
            if life.fate == "normal" and self.rng.random() < 0.6:
                self._tell("order", self.venue.order_row(life, LAST_S), now_ns)
        rows = [self.venue.trade_row(match, match.path[-1][1]) for match in self.venue.matches]
        self.rng.shuffle(rows)
        for row in rows:
            self._tell("trade", row, now_ns)
        for life in lives:
            order = self.tracker.by_id(life.order_id)
            assert order is not None
            if not order.is_terminal:
                assert order.booked_ushares >= order.matched_ushares, f"order {life.seq} waits for a fill"
                self.tracker.end(self.out, order, now_ns=now_ns)
                self._process()

    # -- what must hold ---------------------------------------------------------------------------------------

    def check(self) -> int:
        """Every sum equals the ledger's, and every order has ended; the result of this market in micro-USD."""
        ledger = Ledger(STRATEGIES)
        for match in self.venue.matches:
            for life, part in match.parts:
                if not match.fails:
                    ledger.book(
                        life.strategy,
                        life.outcome,
                        part.shares,
                        part.ticks,
                        sale=life.side == 1,
                        taker=part.taker,
                    )
        for strategy, book in enumerate(ledger.books):
            assert self.state.strategy_position(strategy) == tuple(book.shares)
            assert self.state.strat_cost_usd[strategy] == book.cost
            assert self.state.strat_fees_usd[strategy] == book.fees
            assert self.settled.get(strategy, 0) == book.result(self.winner)
        for outcome in (0, 1):
            assert self.state.position()[outcome] == sum(book.shares[outcome] for book in ledger.books)
        assert sum(self.state.cost_usd) == sum(book.cost for book in ledger.books)
        for life in self.venue.lives:
            self._check_order(life)
        assert self.state.open_order_count == 0
        return sum(book.result(self.winner) for book in ledger.books)

    def _check_order(self, life: Life) -> None:
        tracked, order = self.tracker.by_id(life.order_id), self.engine.orders[life.seq]
        assert tracked is not None
        stands = sum(p.shares for m in life.matches if not m.fails for owner, p in m.parts if owner is life)
        ever = life.matched(LAST_S)
        assert order.filled == tracked.filled_ushares == stands, f"order {life.seq}"
        assert tracked.booked_ushares == ever, f"order {life.seq}"
        assert order.unsettled_trades == 0, f"order {life.seq}"
        assert tracked.is_settled and not order.is_open, f"order {life.seq} has not ended"
        assert order.status in TERMINAL and order.status == tracked.status, f"order {life.seq}"
        assert order.reserved_usd == 0, f"order {life.seq}"
        if life.fate == "rejected" and life.answered:
            assert order.status == OrderStatus.OS_REJECTED, f"order {life.seq}"
        elif ever >= life.asked:
            assert order.status == OrderStatus.OS_FILLED, f"order {life.seq}"
        else:
            assert order.status in (OrderStatus.OS_CANCELED, OrderStatus.OS_EXPIRED), f"order {life.seq}"


def live_through(seed: int, lives: int) -> Scenario:
    """Markets one after another in one engine; each is checked by itself, and the account in the end."""
    scenario = Scenario([Scripted(f"s{k}") for k in range(STRATEGIES)], risk=make_risk())
    engine, total = scenario.engine, 0
    for number in range(max(1, lives // PER_MARKET)):
        market = Market(scenario, number + 1, seed * 1_000_003 + number)
        try:
            market.run()
            total += market.check()
        except Exception as error:
            raise AssertionError(f"seed {seed}, market {number}: {type(error).__name__}: {error}") from error
        assert engine.risk.exposure() == 0, (
            f"seed {seed}, market {number}: {engine.risk.exposure()} micro-USD left"
        )
        assert engine.risk.day_realised_usd == total, f"seed {seed}, market {number}"
        engine.drop_market(market.index)
    return scenario


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_life_ends_and_every_sum_equals_the_ledgers(shard):
    scenario = live_through(shard, LIVES // SHARDS)
    account = scenario.engine.account
    assert (account.broken, account.contradictions, account.strays, account.overfills) == (0, 0, 0, 0)
    assert account.alerts == []
    assert account.duplicates > 0


def test_lives_are_of_every_kind():
    """What the lives above are made of: none of what they claim to cover is missing."""
    venue = Venue(Random(1), tokens=("1", "2"), condition_id="0x", strategies=STRATEGIES)
    lives = [venue.live(seq) for seq in range(2_000)]
    told = venue.messages()
    paths = [[status for _, status in match.path] for match in venue.matches]
    assert {life.fate for life in lives} == {"normal", "rejected", "killed", "lost"}
    assert {life.order_type for life in lives} == {0, FOK, FAK}
    assert sum("RETRYING" in path for path in paths) > 100
    assert sum("FAILED" in path for path in paths) > 100
    assert sum(len(match.parts) > 1 for match in venue.matches) > 100
    assert sum(part.shares < 10_000 for match in venue.matches for _, part in match.parts) > 50
    assert sum(part.taker for match in venue.matches for _, part in match.parts) > 500
    other = [
        leg for m in venue.matches for leg in m.body["maker_orders"] if leg["asset_id"] != m.body["asset_id"]
    ]
    assert len(other) > 500
    first = {}
    for _, _, what, details in told:
        if what == "trade":
            first.setdefault(details["id"], details["status"])
    assert sum("FAILED" in status for status in first.values()) > 5
    assert len(told) > 7 * len(lives)
