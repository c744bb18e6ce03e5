"""Connection over real loopback sockets: delivery, reconnect, half-open peers, hosts, rollover."""

import asyncio
from random import Random

import pytest
from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.test_utils import TestServer

from polybot.config import FeedsConfig
from polybot.feeds.connection import Connection
from polybot.transport import SendText
from tests.feeds.peer import NS, WAIT_S, Peer, Record, clock, listen, peer_of, running

SETTINGS = FeedsConfig(backoff_min_s=0.25, backoff_max_s=1.0, connect_timeout_s=60.0)


class PlainFeed:
    """Records everything; asks to reconnect when data is older than silence_ns."""

    def __init__(self, *urls: str) -> None:
        self.name = "plain"
        self.wants_reconnect: str | None = None
        self.wants_rollover: str | None = None
        self.gives_up: str | None = None
        self.retry_after_s = 0.0
        self.urls = list(urls)
        self.asked = 0
        self.silence_ns = 0  # never
        self.opened = Record()
        self.payloads = Record()
        self.closed = Record()
        self.timers = Record()
        self.last_ns = 0

    def url(self) -> str:
        self.asked += 1
        return self.urls[(self.asked - 1) % len(self.urls)]

    def on_open(self, send: SendText, now_ns: int) -> None:
        self.last_ns = now_ns
        self.wants_reconnect = None
        send("hello")
        self.opened.add(send)

    def on_payload(self, payload: bytes, recv_ns: int) -> None:
        self.last_ns = recv_ns
        self.payloads.add(payload)
        if payload.startswith(b"raise"):
            raise ValueError("bad message")
        if payload == b"ask":
            self.wants_reconnect = "asked"

    def on_timer(self, now_ns: int) -> None:
        self.timers.add(now_ns)
        if self.silence_ns and now_ns - self.last_ns > self.silence_ns:
            self.wants_reconnect = "silence"

    def on_close(self, reason: str, now_ns: int) -> None:
        self.closed.add(reason)


def connect(feed: PlainFeed, **options: object) -> Connection:
    return Connection(feed, clock(), SETTINGS, rng=Random(1), **options)  # type: ignore[arg-type]


def test_subscribes_and_delivers_every_message_in_order() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        for k in range(500):
            await socket.send_str(f"{k}")
        await socket.send_bytes(b"binary")
        await listen(peer, socket)

    async def scenario() -> None:
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            connection = connect(feed)
            async with running(connection):
                assert await peer.texts.reach(1) == ["hello"]
                payloads = await feed.payloads.reach(501)
                assert payloads == [*(f"{k}".encode() for k in range(500)), b"binary"]
                await feed.timers.reach(3)
                assert connection.connected
                assert connection.last_payload_ns == feed.last_ns
            assert feed.closed.items == ["stopped"]
            assert (connection.connects, connection.disconnects, connection.failures) == (1, 1, 0)

    asyncio.run(scenario())


def test_stamps_are_venue_time_and_never_go_back() -> None:
    async def scenario() -> None:
        stamps = Record()
        async with peer_of() as peer:
            feed = PlainFeed(peer.url)
            feed.on_payload = lambda payload, recv_ns: stamps.add(recv_ns)  # type: ignore[method-assign]
            time = clock()
            before_ns = time.now_ns()
            async with running(Connection(feed, time, SETTINGS)):
                await stamps.reach(1)
                await feed.timers.reach(4)
                ticks = [int(str(tick)) for tick in feed.timers.items]
            assert before_ns < int(str(stamps.items[0])) <= time.now_ns()
            assert ticks == sorted(ticks)

    asyncio.run(scenario())


def test_peer_that_closes_or_aborts_is_connected_anew_and_the_reason_told() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        await socket.send_str("x")
        count = len(peer.sockets.items)
        if count == 1:
            await socket.close(code=WSCloseCode.GOING_AWAY)
        elif count == 2:
            await socket.close(code=4008)
        elif count == 3:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()
        else:
            await listen(peer, socket)

    async def scenario() -> None:
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            connection = connect(feed)
            async with running(connection):
                await feed.payloads.reach(4)
                assert feed.closed.items == ["closed 1001", "closed 4008", "aborted"]
                assert (connection.connects, connection.disconnects) == (4, 3)
                assert connection.last_reason == "aborted"

    asyncio.run(scenario())


