"""Following orders to their end: resolving the unknown, cancels, comparison with the venue, heartbeats."""

import asyncio
from typing import Any

import pytest

from polybot._fast.event import OrderStatus as OS
from polybot._fast.event import TradeStatus as TS
from polybot.errors import VenueError, VenueUnavailable
from polybot.gateway.reasons import RejectReason as Why
from tests.gateway.fake_http import SPEC, Bench, Request, answer, command, run_virtual

FAK_KILL = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
PLACE, CANCEL, CANCEL_ALL = 1, 2, 3
GTC, FAK = 0, 3
SHARES = 10_000_000
NO_ANSWER = VenueUnavailable("POST /order: reset")


def test_timed_out_post_that_was_filled_is_found_by_hash_and_trades() -> None:
    async def never(request: Request) -> Any:
        await asyncio.sleep(1_000)

    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", never)
        bench.gateway.execute(command())
        await bench.clock.sleep(6)
        assert bench.updates() == [(OS.OS_UNKNOWN, -1)]
        bench.http.orders[bench.id_of(1)] = bench.order_row(status="MATCHED", matched="10")
        bench.http.trades = [
            bench.trade_row(trade_id=f"t-{k}", size=size, status="TRADE_STATUS_MINED")
            for k, size in enumerate(("3", "3", "4"))
        ]
        await bench.clock.sleep(6)
        assert sum(ushares for _, ushares, _ in bench.fills()) == SHARES
        assert bench.updates()[-1] == (OS.OS_FILLED, SHARES)
        looks = bench.gateway.counters()["resolver_looks"]
        await bench.clock.sleep(60)
        assert bench.gateway.counters()["resolver_looks"] == looks

    run_virtual(scenario)


def test_unknown_order_with_trades_but_no_order_ends_after_two_equal_looks() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", NO_ANSWER)
        bench.gateway.execute(command())
        bench.http.trades = []
        await bench.clock.sleep(0.1)
        bench.http.trades = [bench.trade_row(size="4")]
        await bench.clock.sleep(5)
        assert bench.updates() == [
            (OS.OS_UNKNOWN, -1),
            (OS.OS_MATCHED, 4_000_000),
            (OS.OS_CANCELED, 4_000_000),
        ]

    run_virtual(scenario)


def test_unknown_order_nobody_knows_ends_only_after_the_market_with_complete_lists() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", NO_ANSWER)
        bench.gateway.execute(command())
        await bench.clock.sleep(285)
        assert bench.updates() == [(OS.OS_UNKNOWN, -1)]
        broken = answer(200, {"data": [], "next_cursor": ""})
        bench.http.always("GET", "/data/trades", broken)
        await bench.clock.sleep(30)
        assert bench.updates() == [(OS.OS_UNKNOWN, -1)], "an incomplete page proves nothing"
        bench.http.always("GET", "/data/trades", None)
        await bench.clock.sleep(15)
        assert bench.updates() == [(OS.OS_UNKNOWN, -1), (OS.OS_CANCELED, 0)]

    run_virtual(scenario)


def test_unknown_resting_order_found_live_unblocks_its_token() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", NO_ANSWER)
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        bench.http.orders[bench.id_of(1)] = bench.order_row()
        await bench.clock.sleep(2)
        assert bench.updates() == [(OS.OS_UNKNOWN, -1), (OS.OS_LIVE, 0)]
        bench.gateway.execute(command(order_seq=2))
        await bench.clock.sleep(0.1)
        assert bench.updates(2) == [(OS.OS_LIVE, 0)]

    run_virtual(scenario)


def test_delayed_fak_that_nobody_reports_is_asked_for() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", lambda r: answer(200, bench.http.placed(r, "delayed")))
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        assert bench.updates() == [(OS.OS_DELAYED, -1)]
        status = "CANCELED_no orders found to match with FAK order."
        bench.http.orders[bench.id_of(1)] = bench.order_row(status=status)
        await bench.clock.sleep(3)
        assert bench.updates() == [(OS.OS_DELAYED, -1), (OS.OS_CANCELED, 0)]

    run_virtual(scenario)


def test_cancel_waits_for_the_answer_and_ends_with_the_matched_amount() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.01)  # written, not answered
        bench.gateway.execute(command(CANCEL))
        bench.http.orders[bench.id_of(1)] = bench.order_row(status="CANCELED", matched="4")
        bench.http.trades = [bench.trade_row(size="4")]
        assert bench.http.sent("DELETE", "/order") == []
        await bench.clock.sleep(3)
        assert [r.json() for r in bench.http.sent("DELETE", "/order")] == [{"orderID": bench.id_of(1)}]
        assert bench.updates() == [(OS.OS_LIVE, 0), (OS.OS_CANCELED, 4_000_000)]
        assert bench.fills() == [(5_200, 4_000_000, TS.TS_MATCHED)]

    run_virtual(scenario)


