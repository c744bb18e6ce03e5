"""The dead-man switch: when it takes orders away, whose, and what the ledger says of it."""

import pytest
from sim.desk import BUY, NS, OTHER_KEY, Desk

SWEEP_S = 5


@pytest.fixture
def desk():
    desk = Desk()
    desk.spec = desk.list()
    desk.rest_ladder(desk.spec)
    return desk


def beat(wallet, beat_id=""):
    return wallet.call("POST", "/v1/heartbeats", {"heartbeat_id": beat_id})[1]["heartbeat_id"]


def rows(desk, kind):
    return [row for row in desk.ledger.rows if row["k"] == kind]


@pytest.mark.parametrize("late_s", [0.0, 1.3, 2.6, 4.9])
def test_orders_go_between_10_and_15_seconds_after_the_last_beat(desk, late_s):
    wallet = desk.wallet()
    desk.run(late_s)
    beat(wallet)
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    desk.run(9.999)
    assert len(wallet.account.orders) == 1
    desk.run(SWEEP_S + 0.001)
    assert wallet.account.orders == {}
    assert 10 * NS <= rows(desk, "expire")[0]["t"] - wallet.account.beat_ns <= 15 * NS


def test_only_the_orders_of_the_key_that_stopped_are_cancelled(desk):
    silent, steady, unarmed = desk.wallet(), desk.wallet(OTHER_KEY), desk.wallet("0x" + "11" * 32)
    beat(silent)
    beat_id = beat(steady)
    for wallet in (silent, steady, unarmed):
        wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    for _ in range(4):
        desk.run(5)
        beat_id = beat(steady, beat_id)
    assert [len(wallet.account.orders) for wallet in (silent, steady, unarmed)] == [0, 1, 1]
    assert [(row["account"], row["canceled"]) for row in rows(desk, "expire")] == [(silent.address, 1)]


def test_every_market_is_swept_and_an_order_in_its_taker_delay_is_not(desk):
    other = desk.list(2)
    wallet = desk.wallet()
    beat(wallet)
    wallet.post(desk.spec.token_up, BUY, 4_000, 10)
    wallet.post(other.token_down, BUY, 4_000, 10)
    first_ns = wallet.account.beat_ns
    desk.run(14.9 - (desk.now_ns - first_ns) / NS)
    taking = wallet.post(desk.spec.token_up, BUY, 5_200, 10)[1]
    assert taking["status"] == "delayed"
    desk.run(0.11)
    assert list(wallet.account.orders) in ([taking["orderID"]], [])
    desk.run(1)
    assert wallet.account.history[taking["orderID"]].status == "MATCHED"
    assert rows(desk, "expire")[0]["canceled"] == 2


def test_a_late_beat_is_in_the_ledger_with_its_gap_and_a_punctual_one_is_not(desk):
    wallet = desk.wallet()
    beat_id = beat(wallet)
    desk.run(5)
    beat_id = beat(wallet, beat_id)
    assert rows(desk, "beat") == []
    desk.run(8)
    beat(wallet, beat_id)
    assert [row["gap_ns"] for row in rows(desk, "beat")] == [8 * NS]


def test_the_user_channels_presence_is_in_the_ledger(desk):
    wallet = desk.wallet()
    first = wallet.socket()
    second = wallet.socket()
    desk.user_channel.drop(first.session)
    desk.user_channel.drop(second.session)
    assert [row["is_open"] for row in rows(desk, "user")] == [True, True, True, False]
