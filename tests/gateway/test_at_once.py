"""An order leaves on the call stack that decided it: in a real socket before anything else runs, and never twice.

The other end is a plain blocking socket in the same thread: what it can read before the loop turns was written on the
caller's stack.  Everything that holds for an order sent by a task holds here: the journal first, the last check at the
moment of writing, cancels before places, no answer is UNKNOWN.
"""

import asyncio
import gc
import inspect
import json
import logging
import re
import select
import socket
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import pytest
import uvloop
from scenario import Scenario, make_risk, make_spec
from scripted_strategy import Scripted, opinion

from polybot._fast.event import CommandBuffer, CommandKind, EventBuffer, OrderStatus
from polybot.clock import wall_clock
from polybot.config import GatewayConfig, VenueConfig
from polybot.errors import NotSent
from polybot.gateway.auth import ApiCredentials, RequestSigner
from polybot.gateway.clob import ClobGateway
from polybot.gateway.http import LaneClient
from polybot.gateway.reasons import RejectReason as Why
from polybot.gateway.signer import Signer
from polybot.market.spec import MarketSpec
from polybot.runner import Runner
from polybot.telemetry.inbox import TelemetryInbox
from tests.gateway.fake_http import ANVIL_KEY, Bench, command, run_virtual

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
PATIENCE_S = 60.0
NS = 1_000_000_000
REJECTED, UNKNOWN, CANCELED = int(OrderStatus.OS_REJECTED), int(OrderStatus.OS_UNKNOWN), int(OrderStatus.OS_CANCELED)
CMD_CANCEL, CMD_CANCEL_ALL = int(CommandKind.CMD_CANCEL), int(CommandKind.CMD_CANCEL_ALL)
KILLED = b'{"success":false,"errorMsg":"no orders found to match with FAK order. FAK orders are killed"}'
CREDENTIALS = ApiCredentials("6d9f8a0e-0000-4000-8000-000000000000", "A" * 43 + "=", "phrase")


class Journal:
    """An intent log that says what it was told, and can do something first."""

    def __init__(self, desk: "Desk") -> None:
        self.desk = desk
        self.intents: list[int] = []
        self.unwritten_at_intent: list[bytes] = []
        self.first: Callable[[], None] = lambda: None

    def intent(self, order: Any, *, salt: int, api_key: str) -> bool:
        self.first()
        self.unwritten_at_intent.append(self.desk.readable())
        self.intents.append(order.order_seq)
        return True

    def trade_seen(self, key: int, *, trade_id: str, order_id: str, leg: int) -> None:
        """Nothing is filled here."""


class LateClock:
    """The wall clock, stopped (no pause of this machine makes a decision old) until it is put forward."""

    def __init__(self) -> None:
        clock = wall_clock()
        self._now_ns, self._mono_ns, self.ahead_ns = clock.now_ns(), clock.mono_ns(), 0
        self.sleep, self.real_s = clock.sleep, clock.real_s

    def now_ns(self) -> int:
        return self._now_ns + self.ahead_ns

    def mono_ns(self) -> int:
        return self._mono_ns + self.ahead_ns


