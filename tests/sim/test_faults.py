"""Scripted faults and the ready-made faults of one request, carried out in memory and over sockets."""

import asyncio
from collections import deque

import pytest
from sim.desk import BUY, Desk
from sim.test_memory import play
from sim.world import QUIET

from polybot.clock import SystemClock, wall_clock
from polybot.config import default_config
from polybot.errors import VenueUnavailable
from polybot.gateway.http import LaneClient
from polybot.sim import rest_faults
from polybot.sim.faults import ScriptedFaults, TradeFate, Withheld
from polybot.sim.opening import opening
from polybot.sim.server import VenueServer
from polybot.sim.venue import Venue, VenueSetup
from polybot.transport import HttpResponse

ANSWER = HttpResponse(200, {"Content-Type": "application/json"}, b'{"orderID":"0x1","success":true}')


class Counted:
    """A request: how often its effect was had."""

    def __init__(self, answer=ANSWER):
        self.effects = 0
        self.answer = answer

    def __call__(self):
        self.effects += 1
        return self.answer


@pytest.mark.parametrize(
    ("fault", "effects", "got"),
    [
        (rest_faults.timeout_before(), 0, Withheld()),
        (rest_faults.timeout_after(), 1, Withheld()),
        (rest_faults.reset_before(), 0, Withheld(is_reset=True)),
        (rest_faults.reset_after(), 1, Withheld(is_reset=True)),
        (rest_faults.late(30.0), 1, Withheld(response=ANSWER, after_s=30.0)),
        (rest_faults.twice(answer_of_second=True), 2, ANSWER),
        (rest_faults.twice(answer_of_second=False), 2, ANSWER),
    ],
)
def test_a_fault_says_what_becomes_of_answer_and_effect(fault, effects, got):
    call = Counted()
    assert fault(call) == got
    assert call.effects == effects


@pytest.mark.parametrize(
    ("fault", "effects", "status", "body"),
    [
        (rest_faults.refused(429, {"error": "slow down"}, retry_after_s=7), 0, 429, b'{"error":"slow down"}'),
        (rest_faults.refused(502), 0, 502, b""),
        (rest_faults.server_error_after(500, {"error": "oops"}), 1, 500, b'{"error":"oops"}'),
        (rest_faults.replaced(200, {"success": True}), 1, 200, b'{"success":true}'),
        (rest_faults.empty_body(), 1, 200, b""),
        (rest_faults.truncated(), 1, 200, ANSWER.body[:16]),
        (rest_faults.truncated(1.0), 1, 200, ANSWER.body[:-1]),
        (rest_faults.without_order_id(), 1, 200, b'{"orderID":"","success":true}'),
    ],
)
def test_a_fault_spoils_the_answer_as_it_says(fault, effects, status, body):
    call = Counted()
    answer = fault(call)
    assert (answer.status, answer.body) == (status, body)
    assert call.effects == effects


def test_retry_after_stands_in_the_header_and_an_answer_without_order_stays_as_it_is():
    call = Counted()
    assert rest_faults.refused(429, retry_after_s=2.5)(call).headers["Retry-After"] == "2.5"
    refusal = HttpResponse(400, {}, b"no JSON")
    assert rest_faults.without_order_id()(Counted(refusal)) == refusal


def test_fates_and_page_sizes_are_scripted_and_cleared():
    faults = ScriptedFaults(rows_per_page=2, fates=deque([TradeFate(late_s=1.0)]))
    assert faults.page_size(100) == 2
    assert faults.trade_fate() == TradeFate(late_s=1.0)
    assert faults.trade_fate() is None
    faults.fates.append(TradeFate())
    faults.clear()
    assert (faults.page_size(100), faults.trade_fate()) == (100, None)


def test_scripts_strike_by_method_and_path_so_often_as_they_say_until_cleared():
    faults = ScriptedFaults()
    faults.add("POST", "/order", rest_faults.timeout_before())
    faults.add("GET", "/data/", rest_faults.refused(500), count=None)
    call = Counted()
    assert faults.answer("GET", "/order", call, 0) is ANSWER
    assert faults.answer("POST", "/order", call, 0) == Withheld()
    assert faults.answer("POST", "/order", call, 0) is ANSWER
    for _ in range(3):
        assert faults.answer("GET", "/data/trades", call, 0).status == 500
    assert faults.struck == [("POST", "/order"), *[("GET", "/data/trades")] * 3]
    faults.clear()
    assert faults.answer("GET", "/data/trades", call, 0) is ANSWER


