"""Stop conditions: no order reaches the venue while one holds, at most one call a second while it is down, and
trading resumes by itself.

The engine's place is taken by a trader that wants an order every 0.25 s as long as entries are open, and by one that
does not ask (the gateway must refuse by itself).  What counts is the venue's own log of requests.
"""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from polybot._fast.event import OrderStatus
from polybot.gateway.reasons import RejectReason as Why
from polybot.sim import rest_faults
from polybot.sim.modes import Mode
from tests.gateway.floor import ENDS, FAK, GTC, NS, Floor, run_floor

REJECTED, UNKNOWN = int(OrderStatus.OS_REJECTED), int(OrderStatus.OS_UNKNOWN)
EVERY_S = 0.25
SEQ = 1_000_000


class Eager:
    """Wants orders all the time; takes from the ask, 5 shares each, so that there is always enough."""

    def __init__(self, floor: Floor, *, asks_first: bool) -> None:
        self.floor = floor
        self.asks_first = asks_first
        self.next_seq = 100
        self.wanted = 0
        self.outcome = 0

    async def run(self) -> None:
        while True:
            if self.floor.is_open or not self.asks_first:
                self.wanted += 1
                self.floor.place(self.next_seq, shares=5_000_000, outcome=self.outcome)
                self.next_seq += 1
            await self.floor.clock.sleep(EVERY_S)


def posts_between(floor: Floor, start_ns: int, end_ns: int) -> list[float]:
    return [(ns - start_ns) / NS for ns in floor.sent("POST", "/order") if start_ns < ns <= end_ns]


def calls_between(floor: Floor, start_ns: int, end_ns: int) -> int:
    return sum(start_ns < ns <= end_ns and path != "/time" for ns, _, path in floor.http.log)


async def spell(
    floor: Floor,
    begin: Callable[[], None],
    end: Callable[[], None],
    *,
    seconds: float,
    bound_s: float,
    resumes_s: float,
    asks_first: bool = True,
) -> tuple[list[float], int, int]:
    """Trade, let a condition hold, heal it; returns the posts after its bound, and (from, to) of that time."""
    eager = Eager(floor, asks_first=asks_first)
    task = floor.group.create_task(eager.run())
    await floor.clock.sleep(3.0)
    assert len(floor.sent("POST", "/order")) >= 8, "it traded before"
    start_ns = floor.clock.now_ns()
    begin()
    await floor.clock.sleep(bound_s)
    from_ns = floor.clock.now_ns()
    await floor.clock.sleep(seconds - bound_s)
    to_ns = floor.clock.now_ns()
    end()
    wanted, eager.outcome = eager.wanted, 1  # an order never answered keeps blocking its token
    await floor.clock.sleep(resumes_s)
    resumed = len(posts_between(floor, to_ns, floor.clock.now_ns()))
    assert floor.is_open, f"entries did not open again: {floor.entries.closed_by} {floor.notices}"
    assert eager.wanted > wanted
    assert resumed >= 2, "trading did not resume"
    task.cancel()
    assert start_ns < from_ns < to_ns
    return posts_between(floor, from_ns, to_ns), from_ns, to_ns


def resting(floor: Floor) -> None:
    """An order that rests, so that the dead-man switch is held."""
    floor.place(1, order_type=GTC, price_ticks=4_000)


