"""The gateway against an in-memory venue: every order reaches its end by evidence, nothing is sent twice."""

from typing import Any

import pytest

from polybot._fast.event import OrderStatus as OS
from polybot._fast.event import TradeStatus as TS
from polybot.errors import InvariantBroken, VenueError, VenueUnavailable
from polybot.gateway.reasons import RejectReason as Why
from tests.gateway.fake_http import NS, SPEC, Bench, answer, command, run_virtual

FAK_KILL = (
    "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found."
)
PLACE, CANCEL, CANCEL_ALL = 1, 2, 3
GTC, FAK = 0, 3
SHARES = 10_000_000
NO_ANSWER = VenueUnavailable("POST /order: reset")


def matched(bench: Bench, shares: str, usd: str) -> Any:
    return lambda request: answer(
        200, bench.http.placed(request, "matched", takingAmount=shares, makingAmount=usd)
    )


def test_start_logs_in_and_signs_every_private_call() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        assert await bench.gateway.balance() == 1_000_000_000
        assert bench.http.unsigned == []
        assert [str(r) for r in bench.http.requests[:5]] == [
            "GET /version",
            "GET /time",
            "GET /api/geoblock",
            "GET /auth/derive-api-key",
            "GET /auth/ban-status/closed-only",
        ]
        assert bench.gateway.entry_pause() is Why.NONE

    run_virtual(scenario)


@pytest.mark.parametrize(
    ("path", "reply", "words"),
    [
        ("/version", answer(200, {"version": 3}), "version 3"),
        ("/time", answer(200, 1_790_616_000), "clock"),
        ("/time", answer(200, {"now": 1}), "not a number"),
        ("/api/geoblock", answer(200, {"blocked": True, "country": "US", "region": "NY"}), "blocked"),
        ("/api/geoblock", answer(200, {}), "unknown"),
        ("/api/geoblock", answer(500, {}), "HTTP 500"),
        ("/api/geoblock", VenueUnavailable("timeout"), "unknown"),
        ("/auth/derive-api-key", answer(401, {"error": "Invalid L1 Request headers"}), "login"),
        ("/auth/derive-api-key", answer(200, {"apiKey": "x"}), "lacks"),
        ("/auth/ban-status/closed-only", answer(200, {"closed_only": True}), "closed-only"),
        ("/auth/ban-status/closed-only", answer(200, {}), "closed-only"),
    ],
)
def test_start_refuses_live_when_a_check_fails(path: str, reply: Any, words: str) -> None:
    async def scenario(bench: Bench) -> None:
        bench.http.always("GET", path, reply)
        with pytest.raises(VenueError, match=words):
            await bench.start()
        bench.gateway.register_market(4, SPEC)
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        assert bench.http.sent("POST", "/order") == []
        assert bench.reason() == Why.NOT_STARTED

    run_virtual(scenario)


def test_start_refuses_when_no_geoblock_url_is_known() -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(VenueError, match="no geoblock URL"):
            await bench.start()

    run_virtual(scenario, venue={"geoblock_url": ""})


