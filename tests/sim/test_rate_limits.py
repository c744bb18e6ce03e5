"""Rate limits of the embedded venue: the documented numbers, Retry-After, bans, and that they heal."""

import json

import pytest
from sim.desk import BUY, Desk

from polybot.sim.clob_rest import ClobRest
from polybot.sim.ledger import Ledger
from polybot.sim.rate_limits import BAN_AFTER, BAN_S, RateLimits

NS = 1_000_000_000


@pytest.fixture
def limits():
    return RateLimits(Ledger())


def passed(limits, count, method, path, now_ns=0, wallet=""):
    """How many of `count` requests at one instant pass."""
    return sum(limits.refuse_s(method, path, now_ns, wallet=wallet) == 0.0 for _ in range(count))


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("GET", "/data/orders", 500),
        ("GET", "/data/order/0x1", 500),
        ("GET", "/balance-allowance", 200),
        ("GET", "/balance-allowance/update", 50),
        ("DELETE", "/cancel-all", 250),
        ("GET", "/auth/derive-api-key", 100),
        ("POST", "/orders", 2_000),
        ("GET", "/time", 9_000),
    ],
)
def test_as_many_requests_pass_in_ten_seconds_as_are_documented(limits, method, path, limit):
    assert passed(limits, limit, method, path) == limit
    assert limits.refuse_s(method, path, 4 * NS) == 6.0
    assert limits.refuse_s(method, path, 10 * NS) == 0.0


def test_lists_of_orders_and_trades_share_one_window_and_others_do_not(limits):
    passed(limits, 500, "GET", "/data/orders")
    assert limits.refuse_s("GET", "/data/trades", 0) > 0.0
    assert limits.refuse_s("GET", "/book", 0) == 0.0


def test_a_wallet_sends_a_burst_of_60_orders_and_then_40_a_second(limits):
    assert passed(limits, 65, "POST", "/order", wallet="a") == 60
    assert limits.refuse_s("POST", "/order", 0, wallet="a") == pytest.approx(1 / 40)
    assert passed(limits, 45, "POST", "/order", NS, wallet="a") == 40
    assert passed(limits, 125, "DELETE", "/order", NS, wallet="b") == 120


def test_cancel_all_costs_one_and_the_orders_it_cancels(limits):
    assert limits.refuse_s("DELETE", "/cancel-all", 0, wallet="a", cost=120) == 0.0
    assert limits.refuse_s("DELETE", "/order", 0, wallet="a") == pytest.approx(1 / 80)


def test_who_goes_on_asking_is_banned_for_a_while_and_it_is_counted(limits):
    passed(limits, 500, "GET", "/data/orders")
    assert passed(limits, BAN_AFTER + 1, "GET", "/data/orders") == 0
    assert limits.bans == 1
    assert limits.throttled == BAN_AFTER + 1
    assert limits.refuse_s("GET", "/time", 11 * NS) == BAN_S - 11
    assert limits.refuse_s("GET", "/time", BAN_S * NS) == 0.0
    assert [row["seconds"] for row in limits.ledger.rows if row["k"] == "ban"] == [BAN_S]


def test_over_rest_the_refusal_is_a_429_with_whole_seconds_of_retry_after():
    desk = Desk()
    spec = desk.list()
    wallet = desk.wallet()
    rest = desk.rest = ClobRest(desk.exchange, None, RateLimits(desk.ledger))
    for _ in range(60):
        assert wallet.post(spec.token_up, BUY, 100, 5)[0] == 200
    body = json.dumps(wallet.body(spec.token_up, BUY, 100, 5)).encode()
    answer = rest.handle("POST", "/order", {}, wallet.headers("POST", "/order", body), body, desk.now_ns)
    assert (answer.status, json.loads(answer.body)) == (429, {"error": "Too Many Requests"})
    assert answer.headers["Retry-After"] == "1"
    assert len(wallet.account.orders) == 60