HEARTBEAT_FAULTS = {
    "refused": rest_faults.refused(500, {"error": "no"}),
    "late": rest_faults.late(9.0),
    "400 and an id that is refused too": rest_faults.refused(
        400, {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": "x"}
    ),
    "400 without an id": rest_faults.refused(400, {"error_msg": "Invalid Heartbeat ID"}),
    "401": rest_faults.refused(401, {"error": "Unauthorized/Invalid api key"}),
    "429": rest_faults.refused(429, {"error": "Too Many Requests"}, retry_after_s=2.0),
    "never answered": rest_faults.timeout_before(),
    "reset": rest_faults.reset_before(),
}


@pytest.mark.parametrize("asks_first", [True, False])
@pytest.mark.parametrize("name", HEARTBEAT_FAULTS)
def test_a_lost_heartbeat_stops_orders_within_a_beat_until_one_is_acknowledged_and_compared(
    name: str, asks_first: bool
) -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        resting(floor)
        await floor.clock.sleep(1.0)
        posts, _, to_ns = await spell(
            floor,
            lambda: floor.faults.add("POST", "/v1/heartbeats", HEARTBEAT_FAULTS[name], None),
            floor.faults.clear,
            seconds=40.0,
            bound_s=7.6,  # the next beat is 5 s away and given up after half a period
            resumes_s=10.0,
            asks_first=asks_first,
        )
        assert posts == []
        assert any("HEARTBEAT_LOST" in line for line in floor.notices)
        assert wallet.account.orders == {}, "the venue canceled what rested"
        assert floor.status(1) in ENDS, "and we know it"
        first = next(ns for ns in floor.sent("POST", "/order") if ns > to_ns)
        beats = [ns for ns in floor.sent("POST", "/v1/heartbeats") if to_ns < ns < first]
        compared = [ns for ns in floor.sent("GET", "/data/orders") if beats[0] < ns < first]
        assert compared, "no order before an acknowledged beat and a comparison after it"

    run_floor(scenario)


@pytest.mark.parametrize("kind", ["dark", "refusing"])
def test_a_network_that_is_gone_stops_orders_and_they_resume_by_themselves(kind: str) -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        resting(floor)
        await floor.clock.sleep(1.0)

        def gone(is_gone: bool) -> None:
            setattr(floor.network, f"is_{kind}", is_gone)

        posts, _, _ = await spell(
            floor, lambda: gone(True), lambda: gone(False), seconds=40.0, bound_s=0.1, resumes_s=12.0
        )
        assert posts == []
        assert sum(order.status == UNKNOWN for order in floor.gateway._tracker) <= 7, "stopped before the timeout"
        assert floor.status(1) in ENDS

    run_floor(scenario)


def test_a_weekly_restart_in_mid_market_costs_one_call_a_second_and_trading_resumes_by_itself() -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        resting(floor)
        await floor.clock.sleep(1.0)
        modes = floor.desk.exchange.modes
        posts, from_ns, _ = await spell(
            floor,
            lambda: modes.begin(Mode.RESTARTING, 90.0, then_post_only_s=120.0),
            lambda: None,
            seconds=210.0,
            bound_s=0.5,
            resumes_s=12.0,
        )
        in_restart = [at for at in posts if at < 89.0]
        assert in_restart == []
        assert calls_between(floor, from_ns, from_ns + 89 * NS) <= 90
        gaps = [b - a for a, b in pairwise(posts)]
        assert 10 <= len(posts) <= 120, "trial orders while only post-only ones are taken"
        assert min(gaps) >= 1.0, "at most one a second"

    run_floor(scenario, market_s=600.0)


@pytest.mark.parametrize("mode", [Mode.CANCEL_ONLY, Mode.DISABLED])
def test_while_orders_are_refused_a_trial_leaves_at_most_once_a_second(mode: Mode) -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        resting(floor)
        await floor.clock.sleep(1.0)
        modes = floor.desk.exchange.modes
        posts, _, _ = await spell(
            floor,
            lambda: modes.begin(mode, 60.0),
            lambda: None,
            seconds=60.0,
            bound_s=0.5,
            resumes_s=12.0,
            asks_first=False,
        )
        gaps = [b - a for a, b in pairwise(posts)]
        assert 5 <= len(posts) <= 60
        assert min(gaps) >= 1.0

    run_floor(scenario)


@pytest.mark.parametrize("retry_after_s", [2.0, 7.0, 30.0])
def test_a_storm_of_429_is_answered_by_waiting_as_long_as_asked(retry_after_s: float) -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        fault = rest_faults.refused(429, {"error": "Too Many Requests"}, retry_after_s=retry_after_s)
        posts, _, _ = await spell(
            floor,
            lambda: floor.faults.add("", "/", fault, None),
            floor.faults.clear,
            seconds=60.0,
            bound_s=0.3,
            resumes_s=retry_after_s + 12.0,
            asks_first=False,
        )
        gaps = [b - a for a, b in pairwise(posts)]
        assert all(gap >= retry_after_s for gap in gaps)
        assert len(posts) <= 60.0 / retry_after_s

    run_floor(scenario)


INCOMPLETE = {
    "no list": rest_faults.refused(200, {"next_cursor": "LTE="}),
    "no cursor": rest_faults.refused(200, {"data": []}),
    "the cursor again": rest_faults.refused(200, {"data": [], "next_cursor": "MA=="}),
    "an endless list": rest_faults.refused(200, {"data": [], "next_cursor": "MTAw"}),
    "half a page": rest_faults.truncated(),
    "an error": rest_faults.refused(500, {"error": "no"}),
    "not JSON": rest_faults.refused(200, b"<html>"),
}


@pytest.mark.parametrize("path", ["/data/orders", "/data/trades"])
@pytest.mark.parametrize("name", INCOMPLETE)
def test_an_incomplete_list_closes_entries_until_a_whole_one_was_seen(name: str, path: str) -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        posts, _, _ = await spell(
            floor,
            lambda: floor.faults.add("GET", path, INCOMPLETE[name], None),
            floor.faults.clear,
            seconds=70.0,
            bound_s=33.0,  # comparisons are 30 s apart
            resumes_s=13.0,
        )
        assert posts == []
        assert any(line.startswith("WARNING reconcile failed") for line in floor.notices)

    run_floor(scenario)


def test_a_user_channel_that_is_gone_closes_entries_at_once_and_a_comparison_opens_them() -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        posts, _, _ = await spell(
            floor,
            lambda: floor.feed.on_close("gone", floor.clock.now_ns()),
            floor.connect,
            seconds=20.0,
            bound_s=0.02,
            resumes_s=3.0,
        )
        assert posts == []

    run_floor(scenario)


# -- a process that stood still ----------------------------------------------------------------------------------


def test_what_was_decided_before_the_process_stood_still_is_not_written_after_it() -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        floor.http.has_warm = False
        floor.place(1)  # its task has not run yet
        floor.clock.jump(15.0)
        await floor.clock.sleep(0.05)
        assert floor.sent("POST", "/order") == []
        assert floor.status(1) == REJECTED
        assert floor.reasons[1] == Why.HUNG
        await floor.clock.sleep(5.0)
        assert floor.is_open
        floor.place(2)
        await floor.clock.sleep(5.0)
        assert floor.status(2) in ENDS - {REJECTED}

    run_floor(scenario)


def test_nothing_leaves_after_a_hang_before_a_comparison_succeeded() -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        resting(floor)
        await floor.clock.sleep(6.0)
        floor.faults.add("GET", "/data/trades", rest_faults.refused(500, {}), None)
        floor.clock.jump(15.0)
        back_ns = floor.clock.now_ns()
        eager = Eager(floor, asks_first=False)
        task = floor.group.create_task(eager.run())
        await floor.clock.sleep(8.0)
        assert posts_between(floor, back_ns, floor.clock.now_ns()) == []
        assert floor.gateway.entry_pause() in (Why.HUNG, Why.HEARTBEAT_LOST)
        healed_ns = floor.clock.now_ns()
        floor.faults.clear()
        await floor.clock.sleep(15.0)
        posts = [ns for ns in floor.sent("POST", "/order") if ns > healed_ns]
        whole = [ns for ns in floor.sent("GET", "/balance-allowance") if ns > healed_ns]
        assert posts, "trading resumed"
        assert whole, "a comparison to its last request"
        assert whole[0] < posts[0]
        assert floor.status(1) in ENDS, "the venue's switch canceled it meanwhile"
        task.cancel()

    run_floor(scenario)


def test_an_order_whose_connection_took_too_long_is_refused_at_its_first_byte() -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        whole = floor.http.request

        async def slow(method: str, url: str, **more: Any) -> Any:
            if method == "POST" and url.endswith("/order"):
                await asyncio.sleep(0.6)  # a handshake
            return await whole(method, url, **more)

        floor.http.request = slow  # type: ignore[method-assign]
        floor.http.has_warm = False
        floor.place(1)
        await floor.clock.sleep(1.0)
        assert floor.sent("POST", "/order") == []
        assert floor.reasons[1] == Why.STALE_DECISION
        assert floor.status(1) == REJECTED
        assert floor.engine.risk.exposure() == 0

    run_floor(scenario)


def test_a_short_stall_is_no_hang_but_old_decisions_are_not_sent() -> None:
    async def scenario(floor: Floor, wallet: Any) -> None:
        floor.http.has_warm = False
        floor.place(1)
        floor.clock.jump(0.7)
        await floor.clock.sleep(0.2)
        assert floor.reasons[1] == Why.STALE_DECISION
        assert floor.is_open
        floor.place(2, decided_ns=floor.clock.now_ns() - round(0.4 * NS), order_type=FAK)
        await floor.clock.sleep(0.2)
        assert len(floor.sent("POST", "/order")) == 1

    run_floor(scenario)