def test_api_key_is_created_when_none_can_be_derived() -> None:
    async def scenario(bench: Bench) -> None:
        bench.http.script("GET", "/auth/derive-api-key", answer(400, {"error": "Could not derive api key!"}))
        made = {"apiKey": "new", "secret": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=", "passphrase": "p"}
        bench.http.script("POST", "/auth/api-key", answer(200, made))
        await bench.gateway.start()
        assert bench.gateway.user_channel_auth() == made

    run_virtual(scenario)


def test_fak_fully_matched_ends_as_filled_when_its_trade_arrives() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", matched(bench, "10", "5.2"))
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        assert bench.updates() == [(OS.OS_MATCHED, SHARES)]
        bench.trade_event()
        assert bench.fills() == [(5_200, SHARES, TS.TS_MATCHED)]
        assert bench.updates()[-1] == (OS.OS_FILLED, SHARES)
        bench.trade_event(status="CONFIRMED")
        assert bench.fills()[-1] == (5_200, SHARES, TS.TS_CONFIRMED)
        assert bench.gateway.open_order_seqs() == ()
        await bench.clock.sleep(30)
        assert bench.http.sent("GET", f"/data/order/{bench.id_of(1)}") == []

    run_virtual(scenario)


def test_fak_partly_matched_ends_as_canceled_with_the_matched_amount() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", matched(bench, "4", "2.08"))
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        bench.trade_event(size="4")
        assert bench.updates() == [(OS.OS_MATCHED, 4_000_000), (OS.OS_CANCELED, 4_000_000)]

    run_virtual(scenario)


def test_trade_before_the_answer_is_booked_and_a_lost_answer_then_changes_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", NO_ANSWER)
        bench.gateway.execute(command())
        bench.trade_event()
        assert bench.updates() == [(OS.OS_FILLED, SHARES)]
        await bench.clock.sleep(10)
        assert bench.updates() == [(OS.OS_FILLED, SHARES)]
        assert len(bench.fills()) == 1

    run_virtual(scenario)


def test_kill_is_canceled_with_nothing_matched() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", answer(400, {"error": FAK_KILL}))
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        assert bench.updates() == [(OS.OS_CANCELED, 0)]
        assert bench.reason() == Why.KILLED

    run_virtual(scenario)


def test_definite_refusal_is_rejected_and_others_may_follow() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", answer(400, {"error": "not enough balance / allowance"}))
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        bench.gateway.execute(command(order_seq=2))
        await bench.clock.sleep(0.1)
        assert bench.updates(1) == [(OS.OS_REJECTED, 0)]
        assert bench.updates(2) == [(OS.OS_LIVE, 0)]

    run_virtual(scenario)


def test_refusal_after_the_user_channel_showed_it_alive_is_looked_up_not_believed() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", answer(400, {"error": "not enough balance / allowance"}))
        bench.gateway.execute(command(order_type=GTC))
        bench.order_event(kind="PLACEMENT")
        await bench.clock.sleep(0.1)
        assert bench.updates() == [(OS.OS_LIVE, 0)]
        assert bench.gateway.counters()["answer_contradictions"] == 1
        bench.http.orders[bench.id_of(1)] = bench.order_row(status="CANCELED")
        await bench.clock.sleep(2)
        assert bench.updates()[-1] == (OS.OS_CANCELED, 0)

    run_virtual(scenario)


def test_answer_that_says_stop_blocks_all_later_orders() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        text = "the order owner has to be the owner of the API KEY"
        bench.http.script("POST", "/order", answer(400, {"error": text}))
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        bench.gateway.execute(command(order_seq=2))
        await bench.clock.sleep(0.1)
        assert bench.reason(2) == Why.LIVE_STOPPED
        assert "WRONG_OWNER" in bench.gateway.pause_detail()
        assert len(bench.http.sent("POST", "/order")) == 1

    run_virtual(scenario)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer(425, {"error": "Too Early"}), Why.VENUE_DOWN),
        (answer(425, b""), Why.VENUE_DOWN),
        (answer(503, {"error": "Trading is currently disabled. Try later"}), Why.VENUE_DOWN),
        (answer(429, {"error": "Too Many Requests"}, Retry_After="3"), Why.RATE_LIMIT),
    ],
)
def test_not_sent_rejects_pauses_entries_and_resumes_by_itself(reply: Any, reason: Why) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", reply)
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        assert bench.updates() == [(OS.OS_REJECTED, 0)]
        assert bench.reason() == reason
        assert bench.gateway.entry_pause() is reason
        bench.gateway.execute(command(order_seq=2))
        await bench.clock.sleep(3.5)
        assert bench.reason(2) == reason
        assert bench.gateway.entry_pause() is Why.NONE
        bench.gateway.execute(command(order_seq=3))
        await bench.clock.sleep(0.1)
        assert bench.updates(3) == [(OS.OS_LIVE, 0)]

    run_virtual(scenario)


@pytest.mark.parametrize(
    "reply",
    [
        NO_ANSWER,
        answer(500, {"error": "there are no matching orders"}),
        answer(502, b"<html>bad gateway</html>"),
        answer(200, b""),
        answer(200, b'{"success":true,"errorMsg":"","ord'),
        answer(200, {"success": True, "errorMsg": "", "orderID": "", "status": "live"}),
        answer(200, {"success": True, "errorMsg": "", "orderID": "0x" + "ab" * 32, "status": "live"}),
        answer(400, {"error": "order match delayed due to market conditions"}),
        answer(400, {"error": "Post: context canceled"}),
        answer(400, {"error": "a text nobody has seen"}),
        answer(400, b'{"error":"not enough balance / allow'),
        answer(403, {"error": "forbidden"}),
    ],
)
def test_anything_else_is_unknown_blocks_the_token_and_is_never_sent_again(reply: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", reply)
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        assert bench.updates() == [(OS.OS_UNKNOWN, -1)]
        bench.gateway.execute(command(order_seq=2))
        bench.gateway.execute(command(order_seq=3, outcome=1))
        await bench.clock.sleep(60)
        assert bench.reason(2) == Why.TOKEN_BLOCKED
        assert bench.updates(3) == [(OS.OS_LIVE, 0)]
        assert bench.updates() == [(OS.OS_UNKNOWN, -1)], "not found is not not filled"
        assert len(bench.http.sent("POST", "/order")) == 2

    run_virtual(scenario)


def test_failed_trade_is_reversed_once_and_the_matched_amount_shrinks() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", matched(bench, "10", "5.2"))
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        bench.trade_event(trade_id="t-1", size="4")
        bench.trade_event(trade_id="t-2", size="6")
        for _ in range(3):
            bench.trade_event(trade_id="t-1", size="4", status="FAILED")
        bench.trade_event(trade_id="t-1", size="4", status="MINED")
        failed = [fill for fill in bench.fills() if fill[2] == TS.TS_FAILED]
        assert failed == [(5_200, 4_000_000, TS.TS_FAILED)]
        assert bench.updates()[-1] == (OS.OS_FILLED, 6_000_000)
        keys = {e["y"] for e in bench.events if e["kind"] == 13 and e["j"] == 4_000_000}
        assert len(keys) == 1

    run_virtual(scenario)


def test_place_that_becomes_blocked_stops_entries_and_resumes_when_allowed() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.always("GET", "/api/geoblock", answer(200, {"blocked": True}))
        await bench.clock.sleep(605)
        assert bench.gateway.entry_pause() is Why.GEOBLOCKED
        bench.http.always("GET", "/api/geoblock", None)
        await bench.clock.sleep(600)
        assert bench.gateway.entry_pause() is Why.NONE

    run_virtual(scenario)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"market": 9}, Why.UNKNOWN_MARKET),
        ({"price_ticks": 5_250}, Why.OFF_TICK),
        ({"price_ticks": 0}, Why.PRICE_RANGE),
        ({"price_ticks": 10_000}, Why.PRICE_RANGE),
        ({"shares": 10_000_001}, Why.OFF_LOT),
        ({"shares": 4_990_000}, Why.BELOW_MIN_SIZE),
        ({"shares": 5_000_000, "price_ticks": 100}, Why.BELOW_MIN_NOTIONAL),
        ({"order_type": 7}, Why.ORDER_TYPE),
    ],
)
def test_local_refusals_are_counted_and_reported_after_the_caller_returned(
    changes: dict[str, int], reason: Why
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(**changes))  # type: ignore[arg-type]
        assert bench.events == [], "the sink must not be entered on the caller's stack"
        await bench.clock.sleep(0.1)
        assert bench.updates() == [(OS.OS_REJECTED, 0)]
        assert bench.reason() == reason
        assert bench.gateway.counters()[f"refused_{reason.name.lower()}"] == 1
        assert bench.http.sent("POST", "/order") == []

    run_virtual(scenario)