def test_a_request_delivered_twice_makes_one_order_and_the_second_answer_says_duplicated():
    faults = ScriptedFaults()
    desk = Desk(faults=faults)
    spec = desk.list()
    wallet = desk.wallet()
    faults.add("POST", "/order", rest_faults.twice(answer_of_second=True))
    body = wallet.body(spec.token_up, BUY, 4_000, 10)
    status, answer = wallet.call("POST", "/order", body)
    assert (status, "Duplicated" in answer["error"]) == (400, True)
    assert len(wallet.account.orders) == 1


def test_a_muted_channel_loses_what_is_sent_and_nothing_after_it_heals():
    faults = ScriptedFaults()
    desk = Desk(faults=faults)
    spec = desk.list()
    wallet = desk.wallet()
    user, market = wallet.socket(), desk.market_socket(spec.token_up)
    market.read()
    faults.muted.add("user")
    wallet.post(spec.token_up, BUY, 4_000, 10)
    desk.run(0)
    assert user.read() == []
    assert market.read() != []
    faults.clear()
    wallet.post(spec.token_up, BUY, 4_000, 20)
    assert [event["event_type"] for event in user.read()] == ["order"]


async def ask(http, clock, url, timeout_s):
    """Status of one POST (nothing asks again by itself) and its venue seconds; "lost" without an answer."""
    began_ns = clock.now_ns()
    try:
        status = (await http.request("POST", url, timeout_s=timeout_s)).status
    except VenueUnavailable as error:
        status = "lost" if "no complete answer" in str(error) else "reset"
    return status, (clock.now_ns() - began_ns) / 1e9


def test_in_memory_an_answer_may_be_late_never_come_or_break_the_connection():
    faults = ScriptedFaults()
    for fault in (rest_faults.late(2.0), rest_faults.timeout_after(), rest_faults.reset_before()):
        faults.add("POST", "/order", fault)

    async def scenario(network, clock, group):
        url = "http://clob.sim/order"
        return [await ask(network.http, clock, url, 5.0) for _ in range(4)]

    got = play(scenario, faults=faults)
    assert [status for status, _ in got] == [401, "lost", "reset", 401]
    assert [took for _, took in got] == pytest.approx([2.006, 5.0, 0.003, 0.006])


def test_over_sockets_an_answer_may_be_late_never_come_or_break_the_connection():
    async def scenario():
        config = default_config(**QUIET | {"venue.speed": 100.0, "venue.world.spot.history_h": 1.0})
        opens = opening(config.venue, config.interval, wall_clock().now_ns())
        faults = ScriptedFaults()
        setup = VenueSetup(
            venue=config.venue,
            interval=config.interval,
            asset=config.asset,
            epoch_ns=opens.epoch_ns,
            session_id="socket-test",
        )
        server = VenueServer()
        server.bind()
        clock = SystemClock(opens.epoch_ns, wall_clock().mono_ns(), 100.0)
        await server.start(Venue(setup, faults=faults), clock)
        http = LaneClient(config.gateway)
        url = server.urls["clob_url"] + "/order"
        found = []
        patience_s = 60.0  # wall; only what never comes is not waited for
        late = (rest_faults.late(20.0), patience_s)
        for fault, limit_s in ((rest_faults.reset_before(), patience_s), late, (rest_faults.timeout_after(), 0.3)):
            faults.add("POST", "/order", fault)
            found.append(await ask(http, clock, url, limit_s))
        found.append(await ask(http, clock, url, patience_s))
        await http.close()
        await server.stop()
        return found

    async def bounded():
        async with asyncio.timeout(240.0):
            return await scenario()

    got = asyncio.run(bounded())
    assert [status for status, _ in got] == ["reset", 401, "lost", 401]
    assert got[1][1] >= 20.0
