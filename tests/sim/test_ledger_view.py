"""The ledger as the account's own program should have seen it."""

from sim.desk import BUY, UP, Desk

from polybot.sim.faults import ScriptedFaults, TradeFate
from polybot.sim.ledger_view import own_rows
from polybot.sim.orders import OrderRequest


def by_hand(desk, wallet, ushares=6_000_000, price=5_200):
    """A purchase of the account's owner, past the program."""
    order_id = "0x" + "77" * 32
    desk.ledger.write("manual", desk.now_ns, id=order_id, account=wallet.account.name)
    request = OrderRequest(
        order_id=order_id,
        token_id=desk.spec.token_up,
        side=BUY,
        price_ticks=price,
        ushares=ushares,
        amount=ushares * price // 10_000,
        order_type=3,
    )
    desk.exchange.place(wallet.account, request)
    return order_id


def traded_desk(faults=None):
    """A desk where the program bought 10 Up."""
    desk = Desk(faults=faults)
    if faults is not None:
        desk.exchange.settle_by(faults)
    desk.spec = desk.list()
    desk.rest_ladder(desk.spec)
    wallet = desk.wallet()
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(1)
    return desk, wallet


def finish(desk):
    desk.run(20)
    desk.exchange.resolve_market(desk.spec.slug, UP, desk.now_ns)
    return desk.ledger.rows, own_rows(desk.ledger.rows)


def settled(rows, account):
    row = next(row for row in rows if row["k"] == "settle" and row["account"] == account)
    return {key: row[key] for key in ("up", "down", "paid", "cash")}


def test_what_was_bought_by_hand_is_left_out_of_orders_fills_payout_and_cash():
    alone, wallet = traded_desk()
    _, wanted = finish(alone)
    desk, wallet = traded_desk()
    manual_id = by_hand(desk, wallet)
    rows, view = finish(desk)
    assert settled(rows, wallet.account.name)["paid"] == 16_000_000
    assert settled(view, wallet.account.name) == settled(wanted, wallet.account.name)
    assert manual_id not in {row.get("id") for row in view}
    mine = [row for row in view if row["k"] == "leg" and row["taker"] == wallet.account.name]
    assert [row["ushares"] for row in mine] == [10_000_000]
    assert len([row for row in rows if row["k"] == "leg"]) == 2


def test_a_failed_trade_is_marked_and_its_order_matched_nothing():
    faults = ScriptedFaults()
    faults.fates.append(TradeFate(retry_s=2.0, is_failed=True))
    desk, _ = traded_desk(faults)
    rows, view = finish(desk)
    assert [row["void"] for row in view if row["k"] == "leg"] == [True]
    assert [row["matched"] for row in rows if row["k"] == "end"] == [10_000_000]
    assert [row["matched"] for row in view if row["k"] == "end"] == [0]


def test_without_strangers_and_failures_only_the_mark_is_added():
    desk, _ = traded_desk()
    rows, view = finish(desk)
    assert [{key: value for key, value in row.items() if key != "void"} for row in view] == rows
    assert not any(row.get("void") for row in view)