def test_own_rate_limit_refuses_instead_of_sending_late() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        for seq in range(1, 6):
            bench.gateway.execute(command(order_seq=seq))
        await bench.clock.sleep(0.1)
        assert [bench.updates(seq)[0][0] for seq in range(1, 6)] == [OS.OS_LIVE] * 3 + [OS.OS_REJECTED] * 2
        assert bench.reason(5) == Why.RATE_LIMIT
        await bench.clock.sleep(1)
        bench.gateway.execute(command(order_seq=6))
        await bench.clock.sleep(0.1)
        assert bench.updates(6) == [(OS.OS_LIVE, 0)]

    run_virtual(scenario, settings={"place_per_s": 2.0, "place_burst": 3})


def test_tick_size_change_holds_from_the_next_order_on() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.set_tick_size(4, 10)
        bench.gateway.execute(command(price_ticks=9_610, shares=10_000_000))
        await bench.clock.sleep(0.1)
        order = bench.http.sent("POST", "/order")[0].json()["order"]
        assert (order["makerAmount"], order["takerAmount"]) == ("9610000", "10000000")

    run_virtual(scenario)


def test_forgotten_market_takes_no_orders_but_its_fills_still_count() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.http.script("POST", "/order", matched(bench, "10", "5.2"))
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        bench.gateway.forget_market(4)
        bench.trade_event()
        bench.gateway.execute(command(order_seq=2))
        await bench.clock.sleep(0.1)
        assert len(bench.fills()) == 1
        assert bench.reason(2) == Why.UNKNOWN_MARKET

    run_virtual(scenario)


def test_the_same_order_seq_twice_breaks_an_invariant() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command())
        with pytest.raises(InvariantBroken, match="twice"):
            bench.gateway.execute(command())
        await bench.clock.sleep(0.1)

    run_virtual(scenario)


def test_stages_are_told_in_order_with_monotonic_stamps() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_seq=77))
        await bench.clock.sleep(0.1)
        assert [(name, seq) for name, seq, _ in bench.stages] == [("sign", 77), ("write", 77), ("ack", 77)]
        stamps = [stamp for _, _, stamp in bench.stages]
        assert stamps == sorted(stamps)
        assert stamps[2] - stamps[1] == 20_000_000

    run_virtual(scenario)


def test_same_session_nonce_and_time_give_the_same_bytes() -> None:
    bodies: list[bytes] = []

    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command())
        await bench.clock.sleep(0.1)
        bodies.append(bench.http.sent("POST", "/order")[0].body)

    run_virtual(scenario)
    run_virtual(scenario)
    assert bodies[0] == bodies[1]


def test_garbage_on_the_user_channel_is_counted_and_changes_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_type=GTC))
        await bench.clock.sleep(0.1)
        before = list(bench.events)
        bench.trade_event(size="-1")
        bench.trade_event(size="1e999")
        bench.trade_event(status="SOMETHING")
        bench.trade_event(price="1.5")
        bench.order_event(matched="abc")
        bench.order_event(status="A_NEW_WORD")
        for raw in ({}, {"event_type": "trade"}, {"event_type": "order", "id": 5}, {"event_type": "other"}):
            bench.gateway.on_user_event(raw, 10 * NS)
        assert bench.events == before
        counted = bench.gateway.counters()
        assert counted["unreadable_trade_status"] == 1
        assert counted["unknown_statuses"] == 1
        assert sum(value for name, value in counted.items() if name.startswith("unreadable_")) == 6

    run_virtual(scenario)
