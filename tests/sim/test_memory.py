"""The venue without sockets: virtual time, order of messages, reconnects, the same run twice."""

import asyncio
import json
import time
from itertools import pairwise

import pytest
from sim.world import NS, QUIET, REAL_NOW_NS, SPOT_STREAMS

from polybot.clock import VirtualClock
from polybot.config import default_config
from polybot.errors import VenueUnavailable
from polybot.sim.memory import MemoryNetwork, memory_venue
from polybot.sim.opening import opening
from polybot.sim.venue import Venue, VenueSetup
from polybot.sim.virtual_loop import VirtualLoop


class Feed:
    """A transport.Feed that notes everything."""

    name = "test"

    def __init__(self, url, *greetings):
        self.wants_reconnect = None
        self.wants_rollover = None
        self.gives_up = None
        self.address, self.greetings = url, greetings
        self.payloads, self.times, self.opened, self.closed, self.ticks = [], [], [], [], []

    def url(self):
        return self.address

    def on_open(self, send, now_ns):
        self.opened.append(now_ns)
        for text in self.greetings:
            send(text)

    def on_payload(self, payload, recv_ns):
        self.payloads.append(payload)
        self.times.append(recv_ns)

    def on_timer(self, now_ns):
        self.ticks.append(now_ns)

    def on_close(self, reason, now_ns):
        self.closed.append(reason)


def play(scenario, *, faults=None, **overrides):
    """Run `scenario(network, clock, config)` in virtual time against a quiet venue."""

    async def main():
        settings = QUIET | {"venue.world.spot.history_h": 1.0} | overrides
        config = default_config(**settings)
        opens = opening(config.venue, config.interval, REAL_NOW_NS)
        clock = VirtualClock(asyncio.get_running_loop(), opens.epoch_ns)
        setup = VenueSetup(
            venue=memory_venue(config.venue),
            interval=config.interval,
            asset=config.asset,
            epoch_ns=opens.epoch_ns,
            session_id="memory-test",
        )
        network = MemoryNetwork(Venue(setup, faults=faults), clock, config.feeds, latency_s=0.003)
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(network.pump())
            result = await scenario(network, clock, group)
            pump.cancel()
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


async def drive_for(network, group, feed, seconds, rollover_s=0.0):
    driver = group.create_task(network.drive(feed, rollover_s))
    await asyncio.sleep(seconds)
    driver.cancel()
    return feed


def spot_feed():
    return Feed("ws://spot.sim" + SPOT_STREAMS)


def test_virtual_time_jumps_and_keeps_the_order_of_timers():
    seen = []

    async def main():
        loop = asyncio.get_running_loop()
        for delay in (5.0, 1.0, 3_600.0):
            loop.call_later(delay, seen.append, delay)
        await asyncio.sleep(7_200.0)
        return loop.time()

    started = time.process_time()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 7_200.0
    assert seen == [1.0, 5.0, 3_600.0]
    assert time.process_time() - started < 5.0


