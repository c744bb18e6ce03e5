"""The venue's modes: what each refuses, in whose words, and that every one ends by itself."""

import pytest
from sim.desk import BUY, Desk

from polybot.sim.modes import Mode


@pytest.fixture
def desk():
    desk = Desk()
    desk.spec = desk.list()
    desk.rest_ladder(desk.spec)
    return desk


@pytest.fixture
def wallet(desk):
    return desk.wallet()


def place(wallet, **changes):
    return wallet.post(wallet.desk.spec.token_up, BUY, 4_000, 10, **changes)


def test_while_the_engine_restarts_every_private_request_is_too_early(desk, wallet):
    desk.exchange.modes.begin(Mode.RESTARTING, 90.0, then_post_only_s=120.0)
    assert place(wallet) == (425, {"error": "Too Early"})
    assert wallet.call("GET", "/data/orders")[0] == 425
    assert wallet.call("POST", "/v1/heartbeats", {"heartbeat_id": ""})[0] == 425
    assert wallet.call("DELETE", "/cancel-all")[0] == 425
    assert desk.get("/time")[0] == 200


def test_a_restart_is_followed_by_post_only_and_then_by_business_as_usual(desk, wallet):
    desk.exchange.modes.begin(Mode.RESTARTING, 90.0, then_post_only_s=120.0)
    desk.run(90.0)
    first, second = place(wallet), place(wallet)
    text = "post-only mode: only post-only orders and cancels are allowed"
    assert first == (503, {"error": text})
    assert second[0] == 200
    assert (second[1]["success"], second[1]["errorMsg"], second[1]["orderID"]) == (True, text, "")
    status, answer = place(wallet, postOnly=True)
    assert (status, answer["status"]) == (200, "live")
    assert wallet.call("DELETE", "/order", {"orderID": answer["orderID"]})[1]["canceled"] == [
        answer["orderID"]
    ]
    desk.run(120.0)
    assert place(wallet)[1]["status"] == "live"
    assert [row["mode"] for row in desk.ledger.rows if row["k"] == "mode"] == [
        "restarting",
        "post-only",
        "open",
    ]


def test_cancel_only_refuses_orders_and_lets_cancels_through(desk, wallet):
    order_id = place(wallet)[1]["orderID"]
    desk.exchange.modes.begin(Mode.CANCEL_ONLY, 15.0)
    status, answer = place(wallet)
    assert status == 503
    assert answer["error"].startswith("Trading is currently cancel-only")
    assert wallet.call("DELETE", "/cancel-all")[1]["canceled"] == [order_id]
    desk.run(15.0)
    assert place(wallet)[0] == 200


def test_disabled_refuses_orders_and_cancels_and_still_answers_questions(desk, wallet):
    place(wallet)
    desk.exchange.modes.begin(Mode.DISABLED, 15.0)
    for status, answer in (place(wallet), wallet.call("DELETE", "/cancel-all")):
        assert status == 503
        assert answer["error"].startswith("Trading is currently disabled")
    assert len(wallet.call("GET", "/data/orders")[1]["data"]) == 1


def test_refused_orders_are_in_the_ledger_with_their_status(desk, wallet):
    desk.exchange.modes.begin(Mode.RESTARTING, 1.0)
    place(wallet)
    rows = [row for row in desk.ledger.rows if row["k"] == "reject"]
    assert [(row["status"], row["text"]) for row in rows] == [(425, "Too Early")]


def test_a_new_mode_replaces_the_old_one_and_its_end(desk, wallet):
    desk.exchange.modes.begin(Mode.DISABLED, 10.0)
    desk.run(5.0)
    desk.exchange.modes.begin(Mode.CANCEL_ONLY, 20.0)
    desk.run(10.0)
    assert desk.exchange.modes.now is Mode.CANCEL_ONLY
    desk.run(10.0)
    assert desk.exchange.modes.now is Mode.OPEN