def test_not_canceled_is_no_proof_of_a_fill() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        why = {bench.id_of(1): "already canceled or matched"}
        bench.http.script("DELETE", "/order", answer(200, {"canceled": [], "not_canceled": why}))
        bench.gateway.execute(command(CANCEL))
        await bench.clock.sleep(20)
        assert bench.fills() == []
        assert bench.updates() == [(OS.OS_LIVE, 0)]
        assert len(bench.http.sent("DELETE", "/order")) == 1
        bench.http.trades = [bench.trade_row(size="10")]
        await bench.clock.sleep(6)
        assert bench.updates()[-1] == (OS.OS_FILLED, SHARES)

    run_virtual(scenario)


def test_cancel_is_repeated_until_it_is_answered() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        bench.http.script("DELETE", "/order", NO_ANSWER, answer(500, {}), answer(425, b""))
        bench.gateway.execute(command(CANCEL))
        await bench.clock.sleep(10)
        assert len(bench.http.sent("DELETE", "/order")) == 4
        assert bench.updates()[-1] == (OS.OS_CANCELED, 0)

    run_virtual(scenario)


def test_cancels_of_a_buffer_go_before_its_places() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        mixed = command(order_seq=2).to_bytes() + command(CANCEL).to_bytes()
        bench.gateway.execute(type(command())(mixed))  # type: ignore[call-arg]
        await bench.clock.sleep(0.1)
        calls = [str(r) for r in bench.http.requests if r.path == "/order"]
        assert calls == ["POST /order", "DELETE /order", "POST /order"]

    run_virtual(scenario)


def test_cancel_of_a_market_names_it_and_cancel_all_names_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script(
            "DELETE", "/cancel-market-orders", answer(200, {"canceled": [], "not_canceled": {}})
        )
        bench.gateway.execute(command(CANCEL_ALL))
        bench.gateway.execute(command(CANCEL_ALL, market=65_535))
        await bench.clock.sleep(1)
        assert [r.json() for r in bench.http.sent("DELETE", "/cancel-market-orders")] == [
            {"market": SPEC.condition_id}
        ]
        assert [r.body for r in bench.http.sent("DELETE", "/cancel-all")] == [b""]
        assert await bench.gateway.cancel_all() == 0

    run_virtual(scenario)


def test_cancel_all_without_an_answer_says_that_orders_may_be_open() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.always("DELETE", "/cancel-all", NO_ANSWER)
        with pytest.raises(VenueUnavailable, match="orders may be open"):
            await bench.gateway.cancel_all()
        assert len(bench.http.sent("DELETE", "/cancel-all")) == 8

    run_virtual(scenario)


def test_order_in_flight_during_cancel_all_is_canceled_once_it_is_answered() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.01)  # written, not answered
        bench.http.script("DELETE", "/cancel-all", answer(200, {"canceled": [], "not_canceled": {}}))
        assert await bench.gateway.cancel_all() == 0
        await bench.clock.sleep(2)
        assert len(bench.http.sent("DELETE", "/order")) == 1
        assert bench.updates()[-1] == (OS.OS_CANCELED, 0)

    run_virtual(scenario)


def test_strangers_in_our_markets_are_canceled_and_the_others_are_named() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        rows = [("a", "0x" + "5f" * 32, SPEC.condition_id), ("b", "0x" + "6f" * 32, "0x" + "77" * 32)]
        bench.http.orders = {key: bench.order_row() | {"id": i, "market": m} for key, i, m in rows}
        report = await bench.gateway.reconcile()
        assert report.canceled_strangers == ("0x" + "5f" * 32,)
        assert report.strangers == ("0x" + "6f" * 32,)
        assert [r.json() for r in bench.http.sent("DELETE", "/orders")] == [["0x" + "5f" * 32]]

    run_virtual(scenario)


def test_strangers_that_cannot_be_canceled_make_the_comparison_fail() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.orders = {"a": {"id": "0x" + "5f" * 32, "market": SPEC.condition_id, "status": "LIVE"}}
        bench.http.always("DELETE", "/orders", NO_ANSWER)
        with pytest.raises(VenueError, match="not ours"):
            await bench.gateway.reconcile()

    run_virtual(scenario)


def test_cancels_of_one_turn_leave_as_one_request() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        for seq in (1, 2, 3):
            bench.gateway.execute(command(order_seq=seq, order_type=GTC))
        await bench.clock.sleep(0.1)
        for seq in (1, 2, 3):
            bench.http.orders[f"k{seq}"] = bench.order_row(seq)
            bench.gateway.execute(command(CANCEL, order_seq=seq))
        await bench.clock.sleep(0.1)
        assert [r.json() for r in bench.http.sent("DELETE", "/orders")] == [[bench.id_of(k) for k in (1, 2, 3)]]
        assert bench.http.sent("DELETE", "/order") == []
        await bench.clock.sleep(2)
        assert all(bench.updates(seq)[-1] == (OS.OS_CANCELED, 0) for seq in (1, 2, 3))

    run_virtual(scenario)