def test_waiting_for_nothing_is_reported_as_a_deadlock():
    async def main():
        await asyncio.get_running_loop().create_future()

    loop = VirtualLoop()
    task = loop.create_task(main())
    with pytest.raises(RuntimeError, match="nothing is scheduled"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def test_a_planned_call_that_fails_is_told_and_the_run_goes_on():
    told, seen = [], []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(type(context["exception"])))
        loop.queue.plan(1.0, lambda: 1 // 0)
        loop.queue.plan(2.0, lambda: seen.append(loop.time()))
        await asyncio.sleep(3.0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert (told, seen) == ([ZeroDivisionError], [2.0])


def test_timeouts_work_in_virtual_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30.0):
                await asyncio.sleep(60.0)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == pytest.approx(30.0)


def test_messages_arrive_in_order_one_latency_after_they_were_sent():
    async def scenario(network, clock, group):
        return await drive_for(network, group, spot_feed(), 20.0)

    feed = play(scenario)
    trades = [
        (json.loads(payload)["data"], at_ns)
        for payload, at_ns in zip(feed.payloads, feed.times, strict=True)
        if b"@trade" in payload
    ]
    assert all(b["t"] == a["t"] + 1 for (a, _), (b, _) in pairwise(trades))
    assert all(abs(at_ns - trade["E"] * 1_000 - 3_000_000) <= 2_000 for trade, at_ns in trades)
    assert len(feed.ticks) == pytest.approx(80, abs=2)
    assert feed.closed == ["stopped"]


def test_the_same_run_twice_delivers_the_same_bytes_at_the_same_times():
    async def scenario(network, clock, group):
        feed = await drive_for(network, group, spot_feed(), 20.0)
        return feed.payloads, feed.times

    assert play(scenario) == play(scenario)


def test_a_feed_that_wants_to_reconnect_is_reconnected_with_backoff():
    async def scenario(network, clock, group):
        feed = spot_feed()
        driver = group.create_task(network.drive(feed))
        for _ in range(3):
            await asyncio.sleep(12.0)
            feed.wants_reconnect = "stale"
        await asyncio.sleep(12.0)
        driver.cancel()
        return feed

    feed = play(scenario)
    assert len(feed.opened) == 4
    assert feed.closed == ["stale"] * 3 + ["stopped"] or feed.closed == ["stale"] * 3


def test_a_rollover_loses_no_trade():
    async def scenario(network, clock, group):
        return await drive_for(network, group, spot_feed(), 60.0, rollover_s=20.0)

    feed = play(scenario)
    assert len(feed.opened) == 3
    assert feed.closed[:2] == ["rollover", "rollover"]
    ids = [json.loads(payload)["data"]["t"] for payload in feed.payloads if b"@trade" in payload]
    assert sorted(set(ids)) == list(range(min(ids), max(ids) + 1))
    assert len(ids) > len(set(ids))


def test_a_venue_that_closes_a_socket_is_noticed():
    async def scenario(network, clock, group):
        feed = Feed("ws://polybolt.sim/ws", *['{"op":"auth","auth":{}}'] * 9)
        return await drive_for(network, group, feed, 1.0)

    feed = play(scenario)
    assert feed.closed[0] == "closed: 4001 auth"
    assert len(feed.opened) > 1


def test_a_feed_that_gives_up_is_left_alone():
    async def scenario(network, clock, group):
        feed = spot_feed()
        driver = group.create_task(network.drive(feed))
        await asyncio.sleep(1.0)
        feed.gives_up = "bad credentials"
        await driver
        return feed

    assert play(scenario).closed == ["bad credentials"]


def test_requests_take_two_latencies_and_carry_venue_time():
    async def scenario(network, clock, group):
        before_ns = clock.now_ns()
        answer = await network.http.request("GET", "http://spot.sim/api/v3/time")
        return json.loads(answer.body)["serverTime"], before_ns, clock.now_ns(), answer.headers

    served_ms, before_ns, after_ns, headers = play(scenario)
    assert after_ns - before_ns == pytest.approx(6_000_000, abs=2_000)
    assert before_ns // 1_000_000 <= served_ms <= after_ns // 1_000_000
    assert headers["content-type"].startswith("application/json")


def test_slow_answers_and_unknown_hosts_are_no_answer():
    async def scenario(network, clock, group):
        with pytest.raises(VenueUnavailable, match="no complete answer"):
            await network.http.request("GET", "http://clob.sim/time", timeout_s=0.004)
        with pytest.raises(VenueUnavailable, match="no such host"):
            await network.http.request("GET", "http://example.com/time")
        return network.http.requests

    assert play(scenario) == 2


def test_a_whole_window_passes_in_virtual_time():
    async def scenario(network, clock, group):
        start_s = (clock.now_ns() // NS // 300 + 1) * 300
        await asyncio.sleep(40 + 300 + 95)
        answer = await network.http.request("GET", f"http://gamma.sim/events/slug/btc-updown-5m-{start_s}")
        return json.loads(answer.body)

    assert play(scenario)["markets"][0]["umaResolutionStatus"] == "resolved"