def test_the_last_payload_is_not_forgotten_while_a_new_link_is_still_silent() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        if len(peer.sockets.items) == 1:
            await socket.send_str("x")
            await socket.close()
        else:
            await listen(peer, socket)

    async def scenario() -> None:
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            stamps = Record()
            feed.on_payload = lambda payload, recv_ns: stamps.add(recv_ns)  # type: ignore[method-assign]
            connection = connect(feed)
            async with running(connection):
                await feed.opened.reach(2)
                assert connection.connected
                assert [connection.last_payload_ns] == stamps.items

    asyncio.run(scenario())


def test_half_open_peer_is_left_when_the_feed_finds_its_data_too_old() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        await socket.send_str("x")
        if len(peer.sockets.items) == 1:  # a peer that is gone: reads nothing, sends nothing
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.pause_reading()  # type: ignore[attr-defined]
        await listen(peer, socket)

    async def scenario() -> None:
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            connection = connect(feed)
            async with running(connection):
                await feed.payloads.reach(1)
                feed.silence_ns = 2 * NS
                await feed.closed.reach(1)
                feed.silence_ns = 0  # the next link may say nothing for as long as a busy machine makes it
                await feed.payloads.reach(2)
                assert feed.closed.items == ["silence"]
                assert feed.wants_reconnect is None

    asyncio.run(scenario())


def test_feed_that_asks_is_reconnected_without_waiting_for_the_timer() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        await socket.send_str("ask" if len(peer.sockets.items) == 1 else "x")
        await socket.send_str("late" if len(peer.sockets.items) == 1 else "y")
        await listen(peer, socket)

    async def scenario() -> None:
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            async with running(connect(feed)):
                await feed.payloads.reach(3)
                assert feed.closed.items == ["asked"]

    asyncio.run(scenario())


def test_exceptions_in_callbacks_are_counted_and_the_feed_goes_on() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        for text in ("raise 1", "a", "raise 2", "b"):
            await socket.send_str(text)
        await listen(peer, socket)

    async def scenario() -> None:
        alarms: list[tuple[str, str]] = []
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            connection = connect(feed, on_alarm=lambda code, text: alarms.append((code, text)))
            async with running(connection):
                await feed.payloads.reach(4)
                await feed.timers.reach(2)
                assert (connection.connects, connection.disconnects) == (1, 0)
                assert connection.callback_errors == 2
        assert alarms == [("feed_callback", "plain: ValueError: bad message")]

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [403, 451])
def test_host_that_refuses_our_place_is_left_for_the_next_one(status: int) -> None:
    async def scenario() -> None:
        alarms: list[str] = []
        async with peer_of(status=status) as refusing, peer_of() as peer:
            feed = PlainFeed(refusing.url, peer.url)
            connection = connect(feed, on_alarm=lambda code, text: alarms.append(code))
            async with running(connection):
                await feed.payloads.reach(1)
                assert connection.last_reason == f"blocked {status}"
                feed.wants_reconnect = "again"
                await feed.payloads.reach(2)
            assert alarms == ["host_blocked"]
            assert connection.failures == 1  # the refusing host was not asked again
            assert len(refusing.sockets.items) == 0

    asyncio.run(scenario())


def test_all_hosts_refusing_our_place_is_no_tight_loop() -> None:
    async def scenario() -> None:
        async with peer_of(status=451) as peer:
            feed = PlainFeed(peer.url)
            time = clock()
            connection = Connection(feed, time, SETTINGS, rng=Random(1))
            start_ns = time.now_ns()
            async with running(connection), asyncio.timeout(WAIT_S):
                while connection.failures < 4:
                    await asyncio.sleep(0)
                waited_s = (time.now_ns() - start_ns) / NS
            assert waited_s >= 3 * SETTINGS.backoff_max_s

    asyncio.run(scenario())


def test_other_statuses_and_refused_connections_back_off_and_recover() -> None:
    async def scenario() -> None:
        async with peer_of(status=503) as peer:
            feed = PlainFeed(peer.url, "ws://127.0.0.1:9/ws")
            connection = connect(feed)
            reasons: set[str] = set()
            async with running(connection), asyncio.timeout(WAIT_S):
                while len(reasons) < 2:
                    await asyncio.sleep(0)
                    reasons |= {connection.last_reason} - {""}
                peer.status = 0
                await feed.payloads.reach(1)
            assert "status 503" in reasons
            assert any("Connection" in reason or "OSError" in reason for reason in reasons)
            assert connection.failures >= 2

    asyncio.run(scenario())