class Desk:
    """A gateway with the real client, logged in, over one warm connection to a blocking socket."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.clock = LateClock()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.http = LaneClient(GatewayConfig())
        self.journal = Journal(self)
        self.tasks: list[asyncio.Task[None]] = []
        self.updates: list[tuple[int, int, int]] = []  # order_seq, status, reason
        self.stages: list[str] = []
        self.may_spawn = True
        self.gateway = ClobGateway(
            self.http,
            self.clock,
            signer=Signer(ANVIL_KEY, VenueConfig()),
            venue=VenueConfig(clob_url=self.url, request_timeout_s=PATIENCE_S),
            settings=GatewayConfig(),
            sink=self.sink,
            spawn=self.spawn,
            on_stage=lambda stage, seq, ns: self.stages.append(stage),
            intents=self.journal,
        )
        self.gateway._rest.auth = RequestSigner(self.gateway._signer.address, CREDENTIALS)
        self.gateway._health.started = True
        self.spec: MarketSpec = make_spec(
            start_ns=self.clock.now_ns() - 20 * NS, end_ns=self.clock.now_ns() + 3_600 * NS
        )
        self.gateway.register_market(0, self.spec)
        self.peer: socket.socket | None = None

    def spawn(self, work: Any) -> None:
        if not self.may_spawn:
            work.close()
            raise RuntimeError("the task group is shutting down")
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def sink(self, events: EventBuffer) -> None:
        self.updates += [(int(row["seq"]), int(row["i"]), int(row["x"])) for row in events.to_numpy()]

    async def connect(self) -> None:
        """Open the lane of places by a first request, and let the peer answer it."""
        asking = asyncio.create_task(self.http.request("POST", f"{self.url}/order", body=b"", timeout_s=PATIENCE_S))
        await until(self.accept)
        await until(lambda: bool(self.readable()))
        self.answer(b"{}")
        assert (await asking).status == 200

    def accept(self) -> bool:
        """Take the connection once it is there."""
        try:
            self.peer, _ = self.listener.accept()
        except BlockingIOError:
            return False
        self.peer.setblocking(False)
        return True

    def readable(self) -> bytes:
        """What has arrived at the other end by now."""
        assert self.peer is not None
        try:
            return self.peer.recv(1 << 20)
        except BlockingIOError:
            return b""

    def arrived(self) -> bytes:
        """The same, of bytes that have left already: the kernel may take a moment, in which the loop stands still."""
        assert self.peer is not None
        assert select.select([self.peer], [], [], PATIENCE_S)[0], "nothing arrived"
        return self.readable()

    def answer(self, body: bytes) -> None:
        assert self.peer is not None
        self.peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def place(self, order_seq: int = 1, *, decided_ns: int | None = None) -> None:
        now_ns = self.clock.now_ns() if decided_ns is None else decided_ns
        self.gateway.execute(command(order_seq=order_seq, market=0, decided_ns=now_ns))

    async def settled(self) -> None:
        """The tasks of all orders have ended."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self.tasks)

    def lane(self) -> Any:
        return next(lane for (_, method), lane in self.http._lanes.items() if method == "POST")


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not ready():
            await asyncio.sleep(0.001)


