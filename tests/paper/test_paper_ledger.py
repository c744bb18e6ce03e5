"""Paper's own books: rows that the checks of a real venue's ledger can read, money worked out anew."""

import pytest
from execution_scenario import SHARE, START_NS, spec

from polybot.errors import InvariantBroken
from polybot.gateway.orders import OrderPlan
from polybot.gateway.tracker import TrackedOrder
from polybot.paper.ledger import PaperFill, PaperLedger
from polybot.sim.checker import account_pnl
from polybot.sim.ledger import read_ledger

UP, DOWN, BUY, SELL = 0, 1, 0, 1


def order(seq: int, outcome: int, side: int, price_ticks: int, shares: int) -> TrackedOrder:
    plan = OrderPlan(
        order_seq=seq,
        outcome=outcome,
        side=side,
        order_type=3,
        price_ticks=price_ticks,
        asked_ushares=shares * SHARE,
        ushares=shares * SHARE,
        maker_amount=0,
        taker_amount=0,
        expiration_s=0,
    )
    listed = spec()
    return TrackedOrder(
        order_seq=seq,
        order_id=f"0x{seq:064x}",
        market=0,
        condition_id=listed.condition_id,
        token_id=listed.token_down if outcome else listed.token_up,
        end_ns=listed.end_ns,
        plan=plan,
        placed_ns=START_NS,
        body=b"",
    )


def traded(path=None) -> PaperLedger:
    """Bought 10 Up at 0.50 as taker and 5 Down at 0.40 as maker, sold 4 Up at 0.55 as taker; Up won."""
    ledger = PaperLedger(account="paper", session="paper-1", path=path)
    ledger.open_account(100 * SHARE, START_NS)
    ledger.market(spec(), START_NS)
    fills = [
        (order(1, UP, BUY, 5_000, 10), PaperFill("t1", 5_000, 10 * SHARE, is_maker=False)),
        (order(2, DOWN, BUY, 4_000, 5), PaperFill("t2", 4_000, 5 * SHARE, is_maker=True)),
        (order(3, UP, SELL, 5_500, 4), PaperFill("t3", 5_500, 4 * SHARE, is_maker=False)),
    ]
    for placed, fill in fills:
        ledger.accepted(placed, START_NS)
        ledger.accepted(placed, START_NS)
        ledger.filled(placed, fill, START_NS)
        ledger.ended(placed, matched=fill.ushares, status="FILLED", now_ns=START_NS)
    assert ledger.settled(spec().condition_id, UP, START_NS) == 6 * SHARE
    return ledger


# 10 x 0.50 + 0.175, 5 x 0.40, 4 x 0.55 - 0.0693; then 6 winning shares
PNL = -5_175_000 - 2_000_000 + 2_200_000 - 69_300 + 6_000_000


def test_cash_is_what_fills_fees_and_the_payout_come_to():
    ledger = traded()
    ledger.check_cash(100 * SHARE + PNL)
    with pytest.raises(InvariantBroken, match="paper cash"):
        ledger.check_cash(100 * SHARE + PNL + 1)


def test_the_checks_of_a_venues_ledger_read_it_from_memory_and_from_the_file(tmp_path):
    path = tmp_path / "books" / "run.ledger"
    ledger = traded(path)
    assert ledger.rows() == read_ledger(path)
    ledger.close()
    for rows in (traded().rows(), read_ledger(path)):
        assert account_pnl(rows, "paper") == {spec().condition_id: PNL}
        assert [row["k"] for row in rows].count("order") == 3


def test_an_order_that_was_never_accepted_is_a_refusal():
    ledger = PaperLedger(account="paper", session="paper-1")
    ledger.ended(order(1, UP, BUY, 5_000, 10), matched=0, status="REJECTED", now_ns=START_NS)
    assert [row["k"] for row in ledger.rows()] == ["ledger", "reject"]