def test_backoff_is_full_jitter_between_its_bounds() -> None:
    async def scenario() -> list[float]:
        feed = PlainFeed("ws://127.0.0.1:9/ws")
        connection = connect(feed)
        delays: list[float] = []
        for _ in range(200):
            delays.append(connection._delay_s())
            connection._on_failure("ws://127.0.0.1:9/ws", OSError("refused"))
        return delays

    delays = asyncio.run(scenario())
    assert delays[0] == 0.0
    assert max(delays[1:2]) <= SETTINGS.backoff_min_s
    assert max(delays) <= SETTINGS.backoff_max_s
    assert min(delays[10:]) < 0.2 * SETTINGS.backoff_max_s
    assert max(delays[10:]) > 0.8 * SETTINGS.backoff_max_s


def test_message_larger_than_the_limit_ends_the_link_not_the_feed() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        if len(peer.sockets.items) == 1:
            await socket.send_str("x" * 70_000)
        await socket.send_str("small")
        await listen(peer, socket)

    async def scenario() -> None:
        settings = FeedsConfig(backoff_min_s=0.25, backoff_max_s=1.0, max_frame_bytes=65_536)
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            connection = Connection(feed, clock(), settings, rng=Random(1))
            async with running(connection):
                assert await feed.payloads.reach(1) == [b"small"]
                assert str(feed.closed.items[0]).startswith("protocol: ")

    asyncio.run(scenario())


def test_fragmented_message_is_delivered_whole() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        assert socket._req is not None
        assert socket._req.transport is not None
        transport = socket._req.transport
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"\x01\x03abc\x00\x02de\x80\x01f\x81\x01z")  # text, 2 continuations, text
        await listen(peer, socket)

    async def scenario() -> None:
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            async with running(connect(feed)):
                assert await feed.payloads.reach(2) == [b"abcdef", b"z"]

    asyncio.run(scenario())