def run_desk(
    scenario: Callable[[Desk], Awaitable[None]], loop: Callable[[], Any] = asyncio.new_event_loop
) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            desk = Desk(listener)
            await desk.connect()
            try:
                await scenario(desk)
            finally:
                for task in desk.tasks:
                    task.cancel()
                await desk.http.close()
                if desk.peer is not None:
                    desk.peer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_the_whole_request_is_in_the_socket_when_execute_returns(loop: Callable[[], Any]) -> None:
    async def scenario(desk: Desk) -> None:
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        desk.place()
        arrived = desk.arrived()
        assert turns == []  # nothing else ran meanwhile
        head, _, body = arrived.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /order HTTP/1.1\r\nHost: 127.0.0.1:")
        assert f"Content-Length: {len(body)}" in head.decode().split("\r\n")
        order = next(iter(desk.gateway._tracker))
        assert body == order.body
        stamp = re.search(r"POLY_TIMESTAMP: (\d+)", head.decode())
        assert stamp is not None
        auth = desk.gateway._rest.auth
        assert auth is not None
        wanted = auth.headers(int(stamp[1]), "POST", path="/order", body=body)
        told = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert {name: told[name] for name in wanted} == wanted
        assert told["Content-Type"] == "application/json"
        assert desk.journal.intents == [1]
        assert desk.journal.unwritten_at_intent == [b""]  # in the journal before its first byte
        assert desk.stages == ["sign", "write"]
        desk.answer(KILLED)
        await desk.settled()
        assert desk.updates == [(1, CANCELED, int(Why.KILLED))]
        assert desk.stages == ["sign", "write", "ack"]

    run_desk(scenario, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_serves_order_after_order_and_is_free_again_after_each_answer(loop: Callable[[], Any]) -> None:
    async def scenario(desk: Desk) -> None:
        for order_seq in range(1, 6):
            desk.place(order_seq)
            assert json.loads(desk.arrived().partition(b"\r\n\r\n")[2])["order"]
            desk.answer(KILLED)
            await desk.settled()
            await until(lambda: bool(desk.lane()._idle))
        assert desk.lane().opened == 1
        assert desk.gateway.counters()["killed"] == 5

    run_desk(scenario, loop)


def test_without_a_free_connection_the_order_waits_for_one_of_its_own() -> None:
    async def scenario(desk: Desk) -> None:
        desk.place(1)
        assert desk.arrived()
        first = desk.peer
        desk.place(2)  # the only connection waits for its answer
        assert desk.readable() == b""
        await until(desk.accept)
        await until(lambda: desk.stages.count("write") == 2)
        desk.answer(KILLED)
        assert first is not None
        assert desk.peer is not None
        with desk.peer:
            desk.peer = first
            desk.answer(KILLED)
            await desk.settled()
        assert {(seq, status) for seq, status, _ in desk.updates} == {(1, CANCELED), (2, CANCELED)}
        assert desk.lane().opened == 2

    run_desk(scenario)


def test_while_connections_are_kept_warm_an_order_still_finds_one_free() -> None:
    async def scenario(desk: Desk) -> None:
        async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    free.append(desk_lane.free() is not None)
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            except asyncio.IncompleteReadError:
                writer.close()
                await writer.wait_closed()
                ended.append(1)

        ended: list[int] = []
        free: list[bool] = []
        server = await asyncio.start_server(answer_all, "127.0.0.1", 0)
        client = LaneClient(GatewayConfig())
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/time"
        desk_lane = client._lane("POST", url)
        assert await client.warm(url, PATIENCE_S) == 6
        free.clear()
        assert await client.warm(url, PATIENCE_S) == 6
        assert free == [True] * 6
        assert desk_lane.opened == 2
        await client.close()
        await until(lambda: len(ended) == 6)
        server.close()

    run_desk(scenario)


def test_a_decision_that_grew_old_while_it_was_journaled_is_not_written_and_the_connection_stays_free() -> None:
    async def scenario(desk: Desk) -> None:
        def hang() -> None:
            desk.clock.ahead_ns += 2 * NS  # a disk that took its time

        desk.journal.first = hang
        desk.place(1)
        desk.journal.first = lambda: None
        assert desk.readable() == b""
        assert desk.updates == []  # told from a task, never from within the sink
        await desk.settled()
        assert desk.updates == [(1, REJECTED, int(Why.STALE_DECISION))]
        assert len(desk.lane()._idle) == 1
        desk.place(2)
        assert desk.arrived()

    run_desk(scenario)


def test_an_answer_told_twice_that_nobody_has_read_yet_is_not_the_next_orders() -> None:
    async def scenario(desk: Desk) -> None:
        desk.place(1)
        assert desk.arrived()
        desk.answer(KILLED)
        await desk.settled()
        wire, first = desk.lane()._idle[0], desk.peer
        desk.answer(KILLED)
        assert select.select([wire.transport_socket()], [], [], PATIENCE_S)[0]  # it is there, the loop has not turned
        desk.place(2)
        await until(desk.accept)
        assert first is not None
        with first:
            await until(lambda: desk.stages.count("write") == 2)
            assert [seq for seq, _, _ in desk.updates] == [1]
            desk.answer(KILLED)
            await desk.settled()
            assert [seq for seq, _, _ in desk.updates] == [1, 2]

    run_desk(scenario)


def test_no_answer_is_unknown_and_the_connection_is_never_used_again() -> None:
    async def scenario(desk: Desk) -> None:
        desk.place(1)
        assert desk.arrived()
        assert desk.peer is not None
        desk.peer.close()
        desk.peer = None
        await until(lambda: bool(desk.updates))
        assert desk.updates[0] == (1, UNKNOWN, int(Why.NO_ANSWER))
        assert desk.lane()._count == 0

    run_desk(scenario)


def test_a_timeout_is_unknown_and_a_late_answer_is_nobodys() -> None:
    async def scenario(desk: Desk) -> None:
        desk.gateway._rest._timeout_s = 0.05
        desk.place(1)
        assert desk.arrived()
        await until(lambda: bool(desk.updates))
        assert desk.updates[0] == (1, UNKNOWN, int(Why.NO_ANSWER))
        await until(lambda: desk.lane()._count == 0)

    run_desk(scenario)


def test_when_no_task_can_be_made_nothing_is_written() -> None:
    async def scenario(desk: Desk) -> None:
        desk.may_spawn = False
        with pytest.raises(RuntimeError, match="shutting down"):
            desk.place(1)
        assert desk.readable() == b""

    run_desk(scenario)


def test_an_answer_whose_reader_was_cancelled_before_it_began_leaves_no_connection_behind() -> None:
    async def scenario(desk: Desk) -> None:
        desk.place(1)
        desk.tasks[-1].cancel()
        assert desk.arrived()
        desk.answer(KILLED)
        await until(lambda: bool(desk.lane()._idle))
        assert desk.lane()._count == 1
        assert desk.gateway.open_order_seqs() == (1,)

    run_desk(scenario)


def test_a_write_that_breaks_off_is_unknown_and_never_sent_again() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        route = bench.http.route("POST", "http://clob.test/order", {})

        class Breaking:
            def begin(self, lines: bytes, body: bytes, *, timeout_s: float, before_write: Callable[[], None]) -> None:
                before_write()
                raise RuntimeError("after some bytes")

        bench.gateway._rest._routed, bench.gateway._rest._order_route = bench.gateway._rest.auth, Breaking()  # type: ignore[assignment]
        with pytest.raises(RuntimeError, match="after some bytes"):
            bench.gateway.execute(command())
        bench.gateway._rest._order_route = route
        await bench.clock.sleep(0.01)
        assert bench.updates()[0][0] == UNKNOWN
        assert bench.reason() == int(Why.NO_ANSWER)
        assert bench.http.sent("POST", "/order") == []

    run_virtual(scenario)


def test_a_route_that_could_not_write_tells_it_as_unsent() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()

        class Closed:
            def begin(self, lines: bytes, body: bytes, *, timeout_s: float, before_write: Callable[[], None]) -> None:
                raise NotSent("POST /order: ConnectionResetError")

        bench.gateway._rest._routed, bench.gateway._rest._order_route = bench.gateway._rest.auth, Closed()  # type: ignore[assignment]
        bench.gateway.execute(command())
        await bench.clock.sleep(0.01)
        assert bench.updates() == [(REJECTED, 0)]
        assert bench.reason() == int(Why.NO_CONNECTION)

    run_virtual(scenario)


def together(*parts: CommandBuffer) -> Any:
    """Commands of one batch."""
    raw = b"".join(part.to_bytes() for part in parts)
    return type("Packed", (), {"to_bytes": lambda self: raw})()


@pytest.mark.parametrize("is_one_batch", [True, False])
@pytest.mark.parametrize(("kind", "routes"), [(CMD_CANCEL, ["DELETE", "POST"]), (CMD_CANCEL_ALL, ["DELETE"])])
def test_a_cancel_leaves_before_a_place_of_the_same_turn_or_takes_it_back(
    kind: int, routes: list[str], is_one_batch: bool
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.start()
        bench.gateway.execute(command(order_seq=1, order_type=0))
        await bench.clock.sleep(1.0)
        seen = len(bench.http.requests)
        place, cancel = command(order_seq=2, outcome=1), command(kind, order_seq=1)
        for batch in [together(place, cancel)] if is_one_batch else [cancel, place]:
            bench.gateway.execute(batch)
        await bench.clock.sleep(0.001)
        assert [r.method for r in bench.http.requests[seen:] if r.method != "GET"] == routes
        assert ("POST" in routes) or bench.reason(2) == int(Why.WITHDRAWN)
        bench.gateway.execute(command(order_seq=3, outcome=1))
        assert 3 in bench.gateway._poster._unanswered  # at once again

    run_virtual(scenario)


# -- nothing in between -----------------------------------------------------------------------------------------------


class Witness:
    """Every Python function that begins or goes on while it looks, up to the write."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bool]] = []  # file, name, is a coroutine

    def look(self, work: Callable[[], None]) -> None:
        def on_call(frame: FrameType, event: str, _: object) -> None:
            if event == "call":
                code = frame.f_code
                is_coroutine = bool(code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))
                self.seen.append((code.co_filename, code.co_name, is_coroutine))

        before, is_collecting = sys.getprofile(), gc.isenabled()
        gc.disable()  # what other tests left behind may log or run on when it is collected
        sys.setprofile(on_call)
        try:
            work()
        finally:
            sys.setprofile(before)
            if is_collecting:
                gc.enable()

    def faults(self) -> list[str]:
        """Log calls, steps of coroutines, turns of a loop."""
        loggers = (f"{logging.__file__.rpartition('/')[0]}/", "/loguru/")
        return [
            f"{name} of {file}"
            for file, name, is_coroutine in self.seen
            if is_coroutine or any(part in file for part in loggers) or name in ("run_once", "_run_once")
        ]


def engine_desk(desk: Desk, spy: Callable[[], None] = lambda: None) -> tuple[Runner, Scenario]:
    """Engine and runner before the gateway, and a strategy that wants an order at the next trade."""
    hour_ns = 3_600 * NS
    risk = make_risk(spot_max_age_ns=hour_ns, stale_feed_ns=hour_ns, oracle_max_age_ns=hour_ns)
    strategy = Scripted()
    scenario = Scenario([strategy], risk=risk, spec=desk.spec)
    scenario.warm()
    strategy.say = opinion()

    def execute(commands: CommandBuffer) -> None:
        spy()
        desk.gateway.execute(commands)

    runner = Runner(
        scenario.engine,
        clock=desk.clock,
        inbox=TelemetryInbox(),
        gateway=execute,
        on_feed_command=lambda kind, market: None,
    )
    return runner, scenario


def test_between_signal_and_write_no_coroutine_runs_and_nothing_is_logged() -> None:
    async def scenario(desk: Desk) -> None:
        runner, market = engine_desk(desk)
        market.trade((desk.clock.now_ns() - desk.spec.start_ns) / NS, 100_001.0)
        witness = Witness()
        witness.look(lambda: runner.feed(market.events))
        assert b'"order":{"salt":' in desk.arrived()
        names = [name for _, name, _ in witness.seen]
        for step in ("execute", "plan_order", "sign_order", "intent", "_check", "begin_order"):
            assert step in names
        assert witness.faults() == []

    run_desk(scenario)


@pytest.mark.parametrize("planted", ["log", "coroutine"])
def test_the_witness_sees_a_log_call_and_a_step_of_a_coroutine(planted: str) -> None:
    async def step() -> None:
        """A coroutine that somebody drives."""

    def spy() -> None:
        if planted == "log":
            logging.getLogger("polybot").debug("filtered out")
        else:
            with pytest.raises(StopIteration):
                step().send(None)

    async def scenario(desk: Desk) -> None:
        runner, market = engine_desk(desk, spy)
        market.trade((desk.clock.now_ns() - desk.spec.start_ns) / NS, 100_001.0)
        witness = Witness()
        witness.look(lambda: runner.feed(market.events))
        assert len(witness.faults()) >= 1

    run_desk(scenario)
