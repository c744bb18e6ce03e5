"""What becomes of a trade: retried, late, or failed and undone to the micro-unit."""

import pytest
from sim.desk import BUY, DOWN, OTHER_KEY, SELL, SHARE, UP, Desk

from polybot.sim.faults import ScriptedFaults, TradeFate

FAILED = TradeFate(retry_s=5.0, is_failed=True)


@pytest.fixture
def faults():
    return ScriptedFaults()


@pytest.fixture
def desk(faults):
    desk = Desk(faults=faults)
    desk.exchange.settle_by(faults)
    desk.spec = desk.list()
    desk.rest_ladder(desk.spec)
    return desk


@pytest.fixture
def wallet(desk):
    return desk.wallet()


def money(desk, wallet):
    """Everything that a reversal must bring back."""
    market = desk.exchange.market(desk.spec.slug)
    fees = desk.exchange.accounts.internal("fees").cash
    return wallet.account.cash, list(wallet.account.position(market.condition_id)), market.collateral, fees


def statuses(desk):
    return [row["status"] for row in desk.ledger.rows if row["k"] == "trade"]


def test_a_failed_trade_gives_everything_back_and_the_books_add_up(desk, wallet, faults):
    before, total = money(desk, wallet), desk.exchange.audit()
    faults.fates.append(FAILED)
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(1)
    assert money(desk, wallet) != before
    desk.run(10)
    assert statuses(desk) == ["RETRYING", "FAILED"]
    assert money(desk, wallet) == before
    assert desk.exchange.audit() == total


def test_a_failed_sale_takes_the_money_back_and_returns_the_shares(desk, wallet, faults):
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(10)
    before = money(desk, wallet)
    faults.fates.append(FAILED)
    wallet.post(desk.spec.token_up, SELL, 5_000, 10, "FAK")
    desk.run(1)
    assert wallet.account.position(desk.spec.condition_id) == [0, 0]
    desk.run(10)
    assert money(desk, wallet) == before
    desk.exchange.audit()


@pytest.mark.parametrize("outcome", [UP, DOWN])
def test_a_failed_trade_of_two_wallets_is_undone_for_both(desk, wallet, faults, outcome):
    other = desk.wallet(OTHER_KEY)
    before = money(desk, wallet), money(desk, other)
    token = (desk.spec.token_up, desk.spec.token_down)[outcome]
    mirrored = (desk.spec.token_down, desk.spec.token_up)[outcome]
    wallet.post(token, BUY, 5_100 if outcome == UP else 4_900, 10)  # rests inside the ladder
    faults.fates.append(FAILED)
    other.post(mirrored, BUY, 4_900 if outcome == UP else 5_100, 10)  # complements it: a pair is minted
    desk.run(1)
    assert desk.exchange.market(desk.spec.slug).collateral == 10 * SHARE
    desk.run(10)
    assert (money(desk, wallet), money(desk, other)) == before
    desk.exchange.audit()


def test_what_was_spent_meanwhile_can_not_fail_any_more(desk, wallet, faults):
    faults.fates.append(FAILED)
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(1)
    wallet.post(desk.spec.token_up, SELL, 5_000, 10, "FAK")
    desk.run(20)
    assert "FAILED" not in statuses(desk)
    assert statuses(desk).count("CONFIRMED") == 2
    desk.exchange.audit()


def test_a_resolved_market_confirms_what_would_have_failed(desk, wallet, faults):
    faults.fates.append(FAILED)
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(1)
    desk.exchange.resolve_market(desk.spec.slug, UP, desk.now_ns)
    desk.run(20)
    assert statuses(desk)[-1] == "CONFIRMED"


def test_a_retried_trade_is_mined_and_confirmed_later(desk, wallet, faults):
    faults.fates.append(TradeFate(retry_s=5.0))
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(20)
    assert statuses(desk) == ["RETRYING", "MINED", "CONFIRMED"]


def test_a_slow_trade_is_confirmed_so_much_later(desk, wallet, faults):
    faults.fates.append(TradeFate(late_s=25.0))
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(28)
    assert statuses(desk) == ["MINED"]
    desk.run(8)
    assert statuses(desk) == ["MINED", "CONFIRMED"]


def test_the_owner_hears_of_every_status_and_rest_tells_the_last(desk, wallet, faults):
    socket = wallet.socket()
    faults.fates.append(FAILED)
    wallet.post(desk.spec.token_up, BUY, 5_200, 10, "FAK")
    desk.run(20)
    told = [event["status"] for event in socket.read() if event["event_type"] == "trade"]
    assert told == ["MATCHED", "RETRYING", "FAILED"]
    assert wallet.call("GET", "/data/trades")[1]["data"][0]["status"] == "TRADE_STATUS_FAILED"