def test_ping_of_the_server_is_answered_with_its_payload() -> None:
    async def scenario() -> None:
        pongs = Record()

        async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
            await socket.ping(b"1790616600")
            async for message in socket:
                if message.type is WSMsgType.PONG:
                    pongs.add(message.data)

        app = web.Application()

        async def serve(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse(autoping=False)
            await socket.prepare(request)
            await handler(Peer(handler), socket)
            return socket

        app.router.add_get("/ws", serve)
        server = TestServer(app)
        await server.start_server()
        try:
            async with running(connect(PlainFeed(f"ws://127.0.0.1:{server.port}/ws"))):
                assert await pongs.reach(1) == [b"1790616600"]
        finally:
            await server.close()

    asyncio.run(scenario())


def test_rollover_loses_and_repeats_nothing_and_never_disconnects() -> None:
    """Both sockets carry one numbered stream; the feed drops what it has, as real feeds do."""

    async def scenario() -> None:
        count = 0
        async with peer_of(listen) as peer:
            feed = PlainFeed(peer.url)
            fresh = Record()
            links: list[int] = []
            last = -1

            def on_payload(payload: bytes, recv_ns: int) -> None:
                nonlocal last
                links.append(int(payload.split()[0]))
                number = int(payload.split()[1])
                if number > last:
                    last = number
                    fresh.add(number)

            feed.on_payload = on_payload  # type: ignore[method-assign]
            connection = connect(feed, rollover_s=5.0)
            async with running(connection), asyncio.timeout(WAIT_S):
                await feed.opened.reach(1)
                while connection.rollovers < 3:
                    for k, socket in enumerate(tuple(peer.sockets.items)):
                        assert isinstance(socket, web.WebSocketResponse)
                        if not socket.closed:
                            await socket.send_str(f"{k} {count}")
                    count += 1
                    await asyncio.sleep(0.001)
                await fresh.reach(count)
                await feed.closed.reach(3)
            assert fresh.items == list(range(len(fresh.items)))
            assert {0, 1, 2, 3} <= set(links)
            assert feed.closed.items[:3] == ["rollover"] * 3
            assert connection.connects == connection.disconnects

    asyncio.run(scenario())


def test_rollover_waits_for_the_first_payload_of_the_successor() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        if len(peer.sockets.items) == 1:
            await socket.send_str("old")
        await listen(peer, socket)

    async def scenario() -> None:
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            connection = connect(feed)
            async with running(connection):
                await feed.payloads.reach(1)
                feed.wants_rollover = "server_shutdown"
                await peer.sockets.reach(2)
                successor = peer.sockets.items[1]
                assert isinstance(successor, web.WebSocketResponse)
                await feed.opened.reach(2)
                seen = len(feed.timers.items)
                await feed.timers.reach(seen + 10)
                assert (feed.closed.items, connection.rollovers) == ([], 0)
                await successor.send_str("new")
                assert await feed.closed.reach(1) == ["rollover"]
                assert (connection.rollovers, feed.wants_rollover) == (1, None)
                assert connection.connected

    asyncio.run(scenario())


def test_successor_takes_over_when_the_old_link_dies_first() -> None:
    async def handler(peer: Peer, socket: web.WebSocketResponse) -> None:
        await listen(peer, socket)

    async def scenario() -> None:
        async with peer_of(handler) as peer:
            feed = PlainFeed(peer.url)
            connection = connect(feed)
            async with running(connection):
                await feed.opened.reach(1)
                feed.wants_rollover = "server_shutdown"
                await feed.opened.reach(2)
                old, new = peer.sockets.items
                assert isinstance(old, web.WebSocketResponse)
                assert isinstance(new, web.WebSocketResponse)
                await old.close()
                await feed.closed.reach(1)
                await new.send_str("x")
                await feed.payloads.reach(1)
                feed.wants_rollover = None
                assert connection.connects == 2

    asyncio.run(scenario())


def test_rollover_that_cannot_connect_keeps_the_old_link() -> None:
    async def scenario() -> None:
        async with peer_of() as peer:
            feed = PlainFeed(peer.url)
            connection = connect(feed, rollover_s=2.0)
            async with running(connection):
                await feed.payloads.reach(1)
                peer.status = 503
                async with asyncio.timeout(WAIT_S):
                    while connection.failures < 2:
                        await asyncio.sleep(0.001)
                assert feed.closed.items == []
                peer.status = 0
                assert await feed.closed.reach(1) == ["rollover"]

    asyncio.run(scenario())


def test_feed_that_gives_up_ends_the_run_with_an_alarm() -> None:
    async def scenario() -> None:
        alarms: list[tuple[str, str]] = []
        async with peer_of() as peer:
            feed = PlainFeed(peer.url)
            connection = connect(feed, on_alarm=lambda code, text: alarms.append((code, text)))
            async with running(connection) as task:
                await feed.payloads.reach(1)
                feed.gives_up = "auth_invalid"
                async with asyncio.timeout(WAIT_S):
                    await task
            assert feed.closed.items == ["auth_invalid"]
            assert alarms == [("gave_up", "plain: auth_invalid")]

    asyncio.run(scenario())


def test_cancel_while_waiting_to_reconnect_ends_at_once() -> None:
    async def scenario() -> None:
        feed = PlainFeed("ws://127.0.0.1:9/ws")
        connection = connect(feed)
        async with running(connection), asyncio.timeout(WAIT_S):
            while connection.failures < 1:
                await asyncio.sleep(0)
        assert feed.opened.items == []
        assert feed.closed.items == []

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_peer_that_fails_the_handshake_is_a_failure_and_tried_again(answer: bytes) -> None:
    async def scenario() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        feed = PlainFeed(f"ws://127.0.0.1:{port}/ws")
        connection = connect(feed)
        async with server, running(connection), asyncio.timeout(WAIT_S):
            while connection.failures < 2:
                await asyncio.sleep(0.001)
            assert (connection.connects, feed.opened.items, feed.closed.items) == (0, [], [])
            assert connection.last_reason != ""

    asyncio.run(scenario())


def test_peer_that_never_answers_the_handshake_is_given_up_in_time() -> None:
    async def scenario() -> None:
        release = asyncio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await release.wait()
            writer.close()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = FeedsConfig(backoff_min_s=0.25, backoff_max_s=1.0, connect_timeout_s=0.1)
        connection = Connection(PlainFeed(f"ws://127.0.0.1:{port}/ws"), clock(), settings)
        async with server, running(connection), asyncio.timeout(WAIT_S):
            while connection.failures < 2:
                await asyncio.sleep(0.001)
            release.set()
        assert "Timeout" in connection.last_reason or "timeout" in connection.last_reason

    asyncio.run(scenario())