def test_reconcile_applies_what_was_missed_and_names_strangers() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        for seq in (1, 2):
            bench.gateway.execute(command(order_seq=seq, order_type=GTC))
        await bench.clock.sleep(0.1)
        stranger = bench.order_row() | {"id": "0x" + "5f" * 32}
        bench.http.orders = {"a": bench.order_row(1, matched="3"), "s": stranger}
        bench.http.trades = [bench.trade_row(1, trade_id=f"t-{k}", size="1") for k in range(3)]
        report = await bench.gateway.reconcile()
        assert (report.open_orders, report.strangers, report.missing) == (2, ("0x" + "5f" * 32,), 1)
        assert report.ours_to_cancel == report.strangers
        assert report.problems == ()  # three fills the balance does not show yet are in flight
        assert report.balance_micro_usd == 1_000_000_000
        assert bench.updates(1) == [(OS.OS_LIVE, 0), (OS.OS_PARTIAL, 3_000_000)]
        assert len(bench.fills(1)) == 3
        assert [e["j"] for e in bench.events if e["kind"] == 21] == [1_000_000_000]
        bench.http.orders[bench.id_of(2)] = bench.order_row(2, status="CANCELED_MARKET_RESOLVED")
        await bench.clock.sleep(3)
        assert bench.updates(2) == [(OS.OS_LIVE, 0), (OS.OS_CANCELED, 0)]

    run_virtual(scenario, settings={"strangers": "halt"})


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/data/orders", answer(200, {"data": [], "next_cursor": None})),
        ("/data/orders", answer(200, {"next_cursor": "LTE="})),
        ("/data/orders", answer(200, {"data": [], "next_cursor": "MA=="})),
        ("/data/trades", answer(500, {})),
        ("/data/trades", answer(200, b'{"data":[')),
        ("/balance-allowance", answer(200, {"balance": "ten"})),
    ],
)
def test_reconcile_fails_closed_on_anything_incomplete(path: str, page: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        before = list(bench.events)
        bench.http.always("GET", path, page)
        with pytest.raises(VenueError):
            await bench.gateway.reconcile()
        assert bench.events == before

    run_virtual(scenario)


def test_heartbeat_beats_while_an_order_rests_and_a_missed_one_blocks_until_reconciled() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        bench.http.orders[bench.id_of(1)] = bench.order_row()
        await bench.clock.sleep(12)
        beats = bench.http.sent("POST", "/v1/heartbeats")
        assert beats[0].json()["heartbeat_id"] == ""
        assert all(r.json()["heartbeat_id"].startswith("hb-") for r in beats[1:])
        assert len(beats) == 3
        bench.http.always("POST", "/v1/heartbeats", NO_ANSWER)
        await bench.clock.sleep(5)
        bench.gateway.execute(command(order_seq=2))
        await bench.clock.sleep(0.1)
        assert bench.reason(2) == Why.HEARTBEAT_LOST
        bench.http.always("POST", "/v1/heartbeats", None)
        await bench.clock.sleep(6)
        assert bench.gateway.entry_pause() is Why.NONE
        assert bench.http.sent("GET", "/data/orders") != []
        bench.order_event(status="CANCELED")
        await bench.clock.sleep(6)
        count = len(bench.http.sent("POST", "/v1/heartbeats"))
        await bench.clock.sleep(60)
        assert len(bench.http.sent("POST", "/v1/heartbeats")) == count

    run_virtual(scenario)


def test_heartbeat_adopts_the_id_the_venue_names() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        wrong = {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": "hb-right"}
        bench.http.script("POST", "/v1/heartbeats", answer(400, wrong))
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        ids = [r.json()["heartbeat_id"] for r in bench.http.sent("POST", "/v1/heartbeats")]
        assert ids == ["", "hb-right"]
        assert bench.gateway.entry_pause() is Why.NONE

    run_virtual(scenario)


def test_unknown_order_wanted_canceled_is_canceled_once_it_shows_up_alive() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", NO_ANSWER)
        bench.http.always("DELETE", "/order", NO_ANSWER)
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.01)  # written, not answered
        bench.gateway.execute(command(CANCEL))
        await bench.clock.sleep(60)
        failed = len(bench.http.sent("DELETE", "/order"))
        assert failed == 8
        bench.http.always("DELETE", "/order", None)
        bench.http.orders[bench.id_of(1)] = bench.order_row()
        await bench.clock.sleep(6)
        assert len(bench.http.sent("DELETE", "/order")) == failed + 1
        bench.http.orders[bench.id_of(1)] = bench.order_row(status="CANCELED")
        await bench.clock.sleep(6)
        assert bench.updates()[-1] == (OS.OS_CANCELED, 0)

    run_virtual(scenario)
